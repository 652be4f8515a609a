//! What the test programs of this crate share: waits, and this program started again in another role.

use std::env;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Far longer than anything waited for should take, on a busy machine too.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

const ROLE: &str = "SVCBENCH_TEST_ROLE";

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {TIMEOUT:?} in vain until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The command that starts this program again in a role, with its output piped.
pub(crate) fn in_role(role: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.env(ROLE, role).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// The role that this program was started in by [`in_role`], if it was.
pub(crate) fn role() -> Option<String> {
    env::var(ROLE).ok()
}
