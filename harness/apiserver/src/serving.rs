//! The loop of the server's thread: accepts connections, goes away and comes back.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use futures_util::future::{Either, select};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nix::sys::socket::{Backlog, Shutdown, listen, shutdown};
use std::os::fd::AsRawFd;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::connection::{Connection, Counted};
use crate::counters::Counters;
use crate::handler::handle;
use crate::server_error::ServerError;
use crate::shared::Shared;

/// Connections that wait to be accepted, as std has it.
const BACKLOG: i32 = 128;

type Done = SyncSender<Result<(), ServerError>>;

/// What the embedding program wants.
pub(crate) enum Command {
    Away(Done),
    Back(Done),
    Stop,
}

/// The state of the loop.
pub(crate) struct Serving {
    shared: Arc<Shared>,
    socket: StdListener,
    address: SocketAddr,
    /// The same socket, known to the runtime; not while it is away.
    listener: Option<TcpListener>,
    connections: JoinSet<()>,
}

enum Next {
    Command(Option<Command>),
    Accepted(io::Result<(TcpStream, SocketAddr)>),
}

impl Serving {
    pub(crate) fn new(shared: Arc<Shared>, socket: StdListener, address: SocketAddr) -> Self {
        Self { shared, socket, address, listener: None, connections: JoinSet::new() }
    }

    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.shared.counters
    }

    /// Until it is told to stop.
    pub(crate) async fn run(mut self, mut commands: UnboundedReceiver<Command>, ready: Done) {
        let registered = self.register();
        let failed = registered.is_err();
        // Who waits for it goes on; or is gone, and has sent a command to stop.
        let _ = ready.send(registered);
        if failed {
            return;
        }
        loop {
            while self.connections.try_join_next().is_some() {}
            match self.next(&mut commands).await {
                Next::Accepted(Ok((stream, peer))) => self.serve(stream, peer),
                Next::Accepted(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                // Descriptors or memory have run out: clients wait in the backlog until some are free.
                Next::Accepted(Err(_)) => sleep(Duration::from_millis(50)).await,
                Next::Command(Some(Command::Away(done))) => {
                    let outcome = self.away().await;
                    let _ = done.send(outcome);
                }
                Next::Command(Some(Command::Back(done))) => {
                    let _ = done.send(self.back());
                }
                Next::Command(Some(Command::Stop) | None) => break,
            }
        }
        self.close().await;
    }

    async fn next(&self, commands: &mut UnboundedReceiver<Command>) -> Next {
        let command = pin!(commands.recv());
        let Some(listener) = &self.listener else { return Next::Command(command.await) };
        match select(command, pin!(listener.accept())).await {
            Either::Left((command, _)) => Next::Command(command),
            Either::Right((accepted, _)) => Next::Accepted(accepted),
        }
    }

    fn serve(&mut self, stream: TcpStream, peer: SocketAddr) {
        // Events are small and must not wait for each other. Only a connection that is gone already refuses it.
        let _ = stream.set_nodelay(true);
        let connection = Arc::new(Connection::new(peer));
        let counters = Arc::clone(&self.shared.counters);
        let io = TokioIo::new(Counted::new(stream, Arc::clone(&connection), Arc::clone(&counters)));
        let shared = Arc::clone(&self.shared);
        let service = service_fn(move |request| {
            let (shared, connection) = (Arc::clone(&shared), Arc::clone(&connection));
            async move { Ok::<_, Infallible>(handle(&shared, &connection, request).await) }
        });
        let open = Open::new(counters);
        self.connections.spawn(async move {
            // A client that breaks off, or sends what is no HTTP, concerns nobody else.
            let _ = http1::Builder::new().serve_connection(io, service).await;
            drop(open);
        });
    }

    /// Closes every connection.
    async fn close(&mut self) {
        self.connections.shutdown().await;
    }

    fn register(&mut self) -> Result<(), ServerError> {
        let listener = self.socket.try_clone().and_then(TcpListener::from_std);
        self.listener = Some(listener.map_err(ServerError::of("register its listener"))?);
        Ok(())
    }

    async fn away(&mut self) -> Result<(), ServerError> {
        if self.listener.take().is_some() {
            // A listening socket that is shut down keeps its address and refuses connections (inet_shutdown in
            // net/ipv4/af_inet.c), so that no other is needed later.
            shutdown(self.socket.as_raw_fd(), Shutdown::Read)
                .map_err(|errno| ServerError::of("stop listening")(errno.into()))?;
        }
        self.close().await;
        Ok(())
    }

    fn back(&mut self) -> Result<(), ServerError> {
        if self.listener.is_some() {
            return Ok(());
        }
        let refused = |errno: nix::Error| ServerError::of("listen again")(errno.into());
        listen(&self.socket, Backlog::new(BACKLOG).map_err(refused)?).map_err(refused)?;
        let after = self.socket.local_addr().map_err(ServerError::of("ask for the listener's address"))?;
        if after != self.address {
            return Err(ServerError::Moved { before: self.address, after });
        }
        self.register()
    }
}

/// A connection that is counted while this is there.
struct Open(Arc<Counters>);

impl Open {
    fn new(counters: Arc<Counters>) -> Self {
        counters.connected();
        Self(counters)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.disconnected();
    }
}
