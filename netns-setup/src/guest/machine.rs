//! A running guest, as seen from the host.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::boot::{self, GRACE, POLL_INTERVAL, diagnosis};
use super::console::Console;
use super::error::GuestError;
use super::process::{Next, Process};
use super::protocol::Control;
use super::spec::{Facts, Spec};

/// A running guest. Dropping it kills it; no emulator outlives this process, however that ends.
#[derive(Debug)]
pub struct Guest {
    process: Process,
    facts: Facts,
    memory_mib: u32,
    silence_timeout: Duration,
    ended: bool,
}

impl Guest {
    /// Boots a guest and returns when its work starts.
    ///
    /// `stop` is asked all along; when it says so, the guest is ended with [`GuestError::Stopped`].
    ///
    /// # Errors
    /// There is no emulator or not enough memory, KVM was asked for and does not work, or the guest does not boot.
    pub fn start(spec: &Spec, stop: &dyn Fn() -> bool) -> Result<Guest, GuestError> {
        let (booted, facts) = boot::boot(spec, stop)?;
        let (memory_mib, silence_timeout) = (spec.memory_mib, spec.silence_timeout);
        Ok(Guest { process: booted, facts, memory_mib, silence_timeout, ended: false })
    }

    /// The next line that the work sends, without its end; none once the work has ended well. Never blocks the guest:
    /// lines wait in memory.
    ///
    /// # Errors
    /// The guest died, hung, or its work failed; it is ended then.
    pub fn next(&mut self, stop: &dyn Fn() -> bool) -> Result<Option<Vec<u8>>, GuestError> {
        if self.ended {
            return Ok(None);
        }
        let since = Instant::now();
        loop {
            if stop() {
                self.end(Duration::ZERO);
                return Err(GuestError::Stopped);
            }
            match self.process.next(POLL_INTERVAL) {
                Next::Line(line) => match Control::decode(&line) {
                    None => return Ok(Some(line)),
                    Some(Control::End { code, status }) => {
                        self.end(GRACE);
                        let console = self.process.console(Console::lines);
                        return if code == 0 { Ok(None) } else { Err(GuestError::Work { status, console }) };
                    }
                    Some(_) => {}
                },
                Next::Nothing if since.elapsed() < self.silence_timeout => {}
                Next::Nothing => {
                    self.end(Duration::ZERO);
                    let after = self.silence_timeout;
                    let silence = |console| GuestError::Silence { after, console };
                    return Err(diagnosis(&self.process, self.memory_mib, silence));
                }
                Next::Closed => {
                    let status = self.end(GRACE).to_string();
                    let said = self.process.said();
                    let ended = |console| GuestError::Ended { status, said, console };
                    return Err(diagnosis(&self.process, self.memory_mib, ended));
                }
            }
        }
    }

    /// What is known of the guest by now. The console is complete once the guest has ended.
    pub fn report(&self) -> Facts {
        let (console, modules_asked) = self.process.console(|console| (console.lines(), console.asked()));
        Facts { console, modules_asked, ..self.facts.clone() }
    }

    fn end(&mut self, grace: Duration) -> ExitStatus {
        self.ended = true;
        self.process.end(grace)
    }
}
