//! Loads as figures: rate and response time against the number of Services, a panel per workload.

use std::collections::BTreeSet;

use super::chosen::Chosen;
use super::figure::Figure;
use super::notes::notes;
use super::words::{TAIL, subtitle, unit_words};
use crate::groups::Groups;
use crate::names::{metric, workload};
use crate::record::{Clock, Record, Unit};
use crate::stats::Medians;
use crate::text::thousands;

/// More workloads than this side by side cannot be read.
const MOST_PANELS: usize = 4;

/// A load's workload by name, and its rate if it is an open loop.
fn parse(name: &str) -> Option<(&str, Option<u64>)> {
    let rest = name.strip_prefix(workload::LOAD)?;
    match rest.rsplit_once('_').map(|(load, rate)| (load, rate.parse().ok())) {
        Some((load, Some(rate))) => Some((load, Some(rate))),
        _ => Some((rest, None)),
    }
}

/// At saturation, and at the highest rate of each workload.
pub(super) fn loads(groups: &Groups<'_>, medians: &mut Medians) -> Vec<Figure> {
    let names: BTreeSet<&str> = groups.map.keys().map(|key| key.workload).collect();
    let of = |open: bool| {
        let mut loads: Vec<(&str, &str, u64)> = Vec::new();
        for &name in &names {
            let Some((load, rate)) = parse(name).filter(|(_, rate)| rate.is_some() == open) else { continue };
            let rate = rate.unwrap_or(0);
            match loads.iter_mut().find(|(known, _, _)| *known == load) {
                Some(known) if known.2 < rate => *known = (load, name, rate),
                Some(_) => {}
                None => loads.push((load, name, rate)),
            }
        }
        loads.truncate(MOST_PANELS);
        loads
    };
    let mut figures = Vec::new();
    let saturated = of(false);
    if !saturated.is_empty() {
        figures.push(saturation(groups, &saturated, medians));
    }
    let open = of(true);
    if !open.is_empty() {
        figures.push(response(groups, &open, medians));
    }
    figures
}

fn saturation(groups: &Groups<'_>, loads: &[(&str, &str, u64)], medians: &mut Medians) -> Figure {
    let per = match groups.platform.clock {
        Clock::Wall => "per second",
        Clock::Instructions => "per 10⁹ instructions",
    };
    let mut scope = String::new();
    let mut panels = Vec::new();
    for (load, name, _) in loads {
        let chosen = Chosen::new(groups, name, metric::TRANSACTIONS_PER_SECOND);
        scope = chosen.scope();
        let mut panel = chosen.panel(groups, load);
        panel.quantity = groups.quantity(Unit::PerSecond);
        panel.lines = chosen.lines(medians, Record::p50, false);
        panels.push(panel);
    }
    let sources: Vec<_> = loads.iter().map(|(_, name, _)| (*name, metric::TRANSACTIONS_PER_SECOND)).collect();
    Figure {
        name: "load",
        title: format!("Load at saturation: requests answered {per}"),
        subtitle: subtitle(&panels.iter().collect::<Vec<_>>(), "", &scope),
        remarks: Vec::new(),
        notes: notes(groups, &sources, &panels),
        panels,
    }
}

fn response(groups: &Groups<'_>, loads: &[(&str, &str, u64)], medians: &mut Medians) -> Figure {
    let mut scope = String::new();
    let mut panels = Vec::new();
    for (load, name, rate) in loads {
        let chosen = Chosen::new(groups, name, metric::RESPONSE_TIME);
        scope = chosen.scope();
        let mut panel = chosen.panel(groups, &format!("{load} at {} per second", thousands(*rate)));
        panel.lines = chosen.lines(medians, Record::p50, false);
        panel.lines.extend(chosen.lines(medians, Record::p99, true));
        panels.push(panel);
    }
    let sources: Vec<_> = loads.iter().map(|(_, name, _)| (*name, metric::RESPONSE_TIME)).collect();
    Figure {
        name: "load-response",
        title: format!(
            "Load at a fixed rate: response time from when a request was due, {}",
            unit_words(groups)
        ),
        subtitle: subtitle(&panels.iter().collect::<Vec<_>>(), TAIL, &scope),
        remarks: Vec::new(),
        notes: notes(groups, &sources, &panels),
        panels,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_workload_and_maybe_a_rate() {
        assert_eq!(parse("load_tcp_crr"), Some(("tcp_crr", None)));
        assert_eq!(parse("load_tcp_crr_2000"), Some(("tcp_crr", Some(2000))));
        assert_eq!(parse("load_http"), Some(("http", None)));
        assert_eq!(parse("tcp_crr"), None);
    }
}
