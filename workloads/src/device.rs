//! A TUN device, or a socket in its place.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// What an end of file is reported as. A TUN has none; a socket in its place has, when its peer has closed.
pub(crate) const GONE: Errno = Errno::EPIPE;

/// A device refused a system call.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("cannot {call} the {device} device: {why}; is it up, and is its TUN still there?")]
pub struct DeviceError {
    /// "ingress" or "egress".
    pub device: &'static str,
    /// What was tried.
    pub call: &'static str,
    /// What the kernel said; EIO from a TUN means that the device is down.
    pub why: Errno,
}

/// One end of the machine under test.
#[derive(Debug)]
pub(crate) struct Device {
    /// "ingress" or "egress".
    pub(crate) name: &'static str,
    pub(crate) fd: OwnedFd,
}

impl Device {
    pub(crate) fn unblock(&self) -> Result<(), DeviceError> {
        let flags = fcntl(&self.fd, FcntlArg::F_GETFL).map_err(|why| self.error("read the flags of", why))?;
        let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
        fcntl(&self.fd, FcntlArg::F_SETFL(flags)).map_err(|why| self.error("unblock", why))?;
        Ok(())
    }

    /// Sleeps until there is something to read, for at most this long, rounded up to milliseconds.
    pub(crate) fn wait(&self, at_most: Duration) -> Result<(), DeviceError> {
        let milliseconds = at_most.as_nanos().div_ceil(1_000_000);
        let timeout = PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX);
        let fd: BorrowedFd = self.fd.as_fd();
        match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(why) => Err(self.error("poll", why)),
        }
    }

    pub(crate) fn error(&self, call: &'static str, why: Errno) -> DeviceError {
        DeviceError { device: self.name, call, why }
    }
}
