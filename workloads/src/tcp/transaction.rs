//! The system calls of one transaction, in their order.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrIn, bind, connect, send, setsockopt, socket, sockopt,
};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::{TcpError, TcpFault};

pub(super) const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: svcbench\r\nConnection: close\r\n\r\n";

/// What of a response is kept: its head and the address behind it are some 80 bytes long.
const KEPT: usize = 256;
/// Room for what is read at once, beyond what is kept.
const SCRATCH: usize = 16 * 1024;

/// A response: its beginning, and how long it is in all.
pub(super) struct Response {
    buffer: Box<[u8; KEPT + SCRATCH]>,
    length: usize,
}

impl Response {
    pub(super) fn new() -> Response {
        Response { buffer: Box::new([0; KEPT + SCRATCH]), length: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.length = 0;
    }

    /// Where to read to: what is beyond [`KEPT`] is overwritten again and again.
    fn room(&mut self) -> &mut [u8] {
        &mut self.buffer[self.length.min(KEPT)..]
    }

    /// Who gave it, if it is a complete one of [`super::Server`].
    pub(super) fn endpoint(&self) -> Option<SocketAddrV4> {
        let kept = std::str::from_utf8(&self.buffer[..self.length.min(KEPT)]).ok()?;
        let (head, body) = kept.strip_prefix("HTTP/1.1 200 ")?.split_once("\r\n\r\n")?;
        let (_, length) = head.rsplit_once("Content-Length: ")?;
        let beyond = self.length - kept.len();
        (length.parse() == Ok(body.len() + beyond)).then_some(body.trim_end_matches(' ').parse().ok()?)
    }
}

/// Why a transaction ended early.
pub(super) enum Failure {
    /// An outcome to be counted.
    Fault(TcpFault),
    /// A failure on this side, which ends the run.
    Fatal(TcpError),
}

impl Failure {
    pub(super) fn of(call: &'static str, to: SocketAddrV4, why: Errno) -> Failure {
        Failure::Fault(match why {
            Errno::ECONNREFUSED => TcpFault::Refused { to },
            Errno::ECONNRESET | Errno::EPIPE => TcpFault::Reset { to },
            Errno::ETIMEDOUT => TcpFault::TimedOut { to },
            Errno::EHOSTUNREACH | Errno::ENETUNREACH => TcpFault::Unreachable { to },
            _ => return Failure::Fatal(TcpError::Client { call, to, why }),
        })
    }
}

/// A socket that is connecting, or connected.
pub(super) fn open(to: SocketAddrV4, source: Option<Ipv4Addr>) -> Result<OwnedFd, Failure> {
    let client = |call| move |why| Failure::Fatal(TcpError::Client { call, to, why });
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket =
        socket(AddressFamily::Inet, SockType::Stream, flags, None).map_err(client("create a socket"))?;
    if let Some(address) = source {
        // The port is then chosen by connect(2), when the destination is known: it need only be unique per
        // pair of addresses, not per source address (ip(7)).
        setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)
            .map_err(client("set IP_BIND_ADDRESS_NO_PORT"))?;
        bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(address, 0)))
            .map_err(|why| Failure::Fatal(TcpError::Source { address, why }))?;
    }
    match connect(socket.as_raw_fd(), &SockaddrIn::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
        Err(why) => Err(Failure::of("connect", to, why)),
    }
}

/// Sends the request whole: it is far smaller than any socket buffer. Nagle's algorithm does not delay it, as
/// nothing is in flight before it (RFC 9293, section 3.7.4); so TCP_NODELAY would be one more call for nothing.
pub(super) fn request(socket: &OwnedFd) -> Result<(), Errno> {
    match send(socket.as_raw_fd(), REQUEST, MsgFlags::MSG_NOSIGNAL) {
        Ok(length) if length == REQUEST.len() => Ok(()),
        Ok(_) => Err(Errno::EMSGSIZE),
        Err(why) => Err(why),
    }
}

/// Sends the request as soon as the connection stands.
pub(super) async fn finish_sending(stream: &TcpStream) -> Result<(), Errno> {
    loop {
        stream.writable().await.map_err(|why| errno(&why))?;
        match stream.try_write(REQUEST) {
            Ok(length) if length == REQUEST.len() => return Ok(()),
            Ok(_) => return Err(Errno::EMSGSIZE),
            Err(why) if why.kind() == ErrorKind::WouldBlock => {}
            Err(why) => return Err(errno(&why)),
        }
    }
}

/// Reads up to the end of file.
pub(super) async fn read_to_end(stream: &TcpStream, response: &mut Response) -> Result<(), Errno> {
    loop {
        // Taken before the read: if the end of file was there by then, and the read did not fill its buffer, it has
        // seen everything, and need not be repeated to see nothing.
        let ended = stream.ready(Interest::READABLE).await.map_err(|why| errno(&why))?.is_read_closed();
        let room = response.room();
        let space = room.len();
        match stream.try_read(room) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                response.length += read;
                if ended && read < space {
                    return Ok(());
                }
            }
            Err(why) if why.kind() == ErrorKind::WouldBlock => {}
            Err(why) => return Err(errno(&why)),
        }
    }
}

pub(super) fn errno(why: &std::io::Error) -> Errno {
    Errno::from_raw(why.raw_os_error().unwrap_or(0))
}
