//! What figures have in common in words.

use std::collections::BTreeSet;

use super::figure::Panel;
use crate::groups::Groups;
use crate::record::Clock;

/// Explains the secondary lines.
pub(super) const TAIL: &str = "; thin and dashed: p99";

/// When `-w 5` gives up, and its label.
pub(super) fn gives_up(groups: &Groups<'_>) -> (f64, String) {
    let limit = match groups.platform.clock {
        Clock::Wall => "5 s",
        Clock::Instructions => "5 G",
    };
    (5e9, format!("{limit}: “-w 5” gives up"))
}

/// What the points of `panels` are: quantile, number of blocks, interval, then the scope.
pub(super) fn subtitle(panels: &[&Panel], tail: &str, scope: &str) -> String {
    let points = panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points);
    let blocks: BTreeSet<usize> = points.clone().map(|point| point.y.n).collect();
    let identical = points.clone().all(|point| point.y.identical);
    let what = match (blocks.first(), blocks.last()) {
        (Some(few), Some(many)) if identical && few == many => format!("p50, identical in all {few} blocks"),
        (Some(few), Some(many)) if identical => {
            format!("p50, identical in all blocks, {few} to {many} of them")
        }
        (Some(1), Some(1)) => "p50 of one block, hence no interval".to_owned(),
        (Some(few), Some(many)) if few == many => format!("p50, median over {many} blocks with 95% interval"),
        (Some(few), Some(many)) => format!("p50, median over {few} to {many} blocks with 95% interval"),
        _ => "p50 of each block".to_owned(),
    };
    format!("{what}{tail}{scope}")
}

pub(super) fn unit_words(groups: &Groups<'_>) -> &'static str {
    match groups.platform.clock {
        Clock::Wall => "wall time",
        Clock::Instructions => "guest instructions",
    }
}
