//! Which rows a panel shows: one position, endpoint count and contender count per mode.

use std::collections::BTreeMap;

use super::figure::{Gap, Line, Panel, Point, XAxis};
use crate::groups::{Group, GroupKey, Groups};
use crate::names::{is_control, mode_rank, position};
use crate::record::{Record, Unit};
use crate::stats::Medians;
use crate::text::{printable, shorten, thousands};

/// More modes than this make a figure unreadable; the rest is in the tables.
const MOST_MODES: usize = 12;
const HEADLINE_POSITIONS: [&str; 6] =
    [position::LAST, position::NONE, position::UNIFORM, position::MIDDLE, position::FIRST, position::MISS];

/// The groups that a panel over Services shows: one position, endpoint count and contender count per mode.
pub(super) struct Chosen<'a> {
    workload: String,
    metric: String,
    endpoints: Option<u32>,
    contenders: Option<u32>,
    left_out: usize,
    cells: BTreeMap<(usize, &'a str), BTreeMap<u32, &'a Group<'a>>>,
}

impl<'a> Chosen<'a> {
    /// The endpoint count with the most groups wins, the larger one on a tie; of contender counts the largest.
    /// Controls may have been measured without Services, so their endpoint and contender counts do not matter.
    pub(super) fn new(groups: &'a Groups<'a>, workload: &'a str, metric: &'a str) -> Self {
        let rows = groups.of(workload, metric);
        let modes = rows.clone().filter(|(key, _)| !is_control(key.mode));
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        for (key, _) in modes.clone() {
            *counts.entry(key.endpoints).or_default() += 1;
        }
        let endpoints =
            counts.into_iter().max_by_key(|(endpoints, count)| (*count, *endpoints)).map(|(e, _)| e);
        let contenders = modes.map(|(key, _)| key.contenders).max();
        let (workload, metric) = (workload.to_owned(), metric.to_owned());
        let mut chosen =
            Chosen { workload, metric, endpoints, contenders, left_out: 0, cells: BTreeMap::new() };
        let rank =
            |name: &str| HEADLINE_POSITIONS.iter().position(|known| *known == name).unwrap_or(usize::MAX);
        let mut best: BTreeMap<&str, usize> = BTreeMap::new();
        for (key, _) in rows.clone().filter(|(key, _)| chosen.wants(key)) {
            let seen = best.entry(key.mode).or_insert(usize::MAX);
            *seen = rank(key.position).min(*seen);
        }
        for (key, group) in rows {
            if chosen.wants(key) && best.get(key.mode) == Some(&rank(key.position)) {
                let mode = (mode_rank(key.mode), key.mode);
                chosen.cells.entry(mode).or_default().insert(key.services, group);
            }
        }
        while chosen.cells.len() > MOST_MODES {
            chosen.cells.pop_last();
            chosen.left_out += 1;
        }
        chosen
    }

    /// Whether rows of `key` belong to what the figure shows.
    pub(super) fn shows(&self, key: &GroupKey<'_>) -> bool {
        self.wants(key) && self.cells.contains_key(&(mode_rank(key.mode), key.mode))
    }

    fn wants(&self, key: &GroupKey<'_>) -> bool {
        is_control(key.mode)
            || (Some(key.endpoints) == self.endpoints && Some(key.contenders) == self.contenders)
    }

    pub(super) fn cells(&self) -> impl Iterator<Item = (&'a str, u32, &'a Group<'a>)> {
        self.cells.iter().flat_map(|((_, mode), cells)| {
            cells.iter().map(move |(services, group)| (*mode, *services, *group))
        })
    }

    pub(super) fn lines(
        &self,
        medians: &mut Medians,
        field: fn(&Record) -> Option<u64>,
        secondary: bool,
    ) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        for (mode, services, group) in self.cells() {
            let Some(y) = group.estimate(medians, field) else { continue };
            let point = Point { x: f64::from(services), y, group: Some(group.number) };
            match lines.last_mut().filter(|line| line.mode == mode) {
                Some(line) => line.points.push(point),
                None => {
                    lines.push(Line { mode: mode.to_owned(), secondary, level: false, points: vec![point] })
                }
            }
        }
        for line in &mut lines {
            line.level = is_control(&line.mode) && line.points.len() == 1;
            // Nothing but a level can be shown for 0 Services on a logarithmic axis.
            if !line.level {
                line.points.retain(|point| point.x > 0.0);
            }
        }
        lines.retain(|line| !line.points.is_empty());
        lines
    }

    pub(super) fn panel(&self, groups: &Groups<'_>, heading: &str) -> Panel {
        let gap = |(mode, services, group): (&str, u32, &Group<'_>)| {
            let missing = group.measured.is_empty() && services > 0;
            missing.then(|| Gap { mode: mode.to_owned(), x: f64::from(services) })
        };
        let reason = self.cells().flat_map(|(_, _, group)| &group.lost).next();
        let empty = reason.map_or_else(
            || format!("no rows of {} {} here", self.workload, self.metric),
            |row| format!("{} — {}", row.status, row.note),
        );
        Panel {
            heading: heading.to_owned(),
            x: XAxis::Services,
            quantity: groups.quantity(Unit::Ns),
            lines: Vec::new(),
            spans: Vec::new(),
            bars: Vec::new(),
            gaps: self.cells().filter_map(gap).collect(),
            limits: Vec::new(),
            crosses: Vec::new(),
            empty: shorten(&printable(&empty), 120),
        }
    }

    pub(super) fn scope(&self) -> String {
        let mut scope = String::new();
        if let Some(endpoints) = self.endpoints.filter(|count| *count > 0) {
            scope += &format!(
                " · {} endpoint{} per Service",
                thousands(endpoints),
                if endpoints == 1 { "" } else { "s" }
            );
        }
        if let Some(contenders) = self.contenders.filter(|count| *count > 0) {
            scope +=
                &format!(" · {} contender{}", thousands(contenders), if contenders == 1 { "" } else { "s" });
        }
        if self.left_out > 0 {
            scope += &format!(" · {} more modes in the tables", self.left_out);
        }
        scope
    }
}
