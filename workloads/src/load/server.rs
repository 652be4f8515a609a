//! The server that answers every workload, and names the endpoint that it answered as.
//!
//! Bound to 0.0.0.0, one server answers for every endpoint address that is routed to its namespace: TCP connections with
//! frames or HTTP, whichever they begin with, and DNS questions over UDP, all on one port. One thread, one epoll set, and
//! in the steady state no allocation per request.

mod content;
mod stream;
mod udp;

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket, sockopt,
};

use self::content::Content;
use self::stream::{Connection, State};
use self::udp::{Datagrams, Room};
use super::error::LoadError;

/// Connections that memory is set aside for; more make it grow.
const CONNECTIONS: usize = 1024;
/// Events taken from the kernel at once.
const EVENTS: usize = 64;
/// What is read at once, bytes.
const SCRATCH: usize = 256 * 1024;
/// Connections that may wait to be accepted; the kernel allows no more than `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Epoll data of what is no connection; connections have their slot's number.
const LISTENER: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;
const UDP: u64 = u64::MAX - 2;

/// What a server has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// Connections accepted.
    pub accepted: u64,
    /// Requests answered in full.
    pub answered: u64,
    /// Connections that ended within a request, or before an answer could be sent.
    pub broken: u64,
}

impl Served {
    /// Adds what another thread has done.
    pub fn add(&mut self, other: Served) {
        self.accepted += other.accepted;
        self.answered += other.answered;
        self.broken += other.broken;
    }
}

/// Pauses of a server, as of a process that collects garbage: all its requests wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// From the beginning of one to the beginning of the next.
    pub every: Duration,
    /// How long each is.
    pub length: Duration,
}

/// One thread's server; see the module.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    content: Content,
    stall: Option<Stall>,
    listener: TcpListener,
    datagrams: Datagrams,
    epoll: Epoll,
    /// Keeps the stop signal in the epoll set, whatever becomes of the [`Stopper`].
    _stop: Arc<EventFd>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    scratch: Box<[u8]>,
}

/// Stops its servers when dropped.
#[derive(Debug)]
pub struct Stopper {
    stop: Arc<EventFd>,
}

impl Drop for Stopper {
    fn drop(&mut self) {
        // It fails only if the counter is full, and then the servers have been woken already.
        let _ = self.stop.write(1);
    }
}

impl Server {
    /// Listens on `address`; port 0 lets the kernel choose one.
    ///
    /// # Errors
    /// [`LoadError::Server`] if the address is taken or is none of this namespace.
    pub fn bind(address: SocketAddr) -> Result<(Server, Stopper), LoadError> {
        let stop = stop_signal(address)?;
        Ok((Server::listen(address, false, &stop)?, Stopper { stop }))
    }

    /// Several servers on the same address, one for each thread; the kernel spreads flows over them.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub fn bind_many(address: SocketAddr, threads: usize) -> Result<(Vec<Server>, Stopper), LoadError> {
        let stop = stop_signal(address)?;
        let first = Server::listen(address, true, &stop)?;
        let address = first.address;
        let rest = (1..threads).map(|_| Server::listen(address, true, &stop));
        let servers = std::iter::once(Ok(first)).chain(rest).collect::<Result<_, _>>()?;
        Ok((servers, Stopper { stop }))
    }

    fn listen(address: SocketAddr, shared: bool, stop: &Arc<EventFd>) -> Result<Server, LoadError> {
        let failed = |call| move |why: Errno| LoadError::Server { address, call, why: why.into() };
        let listener = open(address, SockType::Stream, shared).map_err(failed("bind"))?;
        let backlog = Backlog::new(BACKLOG).map_err(failed("listen"))?;
        listen(&listener, backlog).map_err(failed("listen"))?;
        let listener = TcpListener::from(listener);
        let address = listener.local_addr().unwrap_or(address);
        let socket = UdpSocket::from(open(address, SockType::Datagram, shared).map_err(failed("bind"))?);
        let datagrams = Datagrams::new(socket, address).map_err(failed("set up its UDP socket"))?;
        let set_up = || {
            let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
            epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
            epoll.add(datagrams.socket(), EpollEvent::new(EpollFlags::EPOLLIN, UDP))?;
            epoll.add(stop, EpollEvent::new(EpollFlags::EPOLLIN, STOP))?;
            Ok(epoll)
        };
        let epoll = set_up().map_err(failed("watch its sockets"))?;
        Ok(Server {
            address,
            content: Content::default(),
            stall: None,
            listener,
            datagrams,
            epoll,
            _stop: Arc::clone(stop),
            connections: (0..CONNECTIONS).map(|_| None).collect(),
            free: (0..CONNECTIONS).rev().collect(),
            scratch: vec![0; SCRATCH].into(),
        })
    }

    /// Answers with `name` in place of the address that accepted the connection: where several servers accept connections
    /// to the same address, it tells them apart.
    #[must_use]
    pub fn named(mut self, name: SocketAddr) -> Server {
        self.content.name = Some(name);
        self
    }

    /// Puts so many spaces behind the address in answers of HTTP, so that they are longer.
    #[must_use]
    pub fn padded(mut self, bytes: usize) -> Server {
        self.content.padding = bytes;
        self
    }

    /// Stops now and then.
    #[must_use]
    pub fn stalling(mut self, stall: Stall) -> Server {
        self.stall = Some(stall);
        self
    }

    /// The length of its HTTP answers in bytes, head included, where `address` accepts the connections.
    pub fn response_length(&self, address: SocketAddr) -> usize {
        stream::http_length(self.content.name.unwrap_or(address), self.content.padding)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves on the calling thread until the [`Stopper`] is dropped; open connections are then closed.
    ///
    /// # Errors
    /// [`LoadError::Server`] if the listener fails, as it does when file descriptors run out.
    pub fn run(mut self) -> Result<Served, LoadError> {
        let mut served = Served::default();
        let mut events = [EpollEvent::empty(); EVENTS];
        let (mut stalled, mut room) = (Instant::now(), Room::new());
        loop {
            let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                result => result.map_err(|why| self.failed("wait", why))?,
            };
            if let Some(stall) = self.stall
                && stalled.elapsed() >= stall.every
            {
                stalled = Instant::now();
                std::thread::sleep(stall.length);
            }
            for event in &events[..count] {
                match event.data() {
                    STOP => return Ok(served),
                    LISTENER => self.accept(&mut served)?,
                    UDP => served.answered += self.datagrams.answer(self.content.name, &mut room),
                    slot => self.resume(slot as usize, &mut served),
                }
            }
        }
    }

    /// Takes one connection. The listener is level-triggered: if there are more, the next wait tells, which costs what an
    /// `accept` in vain would.
    fn accept(&mut self, served: &mut Served) -> Result<(), LoadError> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            // The client may be gone again by now (accept(2)).
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {
                return Ok(());
            }
            Err(why) if why.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(why) => return Err(LoadError::Server { address: self.address, call: "accept", why }),
        };
        served.accepted += 1;
        let mut connection = Connection::new(stream);
        // Mostly, the request is there already.
        if let Some(for_what) = advance(&mut connection, &self.content, &mut self.scratch, served) {
            let slot = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let event = EpollEvent::new(for_what, slot as u64);
            self.epoll
                .add(connection.stream(), event)
                .map_err(|why| self.failed("watch a connection", why))?;
            connection.watched_for(for_what);
            self.connections[slot] = Some(connection);
        }
        Ok(())
    }

    fn resume(&mut self, slot: usize, served: &mut Served) {
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else { return };
        if let Some(for_what) = advance(connection, &self.content, &mut self.scratch, served) {
            if connection.is_watched_for(for_what) {
                return;
            }
            let mut event = EpollEvent::new(for_what, slot as u64);
            if self.epoll.modify(connection.stream(), &mut event).is_ok() {
                connection.watched_for(for_what);
                return;
            }
            served.broken += 1;
        }
        // Closing the socket takes it out of the epoll set.
        self.connections[slot] = None;
        self.free.push(slot);
    }

    fn failed(&self, call: &'static str, why: Errno) -> LoadError {
        LoadError::Server { address: self.address, call, why: why.into() }
    }
}

/// Moves a connection on, and counts what it has done; what it waits for then. `None`: it has ended.
fn advance(
    connection: &mut Connection,
    content: &Content,
    scratch: &mut [u8],
    served: &mut Served,
) -> Option<EpollFlags> {
    let (state, answered) = connection.advance(content, scratch);
    served.answered += answered;
    match state {
        State::Waits(for_what) => return Some(for_what),
        State::Broken => served.broken += 1,
        State::Closed => {}
    }
    None
}

fn stop_signal(address: SocketAddr) -> Result<Arc<EventFd>, LoadError> {
    let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
    let failed = |why: Errno| LoadError::Server { address, call: "make a stop signal", why: why.into() };
    stop.map(Arc::new).map_err(failed)
}

/// A bound socket that never blocks.
fn open(address: SocketAddr, kind: SockType, shared: bool) -> Result<OwnedFd, Errno> {
    use std::os::fd::AsRawFd;
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, kind, flags, None)?;
    if kind == SockType::Stream {
        // Connections of a server before this one may still be in TIME_WAIT.
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    }
    if shared {
        setsockopt(&socket, sockopt::ReusePort, &true)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(socket)
}
