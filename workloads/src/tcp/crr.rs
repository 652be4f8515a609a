//! The client of `tcp_crr`.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use nix::errno::Errno;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Sleep;

use super::transaction::{Failure, Response, errno, finish_sending, open, read_to_end, request};
use super::{CrrSummary, TcpError, TcpFault};
use crate::clock::nanoseconds;
use crate::recorder::Recorder;
use crate::target::{Protocol, Shares, Target};

/// How long a transaction may take, unless told otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// What to do in one run.
#[derive(Debug, Clone, Copy)]
pub struct CrrLoad<'a> {
    /// The Services, or endpoints, to connect to.
    pub targets: &'a [Target<'a>],
    /// The target of each transaction, as an index into `targets`.
    pub picks: &'a [u32],
    /// Source addresses, used in turn, so that ports never limit; if empty, the kernel chooses.
    pub sources: &'a [Ipv4Addr],
    /// How many transactions are under way at any time.
    pub concurrency: NonZeroUsize,
    /// How long one transaction may take, to the millisecond.
    pub timeout: Duration,
    /// No transaction starts when this much time has passed, even if picks are left.
    pub stop_after: Option<Duration>,
    /// Ask for answers without pause instead of sleeping until one comes. It keeps the client's own wake-up from
    /// idle, microseconds even on a quiet machine, out of the figures; but it needs a core to itself.
    pub busy_poll: bool,
}

impl<'a> CrrLoad<'a> {
    /// One transaction per pick, one after the other, from an address that the kernel chooses.
    pub fn new(targets: &'a [Target<'a>], picks: &'a [u32]) -> CrrLoad<'a> {
        CrrLoad {
            targets,
            picks,
            sources: &[],
            concurrency: NonZeroUsize::MIN,
            timeout: TIMEOUT,
            stop_after: None,
            busy_poll: false,
        }
    }
}

/// A client that opens a connection per request.
///
/// It runs on the calling thread. In the steady state it allocates nothing per transaction, but tokio does twice
/// for each socket: a `ScheduledIo` to watch it, after the request has been sent and while the server is at work,
/// and a list entry to release that, after the clock was read.
#[derive(Debug)]
pub struct TcpCrr {
    runtime: Runtime,
}

impl TcpCrr {
    /// A client with a runtime of its own, on the calling thread.
    ///
    /// # Errors
    /// [`TcpError::Runtime`] if there is no file descriptor left for it.
    pub fn new() -> Result<TcpCrr, TcpError> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build();
        Ok(TcpCrr { runtime: runtime.map_err(TcpError::Runtime)? })
    }

    /// Runs a closed loop: each of `concurrency` workers starts its next transaction when its last has ended.
    ///
    /// Response time runs from before `connect(2)` to the end of file behind the response. A transaction that
    /// timed out is recorded too, with the time it was given: leaving it out would make an overload look fast.
    /// All other faults are only counted, since a quick failure would do the same.
    ///
    /// # Errors
    /// [`TcpError`] for bad input, and for failures on this side: sockets, source addresses, ports.
    pub fn closed_loop(
        &self,
        load: &CrrLoad,
        into: &mut Recorder,
        shares: Option<&mut Shares>,
    ) -> Result<CrrSummary, TcpError> {
        for &pick in load.picks {
            let targets = load.targets.len();
            let target = load.targets.get(pick as usize).ok_or(TcpError::Pick { pick, targets })?;
            if target.protocol() != Protocol::Tcp {
                return Err(TcpError::NotTcp { to: target.address() });
            }
        }
        let run = Run {
            load,
            next: Cell::new(0),
            began: Instant::now(),
            tally: RefCell::new(Tally { summary: CrrSummary::default(), into, shares }),
        };
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                ended = run.work_together() => ended,
                never = spin(), if load.busy_poll => match never {},
            }
        })?;
        let mut summary = run.tally.into_inner().summary;
        summary.elapsed = run.began.elapsed();
        Ok(summary)
    }
}

/// What the workers of one run share.
struct Run<'a> {
    load: &'a CrrLoad<'a>,
    /// Index of the next pick.
    next: Cell<usize>,
    began: Instant,
    tally: RefCell<Tally<'a>>,
}

struct Tally<'a> {
    summary: CrrSummary,
    into: &'a mut Recorder,
    shares: Option<&'a mut Shares>,
}

impl Run<'_> {
    /// Runs all workers until no pick is left.
    async fn work_together(&self) -> Result<(), TcpError> {
        let workers = self.load.concurrency.get().min(self.load.picks.len());
        let mut workers: FuturesUnordered<_> = (0..workers).map(|_| self.work()).collect();
        while let Some(ended) = workers.next().await {
            ended?;
        }
        Ok(())
    }

    /// Takes picks until none is left.
    async fn work(&self) -> Result<(), TcpError> {
        // One timer per worker, moved for every transaction.
        let mut timer = std::pin::pin!(tokio::time::sleep(self.load.timeout));
        let mut response = Response::new();
        loop {
            let index = self.next.get();
            let Some(&pick) = self.load.picks.get(index) else { return Ok(()) };
            let started = Instant::now();
            if self.load.stop_after.is_some_and(|limit| started - self.began >= limit) {
                return Ok(());
            }
            self.next.set(index + 1);
            self.tally.borrow_mut().summary.started += 1;
            let target = &self.load.targets[pick as usize];
            let source = index.checked_rem(self.load.sources.len()).map(|at| self.load.sources[at]);
            // A time that no clock reaches is no time-out.
            if let Some(deadline) = started.checked_add(self.load.timeout) {
                timer.as_mut().reset(deadline.into());
            }
            let ended = self.transact(target.address(), source, timer.as_mut(), &mut response).await;
            self.conclude(pick as usize, target, started, ended, &response)?;
        }
    }

    /// One transaction, up to the end of file: when that was.
    async fn transact(
        &self,
        to: SocketAddrV4,
        source: Option<Ipv4Addr>,
        timer: Pin<&mut Sleep>,
        response: &mut Response,
    ) -> Result<Instant, Failure> {
        response.clear();
        let socket = open(to, source)?;
        // The path between namespaces of one machine is synchronous: mostly, the connection stands when
        // connect(2) returns, so the request can go before anyone waits for anything.
        let sent = request(&socket);
        if !matches!(sent, Ok(()) | Err(Errno::EAGAIN)) {
            sent.map_err(|why| Failure::of("send", to, why))?;
        }
        let stream =
            TcpStream::from_std(socket.into()).map_err(|why| Failure::of("watch", to, errno(&why)))?;
        let exchange = async {
            if sent.is_err() {
                finish_sending(&stream).await.map_err(|why| Failure::of("send", to, why))?;
            }
            read_to_end(&stream, response).await.map_err(|why| Failure::of("receive", to, why))
        };
        tokio::select! {
            biased;
            read = exchange => {
                let ended = Instant::now();
                read.map(|()| ended)
            }
            () = timer => Err(Failure::Fault(TcpFault::TimedOut { to })),
        }
        // Here the socket is closed: after the clock was read, and before the next transaction begins.
    }

    /// Counts and records what came of a transaction.
    fn conclude(
        &self,
        pick: usize,
        target: &Target,
        started: Instant,
        ended: Result<Instant, Failure>,
        response: &Response,
    ) -> Result<(), TcpError> {
        let mut tally = self.tally.borrow_mut();
        let record = |tally: &mut Tally, ended: Instant| {
            let (start, end) = (nanoseconds(started - self.began), nanoseconds(ended - self.began));
            tally.into.record(start, start, end);
        };
        let to = target.address();
        let fault = match ended {
            Err(Failure::Fatal(why)) => return Err(why),
            Err(Failure::Fault(fault)) => {
                if matches!(fault, TcpFault::TimedOut { .. }) {
                    record(&mut tally, Instant::now());
                }
                fault
            }
            Ok(ended) => match response.endpoint() {
                None => TcpFault::Garbled { to },
                Some(got) => match target.endpoints().binary_search(&got) {
                    Err(_) => TcpFault::WrongEndpoint { to, got },
                    Ok(endpoint) => {
                        record(&mut tally, ended);
                        tally.summary.answered += 1;
                        if let Some(shares) = &mut tally.shares {
                            shares.count(pick, endpoint);
                        }
                        return Ok(());
                    }
                },
            },
        };
        tally.summary.fault(fault);
        Ok(())
    }
}

/// Keeps the runtime from sleeping: with a task always about to run, it polls its sockets without waiting.
async fn spin() -> Infallible {
    loop {
        tokio::task::yield_now().await;
    }
}
