//! When kube-proxy syncs: not at every change, and without any change from time to time.
//!
//! Source: pkg/util/async/bounded_frequency_runner.go and pkg/proxy/runner, as condensed in KUBE_PROXY_FACTS.md,
//! section 1, "Sync loop".

use std::time::Duration;

use dataplane::{KubeProxy, Mode};

/// `minSyncPeriod` of iptables and nftables mode.
const MIN_PERIOD: Duration = Duration::from_secs(1);
/// `syncPeriod` where the loop syncs without any change.
const PERIOD: Duration = Duration::from_secs(30);
/// Syncs that may follow one another at once, up to 1.30.
const BURST: f64 = 2.0;

/// The loop of one proxier. Times count from the scenario's beginning.
#[derive(Clone, Debug)]
pub struct SyncLoop {
    rate: Rate,
    period: Option<Duration>,
    /// End of the sync before.
    ended: Duration,
}

#[derive(Clone, Debug)]
enum Rate {
    /// As soon as there is a change.
    Free,
    /// Not before the sync before has ended for so long.
    AfterEnd(Duration),
    /// One token for each `MIN_PERIOD`, up to [`BURST`].
    Tokens { left: f64, at: Duration },
}

impl SyncLoop {
    /// Of a kube-proxy that has long since synced.
    pub fn of(mode: Mode, version: KubeProxy) -> Self {
        let newest = version >= KubeProxy::V1_34;
        let rate = match (mode.is_ipvs(), newest) {
            // `ipvs.minSyncPeriod` is 0.
            (true, _) => Rate::Free,
            (false, true) => Rate::AfterEnd(MIN_PERIOD),
            (false, false) => Rate::Tokens { left: BURST, at: Duration::ZERO },
        };
        let periodic = mode.is_ipvs() || (mode == Mode::Nftables && !newest);
        Self { rate, period: periodic.then_some(PERIOD), ended: Duration::ZERO }
    }

    /// When the next sync begins if the oldest change that waits is of `change`; `None`: never without a change.
    pub fn next(&mut self, change: Option<Duration>) -> Option<Duration> {
        let periodic = self.period.map(|period| self.ended + period);
        let wanted = match (change, periodic) {
            (Some(change), Some(periodic)) => change.min(periodic),
            (one, other) => one.or(other)?,
        };
        let wanted = wanted.max(self.ended);
        Some(match self.rate {
            Rate::Free => wanted,
            // The first sync of the scenario has none before it.
            Rate::AfterEnd(_) if self.ended.is_zero() => wanted,
            Rate::AfterEnd(pause) => wanted.max(self.ended + pause),
            Rate::Tokens { left, at } => {
                let have = refilled(left, at, wanted);
                wanted + MIN_PERIOD.mul_f64((1.0 - have).max(0.0))
            }
        })
    }

    /// A sync has been done.
    pub fn ended(&mut self, begun: Duration, ended: Duration) {
        self.ended = ended;
        if let Rate::Tokens { left, at } = &mut self.rate {
            (*left, *at) = (refilled(*left, *at, begun) - 1.0, begun);
        }
    }
}

fn refilled(left: f64, at: Duration, now: Duration) -> f64 {
    (left + now.saturating_sub(at).as_secs_f64() / MIN_PERIOD.as_secs_f64()).min(BURST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// Begins of syncs of 100 ms each, with a change at every one of these moments.
    fn begins(mode: Mode, version: KubeProxy, changes: &[u64], until: u64) -> Vec<u64> {
        let mut pace = SyncLoop::of(mode, version);
        let mut waiting = changes.iter().map(|&at| ms(at)).collect::<std::collections::VecDeque<_>>();
        let mut begins = Vec::new();
        while let Some(begun) = pace.next(waiting.front().copied()).filter(|&begun| begun <= ms(until)) {
            while waiting.front().is_some_and(|&change| change <= begun) {
                waiting.pop_front();
            }
            begins.push(begun.as_millis() as u64);
            pace.ended(begun, begun + ms(100));
        }
        begins
    }

    #[test]
    fn the_newest_waits_a_second_after_each_sync() {
        let found = begins(Mode::IptablesLegacy, KubeProxy::NEWEST, &[500, 510, 700, 5000], 60_000);
        assert_eq!(found, [500, 1600, 5000]);
    }

    #[test]
    fn older_ones_have_two_tokens() {
        let changes: Vec<u64> = (0..20).map(|index| 500 + index * 200).collect();
        let found = begins(Mode::IptablesLegacy, KubeProxy::V1_30, &changes, 3_500);
        assert_eq!(found, [500, 700, 1500, 2500, 3500]);
    }

    #[test]
    fn ipvs_and_the_older_nftables_sync_every_half_minute() {
        assert_eq!(begins(Mode::Ipvs, KubeProxy::NEWEST, &[], 65_000), [30_000, 60_100]);
        assert_eq!(begins(Mode::Nftables, KubeProxy::V1_30, &[10_000], 65_000), [10_000, 40_100]);
        assert_eq!(begins(Mode::Nftables, KubeProxy::NEWEST, &[], 65_000), [0_u64; 0]);
        assert_eq!(begins(Mode::IptablesNft, KubeProxy::V1_30, &[], 65_000), [0_u64; 0]);
        assert_eq!(begins(Mode::Ipvs, KubeProxy::NEWEST, &[10, 20, 130], 1_000), [10, 110, 210], "no pause");
    }
}
