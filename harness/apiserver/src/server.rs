//! The server: a thread with a runtime of its own, and the handle that the embedding program holds.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::client_events::ClientEvents;
use crate::counters::Stats;
use crate::delivery::{Delivered, Listed, Watcher};
use crate::lock::lock;
use crate::object::Change;
use crate::resource::Resource;
use crate::server_error::ServerError;
use crate::serving::{Command, Serving};
use crate::shared::{Applied, Options, Shared};
use crate::store::ApplyError;

/// An API server that listens until it is stopped or dropped.
pub struct Server {
    shared: Arc<Shared>,
    commands: UnboundedSender<Command>,
    thread: Option<JoinHandle<()>>,
    address: SocketAddr,
}

impl Server {
    /// Serves on a listener that the caller has bound, in whatever network namespace: the server opens none itself.
    /// The thread runs at the priority of the caller's.
    ///
    /// # Errors
    /// If the listener cannot be used, or the system gives no thread or descriptor.
    pub fn start(listener: TcpListener, options: Options) -> Result<Self, ServerError> {
        let address = listener.local_addr().map_err(ServerError::of("ask for the listener's address"))?;
        listener.set_nonblocking(true).map_err(ServerError::of("prepare its listener"))?;
        let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime.map_err(ServerError::of("make its runtime"))?;
        let shared = Arc::new(Shared::new(options));
        let (commands, received) = unbounded_channel();
        let (ready, started) = mpsc::sync_channel(1);
        let serving = Serving::new(Arc::clone(&shared), listener, address);
        let thread = thread::Builder::new().name("apiserver".into()).spawn(move || {
            let counters = Arc::clone(serving.counters());
            counters.thread_begins();
            runtime.block_on(serving.run(received, ready));
            drop(runtime);
            counters.thread_ends();
        });
        let thread = thread.map_err(ServerError::of("start its thread"))?;
        let server = Self { shared, commands, thread: Some(thread), address };
        started.recv().map_err(|_| ServerError::Ended)??;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Applies changes in their order: all of them, or none if one is refused. Each gets the next resource version.
    /// Objects are encoded on the caller's thread, one after another, so that an iterator that makes them needs little memory.
    ///
    /// # Errors
    /// [`ApplyError`] names the object that is refused.
    pub fn apply(&self, changes: impl IntoIterator<Item = Change>) -> Result<Applied, ApplyError> {
        self.shared.apply(changes)
    }

    /// Resource version of the newest change.
    pub fn resource_version(&self) -> u64 {
        lock(&self.shared.store).rv()
    }

    /// How many objects of a resource there are.
    pub fn count(&self, resource: Resource) -> usize {
        lock(&self.shared.store).count(resource)
    }

    /// Forgets what was before now: watches and lists that ask for it hear 410, and so do open watches that have not yet
    /// sent everything.
    pub fn compact(&self) {
        lock(&self.shared.store).compact();
    }

    /// Compacts, and ends every open watch with 410, so that clients list anew.
    pub fn expire_watches(&self) {
        lock(&self.shared.store).expire();
        self.shared.wake_all();
    }

    /// Closes all connections and refuses new ones, as if the program had ended: until [`Server::back`]. What is there
    /// stays, and can be changed. It returns when the kernel refuses connections.
    ///
    /// # Errors
    /// What the system says; then connections may be open or not.
    pub fn away(&self) -> Result<(), ServerError> {
        self.command(Command::Away)
    }

    /// Listens again, on the same socket.
    ///
    /// # Errors
    /// [`ServerError::Moved`] if the listener had been bound to port 0, for the system keeps no such port.
    pub fn back(&self) -> Result<(), ServerError> {
        self.command(Command::Back)
    }

    fn command(
        &self,
        command: fn(mpsc::SyncSender<Result<(), ServerError>>) -> Command,
    ) -> Result<(), ServerError> {
        let (done, answer) = mpsc::sync_channel(1);
        self.commands.send(command(done)).map_err(|_| ServerError::Ended)?;
        answer.recv().map_err(|_| ServerError::Ended)?
    }

    /// What it has done so far.
    pub fn stats(&self) -> Stats {
        self.shared.counters.stats(self.shared.deliveries.count())
    }

    /// Events that clients have reported.
    pub fn client_events(&self) -> ClientEvents {
        self.shared.events.all()
    }

    /// Watches that are under way, and the last 64 that have ended.
    pub fn watchers(&self) -> Vec<Watcher> {
        self.shared.deliveries.watchers()
    }

    /// The last 64 lists that were sent as a whole, by one response or in chunks: how clients without WatchList begin.
    pub fn lists(&self) -> Vec<Listed> {
        self.shared.deliveries.lists()
    }

    /// Which watchers were sent the change with this resource version, and when. A watcher keeps its newest 65,536.
    pub fn delivered(&self, rv: u64) -> Vec<Delivered> {
        self.shared.deliveries.of(rv)
    }

    /// The same, when `watchers` of them were, or after `timeout`; then there are fewer.
    pub fn wait_delivered(&self, rv: u64, watchers: usize, timeout: Duration) -> Vec<Delivered> {
        self.shared.deliveries.wait(rv, watchers, timeout)
    }

    /// Closes every connection and ends the thread, as dropping does; returns what was done until then.
    pub fn stop(mut self) -> Stats {
        self.end();
        self.stats()
    }

    fn end(&mut self) {
        // It has ended already if nobody listens.
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            // Nothing is to be said of a panic: who waits for a command hears that the thread has ended.
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
