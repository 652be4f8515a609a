//! The event loop of one thread.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::counts::{Counts, Fate, RequestFault};
use super::dns;
use super::error::LoadError;
use super::flow::{Flow, Pending};
use super::intervals::IntervalRecorder;
use super::outcome::{LoadOutcome, Traced};
use super::request::Requests;
use super::seen::Seen;
use super::settings::{LATE, Load, Pace};
use super::socket::{self, Failure};
use super::waits::Waits;
use super::workload::MessageFormat;
use crate::clock::nanoseconds;
use crate::recorder::Recorder;
use crate::schedule::Arrivals;

/// What is read at once, bytes.
const SCRATCH: usize = 64 * 1024;
/// Requests begun before events are looked at again.
const STARTS: usize = 32;

/// A time-out to come.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    at_ns: u64,
    flow: usize,
    serial: u64,
}

/// One thread's share of a load.
pub(super) struct Engine<'a> {
    load: &'a Load,
    format: MessageFormat,
    requests: Requests,
    arrivals: Option<Arrivals>,
    began: Instant,
    waits: Waits,
    flows: Box<[Flow]>,
    /// Flows that can begin a request, those first that have been so for the longest.
    ready: VecDeque<usize>,
    /// In the order in which requests began: all have the same time.
    deadlines: VecDeque<Deadline>,
    under_way: usize,
    serial: u64,
    /// Flows opened so far, those of other threads included, as each opens every `threads`th.
    opened: usize,
    scratch: Box<[u8; SCRATCH]>,
    times: Recorder,
    recording: IntervalRecorder,
    outcome: Totals,
    /// Until when requests begin.
    ends_ns: u64,
}

/// The rest of an [`LoadOutcome`].
struct Totals {
    seen: Seen,
    first_fault: Option<RequestFault>,
    trace: Vec<Traced>,
    bytes: u64,
    latest_ns: u64,
    elapsed_ns: u64,
    requests: u64,
}

impl<'a> Engine<'a> {
    pub(super) fn new(load: &'a Load, thread: u32, began: Instant) -> Result<Engine<'a>, LoadError> {
        let flows = load.flows_of(thread);
        let arrivals = match load.pace {
            Pace::Closed { .. } => None,
            Pace::Open { per_second, rhythm } => {
                Some(Arrivals::new(rhythm, per_second, thread, load.threads.get()))
            }
        };
        let mut engine = Engine {
            load,
            format: load.workload.format(),
            requests: Requests::new(load),
            arrivals,
            began,
            waits: Waits::new()?,
            flows: (0..flows).map(|_| Flow::default()).collect(),
            ready: VecDeque::with_capacity(flows),
            deadlines: VecDeque::with_capacity(flows.max(1024)),
            under_way: 0,
            serial: 0,
            opened: thread as usize,
            scratch: Box::new([0; SCRATCH]),
            times: Recorder::new(),
            recording: IntervalRecorder::new(load.interval, load.duration + load.timeout),
            outcome: Totals {
                seen: Seen::new(&load.destinations),
                first_fault: None,
                trace: Vec::with_capacity(load.trace),
                bytes: 0,
                latest_ns: 0,
                elapsed_ns: 0,
                requests: match load.pace {
                    Pace::Closed { requests: Some(requests) } => {
                        let threads = u64::from(load.threads.get());
                        requests / threads + u64::from(u64::from(thread) < requests % threads)
                    }
                    _ => u64::MAX,
                },
            },
            ends_ns: nanoseconds(load.duration),
        };
        (0..flows).for_each(|flow| engine.list(flow));
        Ok(engine)
    }

    fn now(&self) -> u64 {
        nanoseconds(Instant::now().saturating_duration_since(self.began))
    }

    pub(super) fn run(mut self, halt: &AtomicBool) -> Result<LoadOutcome, LoadError> {
        if let Some(pause) = self.began.checked_duration_since(Instant::now()) {
            std::thread::sleep(pause);
        }
        loop {
            let now = self.now();
            self.recording.advance(now);
            if halt.load(Ordering::Relaxed) {
                self.ends_ns = self.ends_ns.min(now);
            }
            self.begin_due()?;
            self.time_out()?;
            let Some(wait) = self.wait_ns() else { break };
            let events = match wait {
                _ if self.load.busy_poll => self.waits.look()?,
                u64::MAX => self.waits.wait()?,
                0 => self.waits.look()?,
                wait => self.waits.wait_until(wait)?,
            };
            for index in 0..events {
                if let Some((data, ended)) = self.waits.event(index) {
                    self.resume(data, ended)?;
                }
                // Many events take long, and what is due meanwhile must not wait for the last of them.
                if self.is_due() {
                    self.begin_due()?;
                }
            }
        }
        self.cancel_rest();
        Ok(self.finish())
    }

    /// Nanoseconds until something is to be done without an event, 0 for at once, the most for "not soon"; `None`: all is
    /// done.
    fn wait_ns(&self) -> Option<u64> {
        let now = self.now();
        let more = now < self.ends_ns && self.serial < self.outcome.requests;
        if !more && self.under_way == 0 {
            return None;
        }
        if !more || self.ready.is_empty() {
            return Some(u64::MAX);
        }
        Some(
            self.arrivals.as_ref().map_or(0, |arrivals| arrivals.due().min(self.ends_ns).saturating_sub(now)),
        )
    }

    /// Whether a request of an open loop is due, and can begin.
    fn is_due(&self) -> bool {
        let due = self.arrivals.as_ref().map(Arrivals::due);
        !self.ready.is_empty() && due.is_some_and(|due| due <= self.now())
    }

    /// Begins the requests that are due, as far as flows are free.
    fn begin_due(&mut self) -> Result<(), LoadError> {
        for _ in 0..STARTS {
            let now = self.now();
            let due = self.arrivals.as_ref().map_or(now, Arrivals::due);
            if due > now || due.max(now) >= self.ends_ns || self.serial >= self.outcome.requests {
                break;
            }
            let Some(flow) = self.ready.pop_front() else { break };
            self.flows[flow].listed = false;
            if let Some(arrivals) = &mut self.arrivals {
                arrivals.advance();
            }
            self.begin(flow, due, now)?;
        }
        Ok(())
    }

    /// One request begins.
    fn begin(&mut self, index: usize, intended_ns: u64, started_ns: u64) -> Result<(), LoadError> {
        let serial = self.serial;
        self.serial += 1;
        self.recording.counts.started += 1;
        let lateness = started_ns - intended_ns;
        self.outcome.latest_ns = self.outcome.latest_ns.max(lateness);
        self.recording.counts.late += u64::from(u128::from(lateness) > LATE.as_nanos());

        self.forget_deadlines();
        let at_ns = started_ns.saturating_add(nanoseconds(self.load.timeout));
        self.deadlines.push_back(Deadline { at_ns, flow: index, serial });
        self.under_way += 1;
        let flow = &mut self.flows[index];
        let is_new = flow.socket.is_none();
        flow.push(Pending { serial, intended_ns, started_ns, is_new });
        if is_new && let Err(failure) = self.open(index) {
            return self.fail(index, failure);
        }
        let flow = &mut self.flows[index];
        flow.begun += 1;
        flow.closing = self.load.requests_per_flow.is_some_and(|most| flow.begun >= most.get());
        flow.sent = 0;
        flow.length = self.requests.length(flow.destination, flow.closing);
        self.advance(index)
    }

    fn open(&mut self, index: usize) -> Result<(), Failure> {
        let flow = &mut self.flows[index];
        let opened = self.opened;
        self.opened += self.load.threads.get() as usize;
        flow.destination = self.load.picks[opened % self.load.picks.len()] as usize;
        let to = self.load.destinations[flow.destination].to();
        let source = source(&self.load.sources, opened, to);
        socket::open(to, source, self.load.workload.is_udp(), &mut flow.socket)
    }

    /// Sends what can be sent, and watches the socket from then on.
    fn advance(&mut self, index: usize) -> Result<(), LoadError> {
        if let Err(why) = self.send(index) {
            let to = self.load.destinations[self.flows[index].destination].to();
            return self.fail(index, Failure::of("send", to, why));
        }
        let flow = &mut self.flows[index];
        if let Some(socket) = flow.socket.as_ref().filter(|_| !flow.watched) {
            let writable = !flow.is_sent() || self.load.workload.depth() > 1;
            self.waits.watch(socket, writable, data(index, flow.generation))?;
            flow.watched = true;
        }
        self.list(index);
        Ok(())
    }

    fn send(&mut self, index: usize) -> Result<(), Errno> {
        let flow = &mut self.flows[index];
        let Some(socket) = &flow.socket else { return Ok(()) };
        while flow.sent < flow.length {
            let sent = if self.format == MessageFormat::Dns {
                let serial = flow.oldest().map_or(0, |pending| pending.serial);
                socket::send(socket, &dns::question(serial as u16))?
            } else {
                socket::send(socket, self.requests.rest(flow.destination, flow.closing, flow.sent))?
            };
            if sent == 0 {
                break;
            }
            flow.sent += sent;
            self.outcome.bytes += sent as u64;
        }
        Ok(())
    }

    /// A socket has something to say.
    fn resume(&mut self, data: u64, ended: bool) -> Result<(), LoadError> {
        let (index, generation) = (data as u32 as usize, (data >> 32) as u32);
        let Some(flow) = self.flows.get_mut(index).filter(|flow| flow.generation == generation) else {
            return Ok(());
        };
        flow.ended |= ended;
        if !flow.is_sent() {
            if let Err(why) = self.send(index) {
                let to = self.load.destinations[self.flows[index].destination].to();
                return self.fail(index, Failure::of("send", to, why));
            }
            self.list(index);
        }
        self.receive(index, generation)
    }

    /// Reads until there is no more, or the socket is closed.
    fn receive(&mut self, index: usize, generation: u32) -> Result<(), LoadError> {
        loop {
            let flow = &mut self.flows[index];
            let Some(socket) = flow.socket.as_ref().filter(|_| flow.generation == generation) else {
                return Ok(());
            };
            let read = match socket::receive(socket, &mut self.scratch[..]) {
                Ok(None) => return Ok(()),
                Ok(Some(read)) => read,
                Err(why) => {
                    let to = self.load.destinations[flow.destination].to();
                    return self.fail(index, Failure::of("receive", to, why));
                }
            };
            self.outcome.bytes += read as u64;
            if self.load.workload.is_udp() {
                self.take_message(index, read);
                continue;
            }
            let drained = read < SCRATCH;
            self.flows[index].ended |= read == 0;
            if !self.take_bytes(index, read)? || drained {
                return self.take_end(index, drained);
            }
        }
    }

    /// Takes what was read from a stream; whether the socket is still open.
    fn take_bytes(&mut self, index: usize, read: usize) -> Result<bool, LoadError> {
        let mut at = 0;
        while at < read {
            let flow = &mut self.flows[index];
            if flow.oldest().is_none() || flow.reply.is_whole() {
                // More than was asked for.
                self.garbled(index)?;
                return Ok(false);
            }
            let Ok(taken) = flow.reply.take(self.format, &self.scratch[at..read]) else {
                self.garbled(index)?;
                return Ok(false);
            };
            at += taken;
            // If the server closes behind it, the end of file belongs to it.
            if flow.reply.is_whole() && !flow.reply.is_last() {
                self.complete(index);
                if self.flows[index].socket.is_none() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// If the peer has closed, and all that it sent is read (`drained`), this is the end of the flow.
    fn take_end(&mut self, index: usize, drained: bool) -> Result<(), LoadError> {
        let flow = &mut self.flows[index];
        if !flow.ended || !drained || flow.socket.is_none() {
            return Ok(());
        }
        if flow.oldest().is_none() {
            flow.close();
            return Ok(());
        }
        if flow.reply.end(self.format) {
            flow.closing = true;
            self.complete(index);
            // Others on this connection have lost it.
            if self.flows[index].oldest().is_none() {
                return Ok(());
            }
        }
        let to = self.load.destinations[self.flows[index].destination].to();
        self.fail(index, Failure::Fault(RequestFault::Reset { to }))
    }

    /// Takes a UDP message: that which is waited for, or one that came too late and is passed over.
    fn take_message(&mut self, index: usize, read: usize) {
        let Some(pending) = self.flows[index].oldest() else { return };
        let message = &self.scratch[..read];
        if dns::identifier(message) == Some(pending.serial as u16) {
            let endpoint = dns::endpoint(message);
            self.answered(index, endpoint);
        }
    }

    /// The response to the oldest request of a flow is whole.
    fn complete(&mut self, index: usize) {
        let flow = &mut self.flows[index];
        let (endpoint, closed) = (flow.reply.endpoint(), flow.reply.is_last());
        flow.reply.clear();
        // Whatever was intended, the server has closed.
        flow.closing |= closed;
        self.answered(index, endpoint);
    }

    fn answered(&mut self, index: usize, endpoint: Option<SocketAddr>) {
        let now = self.now();
        let Some(pending) = self.flows[index].pop() else { return };
        self.under_way -= 1;
        self.record(now, &pending);
        let flow = &self.flows[index];
        let destination = &self.load.destinations[flow.destination];
        let known = endpoint.and_then(|endpoint| destination.endpoints().binary_search(&endpoint).ok());
        let destination_index = flow.destination;
        match known {
            Some(known) => {
                self.recording.counts.answered += 1;
                self.outcome.seen.count(flow.destination, known, pending.started_ns, pending.is_new);
            }
            None if destination.endpoints().is_empty() => self.recording.counts.answered += 1,
            None => {
                self.count(RequestFault::WrongEndpoint { to: destination.to(), got: endpoint });
            }
        }
        self.trace(destination_index, &pending, now, Fate::Answered(known.map(|known| known as u32)));
        let flow = &mut self.flows[index];
        if flow.closing && flow.oldest().is_none() {
            flow.close();
        }
        self.list(index);
    }

    fn record(&mut self, ended_ns: u64, pending: &Pending) {
        self.times.record(pending.intended_ns, pending.started_ns, ended_ns);
        let since = |begun_ns: u64| ended_ns.saturating_sub(begun_ns);
        self.recording.record(since(pending.intended_ns), Some(since(pending.started_ns)));
        self.outcome.elapsed_ns = self.outcome.elapsed_ns.max(ended_ns);
    }

    fn count(&mut self, fault: RequestFault) -> Fate {
        self.outcome.first_fault.get_or_insert(fault);
        self.recording.counts.fault(&fault)
    }

    fn trace(&mut self, destination: usize, pending: &Pending, ended_ns: u64, fate: Fate) {
        let Pending { intended_ns, started_ns, is_new, .. } = *pending;
        if self.outcome.trace.len() < self.load.trace {
            self.outcome.trace.push(Traced {
                intended_ns,
                started_ns,
                ended_ns,
                destination: destination as u32,
                is_new,
                fate,
            });
        }
    }

    fn garbled(&mut self, index: usize) -> Result<(), LoadError> {
        let to = self.load.destinations[self.flows[index].destination].to();
        self.fail(index, Failure::Fault(RequestFault::Garbled { to }))
    }

    /// A flow has failed, and all its requests with it.
    fn fail(&mut self, index: usize, failure: Failure) -> Result<(), LoadError> {
        let flow = &mut self.flows[index];
        // A reset behind the response does not undo it.
        if flow.reply.is_whole() {
            flow.closing = true;
            self.complete(index);
        }
        let fault = match failure {
            Failure::Fatal(why) => return Err(why),
            Failure::Fault(fault) => fault,
        };
        let now = self.now();
        while let Some(pending) = self.flows[index].pop() {
            self.under_way -= 1;
            if matches!(fault, RequestFault::TimedOut { .. }) {
                self.record(now, &pending);
            }
            self.outcome.elapsed_ns = self.outcome.elapsed_ns.max(now);
            let fate = self.count(fault);
            self.trace(self.flows[index].destination, &pending, now, fate);
        }
        self.flows[index].close();
        self.list(index);
        Ok(())
    }

    /// Ends requests whose time is up.
    fn time_out(&mut self) -> Result<(), LoadError> {
        let now = self.now();
        while let Some(deadline) = self.deadlines.front().copied().filter(|deadline| deadline.at_ns <= now) {
            self.deadlines.pop_front();
            let flow = &self.flows[deadline.flow];
            if flow.holds(deadline.serial) {
                let to = self.load.destinations[flow.destination].to();
                self.fail(deadline.flow, Failure::Fault(RequestFault::TimedOut { to }))?;
            }
        }
        Ok(())
    }

    /// Forgets the oldest time-outs whose requests have ended.
    fn forget_deadlines(&mut self) {
        while let Some(deadline) = self.deadlines.front()
            && !self.flows[deadline.flow].holds(deadline.serial)
        {
            self.deadlines.pop_front();
        }
    }

    /// Puts a flow on the list of those that can begin a request, if it can.
    fn list(&mut self, index: usize) {
        let flow = &mut self.flows[index];
        if !flow.listed && flow.is_free(self.load.workload.depth()) {
            flow.listed = true;
            self.ready.push_back(index);
        }
    }

    /// Counts the requests that were due and found no flow.
    fn cancel_rest(&mut self) {
        let now = self.now();
        while let Some(arrivals) = &mut self.arrivals
            && arrivals.due() < self.ends_ns
        {
            let intended_ns = arrivals.due();
            let waited = now.saturating_sub(intended_ns);
            arrivals.advance();
            // Which target it would have had is not decided before it begins.
            let pending = Pending { intended_ns, started_ns: now, ..Pending::default() };
            self.trace(0, &pending, now, Fate::Cancelled);
            self.times.response.record(waited);
            self.recording.record(waited, None);
            self.outcome.latest_ns = self.outcome.latest_ns.max(waited);
            let counts = &mut self.recording.counts;
            counts.started += 1;
            counts.cancelled += 1;
            counts.late += 1;
        }
    }

    fn finish(self) -> LoadOutcome {
        let intervals = self.recording.finish();
        let mut counts = Counts::default();
        intervals.list.iter().for_each(|interval| counts.add(&interval.counts));
        let Totals { seen, first_fault, trace, bytes, latest_ns, elapsed_ns, .. } = self.outcome;
        LoadOutcome {
            counts,
            times: self.times,
            intervals,
            seen,
            elapsed: Duration::from_nanos(elapsed_ns),
            first_fault,
            trace,
            bytes,
            latest_ns,
        }
    }
}

fn data(index: usize, generation: u32) -> u64 {
    u64::from(generation) << 32 | index as u64
}

/// The address of a flow: of the family of its target.
fn source(sources: &[IpAddr], opened: usize, to: SocketAddr) -> Option<IpAddr> {
    let source = *sources.get(opened.checked_rem(sources.len())?)?;
    (source.is_ipv4() == to.is_ipv4()).then_some(source)
}
