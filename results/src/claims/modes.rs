//! From which number of Services on modes differ.

use super::claim::{ClaimVerdict, LaneVerdict, MeasuredValue, Reference};
use super::evidence::Evidence;
use super::measure::{ModeDifference, State, differences, percent};
use crate::crossover::{Between, crossover};
use crate::curves::Curves;
use crate::names::{is_kube_proxy, metric, position, walks_one_rule_per_service, workload};
use crate::record::{Record, Unit};
use crate::text::{services, thousands};

const FEW: u32 = 1_000;
const MANY: u32 = 5_000;
const LOOKUP: &str = "lookup of the last Service";
const CONNECTION: &str = "a whole connection to it";

/// What is compared: a lookup, which is where modes can differ, and a whole connection, which is what a client sees of it.
struct ModeCosts<'a> {
    what: &'static str,
    plot: &'static str,
    workload: &'static str,
    metric: &'static str,
    curves: Curves<'a>,
    differences: Vec<ModeDifference<'a>>,
}

/// What all pairs at all scales asked for say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Differ,
    Same,
    Unclear,
    Absent,
}

impl<'a> ModeCosts<'a> {
    fn all(lane: &Evidence<'a>, wanted: impl Fn(u32) -> bool + Copy) -> Vec<Self> {
        let figures = [
            (LOOKUP, "lookup", workload::PACKET_PROBE, metric::LOOKUP_FIRST_PACKET),
            (CONNECTION, "connect", workload::TCP_CRR, metric::RESPONSE_TIME),
        ];
        figures
            .into_iter()
            .filter_map(|(what, plot, workload, metric)| {
                let curves = Curves::of(lane.groups, workload, metric, position::LAST, Record::p50)?;
                let floor = curves.floor();
                let curves = curves.keep(is_kube_proxy);
                let differences = differences(&curves, floor, wanted);
                Some(ModeCosts { what, plot, workload, metric, curves, differences })
            })
            .collect()
    }

    /// Of the largest difference: `lookup of the last Service at 100 Services: iptables-nft 2.19 µs, nftables 1.3 µs, +68% [60, 75]`.
    fn largest(&self, lane: &Evidence<'_>) -> Option<String> {
        let most = |state: Option<State>| {
            let those = self.differences.iter().filter(move |d| state.is_none_or(|state| d.state == state));
            those.max_by(|a, b| a.share.total_cmp(&b.share))
        };
        // What is shown comes before what might be more.
        let found = most(Some(State::Differ)).or_else(|| most(None))?;
        let quantity = lane.quantity(Unit::Ns);
        let [low, high] = found.values.map(|value| quantity.show(value));
        let [cheaper, costlier] = found.modes;
        Some(format!(
            "{} at {}: {costlier} {high}, {cheaper} {low}, {}",
            self.what,
            services(found.services),
            percent(found.share, found.interval)
        ))
    }

    fn figures(&self) -> Vec<MeasuredValue> {
        self.differences
            .iter()
            .map(|found| {
                let [cheaper, costlier] = found.modes;
                let what =
                    format!("{}: {costlier} over {cheaper} at {}", self.what, services(found.services));
                let interval = found.interval.map(|interval| crate::stats::Interval {
                    low: interval.low + 1.0,
                    high: interval.high + 1.0,
                });
                MeasuredValue::new(what, "ratio", found.share + 1.0, interval, found.blocks)
            })
            .collect()
    }

    fn shown(&self, lane: &Evidence<'_>) -> Reference {
        Reference {
            plot: lane.plot(self.plot),
            workload: self.workload,
            metric: self.metric,
            modes: self.curves.names(),
            services: self.curves.scales(),
        }
    }

    fn has(&self, state: State) -> bool {
        self.differences.iter().any(|found| found.state == state)
    }
}

/// "Below 1,000 Services the modes do not differ": folklore after benchmarks of whole connections, such as those that compare
/// iptables and IPVS by response time.
///
/// Rule: at every scale measured below 1,000, every pair of kube-proxy's modes is compared by the p50 of lookups of the last Service
/// and by that of whole connections to it, by blocks, with intervals that hold together (Bonferroni). A pair differs if its
/// interval leaves out zero and the difference exceeds 10% and the A/A floor; it is the same if its interval lies within 10%.
/// Holds if all lookups are the same. Does not hold if a lookup and a whole connection differ, or a lookup does and connections
/// were not measured. Depends on what is looked at if a lookup differs and all connections are the same, or it is not shown that
/// any differs.
pub(super) fn equal_below(lane: &Evidence<'_>) -> Option<LaneVerdict> {
    let all = ModeCosts::all(lane, |services| (1..FEW).contains(&services));
    let answer = |what: &str| {
        let found = all.iter().find(|compared| compared.what == what);
        match found.filter(|compared| !compared.differences.is_empty()) {
            None => Answer::Absent,
            Some(compared) if compared.has(State::Differ) => Answer::Differ,
            Some(compared) if compared.has(State::Unclear) => Answer::Unclear,
            Some(_) => Answer::Same,
        }
    };
    let verdict = match (answer(LOOKUP), answer(CONNECTION)) {
        (Answer::Differ, Answer::Differ | Answer::Absent) => ClaimVerdict::DoesNotHold,
        (Answer::Differ, Answer::Same) => ClaimVerdict::Depends {
            on: "what is looked at: lookups differ, whole connections by less than 10%".into(),
        },
        (Answer::Differ, Answer::Unclear) => ClaimVerdict::Depends {
            on: "what is looked at: lookups differ; that whole connections do is not shown".into(),
        },
        (Answer::Same, Answer::Same | Answer::Absent) => ClaimVerdict::Holds,
        (Answer::Absent, _) => {
            return missing(lane, &format!("a scale below {} in services", thousands(FEW)));
        }
        _ => ClaimVerdict::NotShown {
            missing: "narrower intervals: more blocks in [lookup] and [connect]".into(),
        },
    };
    let mut parts: Vec<String> = all.iter().filter_map(|compared| compared.largest(lane)).collect();
    parts.extend(crossings(lane));
    Some(settled(lane, verdict, &all, parts))
}

/// "Above 5,000 Services the modes differ".
///
/// Rule: compared as in [`equal_below`]. Holds if at every scale measured from 5,000 on some pair differs in lookups and some in
/// whole connections. Depends if lookups differ and connections were not measured or are not shown to. Does not hold if all pairs
/// are the same in both.
pub(super) fn differ_above(lane: &Evidence<'_>) -> Option<LaneVerdict> {
    let all = ModeCosts::all(lane, |services| services >= MANY);
    let answer = |what: &str| {
        let found = all.iter().find(|compared| compared.what == what);
        let Some(compared) = found.filter(|compared| !compared.differences.is_empty()) else {
            return Answer::Absent;
        };
        let scales: std::collections::BTreeSet<u32> =
            compared.differences.iter().map(|d| d.services).collect();
        let differs = |services: &u32| {
            compared.differences.iter().any(|d| d.services == *services && d.state == State::Differ)
        };
        if scales.iter().all(differs) {
            Answer::Differ
        } else if compared.differences.iter().all(|found| found.state == State::Same) {
            Answer::Same
        } else {
            Answer::Unclear
        }
    };
    let verdict = match (answer(LOOKUP), answer(CONNECTION)) {
        (Answer::Differ, Answer::Differ) => ClaimVerdict::Holds,
        (Answer::Differ, Answer::Same) => ClaimVerdict::Depends {
            on: "what is looked at: lookups differ, whole connections by less than 10%".into(),
        },
        (Answer::Differ, Answer::Absent) => ClaimVerdict::Depends {
            on: "what is looked at: lookups differ; whole connections were not measured".into(),
        },
        (Answer::Differ, Answer::Unclear) => ClaimVerdict::Depends {
            on: "what is looked at: lookups differ; that whole connections do is not shown".into(),
        },
        (Answer::Same, Answer::Same | Answer::Absent) => ClaimVerdict::DoesNotHold,
        (Answer::Absent, _) => {
            return missing(
                lane,
                &format!("a scale of {} or more in services, and two modes", thousands(MANY)),
            );
        }
        _ => ClaimVerdict::NotShown {
            missing: "narrower intervals: more blocks in [lookup] and [connect]".into(),
        },
    };
    let mut parts: Vec<String> = all.iter().filter_map(|compared| compared.largest(lane)).collect();
    parts.extend(crossings(lane));
    Some(settled(lane, verdict, &all, parts))
}

/// The lane has lookups of Services, but not where they are asked for.
fn missing(lane: &Evidence<'_>, what: &str) -> Option<LaneVerdict> {
    let any = ModeCosts::all(lane, |_| true).iter().any(|compared| !compared.differences.is_empty());
    any.then(|| lane.not_shown(what))
}

/// Where each mode that walks a list overtakes each that does not, in lookups of the last Service.
fn crossings(lane: &Evidence<'_>) -> Vec<String> {
    let found = Curves::of(
        lane.groups,
        workload::PACKET_PROBE,
        metric::LOOKUP_FIRST_PACKET,
        position::LAST,
        Record::p50,
    );
    let Some(curves) = found.map(|curves| curves.keep(is_kube_proxy)) else { return Vec::new() };
    let (walking, others): (Vec<_>, Vec<_>) =
        curves.modes.iter().partition(|(mode, _)| walks_one_rule_per_service(mode));
    let mut parts = Vec::new();
    for (walks, ours) in &walking {
        for (other, theirs) in &others {
            parts.extend(crossover(ours, theirs, Between::Lines).map(|found| found.in_words(walks, other)));
        }
    }
    parts
}

fn settled(
    lane: &Evidence<'_>,
    verdict: ClaimVerdict,
    all: &[ModeCosts<'_>],
    parts: Vec<String>,
) -> LaneVerdict {
    let compared = all.iter().filter(|compared| !compared.differences.is_empty());
    let figures = compared.clone().flat_map(ModeCosts::figures).collect();
    let shown = compared.map(|compared| compared.shown(lane)).collect();
    lane.settled(verdict, parts.join("; "), figures, shown)
}
