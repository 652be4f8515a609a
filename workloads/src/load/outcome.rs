//! What became of requests.

use std::net::SocketAddr;
use std::time::Duration;

use super::seen::Seen;
use super::series::Series;
use crate::recorder::Recorder;

/// What one request suffered. Each is counted in [`Counts`].
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An RST or an ICMP error in answer to the first packet.
    #[error("{to} refused: no endpoint, or nothing listens there")]
    Refused {
        /// The target.
        to: SocketAddr,
    },
    /// No route, here or further on.
    #[error("{to} cannot be reached: check the routes of every namespace on the way")]
    Unreachable {
        /// The target.
        to: SocketAddr,
    },
    /// An RST later on, or a close before the whole response.
    #[error("{to} reset the connection: its flow was forgotten, or its endpoint is gone")]
    Reset {
        /// The target.
        to: SocketAddr,
    },
    /// The response is none of the workload's protocol.
    #[error("{to} sent something other than a response of this workload")]
    Garbled {
        /// The target.
        to: SocketAddr,
    },
    /// No response within the time allowed.
    #[error("{to} did not answer in the time allowed: packets are lost, or the server is overloaded")]
    TimedOut {
        /// The target.
        to: SocketAddr,
    },
    /// The response came from someone who is no endpoint of the target, or does not say who it is.
    #[error("{to} was answered by {}, none of its endpoints: stale or missing rules?",
        got.map_or("someone unknown".into(), |got| got.to_string()))]
    WrongEndpoint {
        /// The target.
        to: SocketAddr,
        /// Who answered.
        got: Option<SocketAddr>,
    },
}

/// How many requests there were, and what became of them. Always
/// `started = answered + refused + reset + timed_out + cancelled`; the other counts are parts of these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that were due.
    pub started: u64,
    /// Those with a whole response.
    pub answered: u64,
    /// Of the answered: by someone who is no endpoint of the target.
    pub wrong_endpoint: u64,
    /// Refused by RST or ICMP error, or unreachable.
    pub refused: u64,
    /// Of the refused: without a route.
    pub unreachable: u64,
    /// Whose connection ended before the whole response.
    pub reset: u64,
    /// Of the reset: because of a response that was none.
    pub garbled: u64,
    /// Without a response in the time allowed.
    pub timed_out: u64,
    /// Due before the end of the load, but still waiting for a free flow then.
    pub cancelled: u64,
    /// Of all: begun more than [`super::LATE`] after they were due, or never.
    pub late: u64,
}

impl Counts {
    /// Whether every request is accounted for.
    pub fn is_balanced(&self) -> bool {
        self.started == self.answered + self.refused + self.reset + self.timed_out + self.cancelled
    }

    /// Requests without a whole response.
    pub fn lost(&self) -> u64 {
        self.started - self.answered
    }

    /// Adds those of another.
    pub fn add(&mut self, other: &Counts) {
        let Counts {
            started,
            answered,
            wrong_endpoint,
            refused,
            unreachable,
            reset,
            garbled,
            timed_out,
            cancelled,
            late,
        } = other;
        for (ours, theirs) in [
            (&mut self.started, started),
            (&mut self.answered, answered),
            (&mut self.wrong_endpoint, wrong_endpoint),
            (&mut self.refused, refused),
            (&mut self.unreachable, unreachable),
            (&mut self.reset, reset),
            (&mut self.garbled, garbled),
            (&mut self.timed_out, timed_out),
            (&mut self.cancelled, cancelled),
            (&mut self.late, late),
        ] {
            *ours += theirs;
        }
    }

    /// Counts a fault: how its request ended.
    pub(super) fn fault(&mut self, fault: &Fault) -> Fate {
        let (count, part) = match fault {
            Fault::Refused { .. } => (&mut self.refused, None),
            Fault::Unreachable { .. } => (&mut self.refused, Some(&mut self.unreachable)),
            Fault::Reset { .. } => (&mut self.reset, None),
            Fault::Garbled { .. } => (&mut self.reset, Some(&mut self.garbled)),
            Fault::TimedOut { .. } => (&mut self.timed_out, None),
            Fault::WrongEndpoint { .. } => (&mut self.answered, Some(&mut self.wrong_endpoint)),
        };
        *count += 1;
        if let Some(part) = part {
            *part += 1;
        }
        match fault {
            Fault::Refused { .. } | Fault::Unreachable { .. } => Fate::Refused,
            Fault::Reset { .. } | Fault::Garbled { .. } => Fate::Reset,
            Fault::TimedOut { .. } => Fate::TimedOut,
            Fault::WrongEndpoint { .. } => Fate::Answered(None),
        }
    }
}

/// How one request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// With a whole response, of this endpoint of its target (an index) if it is one.
    Answered(Option<u32>),
    /// See [`Counts::refused`].
    Refused,
    /// See [`Counts::reset`].
    Reset,
    /// See [`Counts::timed_out`].
    TimedOut,
    /// See [`Counts::cancelled`].
    Cancelled,
}

impl Fate {
    /// Whether there was no whole response.
    pub const fn is_lost(self) -> bool {
        !matches!(self, Fate::Answered(_))
    }
}

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
    pub aim: u32,
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
pub struct Outcome {
    /// How many, and what became of them.
    pub counts: Counts,
    /// Response and service times of the answered, with those that timed out by the time they were given, and the cancelled
    /// by what they had waited (without a service time). A refused or reset request has none: quick failures would make a
    /// failing system look fast.
    pub times: Recorder,
    /// The same over time.
    pub series: Series,
    /// Who answered, and when.
    pub seen: Seen,
    /// From the start to the end of the last request.
    pub elapsed: Duration,
    /// The first fault, as an example.
    pub first_fault: Option<Fault>,
    /// Payload sent and received by flows, bytes.
    pub bytes: u64,
    /// Every request, as far as [`super::Load::trace`] has room, in the order in which they ended in their thread.
    pub trace: Vec<Traced>,
    /// The longest that a request began after it was due, nanoseconds.
    pub latest_ns: u64,
}

impl Outcome {
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
        self.late_share() <= super::LATE_SHARE
    }

    /// Adds what another thread of the same load has found.
    pub fn merge(&mut self, other: &Outcome) {
        self.counts.add(&other.counts);
        self.times.merge(&other.times);
        self.series.merge(&other.series);
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
    pub fn all_answered(&self) -> Result<(), Fault> {
        self.first_fault.map_or(Ok(()), Err)
    }
}
