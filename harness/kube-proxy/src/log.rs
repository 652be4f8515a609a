//! What a kube-proxy says, line by line, with the times at which the lines arrive.

mod klog;

use std::collections::VecDeque;
use std::io::{self, PipeReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use self::klog::{Entry, Severity, duration};
use crate::error::LastLines;

/// Lines that are kept; older ones are dropped.
const KEPT_LINES: usize = 10_000;
/// Bytes of a line that are kept.
const KEPT_BYTES: usize = 4_096;
/// Lines that say why something failed.
const LAST_LINES: usize = 5;
/// Most characters of a line that is shown with an error, half of them from its end, where the reason is.
const SHOWN: usize = 500;

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it was read, which is shortly after it was written.
    pub at: Instant,
    /// Without its end; of more than 4 KiB the beginning.
    pub text: String,
}

/// A sync that has ended, by its line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncEnded {
    /// When the line was read, which is shortly after the end of the sync.
    pub at: Instant,
    /// How long kube-proxy says that it took.
    pub took: Duration,
    /// Whether it was of the proxier of IPv6; proxiers of one family alone do not always name it, and then it is not.
    pub ipv6: bool,
}

/// The log of a process that is still running or has ended.
#[derive(Debug)]
pub struct Log {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Line>,
    /// How many were dropped before the first that is kept.
    dropped: u64,
    ended: bool,
}

impl Log {
    /// Reads until all have closed the other end.
    pub(crate) fn of(pipe: PipeReader) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let reader = thread::Builder::new().name("kube-proxy log".into()).spawn(move || {
            read(pipe, |line| theirs.push(line));
            theirs.lock().ended = true;
            theirs.changed.notify_all();
        })?;
        Ok(Self { shared, reader: Some(reader) })
    }

    /// How many lines there have been so far: a position for [`since`](Log::since).
    pub fn position(&self) -> u64 {
        let state = self.shared.lock();
        state.dropped + state.lines.len() as u64
    }

    /// The lines from a position on; those that were dropped are missing.
    pub fn since(&self, position: u64) -> Vec<Line> {
        let state = self.shared.lock();
        let skip = usize::try_from(position.saturating_sub(state.dropped)).unwrap_or(usize::MAX);
        state.lines.iter().skip(skip).cloned().collect()
    }

    /// The syncs that it has logged from a position on: when each was over, and how long kube-proxy says that it took.
    /// Dual-stack kube-proxies have one for each family.
    pub fn syncs_since(&self, position: u64) -> Vec<(Instant, Duration)> {
        let lines = self.since(position);
        let syncs = lines.iter().filter_map(|line| Some((line.at, Entry::parse(&line.text)?.sync()?)));
        syncs.collect()
    }

    /// The same, with their families.
    pub fn ended_syncs(&self, position: u64) -> Vec<SyncEnded> {
        let ended = |line: &Line| {
            let entry = Entry::parse(&line.text)?;
            let ipv6 = entry.field("ipFamily").is_some_and(|family| family == "IPv6");
            Some(SyncEnded { at: line.at, took: entry.sync()?, ipv6 })
        };
        self.since(position).iter().filter_map(ended).collect()
    }

    /// The last lines that say something, for a person: errors and what was printed beside the log first of all.
    pub fn last_lines(&self) -> LastLines {
        let state = self.shared.lock();
        let all: Vec<&str> = state.lines.iter().map(|line| line.text.as_str()).collect();
        last_lines(&all)
    }

    /// Waits until the log has ended, as it does when the process and all that it has started have.
    pub(crate) fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, text: String) {
        let at = Instant::now();
        let mut state = self.lock();
        if state.lines.len() == KEPT_LINES {
            state.lines.pop_front();
            state.dropped += 1;
        }
        state.lines.push_back(Line { at, text });
        drop(state);
        self.changed.notify_all();
    }
}

/// Splits what comes into lines.
fn read(mut pipe: impl Read, mut push: impl FnMut(String)) {
    let mut buffer = vec![0; 16 << 10];
    let mut line = Vec::new();
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                for &byte in &buffer[..count] {
                    if byte == b'\n' {
                        push(String::from_utf8_lossy(&line).into_owned());
                        line.clear();
                    } else if line.len() < KEPT_BYTES {
                        line.push(byte);
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    if !line.is_empty() {
        push(String::from_utf8_lossy(&line).into_owned());
    }
}

fn last_lines(all: &[&str]) -> LastLines {
    let entries = || all.iter().rev().map(|line| (*line, Entry::parse(line)));
    let is_bad = |(line, entry): &(&str, Option<Entry>)| match entry {
        Some(entry) => entry.severity != Severity::Info,
        None => !line.trim().is_empty(),
    };
    // Its flags, one on each line, when it starts.
    let is_flag =
        |entry: &Option<Entry>| entry.as_ref().is_some_and(|entry| entry.message.starts_with("FLAG: "));
    let mut chosen: Vec<&str> = entries().filter(is_bad).take(LAST_LINES).map(|(line, _)| line).collect();
    if chosen.is_empty() {
        chosen =
            entries().filter(|(_, entry)| !is_flag(entry)).take(LAST_LINES).map(|(line, _)| line).collect();
    }
    let shown = |line: &&str| {
        let count = line.chars().count();
        if count <= SHOWN {
            return line.trim().to_owned();
        }
        let begin: String = line.chars().take(SHOWN / 2).collect();
        let end: String = line.chars().skip(count - SHOWN / 2).collect();
        format!("{} ... {}", begin.trim(), end.trim())
    };
    LastLines(chosen.iter().rev().map(shown).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_arrive_in_order_and_old_ones_are_dropped() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut log = Log::of(reader).unwrap();
        for index in 0..KEPT_LINES + 5 {
            writeln!(writer, "line {index}").unwrap();
        }
        write!(writer, "no end").unwrap();
        drop(writer);
        log.finish();
        assert_eq!(log.position(), KEPT_LINES as u64 + 6);
        let lines = log.since(0);
        assert_eq!((lines.len(), lines[0].text.as_str()), (KEPT_LINES, "line 6"));
        assert_eq!(
            log.since(KEPT_LINES as u64 + 5).iter().map(|line| line.text.as_str()).collect::<Vec<_>>(),
            ["no end"]
        );
        assert!(lines.is_sorted_by_key(|line| line.at));
        assert_eq!(log.since(u64::MAX), []);
    }

    #[test]
    fn syncs_are_found_by_their_lines() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut log = Log::of(reader).unwrap();
        writer.write_all(include_bytes!("log/klog-1.37.txt")).unwrap();
        drop(writer);
        log.finish();
        let took: Vec<u128> = log.syncs_since(0).iter().map(|(_, took)| took.as_nanos()).collect();
        assert_eq!(took, [59_306_012, 1_200_500]);
        let ended = log.ended_syncs(0);
        assert_eq!(ended.iter().map(|sync| sync.took.as_nanos()).collect::<Vec<_>>(), took);
        assert_eq!(log.ended_syncs(log.position()), []);
    }

    #[test]
    fn errors_are_shown_rather_than_what_is_usual() {
        let info = "I1130 20:40:12.123456       7 server.go:1] \"Version info\" version=\"v1.37.2\"";
        let error = "E1130 20:40:12.123456       7 run.go:72] \"command failed\" err=\"listen tcp 127.0.0.1:10249: bind: address already in use\"";
        assert_eq!(last_lines(&[info, error, info]).0, [error]);
        assert_eq!(last_lines(&[info, "panic: oh", info]).0, ["panic: oh"]);
        assert_eq!(last_lines(&[info]).0, [info]);
        assert_eq!(last_lines(&[]).to_string(), "it logged nothing");
        let long = format!("E {} refused", "é".repeat(900));
        let shown = last_lines(&[&long]).to_string();
        assert!(shown.chars().count() < SHOWN + 8 && shown.ends_with("refused"), "{shown}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_lines(bytes: Vec<u8>) {
            let mut lines = Vec::new();
            read(&bytes[..], |line| lines.push(line));
            let expected = bytes.split(|&byte| byte == b'\n').count() - usize::from(bytes.last().is_none_or(|&last| last == b'\n'));
            prop_assert_eq!(lines.len(), expected);
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            prop_assert!(last_lines(&lines).0.len() <= LAST_LINES);
        }
    }
}
