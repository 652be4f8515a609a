//! A kube-proxy that runs.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use dataplane::Program;
use lab::stop::Stop;
use lab::tools::Tools;
use netns_setup::{Enclosed, Enclosure, Namespace};
use nix::sys::signal::Signal;

use crate::binary::Binary;
use crate::config::Config;
use crate::error::ProcessError;
use crate::http::{Answer, HttpError, get};
use crate::log::Log;
use crate::metrics::{Snapshot, names};
use crate::recorder::REAL_PROGRAMS;
use crate::usage::Usage;
use crate::version::Version;

/// How often a waiting thread asks again.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// For one answer of a process on the same machine, which may have little of a processor.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Folder and names of its files, inside.
const LABEL: &str = "kube-proxy";

/// A kube-proxy in a namespace.
///
/// It sees the namespace's network, reads all files and writes none, and finds no programs but those of its mode. Dropping
/// it, or the end of this process, however it comes, kills it and all that it has started, and removes its files.
pub struct Process {
    program: Enclosed,
    log: Log,
    started: Instant,
    config: Config,
}

/// How it ended when it was stopped.
#[derive(Debug)]
pub struct Ended {
    /// Exit code or signal.
    pub status: ExitStatus,
    /// Whether it ended by itself, and not only when it was killed.
    pub by_itself: bool,
    /// From being asked to its end.
    pub took: Duration,
    /// All that it logged.
    pub log: Log,
}

impl Process {
    /// Starts it, and does not wait for anything.
    ///
    /// `tools` says which iptables it finds. Where a namespace has its own `/run`, the xtables lock is that namespace's, as
    /// for all other programs in it.
    ///
    /// # Errors
    /// [`ProcessError`]: a program of its mode that is missing, a feature gate that this version lacks, a file that has
    /// changed, or what the system refuses.
    pub fn start(
        namespace: &Namespace,
        binary: &Binary,
        version: &Version,
        config: &Config,
        tools: Tools,
    ) -> Result<Self, ProcessError> {
        let room = Enclosure::create(namespace, LABEL)?;
        let folder = room.folder().to_owned();
        let (file, kubeconfig) = (folder.join("config"), folder.join("kubeconfig"));
        let text = config.text(version, &kubeconfig.to_string_lossy())?;
        let links = links(config, tools)?;
        let (programs, recorded) = (folder.join("bin"), folder.join("recorded"));
        room.run(|| {
            fs::write(&file, text)?;
            fs::write(&kubeconfig, config.kubeconfig())?;
            fs::create_dir(&programs)?;
            let Some(recorder) = &config.recorder else {
                return links.iter().try_for_each(|(name, path)| symlink(path, programs.join(name)));
            };
            fs::create_dir(&recorded)?;
            links.iter().try_for_each(|(name, path)| {
                symlink(recorder, programs.join(name))?;
                symlink(path, recorded.join(name))
            })
        })
        .map_err(|source| ProcessError::System { action: "write the files of kube-proxy", source })?;

        let system = |action| move |source| ProcessError::System { action, source };
        let (output, input) = io::pipe().map_err(system("open a pipe for the log"))?;
        let mut command = Command::new(binary.inside(&room)?);
        command
            .arg("--config")
            .arg(&file)
            .env_clear()
            .env("PATH", &programs)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(input.try_clone().map_err(system("open a pipe for the log"))?)
            .stderr(input);
        if config.recorder.is_some() {
            command.env(REAL_PROGRAMS, &recorded);
        }
        let log = Log::of(output).map_err(system("start a thread for the log"))?;
        let started = Instant::now();
        let program = room.start(&mut command).map_err(|source| {
            ProcessError::Binary(crate::error::BinaryError::Start { path: binary.path().to_owned(), source })
        })?;
        Ok(Self { program, log, started, config: config.clone() })
    }

    /// Its number, outside.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Just before it was started.
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// What it says.
    pub const fn log(&self) -> &Log {
        &self.log
    }

    /// Fails if it has ended.
    ///
    /// # Errors
    /// [`ProcessError::Ended`], with its last lines.
    pub fn check(&mut self) -> Result<(), ProcessError> {
        let wait = |source| ProcessError::System { action: "wait for kube-proxy", source };
        let Some(status) = self.program.try_wait().map_err(wait)? else { return Ok(()) };
        // Its last lines are in the pipe, which ends when all that it has started has ended.
        let _ = self.program.kill();
        self.log.finish();
        Err(ProcessError::Ended { status, lines: self.log.last_lines() })
    }

    /// Waits until its health and metrics servers answer, which is before the first sync. Says when they did.
    ///
    /// # Errors
    /// If it ends, does not come so far in time, or `stop` is requested.
    pub fn wait_until_ready(&mut self, stop: &Stop, limit: Duration) -> Result<Instant, ProcessError> {
        let what = "did not serve its health and metrics";
        self.wait(stop, limit, what, |process| {
            let health = process.ask(process.config.health, "/healthz").ok()?;
            process.metrics().ok()?;
            // 503: it is there, and waits for something.
            matches!(health.status, 200 | 503).then(Instant::now)
        })
    }

    /// Waits until a sync has succeeded in every family that it serves. Says when that was seen; the exact time is that of
    /// the log's line ([`Log::syncs_since`]).
    ///
    /// # Errors
    /// If it ends, does not come so far in time, or `stop` is requested.
    pub fn wait_until_synced(&mut self, stop: &Stop, limit: Duration) -> Result<Instant, ProcessError> {
        let what = "did not finish its first sync";
        self.wait(stop, limit, what, |process| {
            let metrics = process.metrics().ok()?;
            // Each family has its series of what was asked for from the first request on.
            let families = metrics.label_values(names::LAST_QUEUED, "ip_family");
            let synced = |family: &String| {
                metrics.value(names::LAST_SYNC, &[("ip_family", family)]).is_some_and(|time| time > 0.0)
            };
            (!families.is_empty() && families.iter().all(synced)).then(Instant::now)
        })
    }

    fn wait<T>(
        &mut self,
        stop: &Stop,
        limit: Duration,
        what: &'static str,
        mut done: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T, ProcessError> {
        let begun = Instant::now();
        loop {
            self.check()?;
            if let Some(value) = done(self) {
                return Ok(value);
            }
            if stop.is_requested() {
                return Err(ProcessError::Interrupted);
            }
            if begun.elapsed() >= limit {
                return Err(ProcessError::OutOfTime { what, limit, lines: self.log.last_lines() });
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Its metrics now.
    ///
    /// # Errors
    /// If it does not answer, or what it answers is no text of metrics.
    pub fn metrics(&self) -> Result<Snapshot, ProcessError> {
        let path = "/metrics";
        let fail = |source| ProcessError::Http { path, source };
        let at = Instant::now();
        let answer = self.ask(self.config.metrics, path).map_err(fail)?;
        if answer.status != 200 {
            return Err(fail(HttpError::Status(answer.status)));
        }
        let malformed = |error: &dyn ToString| fail(HttpError::Malformed(error.to_string()));
        let text = std::str::from_utf8(&answer.body).map_err(|error| malformed(&error))?;
        Snapshot::parse(text, at).map_err(|error| malformed(&error))
    }

    /// The socket is the namespace's in which it is opened.
    fn ask(&self, server: SocketAddr, path: &'static str) -> Result<Answer, HttpError> {
        let stream = self.program.room().run(|| TcpStream::connect_timeout(&server, ANSWER_LIMIT))?;
        get(stream, server, path, ANSWER_LIMIT)
    }

    /// What it has cost so far; `None` once it has ended.
    pub fn usage(&self) -> Option<Usage> {
        Usage::of(self.pid())
    }

    /// Sends it a signal: SIGSTOP and SIGCONT for a stall that is meant.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn signal(&mut self, signal: Signal) -> Result<(), ProcessError> {
        self.program
            .signal(signal)
            .map_err(|source| ProcessError::System { action: "send kube-proxy a signal", source })
    }

    /// Asks it to end (SIGTERM), and kills it when the limit is over. Its rules stay, as they do on a node.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn stop(mut self, limit: Duration) -> Result<Ended, ProcessError> {
        let begun = Instant::now();
        let system = |source| ProcessError::System { action: "stop kube-proxy", source };
        self.program.signal(Signal::SIGTERM).map_err(system)?;
        let mut by_itself = false;
        while !by_itself && begun.elapsed() < limit {
            by_itself = self.program.try_wait().map_err(system)?.is_some();
            if !by_itself {
                thread::sleep(POLL_INTERVAL.min(limit));
            }
        }
        let took = begun.elapsed();
        // Also what it has started, which may still run.
        let status = self.program.kill().map_err(system)?;
        let Self { program, mut log, .. } = self;
        drop(program);
        log.finish();
        Ok(Ended { status, by_itself, took, log })
    }
}

/// Names under which kube-proxy looks for programs, and where they are. It is given no others: no `modprobe`, for one.
fn links(config: &Config, tools: Tools) -> Result<Vec<(&'static str, std::path::PathBuf)>, ProcessError> {
    const ALL: &[(&str, Program)] = &[
        ("iptables", Program::Iptables),
        ("iptables-save", Program::IptablesSave),
        ("iptables-restore", Program::IptablesRestore),
        ("ip6tables", Program::Ip6tables),
        ("ip6tables-save", Program::Ip6tablesSave),
        ("ip6tables-restore", Program::Ip6tablesRestore),
        ("nft", Program::Nft),
        ("ipset", Program::Ipset),
        ("conntrack", Program::Conntrack),
    ];
    let mut links = Vec::new();
    for &(name, program) in ALL {
        if !config.ipv6 && name.starts_with("ip6") {
            // `--version` and all else fails: then kube-proxy serves the other family alone.
            links.extend(netns_setup::find_program("false").map(|path| (name, path)));
            continue;
        }
        match tools.path(program) {
            Ok(path) => links.push((name, path)),
            Err(missing) if config.mode.needs().contains(&program) => return Err(missing.into()),
            Err(_) => {}
        }
    }
    Ok(links)
}
