//! A netlink socket that the kernel fills on its own account.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::Socket;
use nix::errno::Errno;
use nix::libc::MSG_DONTWAIT;
use nix::sys::socket::{setsockopt, sockopt};

/// Bytes that the kernel may keep until they are read: some 20,000 messages, with what the kernel counts for each.
const RECEIVE_BUFFER: usize = 16 << 20;
/// Longest datagram of either: a message is a few hundred bytes.
const LARGEST: usize = 16 << 10;

/// A socket that the kernel fills.
pub(super) struct Inbox {
    socket: Socket,
    datagram: Vec<u8>,
}

impl Inbox {
    pub(super) fn new(socket: Socket) -> Self {
        // Without the right to it the usual size has to do: what is lost is reported.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &(RECEIVE_BUFFER / 2));
        Self { socket, datagram: Vec::with_capacity(LARGEST) }
    }

    /// The next datagram, or `None` if there is none yet.
    ///
    /// # Errors
    /// `ENOBUFS` if some were lost.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.datagram.clear();
        match self.socket.recv(&mut self.datagram, MSG_DONTWAIT) {
            Ok(_) => Ok(Some(&self.datagram)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.socket.send(bytes, 0).map(drop)
    }

    /// For poll(2).
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether an error says that messages were lost and nothing worse.
pub(super) fn is_loss(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ENOBUFS as i32)
}
