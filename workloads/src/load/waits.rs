//! Waiting for events: without pause, until a moment, or for long.

use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::error::LoadError;

/// Events taken from the kernel at once.
const EVENTS: usize = 256;
/// Data of the timer's events.
const TIMER: u64 = u64::MAX;
/// A thread is woken so much before a moment, and then looks without pause: its wake-up takes some time, too.
const EARLY_NS: u64 = 100_000;
/// No wait is longer, so that the end of a load is seen.
const LONGEST: Duration = Duration::from_millis(20);

/// An epoll set with a timer in it: timeouts of epoll itself are whole milliseconds.
#[derive(Debug)]
pub(super) struct Waits {
    epoll: Epoll,
    timer: TimerFd,
    events: Box<[EpollEvent; EVENTS]>,
    count: usize,
}

fn failed(call: &'static str) -> impl Fn(Errno) -> LoadError {
    move |why| LoadError::Loop { call, why }
}

impl Waits {
    pub(super) fn new() -> Result<Waits, LoadError> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed("create an epoll set"))?;
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).map_err(failed("create a timer"))?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, TIMER);
        epoll.add(&timer, event).map_err(failed("watch a timer"))?;
        Ok(Waits { epoll, timer, events: Box::new([EpollEvent::empty(); EVENTS]), count: 0 })
    }

    /// Watches a socket, edge-triggered, until it is closed.
    pub(super) fn watch(&self, socket: &OwnedFd, writable: bool, data: u64) -> Result<(), LoadError> {
        let mut flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        flags.set(EpollFlags::EPOLLOUT, writable);
        self.epoll.add(socket, EpollEvent::new(flags, data)).map_err(failed("watch a socket"))
    }

    /// Looks for events, without waiting.
    pub(super) fn look(&mut self) -> Result<usize, LoadError> {
        self.wait_for(EpollTimeout::ZERO)
    }

    /// Waits for events, at most for some 20 ms.
    pub(super) fn wait(&mut self) -> Result<usize, LoadError> {
        self.wait_for(EpollTimeout::try_from(LONGEST).unwrap_or(EpollTimeout::ZERO))
    }

    /// Waits for events, until shortly before a moment that is `nanoseconds` away.
    pub(super) fn wait_until(&mut self, nanoseconds: u64) -> Result<usize, LoadError> {
        let Some(span) = nanoseconds.checked_sub(EARLY_NS).filter(|&span| span > 0) else {
            return self.look();
        };
        if u128::from(span) < LONGEST.as_nanos() {
            let moment = Expiration::OneShot(TimeSpec::from(Duration::from_nanos(span)));
            self.timer.set(moment, TimerSetTimeFlags::empty()).map_err(failed("set a timer"))?;
        }
        self.wait()
    }

    fn wait_for(&mut self, timeout: EpollTimeout) -> Result<usize, LoadError> {
        self.count = match self.epoll.wait(&mut self.events[..], timeout) {
            Err(Errno::EINTR) => 0,
            result => result.map_err(failed("wait"))?,
        };
        Ok(self.count)
    }

    /// One of the events that were found: the data of its socket, and whether the peer will send no more; `None`: it is the
    /// timer's.
    pub(super) fn event(&self, index: usize) -> Option<(u64, bool)> {
        let event = self.events[..self.count].get(index)?;
        let ended = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        (event.data() != TIMER).then(|| (event.data(), event.events().intersects(ended)))
    }
}
