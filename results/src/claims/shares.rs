//! Whether endpoints share traffic equally.

use super::claim::{ClaimVerdict, LaneVerdict, MeasuredValue, Reference};
use super::evidence::Evidence;
use crate::names::{metric, walks_one_rule_per_service, workload};
use crate::record::Record;
use crate::text::{listed, thousands};

/// The chance that equal shares are called unequal, over all labs of a lane together.
const LEVEL: f64 = 0.01;

/// One lab's check.
struct Share<'a> {
    mode: &'a str,
    services: u32,
    endpoints: u64,
    packets: f64,
    p_value: f64,
    /// Of the endpoint farthest from its share: by what part of it.
    farthest: f64,
}

/// "One endpoint in three gets 1/3 of the traffic although the rules say 0.333, 0.5, 1": each rule decides among those that are
/// left, so that all are equally likely (`-m statistic --mode random`, net/netfilter/xt_statistic.c).
///
/// Rule: before lookups are measured each lab sends packets of new flows to one Service and counts which endpoint got them. Holds if no
/// lab of an iptables mode has a chi-square p-value below 0.01 over the number of labs (Bonferroni); does not hold if one has, or if
/// a lab was refused because its shares were unequal. What unequal shares could have been missed follows from how far the farthest
/// endpoint was from its share.
pub(super) fn equal(lane: &Evidence<'_>) -> Option<LaneVerdict> {
    let all = shares(lane);
    let found: Vec<&Share<'_>> = all.iter().filter(|share| walks_one_rule_per_service(share.mode)).collect();
    let refused = lane
        .groups
        .map
        .iter()
        .filter(|(key, _)| walks_one_rule_per_service(key.mode))
        .flat_map(|(_, group)| &group.lost)
        .find(|row| row.note.contains("do not get equal shares"));
    if found.is_empty() && refused.is_none() {
        return None;
    }
    let limit = LEVEL / found.len().max(1) as f64;
    let least = found.iter().map(|share| share.p_value).fold(1.0, f64::min);
    let verdict =
        if refused.is_none() && least >= limit { ClaimVerdict::Holds } else { ClaimVerdict::DoesNotHold };
    let mut parts = Vec::new();
    let mut modes: Vec<&str> = found.iter().map(|share| share.mode).collect();
    modes.dedup();
    if let Some(one) = found.first() {
        let packets: f64 = found.iter().map(|share| share.packets).sum();
        let farthest = found.iter().map(|share| share.farthest).fold(0.0, f64::max);
        let endpoints = found.iter().map(|share| share.endpoints).min().unwrap_or(one.endpoints);
        parts.push(format!(
            "{} packets in {} labs of {}, each to one Service with {} endpoints: chi-square p {} or more (limit {}); no endpoint \
             farther than {:.0}% from its share",
            thousands(packets as u64),
            thousands(found.len() as u64),
            listed(&modes),
            thousands(endpoints),
            probability(least),
            probability(limit),
            100.0 * farthest
        ));
    }
    parts.extend(refused.map(|row| {
        let note: &str = &row.note;
        note.to_owned()
    }));
    let figures = found
        .iter()
        .map(|share| {
            let what = format!(
                "{}: chi-square p of equal shares, {} Services",
                share.mode,
                thousands(share.services)
            );
            MeasuredValue::new(what, "probability", share.p_value, None, 1)
        })
        .collect();
    let shown = Reference {
        plot: None,
        workload: workload::TRAFFIC_SHARES,
        metric: metric::SHARE_P_VALUE,
        modes: modes.iter().map(|mode| (*mode).to_owned()).collect(),
        services: found
            .iter()
            .map(|share| share.services)
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect(),
    };
    Some(lane.settled(verdict, parts.join("; "), figures, vec![shown]))
}

fn shares<'a>(lane: &Evidence<'a>) -> Vec<Share<'a>> {
    let mut found = Vec::new();
    for (key, group) in lane.groups.of(workload::TRAFFIC_SHARES, metric::SHARE_P_VALUE) {
        let packets =
            lane.groups.of(workload::TRAFFIC_SHARES, metric::ENDPOINT_PACKETS).find(|(other, _)| {
                (other.mode, other.services, other.endpoints) == (key.mode, key.services, key.endpoints)
            });
        // A resumed run has checked its labs again.
        for (p_value, row) in group
            .per_block(Record::p50)
            .into_values()
            .zip(packets.iter().flat_map(|(_, group)| &group.measured))
        {
            let (Some(min), Some(max), Some(mean)) = (row.min, row.max, row.mean) else { continue };
            let mean = mean.max(1) as f64;
            let farthest = (max as f64 / mean - 1.0).max(1.0 - min as f64 / mean);
            found.push(Share {
                mode: key.mode,
                services: key.services,
                endpoints: row.n,
                packets: mean * row.n as f64,
                p_value: p_value / 1e6,
                farthest,
            });
        }
    }
    found
}

fn probability(p: f64) -> String {
    if p >= 0.01 { format!("{p:.2}") } else { format!("{p:.4}") }
}
