//! Waits and operations against the number of contenders, at one scale.

use std::collections::{BTreeMap, BTreeSet};

use super::figure::{Figure, Line, Panel, Point, XAxis};
use super::words::{TAIL, gives_up, subtitle, unit_words};
use crate::groups::{Group, GroupKey, Groups};
use crate::names::{metric, workload};
use crate::record::{Record, Unit};
use crate::stats::Medians;
use crate::text::{LOCK_ON_ONE_CPU, thousands};

const SHOWN: [(&str, &str); 2] = [
    (metric::LOCK_WAIT, "Waiting for the xtables lock"),
    (metric::CONTENDER_OPERATION, "One contending “iptables -w 5”"),
];

type KeyedGroup<'a> = (&'a GroupKey<'a>, &'a Group<'a>);

/// The figure, if contenders were measured in different numbers at one scale. Shows the largest such scale.
pub(super) fn contenders(groups: &Groups<'_>, medians: &mut Medians) -> Option<Figure> {
    let measured =
        |metric| groups.of(workload::XTABLES_LOCK, metric).filter(|(_, group)| !group.measured.is_empty());
    let mut scales: BTreeMap<(u32, u32), BTreeSet<u32>> = BTreeMap::new();
    for (key, _) in SHOWN.iter().flat_map(|(metric, _)| measured(metric)) {
        scales.entry((key.services, key.endpoints)).or_default().insert(key.contenders);
    }
    let ((services, endpoints), _) = scales.into_iter().rfind(|(_, contenders)| contenders.len() > 1)?;
    let mut panels = Vec::new();
    for (metric, heading) in SHOWN {
        let cells: Vec<KeyedGroup<'_>> = measured(metric)
            .filter(|(key, _)| (key.services, key.endpoints) == (services, endpoints) && key.contenders > 0)
            .collect();
        let mut lines = lines(&cells, medians, Record::p50, false);
        lines.extend(self::lines(&cells, medians, Record::p99, true));
        panels.push(Panel {
            heading: heading.to_owned(),
            x: XAxis::Contenders,
            quantity: groups.quantity(Unit::Ns),
            limits: if lines.is_empty() { Vec::new() } else { vec![gives_up(groups)] },
            lines,
            spans: Vec::new(),
            bars: Vec::new(),
            gaps: Vec::new(),
            crosses: Vec::new(),
            empty: "no program here takes the lock".to_owned(),
        });
    }
    let scope = format!(
        " · {} Services · {} endpoint{} per Service",
        thousands(services),
        thousands(endpoints),
        if endpoints == 1 { "" } else { "s" }
    );
    let instructions = groups.platform.clock == crate::record::Clock::Instructions;
    Some(Figure {
        name: "lock-contenders",
        title: format!("The xtables lock by the number of contenders, {}", unit_words(groups)),
        subtitle: subtitle(&panels.iter().collect::<Vec<_>>(), TAIL, &scope),
        remarks: Vec::new(),
        notes: instructions.then(|| LOCK_ON_ONE_CPU.to_owned()).into_iter().collect(),
        panels,
    })
}

/// One line per mode; the cells are sorted by mode and number of contenders.
fn lines(
    cells: &[KeyedGroup<'_>],
    medians: &mut Medians,
    field: fn(&Record) -> Option<u64>,
    secondary: bool,
) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (key, group) in cells {
        let Some(y) = group.estimate(medians, field) else { continue };
        let point = Point { x: f64::from(key.contenders), y, group: Some(group.number) };
        match lines.last_mut().filter(|line| line.mode == key.mode) {
            Some(line) => line.points.push(point),
            None => {
                lines.push(Line { mode: key.mode.to_owned(), secondary, level: false, points: vec![point] })
            }
        }
    }
    lines
}
