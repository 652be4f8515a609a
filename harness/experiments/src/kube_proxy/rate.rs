//! Changes at a steady rate, and the rate up to which a kube-proxy keeps up with them.

use std::time::Duration;

use kube_proxy::System;

use super::changes::{ChangeKind, Changes};
use super::latency::{self, Config, Latency};

/// The search begins here, changes per second.
const FIRST: u32 = 4;
/// And ends here: beyond it, svcbench's own work for a change is no longer small against the time between two.
const LAST: u32 = 1_024;
/// The knee is known when it lies between two rates of which the larger is at most this share above the smaller.
const CLOSE: f64 = 0.25;
/// Whoever falls behind is later at the end by this much, and at least twice as late as at the beginning: more than the second
/// between two syncs, for which a change may wait or not.
const BEHIND: Duration = Duration::from_millis(1_500);
/// Share of changes that may come late: with more, the rate was not that.
const LATE: f64 = 0.1;

/// What a steady rate came to.
#[derive(Clone, Debug)]
pub(super) struct Steady {
    /// Changes per second.
    pub rate: u32,
    /// Their latencies.
    pub latency: Latency,
    /// Whether kube-proxy kept up.
    pub verdict: Verdict,
}

/// Whether a kube-proxy keeps up with a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It does.
    KeepsUp,
    /// Changes are later and later.
    FallsBehind,
    /// The rate was not offered: svcbench was late, or all Services were waiting for a change.
    NotOffered,
}

/// The rate up to which it keeps up.
#[derive(Clone, Debug)]
pub(super) struct Knee {
    /// The largest rate at which it did; `None`: not even at the first.
    pub keeps_up: Option<u32>,
    /// The smallest at which it did not; `None`: there was none.
    pub falls_behind: Option<u32>,
    /// All that were tried, in their order.
    pub tried: Vec<Steady>,
}

/// All endpoints of a Service are replaced, so many times a second for so long.
///
/// # Errors
/// As [`latency::measure`].
pub(super) fn steady(
    system: &mut System,
    changes: &mut Changes,
    rate: u32,
    seconds: f64,
    limit: Duration,
    seed: u64,
) -> anyhow::Result<Steady> {
    let config = Config {
        changes: vec![ChangeKind::ReplaceAllEndpoints],
        repeats: ((f64::from(rate) * seconds) as u32).max(1),
        gap: Duration::from_secs(1) / rate.max(1),
        stall: None,
        limit,
        seed: seed ^ u64::from(rate),
    };
    let latency = latency::measure(system, changes, &config)?;
    system.wait_until_settled(limit)?;
    let verdict = verdict(&latency);
    Ok(Steady { rate, latency, verdict })
}

/// Doubles the rate until kube-proxy falls behind, and goes half-way between until the knee is known.
///
/// # Errors
/// As [`latency::measure`].
pub(super) fn knee(
    system: &mut System,
    changes: &mut Changes,
    seconds: f64,
    limit: Duration,
    seed: u64,
) -> anyhow::Result<Knee> {
    let mut knee = Knee { keeps_up: None, falls_behind: None, tried: Vec::new() };
    while let Some(rate) = next(knee.keeps_up, knee.falls_behind) {
        let steady = steady(system, changes, rate, seconds, limit, seed)?;
        let verdict = steady.verdict;
        knee.tried.push(steady);
        match verdict {
            Verdict::KeepsUp => knee.keeps_up = Some(rate),
            Verdict::FallsBehind => knee.falls_behind = Some(rate),
            Verdict::NotOffered => break,
        }
    }
    Ok(knee)
}

/// Which rate tells most.
fn next(keeps_up: Option<u32>, falls_behind: Option<u32>) -> Option<u32> {
    match (keeps_up, falls_behind) {
        (None, None) => Some(FIRST),
        (None, Some(1)) => None,
        (None, Some(above)) => Some(above / 2),
        (Some(below), None) => Some(below * 2).filter(|rate| *rate <= LAST),
        (Some(below), Some(above)) => {
            let between = below + (above.saturating_sub(below)) / 2;
            let is_close = f64::from(above) <= f64::from(below) * (1.0 + CLOSE);
            (!is_close && between > below).then_some(between)
        }
    }
}

fn verdict(latency: &Latency) -> Verdict {
    if latency.given_up.is_some() {
        return Verdict::FallsBehind;
    }
    let all = latency.samples.len() + latency.not_offered;
    if (latency.late + latency.not_offered) as f64 > LATE * all as f64 {
        return Verdict::NotOffered;
    }
    let third = latency.samples.len() / 3;
    let median = |samples: &[latency::Sample]| {
        let mut all: Vec<u64> = samples.iter().map(|sample| sample.latency).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or(0)
    };
    let (begin, end) =
        (median(&latency.samples[..third]), median(&latency.samples[latency.samples.len() - third..]));
    let behind = end > begin.saturating_mul(2) && u128::from(end.saturating_sub(begin)) > BEHIND.as_nanos();
    if behind { Verdict::FallsBehind } else { Verdict::KeepsUp }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn latency(ms: impl Iterator<Item = u64>) -> Latency {
        let sample = |ms| latency::Sample {
            kind: ChangeKind::ReplaceAllEndpoints,
            latency: ms * 1_000_000,
            resolution: 1,
            stalled: false,
        };
        Latency { samples: ms.map(sample).collect(), ..Latency::default() }
    }

    #[test]
    fn who_is_later_and_later_falls_behind() {
        assert_eq!(verdict(&latency((0..60).map(|i| 100 + i % 900))), Verdict::KeepsUp);
        assert_eq!(verdict(&latency((0..60).map(|i| 100 + 100 * i))), Verdict::FallsBehind);
        let given_up = Latency { given_up: Some("gave up".into()), ..latency(std::iter::once(1)) };
        assert_eq!(verdict(&given_up), Verdict::FallsBehind);
        let late = Latency { late: 2, ..latency((0..10).map(|_| 100)) };
        assert_eq!(verdict(&late), Verdict::NotOffered);
        assert_eq!(verdict(&Latency::default()), Verdict::KeepsUp);
    }

    proptest! {
        /// The search ends, and encloses the true knee within a quarter where rates are fine enough.
        #[test]
        fn the_knee_is_found(knee in 0_u32..2_000) {
            let (mut below, mut above, mut tries) = (None, None, 0);
            while let Some(rate) = next(below, above) {
                if rate <= knee { below = Some(rate) } else { above = Some(rate) }
                tries += 1;
                prop_assert!(tries < 24);
            }
            prop_assert!(below.is_none_or(|rate| rate <= knee) && above.is_none_or(|rate| rate > knee));
            match (below, above) {
                (Some(below), Some(above)) => prop_assert!(above <= below + 1 || f64::from(above) <= f64::from(below) * 1.25),
                (Some(below), None) => prop_assert!(below * 2 > LAST),
                (None, above) => prop_assert!(knee == 0 && above == Some(1)),
            }
        }
    }
}
