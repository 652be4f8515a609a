//! What LVS forwarding methods spare and cost.

use std::collections::BTreeMap;

use super::claim::{ClaimVerdict, LaneVerdict, MeasuredValue, Reference};
use super::evidence::Evidence;
use super::measure::{LEAST_BLOCKS, percent, shown, why_lost};
use crate::crossover::t_interval;
use crate::curves::middle;
use crate::names::{metric, workload};
use crate::record::{Record, Unit};
use crate::stats::{Interval, median};
use crate::text::{Quantity, thousands};

const NAT: &str = "ipvs-nat";
const DR: &str = "ipvs-dr";
const TUN: &str = "ipvs-tun";
/// Bytes of the response that `forwarding_64k` has and `forwarding` has not.
const RESPONSE: f64 = 65_536.0;
/// A director that carries less than this of a response is spared it: acknowledgements still pass.
const SPARED: f64 = 0.1;

type Blocks<'a> = BTreeMap<(&'a str, u32), f64>;

fn blocks<'a>(
    lane: &Evidence<'a>,
    mode: &str,
    workload: &'static str,
    metric: &'static str,
) -> Option<Blocks<'a>> {
    let mut of = lane.groups.of(workload, metric).filter(|(key, _)| key.mode == mode);
    of.find_map(|(_, group)| Some(group.per_block(Record::p50)).filter(|blocks| !blocks.is_empty()))
}

fn median_of(lane: &Evidence<'_>, mode: &str, workload: &'static str, metric: &'static str) -> Option<f64> {
    middle(&blocks(lane, mode, workload, metric)?)
}

fn lost(lane: &Evidence<'_>, mode: &str) -> Option<LaneVerdict> {
    let why = why_lost(lane, mode, &[workload::FORWARDING, workload::FORWARDING_64K])?;
    Some(lane.not_shown(format!("{why}; --kernel guest measures IPVS in a guest")))
}

/// "LVS direct routing spares the director the return traffic": real servers answer clients themselves, from the Service's address
/// (W. Zhang, "Linux Virtual Server for Scalable Network Services", Ottawa Linux Symposium 2000).
///
/// Rule, from packets and bytes counted on the director's links: a response of 64 KiB instead of one segment must add at least 64 KiB to
/// what reaches the director with NAT, and less than a tenth of that with direct routing. With one size of response only, fewer packets
/// must reach it with direct routing than with NAT. Holds if so, else does not.
pub(super) fn direct_routing(lane: &Evidence<'_>) -> Option<LaneVerdict> {
    let bytes = |mode, workload| median_of(lane, mode, workload, metric::DIRECTOR_BYTES_IN);
    let packets = |mode, workload| median_of(lane, mode, workload, metric::DIRECTOR_PACKETS_IN);
    let sizes = [workload::FORWARDING_64K, workload::FORWARDING];
    let measured = sizes.into_iter().find(|size| packets(DR, size).is_some() && packets(NAT, size).is_some());
    let Some(size) = measured else {
        let any = sizes.iter().any(|size| packets(NAT, size).is_some() || packets(DR, size).is_some());
        return if any {
            Some(lane.not_shown("both methods nat and dr in [forwarding]"))
        } else {
            lost(lane, DR)
        };
    };
    let grown = |mode| Some(bytes(mode, workload::FORWARDING_64K)? - bytes(mode, workload::FORWARDING)?);
    let holds = match (grown(DR), grown(NAT)) {
        (Some(dr), Some(nat)) => nat >= RESPONSE && dr < SPARED * RESPONSE,
        _ => packets(DR, size) < packets(NAT, size),
    };
    let part = |mode: &'static str| {
        let (packets, bytes) = (packets(mode, size)?, bytes(mode, size)?);
        let bytes = Quantity::Bytes.show(bytes);
        Some(format!("{} packets and {bytes} with {mode}", thousands(packets as u64)))
    };
    let response = if size == workload::FORWARDING_64K { "64 KiB" } else { "one segment" };
    let both: Vec<String> = [DR, NAT].into_iter().filter_map(part).collect();
    let mut parts =
        vec![format!("a connection with a response of {response} brings the director {}", both.join(", "))];
    parts.extend(cpu(lane, size, DR, NAT));
    let verdict = if holds { ClaimVerdict::Holds } else { ClaimVerdict::DoesNotHold };
    let mut figures = Vec::new();
    for mode in [DR, NAT] {
        for (name, unit) in [(metric::DIRECTOR_PACKETS_IN, "count"), (metric::DIRECTOR_BYTES_IN, "bytes")] {
            let Some(of) = blocks(lane, mode, size, name) else { continue };
            let what = format!("{mode}: {name} of a connection, {size}");
            figures.extend(middle(&of).map(|value| MeasuredValue::new(what, unit, value, None, of.len())));
        }
    }
    Some(lane.settled(verdict, parts.join("; "), figures, rows(size, [DR, NAT])))
}

/// "LVS tunnels cross subnets at the price of encapsulation": an outer IP header of 20 bytes on each packet to the real server (RFC 2003),
/// and the work of writing and taking it off.
///
/// Rule: the lab's real servers of this method are in another subnet, so that a measured row is a connection that crossed. Holds if it was
/// measured and what leaves the director exceeds what reached it by bytes on each packet; does not hold if it does not. Processor time
/// against direct routing stands beside it, by blocks.
pub(super) fn tunnel(lane: &Evidence<'_>) -> Option<LaneVerdict> {
    let sizes = [workload::FORWARDING_64K, workload::FORWARDING];
    let of = |size, name| median_of(lane, TUN, size, name);
    let Some(size) = sizes.into_iter().find(|size| of(size, metric::DIRECTOR_PACKETS_OUT).is_some()) else {
        return lost(lane, TUN);
    };
    let packets = of(size, metric::DIRECTOR_PACKETS_OUT)?;
    let added = of(size, metric::DIRECTOR_BYTES_OUT)? - of(size, metric::DIRECTOR_BYTES_IN)?;
    let each = added / packets.max(1.0);
    let verdict = if each > 0.0 { ClaimVerdict::Holds } else { ClaimVerdict::DoesNotHold };
    let mut parts = vec![format!(
        "connections to real servers in another subnet were answered; {} leave the director more than reached it, {each:.0} bytes \
         on each of {} packets",
        Quantity::Bytes.show(added),
        thousands(packets as u64)
    )];
    parts.extend(cpu(lane, size, TUN, DR));
    let figures = vec![MeasuredValue::new(
        format!("{TUN}: bytes added to each packet, {size}"),
        "bytes",
        each,
        None,
        1,
    )];
    Some(lane.settled(verdict, parts.join("; "), figures, rows(size, [TUN, DR])))
}

/// `the director's processor time is 202,200 instr with ipvs-tun, 194,700 instr with ipvs-dr, +3.9% [3.9, 3.9]`.
fn cpu(lane: &Evidence<'_>, size: &'static str, one: &str, other: &str) -> Option<String> {
    let ours = blocks(lane, one, size, metric::DIRECTOR_CPU)?;
    let theirs = blocks(lane, other, size, metric::DIRECTOR_CPU)?;
    let quantity = lane.quantity(Unit::Ns);
    let logs: Vec<f64> = ours.iter().filter_map(|(block, y)| Some((y / theirs.get(block)?).ln())).collect();
    let share = median(&logs)?.exp_m1();
    let interval = t_interval(&logs, 0.95).filter(|_| logs.len() >= LEAST_BLOCKS);
    let interval = interval.map(|Interval { low, high }| Interval { low: low.exp_m1(), high: high.exp_m1() });
    Some(format!(
        "the director spends {} on it with {one}, {} with {other}, {}",
        shown(quantity, &ours),
        shown(quantity, &theirs),
        percent(share, interval)
    ))
}

fn rows(workload: &'static str, modes: [&str; 2]) -> Vec<Reference> {
    [metric::DIRECTOR_PACKETS_IN, metric::DIRECTOR_BYTES_IN, metric::DIRECTOR_BYTES_OUT, metric::DIRECTOR_CPU]
        .map(|metric| Reference {
            plot: None,
            workload,
            metric,
            modes: modes.map(str::to_owned).to_vec(),
            services: vec![1],
        })
        .to_vec()
}
