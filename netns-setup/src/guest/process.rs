//! The emulator's process, and the pipes that lead out of it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;

use super::console::Console;
use super::error::GuestError;
use crate::process_group::Leader;

/// Bytes that a pipe holds before its writer waits. The readers are quick; this is for a host that is not.
const PIPE: i32 = 1 << 20;
/// Bytes of QEMU's own complaints that are kept.
const SAID: usize = 4096;

/// A running QEMU. It dies with this value, and with this process however that ends: see [`Leader`].
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Receiver<Vec<u8>>,
    console: Arc<Mutex<Console>>,
    said: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
    _keeper: Leader,
}

/// What the data port brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A line, without its end.
    Line(Vec<u8>),
    /// Nothing within the time.
    Nothing,
    /// Nothing any more.
    Closed,
}

impl Process {
    /// Starts QEMU with its data port on descriptor 0, the console on 1 and its complaints on 2.
    pub(crate) fn start(program: &Path, arguments: &[String]) -> Result<Process, GuestError> {
        let problem = |cause: io::Error| GuestError::host(format!("start {}", program.display()), cause);
        let leader = Leader::start().map_err(problem)?;
        let (data, data_end) = pipe()?;
        let (console, console_end) = pipe()?;
        let (complaints, complaints_end) = pipe()?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir("/").stdin(data_end).stdout(console_end).stderr(complaints_end);
        let child = leader.process_group().add(&mut command).spawn().map_err(problem)?;
        // Its ends of the pipes, or they would never close.
        drop(command);

        let (sender, lines) = mpsc::channel();
        let kept = Arc::new(Mutex::new(Console::default()));
        let said = Arc::new(Mutex::new(Vec::new()));
        let (into_console, into_said) = (Arc::clone(&kept), Arc::clone(&said));
        let mut process = Process { child, lines, console: kept, said, readers: Vec::new(), _keeper: leader };
        process.read("guest-data", move || read_lines(data.into(), |line| sender.send(line).is_ok()))?;
        process.read("guest-console", move || {
            read_all(console.into(), |bytes| locked(&into_console).take(bytes))
        })?;
        process.read("guest-qemu", move || {
            read_all(complaints.into(), |bytes| {
                let mut said = locked(&into_said);
                let room = SAID.saturating_sub(said.len()).min(bytes.len());
                said.extend_from_slice(&bytes[..room]);
            });
        })?;
        Ok(process)
    }

    fn read(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), GuestError> {
        let started = thread::Builder::new().name(name.into()).spawn(work);
        self.readers
            .push(started.map_err(|cause| GuestError::host(format!("start the thread {name}"), cause))?);
        Ok(())
    }

    /// The next line of the data port.
    pub(crate) fn next(&self, wait: Duration) -> Next {
        match self.lines.recv_timeout(wait) {
            Ok(line) => Next::Line(line),
            Err(RecvTimeoutError::Timeout) => Next::Nothing,
            Err(RecvTimeoutError::Disconnected) => Next::Closed,
        }
    }

    /// Looks at the console.
    pub(crate) fn console<T>(&self, look: impl FnOnce(&Console) -> T) -> T {
        look(&locked(&self.console))
    }

    /// What QEMU itself has said.
    pub(crate) fn said(&self) -> String {
        let said = locked(&self.said);
        let text = String::from_utf8_lossy(&said);
        text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" / ")
    }

    /// Waits until it ends by itself, at most `grace`, then kills it. Afterwards the console is complete.
    pub(crate) fn end(&mut self, grace: Duration) -> ExitStatus {
        let deadline = Instant::now() + grace;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
                _ => {
                    let _ = self.child.kill();
                    // It fails only for a child that was reaped elsewhere.
                    break self.child.wait().unwrap_or_default();
                }
            }
        };
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

/// A pipe that holds much, for a child: its write end becomes one of the child's standard descriptors.
fn pipe() -> Result<(OwnedFd, Stdio), GuestError> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(|error| GuestError::host("make a pipe", error))?;
    // Refused to ordinary users whose other pipes are large already: then it is as large as it is.
    let _ = fcntl(&read, FcntlArg::F_SETPIPE_SZ(PIPE));
    debug_assert!(write.as_raw_fd() > 2);
    Ok((read, write.into()))
}

/// A line that has no end when the pipe closes was cut short: it is dropped.
fn read_lines(pipe: File, mut take: impl FnMut(Vec<u8>) -> bool) {
    let mut pipe = BufReader::with_capacity(1 << 16, pipe);
    loop {
        let mut line = Vec::new();
        match pipe.read_until(b'\n', &mut line) {
            Ok(_) if line.pop() == Some(b'\n') => {}
            _ => return,
        }
        if !take(line) {
            // Nobody listens; the guest must not wait all the same.
            let _ = io::copy(&mut pipe, &mut io::sink());
            return;
        }
    }
}

fn read_all(mut pipe: File, mut take: impl FnMut(&[u8])) {
    let mut buffer = [0; 4096];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => take(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // The holders only append.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
