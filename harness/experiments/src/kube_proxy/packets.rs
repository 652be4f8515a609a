//! Packets of new flows, one by one, at a steady pace.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use lab::testbed::{ServiceTarget, Testbed};
use workloads::recorder::Times;
use workloads::target::Shares;

/// From one packet to the next: what it can tell apart at best. A packet takes some 20 µs of one core, so this is a tenth of
/// it.
pub(super) const INTERVAL: Duration = Duration::from_micros(200);
/// The same beside a load, which has half of the processor at most to itself.
const INTERVAL_BESIDE_LOAD: Duration = Duration::from_millis(1);
/// Packets that have not come out by then are lost: the kernel carries them before `write(2)` returns.
const TIMEOUT: Duration = Duration::from_millis(1);
/// Flows between two flushes of the connection-tracking table, which has 65,536 buckets or more.
const FLOWS: usize = 20_000;

/// Sends them.
pub(super) struct Packets {
    times: Times,
    interval: Duration,
    /// Flows since the table was last flushed; `None`: it is not, as others have flows in it.
    flows: Option<usize>,
    due: Instant,
}

impl Packets {
    /// The first is due at once.
    pub(super) fn new(testbed: &mut Testbed) -> Self {
        testbed.probe().set_timeout(TIMEOUT);
        Self { times: Times::new(), interval: INTERVAL, flows: Some(0), due: Instant::now() }
    }

    /// The same beside a load, or not: then they are fewer, and the table of flows is left to forget them by itself.
    pub(super) fn beside(testbed: &mut Testbed, is_load: bool) -> Self {
        let new = Self::new(testbed);
        if is_load { Self { interval: INTERVAL_BESIDE_LOAD, flows: None, ..new } } else { new }
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
        if let Some(flows) = &mut self.flows {
            if *flows >= FLOWS {
                testbed.forget_flows()?;
                *flows = 0;
            }
            *flows += 1;
        }
        let now = Instant::now();
        std::thread::sleep(self.due.saturating_duration_since(now));
        // One that comes late is not made up for: a burst would tell nothing more.
        self.due = self.due.max(now) + self.interval;
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
        if self.flows.is_some() { testbed.forget_flows() } else { Ok(()) }
    }
}
