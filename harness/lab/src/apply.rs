//! The one place where a plan meets a kernel: each step is carried out and timed, and must end as planned.

mod drain;
mod error;
mod netlink;

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use dataplane::{Action, Expect, Phase, Plan, Program, Step};
use netns_setup::ProcessGroup;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};

pub use self::drain::Draining;
pub use self::error::ApplyError;
use self::netlink::Kernel;
use crate::stop::Stop;
use crate::tools::Tools;
use crate::usage::Peak;

/// How often a waiting thread looks whether it should give up.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Standard output that is kept; listings of large rulesets are read and thrown away, as they must be
/// read for the program to finish.
const KEPT_OUTPUT: usize = 64 * 1024;
/// Input, in bytes, from which on a program's memory is looked at while it runs: it grows with the input, and a program
/// with less is over too soon to be seen, but not too soon for a look to show in its time.
const WATCHED_INPUT: usize = 64 * 1024;

/// One step, carried out.
#[derive(Clone, Debug)]
pub struct StepTime {
    /// Part of the sync.
    pub phase: Phase,
    /// When it began.
    pub started: Instant,
    /// From before the program is started or the first request is sent, until it has ended or the last is answered;
    /// nanoseconds.
    pub nanoseconds: u64,
    /// Process number, if it was a program.
    pub pid: Option<u32>,
}

/// A plan, carried out.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// Its steps, in order.
    pub steps: Vec<StepTime>,
    /// Bytes that were given to programs.
    pub bytes: u64,
    /// Most memory that one of its programs had in use, bytes; known of those that were given 64 KiB or more, and a lower
    /// bound, as [`Peak`] explains.
    pub peak_rss: Option<u64>,
}

impl Applied {
    /// Time of all steps together, nanoseconds: nothing runs between them but this program.
    pub fn nanoseconds(&self) -> u64 {
        self.steps.iter().map(|step| step.nanoseconds).sum()
    }

    /// Time of the steps of one phase, or `None` if the plan had none.
    pub fn phase(&self, phase: Phase) -> Option<u64> {
        let mut steps = self.steps.iter().filter(|step| step.phase == phase).peekable();
        steps.peek()?;
        Some(steps.map(|step| step.nanoseconds).sum())
    }
}

/// What a finished program left.
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// From before it was started until it had ended.
    pub nanoseconds: u64,
    /// Process number it ran under.
    pub pid: u32,
    /// First part of its standard output.
    pub stdout: Vec<u8>,
    /// First part of its standard error.
    pub stderr: Vec<u8>,
    /// Most memory that it was seen to use, bytes, if that was watched.
    pub peak_rss: Option<u64>,
}

/// Runs programs in the namespace of the calling thread.
#[derive(Clone)]
pub struct Runner {
    tools: Tools,
    process_group: ProcessGroup,
    stop: Stop,
    draining: Draining,
}

impl Runner {
    /// A runner whose programs die with the namespace of `process_group`.
    pub fn new(tools: Tools, process_group: ProcessGroup, stop: Stop) -> Self {
        Self { tools, process_group, stop, draining: Draining::default() }
    }

    /// The tools it uses.
    pub const fn tools(&self) -> Tools {
        self.tools
    }

    /// Real servers that its plans, and those of its clones, have left at weight 0 for their connections.
    pub const fn draining(&self) -> &Draining {
        &self.draining
    }

    /// The same, but stopped by somebody else.
    pub fn until(&self, stop: Stop) -> Self {
        Self { stop, ..self.clone() }
    }

    /// Whether somebody asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_requested()
    }

    /// Carries out the steps of a sync (not its cleanup), one after another.
    ///
    /// # Errors
    /// [`ApplyError`]; whatever went before has been done.
    pub fn apply(&self, plan: &Plan, limit: Option<Duration>) -> Result<Applied, ApplyError> {
        self.steps(&plan.steps, limit)
    }

    /// Carries out what a later sync would do to remove leftovers.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub fn clean_up(&self, plan: &Plan, limit: Option<Duration>) -> Result<Applied, ApplyError> {
        self.steps(&plan.cleanup, limit)
    }

    fn steps(&self, steps: &[Step], limit: Option<Duration>) -> Result<Applied, ApplyError> {
        // kube-proxy, too, opens its connection when it starts and not for every sync.
        let mut kernel = Kernel::for_steps(steps, self.draining.clone())?;
        let begun = Instant::now();
        let mut applied = Applied::default();
        for step in steps {
            let left = limit.map(|limit| (limit, limit.saturating_sub(begun.elapsed())));
            let started = Instant::now();
            let (nanoseconds, pid) = match &step.action {
                Action::Run { program, args, input } => {
                    let finished = self.program(step, *program, args, input.as_deref(), left)?;
                    applied.peak_rss = applied.peak_rss.max(finished.peak_rss);
                    (finished.nanoseconds, Some(finished.pid))
                }
                action => {
                    kernel.carry_out(action, &|| self.over(step, started, left))?;
                    (workloads::clock::nanoseconds(started.elapsed()), None)
                }
            };
            applied.bytes += step.input().map_or(0, |input| input.len() as u64);
            applied.steps.push(StepTime { phase: step.phase, started, nanoseconds, pid });
        }
        Ok(applied)
    }

    /// Whether to give up on a step.
    fn over(
        &self,
        step: &Step,
        begun: Instant,
        left: Option<(Duration, Duration)>,
    ) -> Result<(), ApplyError> {
        if self.stop.is_requested() {
            return Err(ApplyError::Interrupted { command: step.command_line() });
        }
        match left {
            Some((limit, left)) if begun.elapsed() >= left => {
                Err(ApplyError::OutOfTime { command: step.command_line(), limit })
            }
            _ => Ok(()),
        }
    }

    /// One program; its input is put into memory before the clock starts, so that neither a pipe nor a writing thread is
    /// part of what is timed.
    fn program(
        &self,
        step: &Step,
        program: Program,
        args: &[String],
        input: Option<&[u8]>,
        left: Option<(Duration, Duration)>,
    ) -> Result<Finished, ApplyError> {
        let run = |source| ApplyError::Run { command: step.command_line(), source };
        let watched = input.is_some_and(|input| input.len() >= WATCHED_INPUT);
        let input = match input {
            Some(input) => Stdio::from(in_memory(input).map_err(run)?),
            None => Stdio::null(),
        };
        let mut command = Command::new(self.tools.path(program)?);
        command.args(args).stdin(input).stdout(Stdio::piped());
        let finished = self.run_prepared(&mut command, &step.command_line(), left, watched)?;
        let code = finished.status.code();
        if code.is_some_and(|code| step.expect.accepts(code)) {
            return Ok(finished);
        }
        Err(ApplyError::Unexpected {
            command: step.command_line(),
            how: finished.status.to_string(),
            code,
            expected: match step.expect {
                Expect::Success => "exit code 0",
                Expect::One => "exit code 1",
                Expect::ZeroOrOne => "exit code 0 or 1",
            },
            stderr: last_lines(&finished.stderr),
            pid: finished.pid,
        })
    }

    /// Runs one program to its end. `name` stands for it in errors; `left`: the limit that it counts
    /// towards, and what is left of it.
    ///
    /// # Errors
    /// [`ApplyError`], but not for its exit code.
    pub fn run(
        &self,
        command: &mut Command,
        name: &str,
        left: Option<(Duration, Duration)>,
    ) -> Result<Finished, ApplyError> {
        command.stdout(Stdio::piped());
        self.run_prepared(command, name, left, false)
    }

    /// The same, with standard output into a file.
    ///
    /// # Errors
    /// [`ApplyError`], but not for its exit code.
    pub fn run_into(&self, command: &mut Command, name: &str, output: File) -> Result<Finished, ApplyError> {
        command.stdout(output);
        self.run_prepared(command, name, None, false)
    }

    fn run_prepared(
        &self,
        command: &mut Command,
        name: &str,
        left: Option<(Duration, Duration)>,
        watched: bool,
    ) -> Result<Finished, ApplyError> {
        let run = |source| ApplyError::Run { command: name.to_owned(), source };
        command.stderr(Stdio::piped());
        let begun = Instant::now();
        let mut child = self.process_group.add(command).spawn().map_err(run)?;
        let pid = child.id();
        let mut peak = watched.then(|| Peak::of(pid));
        let outputs = self.wait_for(&mut child, begun, left, peak.as_mut());
        let (stdout, stderr) = match outputs {
            Ok(outputs) => outputs,
            Err(why) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(match why {
                    GaveUp::Stopped => ApplyError::Interrupted { command: name.to_owned() },
                    GaveUp::OutOfTime(limit) => ApplyError::OutOfTime { command: name.to_owned(), limit },
                    GaveUp::System(source) => run(source),
                });
            }
        };
        let status = child.wait().map_err(run)?;
        let nanoseconds = workloads::clock::nanoseconds(begun.elapsed());
        let peak_rss = peak.and_then(|peak| peak.bytes());
        Ok(Finished { status, nanoseconds, pid, stdout, stderr, peak_rss })
    }

    /// Reads both outputs until the program has closed them, which it does by ending.
    fn wait_for(
        &self,
        child: &mut Child,
        begun: Instant,
        left: Option<(Duration, Duration)>,
        mut peak: Option<&mut Peak>,
    ) -> Result<(Vec<u8>, Vec<u8>), GaveUp> {
        let mut stdout = child.stdout.take();
        let mut stderr = child.stderr.take();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut buffer = vec![0; KEPT_OUTPUT];
        while stdout.is_some() || stderr.is_some() {
            if self.stop.is_requested() {
                return Err(GaveUp::Stopped);
            }
            if let Some((limit, left)) = left
                && begun.elapsed() >= left
            {
                return Err(GaveUp::OutOfTime(limit));
            }
            let fds: Vec<_> = stdout.iter().map(AsFd::as_fd).chain(stderr.iter().map(AsFd::as_fd)).collect();
            let mut fds: Vec<_> = fds.into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
            let pause = peak.as_ref().map_or(POLL_INTERVAL, |peak| peak.pause().min(POLL_INTERVAL));
            let timeout = PollTimeout::try_from(pause).unwrap_or(PollTimeout::MAX);
            match poll(&mut fds, timeout) {
                Ok(0) => {
                    if let Some(peak) = &mut peak {
                        peak.look();
                    }
                    continue;
                }
                Err(nix::errno::Errno::EINTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(GaveUp::System(error.into())),
            }
            let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect::<Vec<_>>().into_iter();
            if stdout.is_some() && ready.next() == Some(true) {
                read_some(&mut stdout, &mut buffer, &mut out)?;
            }
            if stderr.is_some() && ready.next() == Some(true) {
                read_some(&mut stderr, &mut buffer, &mut err)?;
            }
        }
        Ok((out, err))
    }
}

enum GaveUp {
    Stopped,
    OutOfTime(Duration),
    System(io::Error),
}

/// Reads once; at the end of file the pipe becomes `None`.
fn read_some(pipe: &mut Option<impl Read>, buffer: &mut [u8], kept: &mut Vec<u8>) -> Result<(), GaveUp> {
    let Some(reader) = pipe else { return Ok(()) };
    match reader.read(buffer) {
        Ok(0) => *pipe = None,
        Ok(count) => {
            let room = KEPT_OUTPUT.saturating_sub(kept.len());
            kept.extend_from_slice(&buffer[..count.min(room)]);
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        Err(error) => return Err(GaveUp::System(error)),
    }
    Ok(())
}

/// A file in memory, open at its start.
fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = empty_in_memory()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// An empty file in memory.
pub fn empty_in_memory() -> io::Result<File> {
    Ok(memfd_create(c"svcbench", MFdFlags::MFD_CLOEXEC)?.into())
}

/// What a person needs of a program's complaint: its last lines, on one line.
pub fn last_lines(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        // Printed by iptables 1.8.9 at each run with -W, which kube-proxy always gives.
        .filter(|line| !line.is_empty() && !line.starts_with("Ignoring deprecated --wait-interval"))
        .collect();
    if lines.is_empty() {
        return "it printed nothing".to_owned();
    }
    lines[lines.len().saturating_sub(4)..].join("; ")
}
