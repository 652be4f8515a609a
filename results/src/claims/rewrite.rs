//! How much of the rules a change rewrites.

use super::claim::{ClaimVerdict, LaneVerdict, MeasuredValue, Reference};
use super::evidence::Evidence;
use super::measure::shown;
use crate::crossover::Curve;
use crate::curves::{Curves, medians, middle};
use crate::names::{metric, position, walks_one_rule_per_service, workload};
use crate::record::{Record, Unit};
use crate::text::{services, thousands};

/// From this share on, "everything" and "all" are what people mean.
const ALL: f64 = 0.9;
/// Below this scale the fixed part of the rules is too large a share of them.
const LEAST_SCALE: u32 = 100;

fn bytes<'a>(lane: &Evidence<'a>, workload: &'static str) -> Option<Curves<'a>> {
    Curves::of(lane.groups, workload, metric::BYTES, position::NONE, Record::p50)
}

/// Bytes of one mode at the largest scale that all of `curves` have.
fn at_largest<const N: usize>(curves: [&Curve<'_>; N]) -> Option<(u32, [f64; N])> {
    let first = curves.first()?;
    first.keys().rev().find_map(|services| {
        let mut found = [0.0; N];
        for (value, curve) in found.iter_mut().zip(curves) {
            *value = curve.get(services).and_then(middle)?;
        }
        Some((*services, found))
    })
}

/// What one mode sends when an endpoint is replaced.
struct Sent<'a> {
    mode: &'a str,
    services: u32,
    partial: f64,
    full: f64,
    /// Whether it grows with the number of Services.
    grows: bool,
}

/// "An iptables change rewrites everything".
///
/// Two things may be rewritten: what kube-proxy sends to `iptables-restore`, and what the kernel replaces. Up to 1.25 kube-proxy sent
/// all rules at every sync; since then it sends every line of KUBE-SERVICES but the chains of changed Services only
/// (KEP-3453, "Minimizing iptables-restore input size"). iptables-legacy replaces the whole table in the kernel, whatever the
/// change (`IPT_SO_SET_REPLACE`); iptables-nft replaces the chains that it is given.
///
/// Rule, from exact bytes at the largest scale with a cold and a partial sync: holds if replacing an endpoint sends at least 90% of
/// a full sync's bytes in all iptables modes. If it sends less, it depends on what is meant where these bytes grow with the
/// number of Services, and does not hold where they do not. The time of one appended rule stands beside it: it shows what the
/// kernel's part costs, and decides nothing.
pub(super) fn everything(lane: &Evidence<'_>) -> Option<LaneVerdict> {
    let (partial, full) =
        (bytes(lane, workload::PARTIAL_SYNC_REPLACE_ENDPOINT)?, bytes(lane, workload::FULL_SYNC_COLD));
    let partial = partial.keep(walks_one_rule_per_service);
    if partial.modes.is_empty() {
        return None;
    }
    let sent: Vec<Sent<'_>> = partial
        .modes
        .iter()
        .filter_map(|(mode, curve)| {
            let (services, [partial, full]) = at_largest([curve, full.as_ref()?.get(mode)?])?;
            let points = medians(curve);
            let ((few, low), (many, high)) = (*points.first()?, *points.last()?);
            let grows = many >= few.saturating_mul(2)
                && high - low > 0.5 * low * f64::from(many - few) / f64::from(many);
            Some(Sent { mode, services, partial, full, grows })
        })
        .collect();
    if sent.is_empty() {
        return Some(
            lane.not_shown("cold syncs at the same scale: operations cold and replace-endpoint in [sync]"),
        );
    }
    let all = |is: fn(&Sent<'_>) -> bool| sent.iter().all(is);
    let verdict = if all(|sent| sent.partial >= ALL * sent.full) {
        ClaimVerdict::Holds
    } else if all(|sent| sent.partial < ALL * sent.full && !sent.grows) {
        ClaimVerdict::DoesNotHold
    } else {
        let on = "what is meant: kube-proxy sends a line for every Service, but the chains of changed ones only; \
                  iptables-legacy hands the kernel the whole table, iptables-nft the chains that are sent";
        ClaimVerdict::Depends { on: on.to_owned() }
    };
    let quantity = lane.quantity(Unit::Bytes);
    let version = lane.kube_proxy();
    let version = if version.is_empty() { String::new() } else { format!(" {version}") };
    let mut parts: Vec<String> = sent
        .iter()
        .map(|sent| {
            format!(
                "kube-proxy{version} sends {:.1}% of a full sync's bytes in {} at {} ({} of {})",
                100.0 * sent.partial / sent.full,
                sent.mode,
                services(sent.services),
                quantity.show(sent.partial),
                quantity.show(sent.full)
            )
        })
        .collect();
    parts.extend(appended(lane));
    let mut figures: Vec<MeasuredValue> = Vec::new();
    for sent in &sent {
        let what = format!(
            "{}: bytes of an endpoint's change over a full sync's, {}",
            sent.mode,
            services(sent.services)
        );
        figures.push(MeasuredValue::new(what, "ratio", sent.partial / sent.full, None, 1));
    }
    let of = |workload| Reference {
        plot: None,
        workload,
        metric: metric::BYTES,
        modes: sent.iter().map(|sent| sent.mode.to_owned()).collect(),
        services: sent
            .iter()
            .map(|sent| sent.services)
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect(),
    };
    let shown = vec![of(workload::PARTIAL_SYNC_REPLACE_ENDPOINT), of(workload::FULL_SYNC_COLD)];
    Some(lane.settled(verdict, parts.join("; "), figures, shown))
}

/// `one appended rule takes 1.22 ms at 10 Services and 709 ms at 10,000 in iptables-legacy`.
fn appended(lane: &Evidence<'_>) -> Vec<String> {
    let found = Curves::of(lane.groups, workload::APPEND, metric::APPLY, position::NONE, Record::p50);
    let Some(curves) = found.map(|curves| curves.keep(walks_one_rule_per_service)) else { return Vec::new() };
    let quantity = lane.quantity(Unit::Ns);
    curves
        .modes
        .iter()
        .filter_map(|(mode, curve)| {
            let ((few, low), (many, high)) = (curve.first_key_value()?, curve.last_key_value()?);
            (few < many).then(|| {
                format!(
                    "one appended rule takes {} at {} and {} at {} in {mode}",
                    shown(quantity, low),
                    thousands(*few),
                    shown(quantity, high),
                    services(*many)
                )
            })
        })
        .collect()
}

/// "Each endpoint change rewrites all of a Service's probabilities": KUBE-SVC-* has one rule per endpoint with probability
/// 1/(n-i), and a sync flushes and refills a changed chain.
///
/// Rule, from exact bytes at the largest scale (100 Services at least) with a cold, an endpoint's and an empty sync: what an endpoint's
/// change sends beyond an empty sync, over what a full sync sends for each Service beyond an empty one. Holds from 90% on in all
/// iptables modes, or where an empty sync sends 90% of everything already; does not hold if it is at most two endpoints' share,
/// of the Service's; else it depends on the mode.
pub(super) fn probabilities(lane: &Evidence<'_>) -> Option<LaneVerdict> {
    let replace = bytes(lane, workload::PARTIAL_SYNC_REPLACE_ENDPOINT)?.keep(walks_one_rule_per_service);
    if replace.modes.is_empty() {
        return None;
    }
    let (noop, full) = (bytes(lane, workload::PARTIAL_SYNC_NOOP), bytes(lane, workload::FULL_SYNC_COLD));
    let mut found: Vec<(&str, u32, f64, f64)> = Vec::new();
    for (mode, curve) in &replace.modes {
        let (Some(noop), Some(full)) =
            (noop.as_ref().and_then(|of| of.get(mode)), full.as_ref().and_then(|of| of.get(mode)))
        else {
            continue;
        };
        let Some((services, [replaced, idle, full])) = at_largest([curve, noop, full]) else { continue };
        if services < LEAST_SCALE {
            continue;
        }
        let own = (full - idle) / f64::from(services);
        // Where everything is sent every time, so is the Service.
        let share = if idle >= ALL * full { 1.0 } else { (replaced - idle) / own };
        found.push((mode, services, share, replaced - idle));
    }
    if found.is_empty() {
        let missing = "cold, noop and replace-endpoint in [sync] at one scale of 100 Services or more";
        return Some(lane.not_shown(missing));
    }
    let least = 2.0 / f64::from(replace.endpoints.max(1));
    let verdict = if found.iter().all(|(_, _, share, _)| *share >= ALL) {
        ClaimVerdict::Holds
    } else if found.iter().all(|(_, _, share, _)| *share <= least) {
        ClaimVerdict::DoesNotHold
    } else {
        ClaimVerdict::Depends { on: "the mode".to_owned() }
    };
    let quantity = lane.quantity(Unit::Bytes);
    let parts: Vec<String> = found
        .iter()
        .map(|(mode, services, share, own)| {
            format!(
                "one endpoint of {} replaced sends {} beyond an empty sync in {mode} at {} Services, {:.0}% of what a \
                 Service's chains are",
                replace.endpoints,
                quantity.show(*own),
                thousands(*services),
                100.0 * share
            )
        })
        .collect();
    let figures = found
        .iter()
        .map(|(mode, at, share, _)| {
            let what = format!(
                "{mode}: bytes that an endpoint's change adds over a Service's chains, {}",
                services(*at)
            );
            MeasuredValue::new(what, "ratio", *share, None, 1)
        })
        .collect();
    let of = |workload| Reference {
        plot: None,
        workload,
        metric: metric::BYTES,
        modes: found.iter().map(|(mode, ..)| (*mode).to_owned()).collect(),
        services: found
            .iter()
            .map(|(_, services, ..)| *services)
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect(),
    };
    let shown =
        [workload::PARTIAL_SYNC_REPLACE_ENDPOINT, workload::PARTIAL_SYNC_NOOP, workload::FULL_SYNC_COLD]
            .map(of);
    Some(lane.settled(verdict, parts.join("; "), figures, shown.to_vec()))
}
