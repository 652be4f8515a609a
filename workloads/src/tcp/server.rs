//! The server of `tcp_crr`: one thread, one epoll set, no allocation per request.

use std::io::{ErrorKind, IoSlice, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{MsgFlags, recv, sendmsg};

use super::TcpError;

/// Connections that wait for something, that memory is set aside for; more make it grow.
const CONNECTIONS: usize = 1024;

/// Room for the head of a response and the address behind it.
const HEAD: usize = 128;

/// Events taken from the kernel at once.
const EVENTS: usize = 64;

/// What ends a request: all requests here are GETs, which have no body (RFC 9112, section 2.1).
const END: &[u8; 4] = b"\r\n\r\n";

/// nix has no name for it.
const MSG_MORE: MsgFlags = MsgFlags::from_bits_retain(nix::libc::MSG_MORE);

/// Epoll data of the listener and of the stop signal; connections have their slot's number.
const LISTENER: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;

/// What a server has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// Connections accepted.
    pub accepted: u64,
    /// Requests answered in full.
    pub answered: u64,
    /// Connections that ended without a complete request, or before the answer could be sent.
    pub broken: u64,
}

/// Answers every HTTP/1.1 request with the address and port that accepted its connection, and closes.
///
/// Bound to 0.0.0.0, one server answers for every endpoint address that is routed to its namespace.
#[derive(Debug)]
pub struct Server {
    address: SocketAddrV4,
    content: Content,
    listener: TcpListener,
    epoll: Epoll,
    /// Keeps the stop signal in the epoll set, whatever becomes of the [`Stopper`].
    _stop: Arc<EventFd>,
    /// Those whose request has not come, or whose answer has not gone, in full: rare with small answers, as client
    /// and request mostly come together.
    waiting: Vec<Option<Connection>>,
    free: Vec<usize>,
}

/// Stops its [`Server`] when dropped.
#[derive(Debug)]
pub struct Stopper {
    stop: Arc<EventFd>,
}

impl Drop for Stopper {
    fn drop(&mut self) {
        // It fails only if the counter is full, and then the server has been told already.
        let _ = self.stop.write(1);
    }
}

/// What the answers hold.
#[derive(Debug, Default)]
struct Content {
    /// In place of the address that accepted the connection.
    name: Option<SocketAddrV4>,
    /// Behind it.
    padding: Vec<u8>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// How many bytes of [`END`] the request's last bytes match; all of them once it is complete.
    matched: usize,
    /// How many bytes of the answer have been sent.
    sent: usize,
}

/// Where a connection stands after one look at it.
enum State {
    Answered,
    Broken,
    /// It waits for the rest of the request (`EPOLLIN`), or for room for the rest of the answer (`EPOLLOUT`).
    Waits(EpollFlags),
}

impl Server {
    /// Listens on `address`; port 0 lets the kernel choose one.
    ///
    /// # Errors
    /// [`TcpError::Server`] if the address is taken or is none of this namespace.
    pub fn bind(address: SocketAddrV4) -> Result<(Server, Stopper), TcpError> {
        let failed = |call| move |why| TcpError::Server { address, call, why };
        let listener = TcpListener::bind(address).map_err(failed("listen"))?;
        listener.set_nonblocking(true).map_err(failed("unblock its socket"))?;
        let address = local(listener.local_addr()).unwrap_or(address);
        let set_up = || {
            let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
            let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
            epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
            epoll.add(&stop, EpollEvent::new(EpollFlags::EPOLLIN, STOP))?;
            Ok((epoll, Arc::new(stop)))
        };
        let (epoll, stop) = set_up().map_err(|why: Errno| failed("watch its sockets")(why.into()))?;
        let mut waiting = Vec::new();
        waiting.resize_with(CONNECTIONS, || None);
        let free = (0..CONNECTIONS).rev().collect();
        let stopper = Stopper { stop: Arc::clone(&stop) };
        let content = Content::default();
        Ok((Server { address, content, listener, epoll, _stop: stop, waiting, free }, stopper))
    }

    /// Answers with `name` in place of the address that accepted the connection: where several servers accept
    /// connections to the same address, it tells them apart.
    #[must_use]
    pub fn named(mut self, name: SocketAddrV4) -> Server {
        self.content.name = Some(name);
        self
    }

    /// Puts so many spaces behind the address, so that responses are longer.
    #[must_use]
    pub fn padded(mut self, bytes: usize) -> Server {
        self.content.padding = vec![b' '; bytes];
        self
    }

    /// The length of its answers in bytes, head included, where `address` accepts the connections.
    pub fn response_length(&self, address: SocketAddrV4) -> usize {
        let name = self.content.name.unwrap_or(address);
        let padding = self.content.padding.len();
        head(&mut [0; HEAD], name, padding).map_or(0, |length| length + padding)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Serves on the calling thread until the [`Stopper`] is dropped; open connections are then closed.
    ///
    /// # Errors
    /// [`TcpError::Server`] if the listener fails, as it does when file descriptors run out.
    pub fn run(mut self) -> Result<Served, TcpError> {
        let mut served = Served::default();
        let mut events = [EpollEvent::empty(); EVENTS];
        loop {
            let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                result => result.map_err(|why| self.failed("wait", why))?,
            };
            for event in &events[..count] {
                match event.data() {
                    STOP => return Ok(served),
                    LISTENER => self.accept(&mut served)?,
                    slot => self.resume(slot as usize, &mut served),
                }
            }
        }
    }

    /// Takes one connection. The listener is level-triggered: if there are more, the next wait tells, which
    /// costs what an `accept` in vain would.
    fn accept(&mut self, served: &mut Served) -> Result<(), TcpError> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            // The client may be gone again by now (accept(2)).
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {
                return Ok(());
            }
            Err(why) if why.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(why) => return Err(TcpError::Server { address: self.address, call: "accept", why }),
        };
        served.accepted += 1;
        let mut connection = Connection { stream, matched: 0, sent: 0 };
        match connection.advance(&self.content) {
            State::Answered => served.answered += 1,
            State::Broken => served.broken += 1,
            State::Waits(for_what) => self.park(connection, for_what)?,
        }
        Ok(())
    }

    /// Keeps a connection that waits.
    fn park(&mut self, connection: Connection, for_what: EpollFlags) -> Result<(), TcpError> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.waiting.push(None);
            self.waiting.len() - 1
        });
        let event = EpollEvent::new(for_what, slot as u64);
        self.epoll.add(&connection.stream, event).map_err(|why| self.failed("watch a connection", why))?;
        self.waiting[slot] = Some(connection);
        Ok(())
    }

    fn resume(&mut self, slot: usize, served: &mut Served) {
        let Some(connection) = self.waiting.get_mut(slot).and_then(Option::as_mut) else { return };
        match connection.advance(&self.content) {
            State::Answered => served.answered += 1,
            State::Waits(for_what) => {
                let mut event = EpollEvent::new(for_what, slot as u64);
                if self.epoll.modify(&connection.stream, &mut event).is_ok() {
                    return;
                }
                served.broken += 1;
            }
            State::Broken => served.broken += 1,
        }
        // Closing the socket takes it out of the epoll set.
        self.waiting[slot] = None;
        self.free.push(slot);
    }

    fn failed(&self, call: &'static str, why: Errno) -> TcpError {
        TcpError::Server { address: self.address, call, why: why.into() }
    }
}

impl Connection {
    /// Reads what there is, and answers once the request is complete. Never blocks.
    fn advance(&mut self, content: &Content) -> State {
        let mut buffer = [0; 1024];
        while self.matched < END.len() {
            match recv(self.stream.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return State::Broken,
                Ok(length) => self.read(&buffer[..length]),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return State::Waits(EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP),
                Err(_) => return State::Broken,
            }
        }
        self.answer(content)
    }

    fn read(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.matched = match byte {
                _ if self.matched == END.len() => return,
                byte if byte == END[self.matched] => self.matched + 1,
                b'\r' => 1,
                _ => 0,
            };
        }
    }

    /// Sends as much of the answer as the socket takes; the FIN follows when the stream is dropped. `MSG_MORE` lets
    /// both leave in one segment, as in any server that corks its responses (tcp(7), TCP_CORK), and wakes the client
    /// once.
    fn answer(&mut self, content: &Content) -> State {
        let mut buffer = [0; HEAD];
        let name = content.name.or_else(|| local(self.stream.local_addr()));
        let length = name.and_then(|name| head(&mut buffer, name, content.padding.len()));
        let Some(length) = length else { return State::Broken };
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL | MSG_MORE;
        while self.sent < length + content.padding.len() {
            let head = &buffer[self.sent.min(length)..length];
            let padding = &content.padding[self.sent.saturating_sub(length)..];
            let parts = [IoSlice::new(head), IoSlice::new(padding)];
            match sendmsg::<()>(self.stream.as_raw_fd(), &parts, &[], flags, None) {
                Ok(sent) => self.sent += sent,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return State::Waits(EpollFlags::EPOLLOUT),
                Err(_) => return State::Broken,
            }
        }
        State::Answered
    }
}

fn local(address: std::io::Result<SocketAddr>) -> Option<SocketAddrV4> {
    match address {
        Ok(SocketAddr::V4(address)) => Some(address),
        _ => None,
    }
}

/// Writes the response that names `address`, up to the padding behind it; its length.
fn head(buffer: &mut [u8; HEAD], address: SocketAddrV4, padding: usize) -> Option<usize> {
    // The longest address is 21 bytes long.
    let mut body = [0; 21];
    let mut rest = &mut body[..];
    write!(rest, "{address}").ok()?;
    let length = 21 - rest.len();
    let mut rest = &mut buffer[..];
    let total = length + padding;
    write!(rest, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {total}\r\n\r\n").ok()?;
    rest.write_all(&body[..length]).ok()?;
    Some(HEAD - rest.len())
}
