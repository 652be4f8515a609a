//! How many requests there were, and how each ended.

use std::net::SocketAddr;

/// What one request suffered. Each is counted in [`Counts`].
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum RequestFault {
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
    /// Of all: begun more than [`super::settings::LATE`] after they were due, or never.
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
    pub(super) fn fault(&mut self, fault: &RequestFault) -> Fate {
        let (count, part) = match fault {
            RequestFault::Refused { .. } => (&mut self.refused, None),
            RequestFault::Unreachable { .. } => (&mut self.refused, Some(&mut self.unreachable)),
            RequestFault::Reset { .. } => (&mut self.reset, None),
            RequestFault::Garbled { .. } => (&mut self.reset, Some(&mut self.garbled)),
            RequestFault::TimedOut { .. } => (&mut self.timed_out, None),
            RequestFault::WrongEndpoint { .. } => (&mut self.answered, Some(&mut self.wrong_endpoint)),
        };
        *count += 1;
        if let Some(part) = part {
            *part += 1;
        }
        match fault {
            RequestFault::Refused { .. } | RequestFault::Unreachable { .. } => Fate::Refused,
            RequestFault::Reset { .. } | RequestFault::Garbled { .. } => Fate::Reset,
            RequestFault::TimedOut { .. } => Fate::TimedOut,
            RequestFault::WrongEndpoint { .. } => Fate::Answered(None),
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
