//! Two runs compared: which figures are better, worse, not shown to differ, or not comparable, and why.
//!
//! Rows -> one cell per figure and side (`gather`) -> their difference (`judge`, with [`crate::stats`]) -> verdicts,
//! corrected for their number -> [`Comparison`], which `text`, `markdown`, `junit` and `trend` write. METHODOLOGY.md
//! argues the rules.

pub mod comparability;
mod comparison;
pub(crate) mod direction;
mod gather;
mod judge;
mod junit;
mod lanes;
mod markdown;
mod outcome;
mod policy;
mod read;
mod sections;
mod text;
mod trend;

use std::collections::BTreeSet;

pub use self::comparison::{
    Compared, ComparedRun, Comparison, ComparisonOutcome, Effect, Judgement, Measured, MetricKey, TestMethod,
};
pub use self::junit::junit;
pub use self::lanes::LanePair;
pub use self::markdown::markdown;
pub use self::policy::{DEFAULT_THRESHOLD, Policy};
pub use self::read::{Run, SideError, read_side};
pub use self::text::text;
pub use self::trend::{Better, bencher, github_action_benchmark};
use crate::groups::Groups;
use crate::record::{Clock, Record};
use crate::stats::Medians;

/// Compares two sides of one or more runs each.
pub fn compare(base: &[Run], new: &[Run], policy: &Policy) -> Comparison {
    let sides = [base, new];
    let split = sides.map(|runs| runs.iter().map(|run| Groups::split(&run.records)).collect::<Vec<_>>());
    let mut medians = Medians::new();
    let (mut lanes, mut cases) = (Vec::new(), Vec::new());
    let same_sweep = outcome::same_sweep(sides);
    for (index, platforms) in lanes::pair(sides).into_iter().enumerate() {
        let lane = lanes::lane(platforms, sides, &policy.accept);
        let cells = gather::gather(platforms, [&split[0], &split[1]]);
        let floors = gather::floors(&cells);
        let seeds =
            BTreeSet::from_iter(sides.iter().flat_map(|runs| runs.iter().map(|run| run.environment.seed)));
        let lane_facts = judge::LaneFacts {
            index,
            clock: lane.clock,
            refused: !lane.refused.is_empty(),
            sides: lane.sides,
            same_sweep,
            paired: lane.clock == Clock::Instructions && seeds.len() == 1,
        };
        for (key, cell) in cells.into_iter().filter(|(key, _)| policy.looks_at(key)) {
            let floor = floors.get(&(key.workload, key.metric)).copied();
            cases.push(judge::case(&key, &cell, floor, &lane_facts, policy, &mut medians));
        }
        lanes.push(lane);
    }
    let (figures, family) = judge::verdicts(cases);
    let mut notes = outcome::notes(sides, same_sweep);
    let unmeasured = outcome::unmeasured(&figures, policy);
    notes.extend(
        unmeasured.iter().map(|metric| format!("no row has the metric {metric}, which should decide")),
    );
    let found = outcome::outcome(&figures, &lanes, !unmeasured.is_empty());
    let source = |run: &Run| ComparedRun {
        name: run.name.clone(),
        run: run.environment.run.clone(),
        tool_version: run.environment.tool_version.clone(),
    };
    Comparison {
        summary: outcome::summary(found, &figures, &lanes, &unmeasured),
        outcome: found,
        base: base.iter().map(source).collect(),
        new: new.iter().map(source).collect(),
        lanes,
        notes,
        family,
        figures,
    }
}

/// The metrics that have rows on either side, sorted.
pub fn metrics(sides: [&[Run]; 2]) -> BTreeSet<&str> {
    rows(sides).map(|row| row.metric.as_str()).collect()
}

/// The modes that have rows on either side, sorted.
pub fn modes(sides: [&[Run]; 2]) -> BTreeSet<&str> {
    rows(sides).map(|row| row.cell.mode.as_str()).collect()
}

fn rows(sides: [&[Run]; 2]) -> impl Iterator<Item = &Record> {
    sides.into_iter().flatten().flat_map(|run| &run.records)
}
