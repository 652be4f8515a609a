//! The system calls of a flow's socket.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};

use super::counts::RequestFault;
use super::error::LoadError;

/// Why a request ended early.
pub(super) enum Failure {
    /// An outcome to be counted.
    Fault(RequestFault),
    /// A failure on this side, which ends the load.
    Fatal(LoadError),
}

impl Failure {
    pub(super) fn of(call: &'static str, to: SocketAddr, why: Errno) -> Failure {
        Failure::Fault(match why {
            Errno::ECONNREFUSED => RequestFault::Refused { to },
            Errno::ECONNRESET | Errno::EPIPE | Errno::ECONNABORTED => RequestFault::Reset { to },
            Errno::ETIMEDOUT => RequestFault::TimedOut { to },
            Errno::EHOSTUNREACH | Errno::ENETUNREACH => RequestFault::Unreachable { to },
            _ => return Failure::Fatal(LoadError::Client { call, to, why }),
        })
    }
}

/// A socket that is connecting, or connected. It stays in `keep` even if the kernel has refused the connection at once, so
/// that closing it can wait until the time has been taken.
pub(super) fn open(
    to: SocketAddr,
    source: Option<IpAddr>,
    udp: bool,
    keep: &mut Option<OwnedFd>,
) -> Result<(), Failure> {
    let fatal = |call| move |why| Failure::Fatal(LoadError::Client { call, to, why });
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let kind = if udp { SockType::Datagram } else { SockType::Stream };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = keep.insert(socket(family, kind, flags, None).map_err(fatal("create a socket"))?);
    if let Some(address) = source {
        // The port is then chosen by connect(2), when the destination is known: it need only be unique per pair of
        // addresses, not per source address (ip(7)).
        if !udp {
            setsockopt(socket, sockopt::IpBindAddressNoPort, &true)
                .map_err(fatal("set IP_BIND_ADDRESS_NO_PORT"))?;
        }
        bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(address, 0)))
            .map_err(|why| Failure::Fatal(LoadError::Source { address, why }))?;
    }
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(()),
        Err(why) => Err(Failure::of("connect", to, why)),
    }
}

/// Sends as much as the socket takes; 0: nothing, for now.
pub(super) fn send(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    loop {
        // Nagle's algorithm does not delay what is sent with nothing in flight before it (RFC 9293, section 3.7.4), so that
        // TCP_NODELAY would be one more call for nothing.
        match nix::sys::socket::send(socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
            Err(Errno::EINTR) => {}
            // Also while the connection is not there yet.
            Err(Errno::EAGAIN) => return Ok(0),
            sent => return sent,
        }
    }
}

/// What there is to read; `None`: nothing, for now.
pub(super) fn receive(socket: &OwnedFd, into: &mut [u8]) -> Result<Option<usize>, Errno> {
    loop {
        match nix::sys::socket::recv(socket.as_raw_fd(), into, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(None),
            received => return received.map(Some),
        }
    }
}
