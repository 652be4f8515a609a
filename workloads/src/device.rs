//! A TUN device, or a socket in its place.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::probe::ProbeError;

/// One end of the machine under test.
#[derive(Debug)]
pub struct Device {
    /// "ingress" or "egress".
    pub name: &'static str,
    pub fd: OwnedFd,
}

impl Device {
    pub fn unblock(&self) -> Result<(), ProbeError> {
        let flags = fcntl(&self.fd, FcntlArg::F_GETFL).map_err(|why| self.error("read the flags of", why))?;
        let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
        fcntl(&self.fd, FcntlArg::F_SETFL(flags)).map_err(|why| self.error("unblock", why))?;
        Ok(())
    }

    /// Sleeps until there is something to read, for at most this long, rounded up to milliseconds.
    pub fn wait(&self, at_most: Duration) -> Result<(), ProbeError> {
        let milliseconds = at_most.as_nanos().div_ceil(1_000_000);
        let timeout = PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX);
        let fd: BorrowedFd = self.fd.as_fd();
        match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(why) => Err(self.error("poll", why)),
        }
    }

    pub fn error(&self, call: &'static str, why: Errno) -> ProbeError {
        ProbeError::Device { device: self.name, call, why }
    }
}
