//! One flow: a connection, or a UDP socket, and the requests that are under way on it.

use std::os::fd::OwnedFd;

use super::reply::Reply;

/// Requests of one flow that may be under way.
const DEPTH: usize = 2;

/// A request that has begun.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pending {
    /// Number of the request in its thread.
    pub(super) serial: u64,
    pub(super) intended_ns: u64,
    pub(super) started_ns: u64,
    /// It is the first of its flow.
    pub(super) is_new: bool,
}

/// A flow, or room for one.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) socket: Option<OwnedFd>,
    /// Index of the target.
    pub(super) destination: usize,
    /// Requests begun on this socket.
    pub(super) begun: u32,
    /// No other request follows on this socket.
    pub(super) closing: bool,
    /// Bytes of the latest request that have been sent.
    pub(super) sent: usize,
    /// Bytes that it has.
    pub(super) length: usize,
    /// Whether the event loop watches the socket.
    pub(super) watched: bool,
    /// The peer will send no more.
    pub(super) ended: bool,
    /// Changes with the socket, so that events of the one before are known.
    pub(super) generation: u32,
    /// It waits in the list of those that can begin a request.
    pub(super) listed: bool,
    pub(super) reply: Reply,
    pending: [Pending; DEPTH],
    under_way: usize,
}

impl Flow {
    /// Whether the latest request has been sent whole.
    pub(super) fn is_sent(&self) -> bool {
        self.sent == self.length
    }

    /// Whether another request may begin, of `depth` at once.
    pub(super) fn is_free(&self, depth: usize) -> bool {
        self.under_way < depth.min(DEPTH) && self.is_sent() && (!self.closing || self.under_way == 0)
    }

    /// The oldest request under way.
    pub(super) fn oldest(&self) -> Option<Pending> {
        self.pending[..self.under_way].first().copied()
    }

    /// Whether a request is under way here.
    pub(super) fn holds(&self, serial: u64) -> bool {
        self.pending[..self.under_way].iter().any(|pending| pending.serial == serial)
    }

    /// A request begins, if there is room.
    pub(super) fn push(&mut self, pending: Pending) {
        if let Some(slot) = self.pending.get_mut(self.under_way) {
            *slot = pending;
            self.under_way += 1;
        }
    }

    /// The oldest request ends.
    pub(super) fn pop(&mut self) -> Option<Pending> {
        let oldest = self.oldest()?;
        self.pending.rotate_left(1);
        self.under_way -= 1;
        Some(oldest)
    }

    /// The socket is closed, if there is one; requests under way stay.
    pub(super) fn close(&mut self) {
        self.socket = None;
        self.generation = self.generation.wrapping_add(1);
        (self.sent, self.length, self.begun) = (0, 0, 0);
        (self.closing, self.watched, self.ended) = (false, false, false);
        self.reply.clear();
    }
}
