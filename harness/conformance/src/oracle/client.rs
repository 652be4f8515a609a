//! Sockets of the node: what it sends itself.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, connect, getpeername,
    getsockname, getsockopt, recv, send, setsockopt, socket, sockopt,
};
use services::service::Protocol;
use workloads::wire;

use super::judge::{Number, transport};
use super::{OracleError, SentPacket};

/// How long a socket before may take to be gone: the kernel may not have done with its connection, and a program that is
/// being started elsewhere in this process holds a copy of it until its `execve`.
const TIMEOUT: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// A socket, connected: it takes answers from where it sent to, and from nowhere else.
pub(super) struct Client {
    /// What it sends, with the source that it has.
    pub packet: SentPacket,
    /// How that is known.
    pub number: Number,
    socket: OwnedFd,
}

impl Client {
    /// Opens a socket in the network namespace of the calling thread and sends the first packet. UDP and TCP are sent by the
    /// kernel's own sockets; SCTP, which many kernels lack, by a raw one.
    ///
    /// That rules have dropped the packet, which the kernel tells some senders, is no error.
    pub(super) fn send(packet: SentPacket, number: u32) -> Result<Client, OracleError> {
        let failed = |call| move |why| OracleError::Socket { packet, call, why };
        let family = if packet.to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let (kind, protocol) = match packet.protocol {
            Protocol::Tcp => (SockType::Stream, SockProtocol::Tcp),
            Protocol::Udp => (SockType::Datagram, SockProtocol::Udp),
            Protocol::Sctp => (SockType::Raw, SockProtocol::Sctp),
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(family, kind, flags, protocol).map_err(failed("open"))?;
        // Else sockets pass over some errors (ip(7)).
        match packet.to {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4RecvErr, &true),
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvErr, &true),
        }
        .map_err(failed("set up"))?;
        // Closing sends no FIN, which would be repeated, and leaves no TIME_WAIT.
        let abort = libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&socket, sockopt::Linger, &abort).map_err(failed("set up"))?;
        if packet.protocol == Protocol::Tcp {
            // One before with the same source may still be on its way out.
            setsockopt(&socket, sockopt::ReuseAddr, &true).map_err(failed("set up"))?;
        }
        let (from, to) = (SockaddrStorage::from(packet.from), SockaddrStorage::from(packet.to));
        patiently(Errno::EADDRINUSE, || bind(socket.as_raw_fd(), &from)).map_err(failed("bind"))?;
        match patiently(Errno::EADDRNOTAVAIL, || connect(socket.as_raw_fd(), &to)) {
            // Refused: the answer was there before the call could return.
            Ok(()) | Err(Errno::EINPROGRESS | Errno::ECONNREFUSED) => {}
            Err(why) => return Err(failed("connect")(why)),
        }
        let local = getsockname(socket.as_raw_fd()).ok().as_ref().and_then(address);
        let mut from = local.ok_or(Errno::EAFNOSUPPORT).map_err(failed("look at"))?;
        // Raw sockets have a protocol in place of a port.
        from.set_port(packet.from.port());
        let packet = SentPacket { from, ..packet };
        let first = wire::Packet::first(transport(packet.protocol), from, packet.to, number);
        let payload = first.build_payload();
        let payload: &[u8] = match packet.protocol {
            Protocol::Tcp => return Ok(Client { packet, number: Number::Any, socket }),
            Protocol::Udp => &payload[8..],
            Protocol::Sctp => &payload,
        };
        // What becomes of it is heard elsewhere.
        let _ = send(socket.as_raw_fd(), payload, MsgFlags::empty());
        Ok(Client { packet, number: Number::Given(number), socket })
    }

    /// Whether it has the protocol and port of another packet, so that both cannot be.
    pub(super) fn is_in_the_way_of(&self, packet: &SentPacket) -> bool {
        (self.packet.protocol, self.packet.from.port()) == (packet.protocol, packet.from.port())
    }

    /// Whether the socket got an error.
    pub(super) fn is_refused(&self) -> bool {
        getsockopt(&self.socket, sockopt::SocketError).is_ok_and(|error| error != 0)
    }

    /// Whether the socket has taken an answer.
    pub(super) fn is_answered(&self) -> bool {
        match self.packet.protocol {
            Protocol::Tcp => getpeername::<SockaddrStorage>(self.socket.as_raw_fd()).is_ok(),
            Protocol::Udp | Protocol::Sctp => {
                recv(self.socket.as_raw_fd(), &mut [0; 128], MsgFlags::MSG_DONTWAIT).is_ok()
            }
        }
    }
}

/// Tries again while a socket before is in the way.
fn patiently(in_the_way: Errno, attempt: impl Fn() -> nix::Result<()>) -> nix::Result<()> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(why) if why == in_the_way && begun.elapsed() < TIMEOUT => thread::sleep(POLL_INTERVAL),
            done => return done,
        }
    }
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let ipv4 = storage.as_sockaddr_in().map(|&address| SocketAddrV4::from(address).into());
    ipv4.or_else(|| storage.as_sockaddr_in6().map(|&address| SocketAddrV6::from(address).into()))
}
