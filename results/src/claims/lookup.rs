//! Whether lookups grow with the number of Services.

use super::claim::{ClaimVerdict, LaneVerdict, MeasuredValue, Reference};
use super::evidence::Evidence;
use super::measure::{ALIKE, LEAST_BLOCKS, why_lost};
use crate::curves::{Curves, medians, middle};
use crate::findings::Finding;
use crate::names::{IPVS_BATCHED, metric, position, walks_one_rule_per_service, workload};
use crate::record::{Record, Unit};
use crate::stats::Slope;
use crate::text::{listed, thousands};

/// Where the cost beyond that of the first Service grows by more than this power of N between two scales, it is said to grow
/// faster than in proportion.
const FASTER: f64 = 1.25;

/// What a slope says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trend {
    /// Up by more over the range than [`ALIKE`] and the A/A floor allow.
    Rises,
    /// Within that over the whole range.
    Flat,
    Undecided,
    TooFewBlocks,
}

fn trend(slope: &Slope, floor: f64) -> Trend {
    let Some(interval) = slope.interval.filter(|_| slope.n >= LEAST_BLOCKS) else {
        return Trend::TooFewBlocks;
    };
    let span = slope.range.1 - slope.range.0;
    let allowed = ALIKE.max(floor) * slope.intercept.max(0.0);
    if interval.low * span > allowed {
        Trend::Rises
    } else if interval.low.abs().max(interval.high.abs()) * span < allowed {
        Trend::Flat
    } else {
        Trend::Undecided
    }
}

/// "iptables lookup is O(n)": kube-proxy's KUBE-SERVICES has one rule per Service and address, and the kernel walks a chain rule
/// by rule (`ipt_do_table` in net/ipv4/netfilter/ip_tables.c, `nft_do_chain` in net/netfilter/nf_tables_core.c).
///
/// Rule: holds if, in every iptables mode measured, the 95% interval of the slope over positions means a rise over the range that
/// exceeds both 10% of the cost at position 0 and the A/A floor (what controls differ by between scales). Does not hold if the
/// whole interval lies within that in all of them. From three blocks on. Where growth between two scales exceeds N^1.25 it is
/// named: the number of rules passed is then not all that grows.
pub(super) fn iptables_is_linear(lane: &Evidence<'_>) -> Option<LaneVerdict> {
    let found = with_slopes(lane, walks_one_rule_per_service)?;
    let mut parts: Vec<String> = found.iter().map(|(finding, _)| in_words(lane, finding)).collect();
    parts.extend(found.iter().filter_map(|(finding, _)| faster_than_linear(lane, &finding.mode)));
    let all = |trend: Trend| found.iter().all(|(_, of)| *of == trend);
    let verdict = if all(Trend::Rises) {
        ClaimVerdict::Holds
    } else if all(Trend::Flat) {
        ClaimVerdict::DoesNotHold
    } else if found.iter().any(|(_, trend)| *trend == Trend::TooFewBlocks) {
        too_few_blocks()
    } else {
        undecided(&found, Trend::Rises)
    };
    Some(settled(lane, verdict, &found, parts))
}

/// "IPVS lookup is O(1)": IPVS finds virtual servers in a hash table (`ip_vs_svc_table`, net/netfilter/ipvs/ip_vs_ctl.c).
///
/// Rule: holds if the 95% interval of the slope over positions, times the largest N measured, lies within 10% of the cost at
/// position 0 or within the A/A floor, whichever is more; does not hold if its lower end exceeds that. From three blocks on.
pub(super) fn ipvs_is_constant(lane: &Evidence<'_>) -> Option<LaneVerdict> {
    let Some(found) = with_slopes(lane, |mode| mode == "ipvs") else {
        return why_lost(lane, "ipvs", &[workload::PACKET_PROBE])
            .map(|why| lane.not_shown(format!("{why}; --kernel guest measures IPVS in a guest")));
    };
    let mut parts: Vec<String> = found.iter().map(|(finding, _)| in_words(lane, finding)).collect();
    let beside = with_slopes(lane, |mode| mode == "nftables").unwrap_or_default();
    parts.extend(beside.iter().map(|(finding, _)| format!("for comparison {}", in_words(lane, finding))));
    let verdict = match found.first().map(|(_, trend)| *trend)? {
        Trend::Flat => ClaimVerdict::Holds,
        Trend::Rises => ClaimVerdict::DoesNotHold,
        Trend::TooFewBlocks => too_few_blocks(),
        Trend::Undecided => undecided(&found, Trend::Flat),
    };
    Some(settled(lane, verdict, &found, parts))
}

fn too_few_blocks() -> ClaimVerdict {
    ClaimVerdict::NotShown { missing: format!("at least {LEAST_BLOCKS} blocks: blocks = 5 in [lookup]") }
}

fn undecided(found: &[(Finding, Trend)], wanted: Trend) -> ClaimVerdict {
    let modes: Vec<&str> = found
        .iter()
        .filter(|(_, trend)| *trend != wanted)
        .map(|(finding, _)| finding.mode.as_str())
        .collect();
    let those = listed(&modes);
    if found.iter().any(|(_, trend)| *trend == Trend::Undecided) {
        ClaimVerdict::NotShown {
            missing: format!("{those}: the interval is too wide; more blocks in [lookup], larger services"),
        }
    } else {
        ClaimVerdict::Depends { on: format!("the mode: {those} stays level") }
    }
}

/// Findings with a slope, of some modes; none if there are none.
fn with_slopes(lane: &Evidence<'_>, wanted: impl Fn(&str) -> bool) -> Option<Vec<(Finding, Trend)>> {
    let floor = first_packets(lane).map_or(0.0, |curves| curves.floor());
    let found: Vec<(Finding, Trend)> = lane
        .findings()
        .iter()
        .filter(|finding| wanted(&finding.mode) && finding.mode != IPVS_BATCHED)
        .filter_map(|finding| {
            let trend = trend(finding.slope.as_ref()?, floor);
            Some((finding.clone(), trend))
        })
        .collect();
    (!found.is_empty()).then_some(found)
}

fn first_packets<'a>(lane: &Evidence<'a>) -> Option<Curves<'a>> {
    Curves::of(lane.groups, workload::PACKET_PROBE, metric::LOOKUP_FIRST_PACKET, position::LAST, Record::p50)
}

/// `iptables-legacy +2.7 ns per rule [2.6, 2.8] over 10 to 10,000 Services`.
fn in_words(lane: &Evidence<'_>, finding: &Finding) -> String {
    let Some((rise, interval)) = finding.slope_in(lane.quantity(Unit::Ns)) else {
        return finding.mode.clone();
    };
    let sign = if finding.slope.is_some_and(|slope| slope.per_service > 0.0) { "+" } else { "" };
    let [(few, _), (many, _)] = finding.ends;
    let range = if few == many {
        format!("at {}", thousands(many))
    } else {
        format!("over {} to {}", thousands(few), thousands(many))
    };
    format!("{} {sign}{rise} per {}{interval} {range} Services", finding.mode, finding.per())
}

/// Where the cost of the last Service beyond that of the first grows faster than in proportion.
fn faster_than_linear(lane: &Evidence<'_>, mode: &str) -> Option<String> {
    let curves = first_packets(lane)?;
    let first = Curves::of(
        lane.groups,
        workload::PACKET_PROBE,
        metric::LOOKUP_FIRST_PACKET,
        position::FIRST,
        Record::p50,
    )?;
    let first = first.get(mode)?;
    let beyond: Vec<(u32, f64, f64)> = medians(curves.get(mode)?)
        .into_iter()
        .filter_map(|(services, last)| Some((services, last, last - first.get(&services).and_then(middle)?)))
        // A list that costs less than its way in says nothing about how it grows.
        .filter(|(_, last, beyond)| *beyond > 0.5 * last)
        .collect();
    let (from, to, factor) = beyond
        .windows(2)
        .filter_map(|pair| {
            let [(n0, _, y0), (n1, _, y1)] = [pair[0], pair[1]];
            let (more, factor) = (f64::from(n1) / f64::from(n0), y1 / y0);
            (factor.ln() / more.ln() > FASTER).then_some((n0, n1, factor))
        })
        .next_back()?;
    let more = f64::from(to) / f64::from(from);
    Some(format!(
        "{mode} grows faster than in proportion from {} to {} Services: ×{factor:.1} for ×{more:.1}",
        thousands(from),
        thousands(to)
    ))
}

fn settled(
    lane: &Evidence<'_>,
    verdict: ClaimVerdict,
    found: &[(Finding, Trend)],
    parts: Vec<String>,
) -> LaneVerdict {
    let figures = found
        .iter()
        .filter_map(|(finding, _)| {
            let slope = finding.slope?;
            let what = format!("{}: rise per {}", finding.mode, finding.per());
            Some(MeasuredValue::new(what, lane.tick(), slope.per_service, slope.interval, slope.n))
        })
        .collect();
    let shown = Reference {
        plot: lane.plot("lookup"),
        workload: workload::PACKET_PROBE,
        metric: metric::LOOKUP_FIRST_PACKET,
        modes: found.iter().map(|(finding, _)| finding.mode.clone()).collect(),
        services: first_packets(lane).map(|curves| curves.scales()).unwrap_or_default(),
    };
    lane.settled(verdict, parts.join("; "), figures, vec![shown])
}
