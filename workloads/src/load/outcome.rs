//! What became of requests.

use std::time::Duration;

use super::counts::{Counts, Fate, RequestFault};
use super::intervals::Intervals;
use super::seen::Seen;
use super::settings::LATE_SHARE;
use crate::recorder::Recorder;

/// One request. Nanoseconds since the start of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traced {
    /// When it was due.
    pub intended_ns: u64,
    /// When it began; when it was cancelled if it never did.
    pub started_ns: u64,
    /// When it ended.
    pub ended_ns: u64,
    /// Index of its target.
    pub destination: u32,
    /// It had a flow of its own, so that rules chose its endpoint when it began.
    pub is_new: bool,
    /// How it ended.
    pub fate: Fate,
}

impl Traced {
    /// From when it was due to its end, nanoseconds.
    pub const fn response_ns(&self) -> u64 {
        self.ended_ns.saturating_sub(self.intended_ns)
    }
}

/// What a load came to.
#[derive(Debug, Clone)]
pub struct LoadOutcome {
    /// How many, and what became of them.
    pub counts: Counts,
    /// Response and service times of the answered, with those that timed out by the time they were given, and the cancelled
    /// by what they had waited (without a service time). A refused or reset request has none: quick failures would make a
    /// failing system look fast.
    pub times: Recorder,
    /// The same over time.
    pub intervals: Intervals,
    /// Who answered, and when.
    pub seen: Seen,
    /// From the start to the end of the last request.
    pub elapsed: Duration,
    /// The first fault, as an example.
    pub first_fault: Option<RequestFault>,
    /// Payload sent and received by flows, bytes.
    pub bytes: u64,
    /// Every request, as far as [`Load::trace`](super::Load::trace) has room, in the order in which they ended in their thread.
    pub trace: Vec<Traced>,
    /// The longest that a request began after it was due, nanoseconds.
    pub latest_ns: u64,
}

impl LoadOutcome {
    /// Answered requests per second.
    pub fn per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.counts.answered as f64 / seconds } else { 0.0 }
    }

    /// The share of requests that began late: 0 to 1.
    pub fn late_share(&self) -> f64 {
        self.counts.late as f64 / self.counts.started.max(1) as f64
    }

    /// Whether an open loop held its schedule: at most one request in a thousand began late.
    pub fn held_schedule(&self) -> bool {
        self.late_share() <= LATE_SHARE
    }

    /// Adds what another thread of the same load has found.
    pub fn merge(&mut self, other: &LoadOutcome) {
        self.counts.add(&other.counts);
        self.times.merge(&other.times);
        self.intervals.merge(&other.intervals);
        self.seen.merge(&other.seen);
        self.elapsed = self.elapsed.max(other.elapsed);
        self.first_fault = self.first_fault.or(other.first_fault);
        self.bytes += other.bytes;
        self.trace.extend_from_slice(&other.trace);
        self.latest_ns = self.latest_ns.max(other.latest_ns);
    }

    /// That every request was answered by an endpoint of its target.
    ///
    /// # Errors
    /// The first fault, if there is any.
    pub fn all_answered(&self) -> Result<(), RequestFault> {
        self.first_fault.map_or(Ok(()), Err)
    }
}
