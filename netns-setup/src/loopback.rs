//! Knowing that the loopback link has nothing left to deliver.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, bind, recv, send, socket,
};

use crate::error::SetupError;

/// An ethertype for local experiments (IEEE 802, clause 9.2.4): no protocol listens to it, no rule sees it.
const EXPERIMENT: u16 = 0x88b5;
/// Milliseconds. The kernel delivers within microseconds; nothing but a broken loopback takes so long.
const TIMEOUT_MS: u16 = 2_000;

/// Sends markers over `lo`.
///
/// What is sent over `lo` waits in a queue of the sending core, and is mostly, but not always, delivered before the
/// sender's system call returns (`loopback_xmit` in drivers/net/loopback.c, `enqueue_to_backlog` and `process_backlog` in
/// net/core/dev.c). The queue is worked off in order. So once a marker has come out, all that the same core sent before has
/// been delivered, and what that caused to be sent is in the queue behind it.
#[derive(Debug)]
pub struct Loopback {
    socket: OwnedFd,
    marker: u64,
}

impl Loopback {
    /// Opens a socket in the *calling thread's* network namespace.
    ///
    /// # Errors
    /// If the kernel has no packet sockets (`CONFIG_PACKET`), or no right to them.
    pub fn open() -> Result<Loopback, SetupError> {
        let failed = |cause: Errno| SetupError::kernel("open a packet socket on lo", cause);
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        // Of no protocol, hence deaf, until it is bound.
        let socket = socket(AddressFamily::Packet, SockType::Datagram, flags, None).map_err(failed)?;
        let address = if_nametoindex("lo").and_then(link_address).map_err(failed)?;
        bind(socket.as_raw_fd(), &address).map_err(failed)?;
        Ok(Loopback { socket, marker: 0 })
    }

    /// Returns when the loopback has delivered what the calling thread's core sent before, and what came of it, and what
    /// came of that.
    ///
    /// The thread must be pinned to the core, from before the first of what is waited for was sent.
    ///
    /// # Errors
    /// If a marker does not come out: `lo` is down, or the thread is not pinned and the other core is stuck.
    pub fn settle(&mut self) -> Result<(), SetupError> {
        const GENERATIONS: usize = 3;
        (0..GENERATIONS)
            .try_for_each(|_| self.mark())
            .map_err(|cause| SetupError::kernel("wait for a marker on lo", cause))
    }

    fn mark(&mut self) -> io::Result<()> {
        self.marker += 1;
        let marker = self.marker.to_ne_bytes();
        send(self.socket.as_raw_fd(), &marker, MsgFlags::empty())?;
        let mut received = [0; 8];
        loop {
            match recv(self.socket.as_raw_fd(), &mut received, MsgFlags::empty()) {
                Ok(8) if received == marker => return Ok(()),
                // Of an earlier wait that was given up.
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => self.wait()?,
                Err(why) => return Err(why.into()),
            }
        }
    }

    fn wait(&self) -> io::Result<()> {
        let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, PollTimeout::from(TIMEOUT_MS)) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(why) => Err(why.into()),
        }
    }
}

/// For binding: packets of [`EXPERIMENT`] on one link (packet(7)).
fn link_address(index: libc::c_uint) -> nix::Result<LinkAddr> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: EXPERIMENT.to_be(),
        sll_ifindex: index as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the pointer is to a whole `sockaddr_ll` of that length, which is copied.
    #[expect(unsafe_code, reason = "nix has no other way to a link address of a protocol's")]
    let address = unsafe { LinkAddr::from_raw((&raw const address).cast(), Some(length)) };
    address.ok_or(Errno::EINVAL)
}
