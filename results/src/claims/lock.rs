//! From how many Services on commands give up waiting for the xtables lock.

use std::collections::BTreeMap;

use super::claim::{ClaimVerdict, LaneVerdict, MeasuredValue, Reference};
use super::evidence::Evidence;
use crate::lock_limit::{LockLimit, Passing, lock_limits};
use crate::names::{metric, workload};
use crate::record::{Clock, Unit};
use crate::text::thousands;

const SERVICES: u32 = 5_000;
/// What `iptables -w 5` waits at most, nanoseconds.
const LIMIT: f64 = 5e9;
const MODE: &str = "iptables-legacy";

/// What one number of contenders saw.
struct Seen<'a> {
    limit: LockLimit<'a>,
    /// By scale: p99 of waits, and how many commands gave up.
    waits: BTreeMap<u32, (f64, f64)>,
}

impl Seen<'_> {
    /// Whether commands gave up at 5,000 Services, or at the first scale above: by their count, or by the p99 of waits.
    fn gives_up(&self) -> Option<bool> {
        let (_, (p99, gave_up)) = self.waits.range(SERVICES..).next()?;
        Some(*gave_up > 0.0 || *p99 >= LIMIT)
    }

    /// The smallest scale at which some gave up.
    fn first(&self) -> Option<u32> {
        self.waits.iter().find(|(_, (_, gave_up))| *gave_up > 0.0).map(|(services, _)| *services)
    }
}

/// "From 5,000 Services on: Another app is currently holding the xtables lock. Stopped waiting after 5s": the message of
/// `iptables -w 5` (iptables/xshared.c), which kube-proxy and others run. Only the legacy programs take the lock.
///
/// Rule, in wall time and for each number of contenders: it is so if at the smallest scale measured from 5,000 Services on a command
/// gave up, or the p99 of waits was 5 s or more. Holds if it is so for all numbers of contenders, does not hold if for none, else
/// depends on how many want the lock. Where the p99 passes 5 s stands beside it; what is extrapolated there decides nothing. One
/// block is enough: that a command gave up needs no interval.
pub(super) fn timeouts_from_5_000(lane: &Evidence<'_>) -> Option<LaneVerdict> {
    let limits = lock_limits(lane.groups, &[LIMIT]);
    let found: Vec<Seen<'_>> =
        limits.into_iter().filter(|limit| limit.mode == MODE).map(|limit| seen(lane, limit)).collect();
    if found.is_empty() {
        return None;
    }
    let parts: Vec<String> = found.iter().map(|seen| in_words(lane, seen)).collect();
    let figures = found.iter().flat_map(|seen| figures(lane, seen)).collect();
    let shown = |metric| Reference {
        plot: lane.plot("lock"),
        workload: workload::XTABLES_LOCK,
        metric,
        modes: vec![MODE.to_owned()],
        services: found
            .iter()
            .flat_map(|seen| seen.waits.keys().copied())
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect(),
    };
    let sides: Vec<Option<bool>> = found.iter().map(Seen::gives_up).collect();
    let verdict = if lane.clock() == Clock::Instructions {
        let missing = "seconds: in this lane “-w 5” waits for 5 G instructions of one processor; measure [lock] on the host, \
                       by the wall clock";
        ClaimVerdict::NotShown { missing: missing.to_owned() }
    } else if sides.contains(&None) {
        let missing = format!(
            "{} or more in services for [lock], with limit_seconds large enough (--no-limit measures it)",
            thousands(SERVICES)
        );
        ClaimVerdict::NotShown { missing }
    } else if sides.iter().all(|side| *side == Some(true)) {
        ClaimVerdict::Holds
    } else if sides.iter().all(|side| *side == Some(false)) {
        ClaimVerdict::DoesNotHold
    } else {
        let enough =
            found.iter().filter(|seen| seen.gives_up() == Some(true)).map(|seen| seen.limit.contenders).min();
        let enough = enough.map_or(0, |contenders| contenders);
        ClaimVerdict::Depends {
            on: format!("how many want the lock: with {} contenders and more", thousands(enough)),
        }
    };
    Some(lane.settled(
        verdict,
        parts.join("; "),
        figures,
        vec![shown(metric::LOCK_WAIT), shown(metric::LOCK_TIMEOUTS)],
    ))
}

fn seen<'a>(lane: &Evidence<'a>, limit: LockLimit<'a>) -> Seen<'a> {
    let mut waits: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    let mut add = |name: &'static str,
                   put: &dyn Fn(&mut (f64, f64), f64),
                   field: fn(&crate::record::Record) -> Option<u64>| {
        for (key, group) in lane.groups.of(workload::XTABLES_LOCK, name) {
            if (key.mode, key.endpoints, key.contenders) != (limit.mode, limit.endpoints, limit.contenders) {
                continue;
            }
            let values = group.per_block(field).into_values();
            // The worst block: that it happened is what is asked.
            if let Some(worst) = values.max_by(f64::total_cmp) {
                put(waits.entry(key.services).or_default(), worst);
            }
        }
    };
    add(metric::LOCK_WAIT, &|entry, p99| entry.0 = p99, |row| row.p99);
    add(metric::LOCK_TIMEOUTS, &|entry, count| entry.1 = count, |row| row.p50);
    Seen { limit, waits }
}

/// `with 4 contenders p99 of waits is 2.52 s at 5,000 Services, none gave up; it passes 5 s at 9,900 [...], extrapolated`.
fn in_words(lane: &Evidence<'_>, seen: &Seen<'_>) -> String {
    let quantity = lane.quantity(Unit::Ns);
    let contenders = seen.limit.contenders;
    let with = if contenders == 1 {
        "1 contender".to_owned()
    } else {
        format!("{} contenders", thousands(contenders))
    };
    let at = seen.waits.range(SERVICES..).next().or_else(|| seen.waits.last_key_value());
    let mut text = at.map_or_else(String::new, |(services, (p99, gave_up))| {
        let gave_up = if *gave_up > 0.0 {
            format!("{} gave up", thousands(*gave_up as u64))
        } else {
            "none gave up".to_owned()
        };
        format!(
            "with {with} p99 of waits is {} at {} Services, {gave_up}",
            quantity.show(*p99),
            thousands(*services)
        )
    });
    if let Some(first) = seen.first() {
        text += &format!("; the first gave up at {}", thousands(first));
    }
    if let Some(passing) = seen.limit.passing.first() {
        let limit = quantity.show(LIMIT);
        text += &match passing {
            Passing::NotUpTo(_) => format!("; {limit}: {}", passing.in_words()),
            _ => format!("; it passes {limit} at {}", passing.in_words().trim_start_matches("at ")),
        };
    }
    text
}

fn figures(lane: &Evidence<'_>, seen: &Seen<'_>) -> Vec<MeasuredValue> {
    let each = |(services, (p99, gave_up)): (&u32, &(f64, f64))| {
        let of = |what: &str| {
            format!("{MODE}, {} contenders, {} Services: {what}", seen.limit.contenders, thousands(*services))
        };
        [
            MeasuredValue::new(of("p99 of waits"), lane.tick(), *p99, None, 1),
            MeasuredValue::new(of("commands that gave up"), "count", *gave_up, None, 1),
        ]
    };
    seen.waits.iter().flat_map(each).collect()
}
