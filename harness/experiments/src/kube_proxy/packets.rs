//! Packets of new flows, one by one, at a steady pace.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use lab::testbed::{ServiceTarget, Testbed};
use workloads::recorder::Times;
use workloads::target::Shares;

/// From one packet to the next: what it can tell apart at best. A packet takes some 20 µs of one core, so this is a tenth of
/// it.
pub(super) const INTERVAL: Duration = Duration::from_micros(200);
/// Packets that have not come out by then are lost: the kernel carries them before `write(2)` returns.
const TIMEOUT: Duration = Duration::from_millis(1);
/// Flows between two flushes of the connection-tracking table, which has 65,536 buckets or more.
const FLOWS: usize = 20_000;

/// Sends them.
pub(super) struct Packets {
    times: Times,
    flows: usize,
    due: Instant,
}

impl Packets {
    /// The first is due at once.
    pub(super) fn new(testbed: &mut Testbed) -> Self {
        testbed.probe().set_timeout(TIMEOUT);
        Self { times: Times::new(), flows: 0, due: Instant::now() }
    }

    /// Waits until one is due, and sends it. Says when that was, and where it arrived: at one of those who may get it, or
    /// nowhere.
    ///
    /// # Errors
    /// If it arrives elsewhere, or the kernel refuses.
    pub(super) fn send(
        &mut self,
        testbed: &mut Testbed,
        target: &ServiceTarget,
    ) -> anyhow::Result<(Instant, Option<SocketAddrV4>)> {
        if self.flows >= FLOWS {
            testbed.forget_flows()?;
            self.flows = 0;
        }
        let now = Instant::now();
        std::thread::sleep(self.due.saturating_duration_since(now));
        // One that comes late is not made up for: a burst would tell nothing more.
        self.due = self.due.max(now) + INTERVAL;
        self.flows += 1;
        let targets = [target.for_probe()?];
        let mut shares = Shares::new(&targets);
        let sent = Instant::now();
        let summary = testbed.probe().first_packets(&targets, &[0], &mut self.times, Some(&mut shares))?;
        if summary.lost > 0 {
            return Ok((sent, None));
        }
        summary.all_verified()?;
        let index = shares.of(0).iter().position(|count| *count > 0);
        Ok((sent, index.and_then(|index| target.answers.get(index).copied())))
    }

    /// Back to what others expect of the probe and of the table.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn finish(self, testbed: &mut Testbed) -> anyhow::Result<()> {
        testbed.probe().set_timeout(workloads::probe::TIMEOUT);
        testbed.forget_flows()
    }
}
