//! How long it takes to add one Service: three different figures.

use super::claim::{ClaimVerdict, LaneVerdict, MeasuredValue, Reference};
use super::evidence::Evidence;
use super::measure::{at, estimate, shown, why_lost};
use crate::crossover::Curve;
use crate::curves::{Curves, medians};
use crate::names::{IPVS_BATCHED, metric, position, walks_one_rule_per_service, workload};
use crate::record::{Clock, Record, Unit};
use crate::text::{Quantity, services, thousands};

const MINUTE: f64 = 60e9;
const HOUR: f64 = 3_600e9;
/// One block has no interval: then only a figure that is this far from a limit is said to be on one side of it.
const FAR: f64 = 10.0;
/// What stays within this factor while Services multiply by [`RANGE`] at least is called constant.
const CONSTANT: f64 = 2.0;
const RANGE: u32 = 10;

fn times<'a>(lane: &Evidence<'a>, workload: &'static str) -> Option<Curves<'a>> {
    Curves::of(lane.groups, workload, metric::APPLY, position::NONE, Record::p50)
}

/// "Adding one Service takes minutes at 5,000 Services": after a talk of Xie and Hoole at KubeCon Europe 2017, "Scale Kubernetes to
/// Support 50,000 Services", which gives such times for one rule, without saying how it was added.
///
/// Rule, in wall time: an append (one `iptables -A`) and the partial sync that adds a Service, at 5,000 Services or between the
/// scales around it. Holds if one of them takes a minute or more in an iptables mode, does not hold if none does: by the 95% interval,
/// or, with one block, by a factor of ten. So many appends one after another are calculated beside it from the appends measured, as
/// that is what the figures of the talk look like; nobody adds one Service so.
pub(super) fn minutes_at_5_000(lane: &Evidence<'_>) -> Option<LaneVerdict> {
    takes(lane, 5_000, MINUTE, "a minute")
}

/// "... and hours at 20,000": the same at 20,000 Services, and an hour.
pub(super) fn hours_at_20_000(lane: &Evidence<'_>) -> Option<LaneVerdict> {
    takes(lane, 20_000, HOUR, "an hour")
}

/// Whether a time at a scale exceeds a limit; `None` if that is not known.
fn exceeds(curve: &Curve<'_>, services: u32, limit: f64) -> Option<(f64, Option<bool>)> {
    let value = at(&medians(curve), services)?;
    let measured = curve.get(&services).and_then(estimate);
    let side = match measured.and_then(|estimate| estimate.interval) {
        Some(interval) if interval.low >= limit => Some(true),
        Some(interval) if interval.high < limit => Some(false),
        Some(_) => None,
        None if value >= FAR * limit => Some(true),
        None if value * FAR < limit => Some(false),
        None => None,
    };
    Some((value, side))
}

fn takes(lane: &Evidence<'_>, scale: u32, limit: f64, word: &str) -> Option<LaneVerdict> {
    let figures = [
        (workload::APPEND, "one append"),
        (workload::PARTIAL_SYNC_ADD_SERVICE, "the sync that adds a Service"),
    ];
    let curves: Vec<_> = figures
        .into_iter()
        .filter_map(|(workload, what)| {
            let curves = times(lane, workload)?.keep(walks_one_rule_per_service);
            (!curves.modes.is_empty()).then_some((workload, what, curves))
        })
        .collect();
    let largest = curves.iter().flat_map(|(_, _, curves)| curves.scales()).max()?;
    if lane.clock() == Clock::Instructions {
        return Some(
            lane.not_shown("time: this lane counts instructions; measure on the host, by the wall clock"),
        );
    }
    let quantity = lane.quantity(Unit::Ns);
    let (mut parts, mut found, mut sides) = (Vec::new(), Vec::new(), Vec::new());
    for (_, what, curves) in &curves {
        for (mode, curve) in &curves.modes {
            let Some((value, side)) = exceeds(curve, scale, limit) else { continue };
            let text = curve.get(&scale).map_or_else(
                || format!("{}, between the scales around", quantity.show(value)),
                |blocks| shown(quantity, blocks),
            );
            parts.push(format!("{what} takes {text} in {mode}"));
            let estimate = curve.get(&scale).and_then(estimate);
            let interval = estimate.and_then(|estimate| estimate.interval);
            let blocks = estimate.map_or(1, |estimate| estimate.n);
            found.push(MeasuredValue::new(
                format!("{mode}: {what} at {}", services(scale)),
                "ns",
                value,
                interval,
                blocks,
            ));
            sides.push(side);
        }
    }
    let of = |workload, curves: &Curves<'_>| Reference {
        plot: lane.plot("sync"),
        workload,
        metric: metric::APPLY,
        modes: curves.names(),
        services: curves.scales(),
    };
    let shown_by = curves.iter().map(|(workload, _, curves)| of(workload, curves)).collect();
    if sides.is_empty() {
        let missing = format!(
            "{} in services; the largest scale measured is {}, and nothing is said beyond it",
            thousands(scale),
            thousands(largest)
        );
        let mut settled = lane.not_shown(missing);
        settled.measured = at_the_largest(quantity, &curves);
        settled.shown_by = shown_by;
        return Some(settled);
    }
    let verdict = if sides.contains(&Some(true)) {
        ClaimVerdict::Holds
    } else if sides.iter().all(|side| *side == Some(false)) {
        ClaimVerdict::DoesNotHold
    } else {
        ClaimVerdict::NotShown {
            missing: format!("an interval that tells whether it is {word}: more blocks in [sync]"),
        }
    };
    if let Some((_, _, appends)) = curves.iter().find(|(workload, ..)| *workload == workload::APPEND) {
        parts.extend(appends.modes.iter().filter_map(|(mode, curve)| {
            let all = one_after_another(&medians(curve), scale)?;
            let (count, all) = (thousands(scale), long(quantity, all));
            Some(format!("{count} appends one after another would take {all} in {mode} (reckoned from appends measured)"))
        }));
    }
    Some(lane.settled(verdict, parts.join("; "), found, shown_by))
}

fn at_the_largest(quantity: Quantity, curves: &[(&str, &str, Curves<'_>)]) -> String {
    let mut parts = Vec::new();
    for (_, what, curves) in curves {
        parts.extend(curves.modes.iter().filter_map(|(mode, curve)| {
            let (services, blocks) = curve.last_key_value()?;
            Some(format!("{what} takes {} in {mode} at {}", shown(quantity, blocks), thousands(*services)))
        }));
    }
    parts.join("; ")
}

/// A wall time, in minutes or hours where these are easier to grasp.
fn long(quantity: Quantity, nanoseconds: f64) -> String {
    let (minutes, hours) = (nanoseconds / MINUTE, nanoseconds / HOUR);
    match nanoseconds {
        t if t >= 2.0 * HOUR => format!("{hours:.1} hours"),
        t if t >= 2.0 * MINUTE => format!("{minutes:.0} minutes"),
        t => quantity.show(t),
    }
}

/// What as many appends as `count` take, each at the size that those before have made: the area under straight lines through
/// `points`, with the smallest scale's value below it. None beyond the largest.
fn one_after_another(points: &[(u32, f64)], count: u32) -> Option<f64> {
    let (smallest, first) = *points.first()?;
    if points.last()?.0 < count {
        return None;
    }
    let mut area = f64::from(smallest.min(count)) * first;
    for pair in points.windows(2) {
        let [(n0, y0), (n1, y1)] = [pair[0], pair[1]];
        if n0 >= count {
            break;
        }
        let until = n1.min(count);
        let share = f64::from(until - n0) / f64::from(n1 - n0);
        area += f64::from(until - n0) * (y0 + share * (y1 - y0) / 2.0);
    }
    Some(area)
}

/// "... constant in IPVS": one virtual server is one message (`IPVS_CMD_NEW_SERVICE`) into a hash table; kube-proxy's IPVS mode,
/// however, reads and compares all Services, ipsets and addresses at every sync (`syncProxyRules` in pkg/proxy/ipvs).
///
/// Rule, for one virtual server added and for the sync that adds a Service, in `ipvs` (as kube-proxy does it) and `ipvs-batched` (the
/// best that the kernel allows): constant if no scale costs twice as much as another while Services multiply by ten at least.
/// Holds if all are constant, does not hold if none is, else depends on who programs it. Without the sync of `ipvs` nothing is
/// shown: that is what adds a Service. Two is far beyond what one block scatters.
pub(super) fn constant_in_ipvs(lane: &Evidence<'_>) -> Option<LaneVerdict> {
    let is_ipvs = |mode: &str| mode == "ipvs" || mode == IPVS_BATCHED;
    let wanted = [
        (workload::APPEND, "one virtual server"),
        (workload::PARTIAL_SYNC_ADD_SERVICE, "the sync that adds a Service"),
    ];
    let quantity = lane.quantity(Unit::Ns);
    let (mut parts, mut figures, mut constant, mut shown_by) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut short, mut synced) = (false, false);
    for (name, what) in wanted {
        let Some(curves) =
            times(lane, name).map(|curves| curves.keep(is_ipvs)).filter(|curves| !curves.modes.is_empty())
        else {
            continue;
        };
        for (mode, curve) in &curves.modes {
            let points = medians(curve);
            let (Some((few, low)), Some((many, high))) = (points.first().copied(), points.last().copied())
            else {
                continue;
            };
            if many < few.saturating_mul(RANGE) {
                short = true;
                continue;
            }
            let least = points.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
            let most = points.iter().map(|point| point.1).fold(0.0, f64::max);
            constant.push(most < CONSTANT * least);
            synced |= *mode == "ipvs" && name == workload::PARTIAL_SYNC_ADD_SERVICE;
            parts.push(format!(
                "{what} takes {} at {} and {} at {} in {mode}",
                quantity.show(low),
                thousands(few),
                quantity.show(high),
                services(many)
            ));
            let what = format!(
                "{mode}: {what}, dearest scale over cheapest, {} to {}",
                thousands(few),
                services(many)
            );
            let blocks = curve.values().map(std::collections::BTreeMap::len).min().unwrap_or(0);
            figures.push(MeasuredValue::new(what, "ratio", most / least, None, blocks));
        }
        shown_by.push(Reference {
            plot: lane.plot("sync"),
            workload: name,
            metric: metric::APPLY,
            modes: curves.names(),
            services: curves.scales(),
        });
    }
    if constant.is_empty() {
        if short {
            return Some(
                lane.not_shown("services that multiply by ten at least, from the smallest to the largest"),
            );
        }
        let why = why_lost(lane, "ipvs", &[workload::APPEND, workload::PARTIAL_SYNC_ADD_SERVICE])?;
        return Some(lane.not_shown(format!("{why}; --kernel guest measures IPVS in a guest")));
    }
    let verdict = if !synced {
        ClaimVerdict::NotShown {
            missing: "the sync that adds a Service: add-service in [sync], ipvs in modes".to_owned(),
        }
    } else if constant.iter().all(|is| *is) {
        ClaimVerdict::Holds
    } else if constant.iter().any(|is| *is) {
        let on =
            "who programs it: the kernel's part is constant, kube-proxy compares everything at every sync";
        ClaimVerdict::Depends { on: on.to_owned() }
    } else {
        ClaimVerdict::DoesNotHold
    };
    Some(lane.settled(verdict, parts.join("; "), figures, shown_by))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_add_up() {
        // 1 ms per Service installed: 1 + 2 + ... + 100 ms is 5,050; the area, from 10 on a trapezium, is 5,045 and 10 x 10 - 50 more.
        let points = [(10, 10.0), (50, 50.0), (100, 100.0)];
        assert_eq!(one_after_another(&points, 100), Some(100.0 + 40.0 * 30.0 + 50.0 * 75.0));
        assert_eq!(one_after_another(&points, 75), Some(100.0 + 40.0 * 30.0 + 25.0 * 62.5));
        assert_eq!(one_after_another(&points, 5), Some(50.0));
        assert_eq!(one_after_another(&points, 101), None);
        assert_eq!(one_after_another(&[], 1), None);
    }
}
