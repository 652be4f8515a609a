//! What became of transactions.

use std::net::SocketAddrV4;
use std::time::Duration;

/// What one transaction suffered. Each is counted in [`CrrSummary`], which also keeps the first.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum TcpFault {
    /// An RST, or an ICMP error (as `REJECT` sends), in answer to the SYN.
    #[error("{to} refused the connection: no endpoint, or nothing listens there")]
    Refused {
        /// The target.
        to: SocketAddrV4,
    },
    /// An RST later on.
    #[error("{to} reset the connection: its flow was forgotten or its endpoint is gone")]
    Reset {
        /// The target.
        to: SocketAddrV4,
    },
    /// No end within the time allowed.
    #[error("{to} did not finish in the time allowed: packets are lost, or the server is overloaded")]
    TimedOut {
        /// The target.
        to: SocketAddrV4,
    },
    /// No route, here or further on.
    #[error("{to} cannot be reached: check the routes of every namespace on the way")]
    Unreachable {
        /// The target.
        to: SocketAddrV4,
    },
    /// The answer came from someone who is no endpoint of the target.
    #[error("{to} was answered by {got}, which is none of its endpoints: stale or missing rules?")]
    WrongEndpoint {
        /// The target.
        to: SocketAddrV4,
        /// Who answered.
        got: SocketAddrV4,
    },
    /// The answer is not, or not wholly, what the server of this crate sends.
    #[error("{to} sent something other than a complete response of workloads::tcp::Server")]
    Garbled {
        /// The target.
        to: SocketAddrV4,
    },
}

/// What a run of transactions came to.
///
/// `started` is always the sum of `answered` and of the six kinds of fault.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CrrSummary {
    /// Transactions begun.
    pub started: u64,
    /// Transactions that an endpoint of the target answered in full.
    pub answered: u64,
    /// See [`TcpFault::Refused`].
    pub refused: u64,
    /// See [`TcpFault::Reset`].
    pub reset: u64,
    /// See [`TcpFault::TimedOut`].
    pub timed_out: u64,
    /// See [`TcpFault::Unreachable`].
    pub unreachable: u64,
    /// See [`TcpFault::WrongEndpoint`].
    pub wrong_endpoint: u64,
    /// See [`TcpFault::Garbled`].
    pub garbled: u64,
    /// From the start of the first transaction to the end of the last.
    pub elapsed: Duration,
    /// The first fault, as an example.
    pub first_fault: Option<TcpFault>,
}

impl CrrSummary {
    /// Answered transactions per second; 0 if no time has passed.
    pub fn per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.answered as f64 / seconds } else { 0.0 }
    }

    /// That every transaction was answered by an endpoint of its target.
    ///
    /// # Errors
    /// The first fault, if there is any.
    pub fn all_answered(&self) -> Result<(), TcpFault> {
        self.first_fault.map_or(Ok(()), Err)
    }

    pub(super) fn fault(&mut self, fault: TcpFault) {
        *match fault {
            TcpFault::Refused { .. } => &mut self.refused,
            TcpFault::Reset { .. } => &mut self.reset,
            TcpFault::TimedOut { .. } => &mut self.timed_out,
            TcpFault::Unreachable { .. } => &mut self.unreachable,
            TcpFault::WrongEndpoint { .. } => &mut self.wrong_endpoint,
            TcpFault::Garbled { .. } => &mut self.garbled,
        } += 1;
        self.first_fault.get_or_insert(fault);
    }
}
