//! The sentences behind the advice.

use std::collections::{BTreeMap, BTreeSet};

use super::ranking::{ALIKE, Criterion, RankedMode, Ranking, Standing, choices, standing};
use super::sentence::{Sentence, SentencePart};
use crate::findings::Finding;
use crate::groups::Groups;
use crate::lock_limit::{Passing, lock_limits};
use crate::names::{is_kube_proxy, metric, position, workload};
use crate::record::{Clock, Record, Unit};
use crate::stats::Medians;
use crate::table::Source;
use crate::text::{Quantity, in_words, services, shorten, thousands};

/// `, because at 10,000 Services a lookup costs 1.3 µs with it, and 78 µs with iptables-nft, the next (59 times as much)`.
pub(super) fn because(said: &mut Sentence, groups: &Groups<'_>, ranking: Option<&Ranking<'_>>) {
    said.say(", because ");
    against(said, groups, ranking);
}

/// The cheapest against the next that is more expensive.
pub(super) fn against(said: &mut Sentence, groups: &Groups<'_>, ranking: Option<&Ranking<'_>>) {
    let Some((ranking, best)) = ranking.and_then(|ranking| Some((ranking, ranking.entries.first()?))) else {
        return;
    };
    let quantity = groups.quantity(Unit::Ns);
    said.say(format!("at {} {} ", services(ranking.services), ranking.criterion.verb));
    show(said, quantity, best);
    said.say(format!(" with {}", best.mode));
    if let Some(next) = ranking.next() {
        said.say(" and ");
        show(said, quantity, next);
        said.say(format!(" with {}, ", next.mode));
        said.say(if ranking.entries.len() > 2 { "the next that differs, " } else { "" });
        said.show(times(next.estimate.median, best.estimate.median), Source::Group(next.group));
        said.say(" as much");
    }
}

/// The cheapest against what was chosen for another reason.
pub(super) fn against_chosen(
    said: &mut Sentence,
    groups: &Groups<'_>,
    ranking: &Ranking<'_>,
    chosen: &[&str],
) {
    let found = ranking.entries.iter().find(|entry| chosen.contains(&entry.mode));
    let (Some(best), Some(found)) = (ranking.entries.first(), found) else {
        return against(said, groups, Some(ranking));
    };
    let quantity = groups.quantity(Unit::Ns);
    said.say(format!("at {} {} ", services(ranking.services), ranking.criterion.verb));
    show(said, quantity, found);
    said.say(format!(" with {}, ", found.mode));
    said.show(times(found.estimate.median, best.estimate.median), Source::Group(found.group));
    said.say(" as much as the ");
    show(said, quantity, best);
    said.say(format!(" with {}", best.mode));
}

/// All modes of a ranking, the cheapest first.
pub(super) fn ranking(groups: &Groups<'_>, ranking: &Ranking<'_>) -> Sentence {
    let mut said = Sentence::default();
    let place = match ranking.position {
        position::LAST => ", the last in the list,",
        position::FIRST => ", the first in the list,",
        position::MIDDLE => ", in the middle of the list,",
        _ => "",
    };
    said.say(format!("{}{place} at {}", ranking.criterion.words, services(ranking.services)));
    said.say(match ranking.endpoints {
        0 => String::new(),
        1 => " of 1 endpoint".to_owned(),
        endpoints => format!(" of {} endpoints", thousands(endpoints)),
    });
    said.say(": ");
    list(&mut said, groups.quantity(Unit::Ns), &ranking.entries);
    said.say(format!(" ({})", blocks(&ranking.entries)));
    said.say(match ranking.standing() {
        Standing::Few(_) => ": an indication, no ranking.",
        Standing::Alike => ": no difference that matters is shown.",
        _ => ".",
    });
    said
}

/// From which scale on lookups differ.
pub(super) fn from_scale<'a>(
    groups: &'a Groups<'a>,
    lookup: &Ranking<'a>,
    medians: &mut Medians,
) -> Option<Sentence> {
    if lookup.entries.len() < 2 || lookup.scales.len() < 2 {
        return None;
    }
    let mut from = None;
    let mut below = None;
    for services in lookup.scales.iter().rev() {
        let entries = lookup.at(groups, *services, medians, Record::p50);
        match standing(&entries) {
            Standing::Best(_) => from = Some((*services, entries)),
            Standing::Alike => {
                below = Some((*services, entries));
                break;
            }
            _ => return None,
        }
    }
    let quantity = groups.quantity(Unit::Ns);
    let mut said = Sentence::default();
    let ends = |said: &mut Sentence, entries: &[RankedMode<'_>]| {
        if let [first, .., last] = entries {
            show(said, quantity, first);
            said.say(format!(" with {}, ", first.mode));
            show(said, quantity, last);
            said.say(format!(" with {}", last.mode));
        }
    };
    match (below, from) {
        (Some((few, alike)), Some((many, apart))) => {
            said.say(format!("At {} the modes do not differ by what matters (", services(few)));
            ends(&mut said, &alike);
            said.say(format!("); from {} on they do (", thousands(many)));
            ends(&mut said, &apart);
            said.say("), measured at these two scales and not between them.");
        }
        (None, Some((fewest, apart))) => {
            said.say(format!("They differ at {} already, the smallest scale measured: ", services(fewest)));
            ends(&mut said, &apart);
            said.say(".");
        }
        _ => return None,
    }
    Some(said)
}

/// Whose lookups grow with the number of Services, and whose do not.
pub(super) fn with_scale(groups: &Groups<'_>, findings: &[Finding]) -> Vec<Sentence> {
    let quantity = groups.quantity(Unit::Ns);
    let Some(all) = groups.first_of(workload::PACKET_PROBE, metric::LOOKUP_FIRST_PACKET) else {
        return Vec::new();
    };
    let mut sentences = Vec::new();
    let chosen = |finding: &&Finding| is_kube_proxy(&finding.mode);
    for rising in [true, false] {
        let mut said = Sentence::default();
        let findings = findings.iter().filter(chosen);
        let findings =
            findings.filter(|finding| if rising { finding.is_rising() } else { finding.is_flat() });
        for finding in findings {
            let [(few, low), (many, high)] = finding.ends;
            said.say(if said.parts.is_empty() {
                if rising { "With the number of Services the lookup grows in " } else { "It stays level in " }
            } else {
                "; in "
            });
            said.say(format!("{} from ", finding.mode));
            said.show(in_words(&quantity.show(low)), Source::Group(finding.groups[0]));
            said.say(format!(" at {} to ", thousands(few)));
            said.show(in_words(&quantity.show(high)), Source::Group(finding.groups[1]));
            said.say(format!(" at {}", thousands(many)));
            if let Some((slope, interval)) = finding.slope_in(quantity).filter(|_| rising) {
                said.say(", ");
                let text = format!("{} per {}{interval}", in_words(&slope), finding.per());
                said.show(text, Source::Metric(all));
            }
        }
        if !said.parts.is_empty() {
            said.say(".");
            sentences.push(said);
        }
    }
    // "It" needs the sentence before.
    if let [only] = sentences.as_mut_slice()
        && let Some(SentencePart::Words(words)) = only.parts.first_mut()
    {
        *words = words.replace("It stays level", "Whatever the number of Services, the lookup stays level");
    }
    sentences
}

/// How much a sync grew from the smallest scale.
pub(super) fn growth<'a>(
    groups: &'a Groups<'a>,
    ranking: &Ranking<'a>,
    medians: &mut Medians,
) -> Option<Sentence> {
    let smallest = *ranking.scales.first().filter(|smallest| **smallest < ranking.services)?;
    let before = ranking.at(groups, smallest, medians, Record::p50);
    let mut said = Sentence::default();
    said.say(format!(
        "From {} to {} Services, {} times as many, it grew",
        thousands(smallest),
        thousands(ranking.services),
        thousands(ranking.services / smallest.max(1))
    ));
    let mut any = false;
    for entry in &ranking.entries {
        let Some(small) = before.iter().find(|small| small.mode == entry.mode) else { continue };
        if small.estimate.median <= 0.0 {
            continue;
        }
        said.say(if any { ", " } else { " " });
        any = true;
        said.show(grown(entry.estimate.median / small.estimate.median), Source::Group(small.group));
        said.say(format!(" in {}", entry.mode));
    }
    said.say(".");
    any.then_some(said)
}

/// How long others wait for the xtables lock, and where that becomes a failure.
pub(super) fn lock(groups: &Groups<'_>, medians: &mut Medians) -> Vec<Sentence> {
    let criterion = |metric, words| Criterion { workload: workload::XTABLES_LOCK, metric, words, verb: "" };
    let quantity = groups.quantity(Unit::Ns);
    let waits = criterion(metric::LOCK_WAIT, "One wait in a hundred for the xtables lock is longer than");
    let mut sentences = Vec::new();
    if let Some(waits) = Ranking::by(groups, waits, medians, Record::p99) {
        let mut said = Sentence::default();
        said.say(format!(
            "Against syncs at {} and {} for the xtables lock, one wait in a hundred is longer than ",
            services(waits.services),
            contenders(waits.contenders)
        ));
        list(&mut said, quantity, &waits.entries);
        said.say(format!(" ({})", blocks(&waits.entries)));
        given_up(&mut said, groups);
        said.say(".");
        sentences.push(said);
        sentences.extend(limit(groups, waits.contenders));
    }
    let operations = criterion(metric::CONTENDER_OPERATION, "");
    let Some(operations) = Ranking::by(groups, operations, medians, Record::p99) else { return sentences };
    let takes = |mode: &str| {
        let mut waits = groups.of(workload::XTABLES_LOCK, metric::LOCK_WAIT);
        waits.any(|(key, group)| key.mode == mode && !group.measured.is_empty())
    };
    let free: Vec<RankedMode<'_>> =
        operations.entries.iter().filter(|entry| !takes(entry.mode)).copied().collect();
    if !free.is_empty() {
        let mut said = Sentence::default();
        let modes: Vec<&str> = free.iter().map(|entry| entry.mode).collect();
        said.say(format!(
            "In {} no wait for that lock was seen; one contending command in a hundred took longer than ",
            modes.join(", ")
        ));
        list(&mut said, quantity, &free);
        said.say(format!(
            " at {} and {} ({}).",
            services(operations.services),
            contenders(operations.contenders),
            blocks(&free)
        ));
        sentences.push(said);
    }
    sentences
}

/// Commands that gave up, at all scales.
fn given_up(said: &mut Sentence, groups: &Groups<'_>) {
    let rows = || groups.of(workload::XTABLES_LOCK, metric::LOCK_TIMEOUTS);
    let count: u64 =
        rows().flat_map(|(_, group)| &group.measured).filter_map(|row| row.p50).fold(0, u64::saturating_add);
    let Some(all) = groups.first_of(workload::XTABLES_LOCK, metric::LOCK_TIMEOUTS) else { return };
    said.say(", and ");
    match count {
        0 => said.show("no command", Source::Metric(all)),
        1 => said.show("1 command", Source::Metric(all)),
        count => said.show(format!("{} commands", thousands(count)), Source::Metric(all)),
    }
    said.say(" of the whole run gave up waiting");
}

/// Where waits reach what `-w 5` waits at most.
fn limit(groups: &Groups<'_>, count: u32) -> Option<Sentence> {
    let all = groups.first_of(workload::XTABLES_LOCK, metric::LOCK_WAIT)?;
    let mut said = Sentence::default();
    for limit in lock_limits(groups, &[5e9]).iter().filter(|limit| limit.contenders == count) {
        let Some(passing) = limit.passing.first() else { continue };
        if matches!(passing, Passing::NotUpTo(_)) || !is_kube_proxy(limit.mode) {
            continue;
        }
        said.say(if said.parts.is_empty() { "More than one in a hundred gives up after " } else { "; " });
        if said.parts.len() == 1 {
            said.say(match groups.platform.clock {
                Clock::Wall => "5 s from about this many Services on: ",
                Clock::Instructions => "5 G instructions from about this many Services on: ",
            });
        }
        said.say(format!("{} ", limit.mode));
        said.show(passing.in_words(), Source::Metric(all));
    }
    (!said.parts.is_empty()).then(|| {
        said.say(".");
        said
    })
}

/// Modes of which nothing was measured although it was tried.
pub(super) fn unmeasured(groups: &Groups<'_>) -> Option<Sentence> {
    let mut measured = BTreeSet::new();
    // By mode: the first reason, and its group.
    let mut lost: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    for (key, group) in &groups.map {
        if !group.measured.is_empty() {
            measured.insert(key.mode);
        }
        if let Some(row) = group.lost.first() {
            lost.entry(key.mode).or_insert((row.note.as_str(), group.number));
        }
    }
    let mut said = Sentence::default();
    for mode in choices() {
        let Some((why, group)) = lost.get(mode).copied().filter(|_| !measured.contains(mode)) else {
            continue;
        };
        said.say(if said.parts.is_empty() { "Nothing was measured of " } else { ", nor of " });
        said.say(format!("{mode} ("));
        said.show(shorten(if why.is_empty() { "no reason given" } else { why }, 160), Source::Group(group));
        said.say(")");
    }
    (!said.parts.is_empty()).then(|| {
        said.say(": this advice knows nothing about it.");
        said
    })
}

fn list(said: &mut Sentence, quantity: Quantity, entries: &[RankedMode<'_>]) {
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            said.say(", ");
        }
        show(said, quantity, entry);
        said.say(format!(" in {}", entry.mode));
    }
}

fn show(said: &mut Sentence, quantity: Quantity, entry: &RankedMode<'_>) {
    said.show(in_words(&quantity.show_estimate(entry.estimate)), Source::Group(entry.group));
}

/// `59 times`.
fn times(dear: f64, cheap: f64) -> String {
    format!("{} times", ratio(dear / cheap.max(f64::MIN_POSITIVE)))
}

fn grown(ratio_of: f64) -> String {
    if ratio_of > 1.0 + ALIKE { format!("{} times", ratio(ratio_of)) } else { "by less than 10%".to_owned() }
}

fn ratio(value: f64) -> String {
    if value >= 10.0 { thousands(value.round() as u64) } else { format!("{value:.1}") }
}

fn contenders(count: u32) -> String {
    if count == 1 { "1 contender".to_owned() } else { format!("{} contenders", thousands(count)) }
}

/// How many blocks the figures are of.
fn blocks(entries: &[RankedMode<'_>]) -> String {
    let counts = || entries.iter().map(|entry| entry.estimate.n);
    let (few, many) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
    match (few, many) {
        (1, 1) => "one block".to_owned(),
        _ if few == many && entries.iter().all(|entry| entry.estimate.identical) => {
            format!("identical in all {few} blocks")
        }
        _ if few == many => format!("{few} blocks"),
        _ => format!("{few} to {many} blocks"),
    }
}
