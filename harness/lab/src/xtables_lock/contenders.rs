//! What else wants the lock on a node: a CNI plugin that adds and removes a port mapping.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use dataplane::Program;
use netns_setup::Namespace;

use crate::apply::{ApplyError, Runner, last_lines};

/// One `iptables -w 5`, finished.
#[derive(Clone, Debug)]
pub struct Operation {
    /// From before it was started until it had ended, nanoseconds.
    pub nanoseconds: u64,
    /// Its process.
    pub pid: u32,
    /// 0 done; 4: gave up waiting for the lock.
    pub code: Option<i32>,
    /// What it said on standard error, when it failed.
    pub message: String,
}

/// Threads that insert and delete one rule each, in a chain of their own, again and again.
pub struct Contenders {
    done: Arc<AtomicBool>,
    finished: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Result<Vec<Operation>, ApplyError>>>,
}

/// More than any operation should take, at any scale: 5 s of waiting and the work itself.
const LIMIT: Duration = Duration::from_secs(600);

impl Contenders {
    /// Makes each contender's chain, then starts them all.
    ///
    /// # Errors
    /// [`ApplyError`] if a chain cannot be made.
    pub fn start(count: u32, namespace: &Namespace, runner: &Runner) -> Result<Self, ApplyError> {
        for index in 0..count {
            let chain = chain(index);
            let finished = namespace.run(|| iptables(runner, &["-t", "nat", "-N", &chain]))?;
            if finished.code.is_none_or(|code| code > 1) {
                return Err(ApplyError::Unexpected {
                    command: format!("iptables -w 5 -t nat -N {chain}"),
                    how: format!("{:?}", finished.code),
                    code: finished.code,
                    expected: "exit code 0 or 1",
                    stderr: finished.message,
                    pid: finished.pid,
                });
            }
        }
        let done = Arc::new(AtomicBool::new(false));
        let finished = Arc::new(AtomicU64::new(0));
        let threads = (0..count)
            .map(|index| {
                let (done, finished, runner) = (Arc::clone(&done), Arc::clone(&finished), runner.clone());
                namespace
                    .thread(&format!("contender-{index}"), move || contend(index, &runner, &done, &finished))
            })
            .collect::<Result<_, _>>()
            .map_err(|source| ApplyError::Run { command: "a contender's thread".into(), source })?;
        Ok(Self { done, finished, threads })
    }

    /// How many operations all of them have finished.
    pub fn finished(&self) -> u64 {
        self.finished.load(Ordering::Relaxed)
    }

    /// Whether all go on; what ended one of them, [`Contenders::stop`] tells.
    pub fn are_alive(&self) -> bool {
        !self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Lets each finish what it is at, and returns what all of them did.
    ///
    /// # Errors
    /// The first [`ApplyError`] of any of them.
    pub fn stop(self) -> Result<Vec<Operation>, ApplyError> {
        self.done.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for thread in self.threads {
            all.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(all)
    }
}

fn chain(index: u32) -> String {
    format!("CNI-DN-svcbench-{index}")
}

/// As the CNI port-map plugin does for one pod: one rule into a chain of its own, later the same out.
fn contend(
    index: u32,
    runner: &Runner,
    done: &AtomicBool,
    finished: &AtomicU64,
) -> Result<Vec<Operation>, ApplyError> {
    let chain = chain(index);
    let port = (20_000 + index).to_string();
    let rule = ["-p", "tcp", "--dport", &port, "-j", "DNAT", "--to-destination", "10.192.0.9:80"];
    let mut operations = Vec::new();
    let mut inserted = false;
    while !done.load(Ordering::Relaxed) {
        let mut args = vec!["-t", "nat", if inserted { "-D" } else { "-I" }, &chain];
        args.extend(rule);
        let operation = match iptables(runner, &args) {
            // The run is over; what was measured so far still counts.
            Err(ApplyError::Interrupted { .. }) if runner.is_stopped() => break,
            other => other?,
        };
        inserted ^= operation.code == Some(0);
        operations.push(operation);
        finished.fetch_add(1, Ordering::Relaxed);
    }
    Ok(operations)
}

fn iptables(runner: &Runner, args: &[&str]) -> Result<Operation, ApplyError> {
    let mut command = Command::new(runner.tools().path(Program::Iptables)?);
    command.args(["-w", "5"]).args(args).stdin(Stdio::null());
    let finished =
        runner.run(&mut command, &format!("iptables -w 5 {}", args.join(" ")), Some((LIMIT, LIMIT)))?;
    let code = finished.status.code();
    let message = if code == Some(0) { String::new() } else { last_lines(&finished.stderr) };
    Ok(Operation { nanoseconds: finished.nanoseconds, pid: finished.pid, code, message })
}
