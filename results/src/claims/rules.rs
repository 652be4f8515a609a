//! How many rules a node has: exact counts.

use std::collections::{BTreeMap, BTreeSet};

use super::claim::{ClaimVerdict, LaneVerdict, MeasuredValue, Reference};
use super::evidence::Evidence;
use super::measure::why_lost;
use crate::curves::middle;
use crate::names::{is_kube_proxy, metric, walks_one_rule_per_service, workload};
use crate::record::Record;
use crate::text::{Quantity, listed, services, thousands};

/// A count that is this near to another is the same to people who quote it.
const NEAR: f64 = 0.05;

/// Rules of one mode: by Services and endpoints, exact.
type Counts = BTreeMap<(u32, u32), i64>;

/// How the rules of a mode follow Services and endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Law {
    /// fixed + services (each + endpoint x M), exactly at every point.
    Exact { fixed: i64, each: i64, endpoint: i64 },
    /// fixed + services x each, exactly, at the only M measured.
    AtOne { fixed: i64, each: i64, endpoints: u32 },
    /// Something else.
    Other,
}

impl Law {
    fn of(counts: &Counts) -> Option<Law> {
        let endpoints: BTreeSet<u32> = counts.keys().map(|(_, endpoints)| *endpoints).collect();
        let whole = |up: i64, over: i64| (over != 0 && up % over == 0).then(|| up / over);
        // Rules per Service and what is fixed, at one number of endpoints with two scales.
        let line = |m: u32| {
            let mut of = counts.iter().filter(|((_, endpoints), _)| *endpoints == m);
            let ((n0, _), r0) = of.next()?;
            let ((n1, _), r1) = of.next_back()?;
            let each = whole(r1 - r0, i64::from(*n1) - i64::from(*n0))?;
            Some((r0 - each * i64::from(*n0), each))
        };
        let lines: Vec<(u32, i64, i64)> =
            endpoints.iter().filter_map(|m| line(*m).map(|(fixed, each)| (*m, fixed, each))).collect();
        let (m0, fixed, each0) = *lines.first()?;
        if endpoints.len() == 1 {
            let fits = |((n, _), rules): (&(u32, u32), &i64)| *rules == fixed + each0 * i64::from(*n);
            let law = Law::AtOne { fixed, each: each0, endpoints: m0 };
            return Some(if counts.iter().all(fits) { law } else { Law::Other });
        }
        let (m1, _, each1) = *lines.last()?;
        let Some(endpoint) = whole(each1 - each0, i64::from(m1) - i64::from(m0)) else {
            return Some(Law::Other);
        };
        let each = each0 - endpoint * i64::from(m0);
        let fits = |((n, m), rules): (&(u32, u32), &i64)| {
            *rules == fixed + i64::from(*n) * (each + endpoint * i64::from(*m))
        };
        Some(if counts.iter().all(fits) { Law::Exact { fixed, each, endpoint } } else { Law::Other })
    }

    fn in_words(self) -> Option<String> {
        let count = |value: i64| thousands(value.unsigned_abs());
        match self {
            Law::Exact { fixed, each, endpoint } => Some(format!(
                "{} + Services × ({} + {} × endpoints)",
                count(fixed),
                count(each),
                count(endpoint)
            )),
            Law::AtOne { fixed, each: 0, .. } => Some(format!("{} at any number of Services", count(fixed))),
            Law::AtOne { fixed, each, endpoints } => Some(format!(
                "{} + {} × Services at {} endpoints each",
                count(fixed),
                count(each),
                thousands(endpoints)
            )),
            Law::Other => None,
        }
    }

    /// Whether the number of rules does not follow the number of Services.
    fn is_constant(self) -> bool {
        matches!(self, Law::AtOne { each: 0, .. } | Law::Exact { each: 0, endpoint: 0, .. })
    }
}

/// Exact counts of one metric over cold syncs, by mode in report order.
fn counts<'a>(lane: &Evidence<'a>, name: &'static str) -> Vec<(&'a str, Counts)> {
    let mut modes: Vec<(&str, Counts)> = Vec::new();
    for (key, group) in lane.groups.of(workload::FULL_SYNC_COLD, name) {
        let Some(count) = middle(&group.per_block(Record::p50)).filter(|_| key.services > 0) else {
            continue;
        };
        let point = ((key.services, key.endpoints), count.round() as i64);
        match modes.last_mut().filter(|(mode, _)| *mode == key.mode) {
            Some((_, counts)) => drop(counts.insert(point.0, point.1)),
            None => modes.push((key.mode, Counts::from([point]))),
        }
    }
    modes
}

/// Rules for each endpoint of each Service at the largest scale.
fn per_endpoint(counts: &Counts) -> Option<f64> {
    let ((services, endpoints), rules) = counts.last_key_value()?;
    let product = f64::from(*services) * f64::from(*endpoints);
    (product > 0.0).then(|| *rules as f64 / product)
}

fn shown(found: &[(&str, Counts)]) -> Reference {
    let scales: BTreeSet<u32> = found.iter().flat_map(|(_, counts)| counts.keys().map(|(n, _)| *n)).collect();
    Reference {
        plot: None,
        workload: workload::FULL_SYNC_COLD,
        metric: metric::RULES,
        modes: found.iter().map(|(mode, _)| (*mode).to_owned()).collect(),
        services: scales.into_iter().collect(),
    }
}

/// "Rules per node = Services x endpoints".
///
/// Rule, from exact counts at the largest scale: holds if every iptables mode has within 5% as many rules as Services times endpoints.
/// Where the number follows Services exactly but by another factor it depends on what is counted, and on the mode; it does not
/// hold where no mode's rules follow the number of Services. The law is named where it fits every point without a remainder.
pub(super) fn product(lane: &Evidence<'_>) -> Option<LaneVerdict> {
    let found: Vec<_> =
        counts(lane, metric::RULES).into_iter().filter(|(mode, _)| is_kube_proxy(mode)).collect();
    let ratios: Vec<(&str, f64)> =
        found.iter().filter_map(|(mode, counts)| Some((*mode, per_endpoint(counts)?))).collect();
    if ratios.is_empty() {
        return None;
    }
    let iptables: Vec<f64> =
        ratios.iter().filter(|(mode, _)| walks_one_rule_per_service(mode)).map(|(_, ratio)| *ratio).collect();
    let constant: Vec<&str> = found
        .iter()
        .filter(|(_, counts)| Law::of(counts).is_some_and(Law::is_constant))
        .map(|(mode, _)| *mode)
        .collect();
    let factors: Vec<String> = ratios
        .iter()
        .filter(|(mode, _)| !constant.contains(mode))
        .map(|(mode, ratio)| format!("{ratio:.1} in {mode}"))
        .collect();
    let verdict = if iptables.is_empty() {
        ClaimVerdict::NotShown { missing: "iptables-legacy or iptables-nft in modes".to_owned() }
    } else if iptables.iter().all(|ratio| (ratio - 1.0).abs() <= NEAR) {
        ClaimVerdict::Holds
    } else if factors.is_empty() {
        ClaimVerdict::DoesNotHold
    } else {
        let none = if constant.is_empty() {
            String::new()
        } else {
            format!("; those of {} do not follow Services", listed(&constant))
        };
        ClaimVerdict::Depends {
            on: format!("the mode: rules for each endpoint are {}{none}", listed(&factors)),
        }
    };
    let mut parts: Vec<String> = Vec::new();
    for (mode, counts) in &found {
        let Some(((n, m), rules)) = counts.last_key_value() else { continue };
        let law = Law::of(counts).and_then(Law::in_words).map(|law| format!(" ({law})")).unwrap_or_default();
        let rules = Quantity::Count.show(*rules as f64);
        parts.push(format!("{mode} has {rules} rules at {} × {}{law}", thousands(*n), thousands(*m)));
    }
    let figures = ratios
        .iter()
        .map(|(mode, ratio)| {
            MeasuredValue::new(format!("{mode}: rules over Services × endpoints"), "ratio", *ratio, None, 1)
        })
        .collect();
    Some(lane.settled(verdict, parts.join("; "), figures, vec![shown(&found)]))
}

/// "IPVS still needs iptables, but a constant number of rules": masquerading and node ports are iptables rules that match
/// whole ipsets (pkg/proxy/ipvs/README.md, "When IPVS falls back to iptables").
///
/// Rule, from exact counts: holds if the rules of `ipvs` are more than none and the same at every scale measured, two at least; does
/// not hold otherwise. What grows instead stands beside it: entries of ipsets, virtual and real servers.
pub(super) fn constant_in_ipvs(lane: &Evidence<'_>) -> Option<LaneVerdict> {
    let found: Vec<_> = counts(lane, metric::RULES).into_iter().filter(|(mode, _)| *mode == "ipvs").collect();
    let Some((_, rules)) = found.first() else {
        return why_lost(lane, "ipvs", &[workload::FULL_SYNC_COLD])
            .map(|why| lane.not_shown(format!("{why}; --kernel guest measures IPVS in a guest")));
    };
    let scales: BTreeSet<u32> = rules.keys().map(|(services, _)| *services).collect();
    let (Some(((few, _), low)), Some(((many, m), high))) = (rules.first_key_value(), rules.last_key_value())
    else {
        return None;
    };
    if scales.len() < 2 {
        return Some(lane.not_shown("two scales at least in services"));
    }
    let same = rules.values().all(|count| count == low);
    let verdict = if same && *low > 0 { ClaimVerdict::Holds } else { ClaimVerdict::DoesNotHold };
    let mut text = if same {
        format!(
            "ipvs has {} rules at {} to {}",
            thousands(low.unsigned_abs()),
            thousands(*few),
            services(*many)
        )
    } else {
        let [low, high] = [low, high].map(|count| thousands(count.unsigned_abs()));
        format!("ipvs has {low} rules at {} and {high} at {}", thousands(*few), services(*many))
    };
    let others = [
        (metric::CHAINS, "chains"),
        (metric::ELEMENTS, "entries of ipsets"),
        (metric::VIRTUAL_SERVERS, "virtual servers"),
        (metric::REAL_SERVERS, "real servers"),
    ];
    let beside: Vec<String> = others
        .into_iter()
        .filter_map(|(name, what)| {
            let all = counts(lane, name);
            let of = all.iter().find(|(mode, _)| *mode == "ipvs")?;
            let count = of.1.get(&(*many, *m))?;
            Some(format!("{} {what}", thousands(count.unsigned_abs())))
        })
        .collect();
    if !beside.is_empty() {
        text += &format!("; beside them, at {}: {}", thousands(*many), listed(&beside));
    }
    let figures = rules
        .iter()
        .map(|((n, _), count)| {
            MeasuredValue::new(format!("ipvs: rules at {}", services(*n)), "count", *count as f64, None, 1)
        })
        .collect();
    Some(lane.settled(verdict, text, figures, vec![shown(&found)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laws_are_found_without_a_remainder() {
        // kube-proxy's own: 23 fixed rules, and for each Service one in the list, one for masquerading and three per endpoint.
        let rules = |n: u32, m: u32| 23 + i64::from(n) * (2 + 3 * i64::from(m));
        let of = |points: &[(u32, u32)]| -> Counts {
            points.iter().map(|(n, m)| ((*n, *m), rules(*n, *m))).collect()
        };
        let one = Law::of(&of(&[(10, 10), (100, 10), (5_000, 10)])).unwrap();
        assert_eq!(one, Law::AtOne { fixed: 23, each: 32, endpoints: 10 });
        assert_eq!(one.in_words().unwrap(), "23 + 32 × Services at 10 endpoints each");
        let both = Law::of(&of(&[(10, 1), (100, 1), (10, 10), (100, 10), (50, 5)])).unwrap();
        assert_eq!(both.in_words().unwrap(), "23 + Services × (2 + 3 × endpoints)");
        let mut bent = of(&[(10, 10), (100, 10), (1_000, 10)]);
        bent.insert((100, 10), 5);
        assert_eq!(Law::of(&bent), Some(Law::Other));
        assert_eq!(Law::of(&of(&[(10, 10)])), None);
        assert!(Law::of(&Counts::from([((10, 10), 28), ((5_000, 10), 28)])).unwrap().is_constant());
    }
}
