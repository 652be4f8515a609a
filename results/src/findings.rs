//! What the lookups of each mode say about scale: the two ends, the slope, a cautious verdict.

use std::collections::BTreeMap;

use crate::groups::{Group, GroupKey, Groups};
use crate::names::{is_control, metric, mode_rank, position, walks_one_rule_per_service, workload};
use crate::stats::{Medians, Observation, Slope, slope};
use crate::text::{Quantity, in_words, thousands};

/// Below this many blocks no verdict is given.
const VERDICT_BLOCKS: usize = 3;
/// A rise that stays under this share of the cost at the first Service, over the whole range, is called flat.
const FLAT_SHARE: f64 = 0.1;

const FLAT: &str = "flat: changes by less than 10% over the whole range";
const RISING: &str = "rising with the position in the list";

/// The measured cells of one mode, by endpoints per Service.
type Cells<'a> = BTreeMap<u32, Vec<(&'a GroupKey<'a>, &'a Group<'a>)>>;

/// What the slope of one mode says.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Mode.
    pub mode: String,
    /// Smallest and largest scale measured, each with the lookup's median there.
    pub ends: [(u32, f64); 2],
    /// Numbers of the groups of rows behind the two ends.
    pub groups: [usize; 2],
    /// The line through positions, if at least two positions were measured.
    pub slope: Option<Slope>,
    /// Words: rising, flat, undecided, or why there is no verdict.
    pub verdict: String,
}

impl Finding {
    /// The slope, and its interval or what stands in its place: `26 instr` and ` [25.9, 26.1]`,
    /// `, identical in all 5 blocks` or `, 1 block`.
    pub fn slope_in(&self, quantity: Quantity) -> Option<(String, String)> {
        let slope = self.slope?;
        let shown = quantity.show_with_interval(slope.per_service, slope.interval);
        Some(match (slope.interval, shown.split_once(" [")) {
            (Some(_), _) if slope.identical => {
                (quantity.show(slope.per_service), format!(", identical in all {}", blocks(slope.n)))
            }
            (Some(_), Some((value, interval))) => (value.to_owned(), format!(" [{interval}")),
            _ => (shown, format!(", {}", blocks(slope.n))),
        })
    }

    /// Whether the verdict is that lookups grow with the number of Services.
    pub fn is_rising(&self) -> bool {
        self.verdict == RISING
    }

    /// Whether the verdict is that they do not.
    pub fn is_flat(&self) -> bool {
        self.verdict == FLAT
    }

    /// What the slope is per: a rule, where each Service is one in a list.
    pub fn per(&self) -> &'static str {
        if walks_one_rule_per_service(&self.mode) { "rule" } else { "Service" }
    }

    /// A sentence after the mode's name.
    pub fn sentence(&self, quantity: Quantity) -> String {
        let [(few, low), (many, high)] = self.ends;
        let mut text = format!("{} at {} Services", in_words(&quantity.show(low)), thousands(few));
        if many != few {
            text += &format!(", {} at {}", in_words(&quantity.show(high)), thousands(many));
        }
        if let (Some(slope), Some((rise, interval))) = (self.slope, self.slope_in(quantity)) {
            let sign = if slope.per_service > 0.0 { "+" } else { "" };
            let per = match self.per() {
                "Service" => "per Service",
                _ => "per Service, which is one rule,",
            };
            text += &format!("; {per} {sign}{}{interval}", in_words(&rise));
            if slope.interval.is_some() && !slope.identical {
                text += &format!(", {}", blocks(slope.n));
            }
        }
        format!("{text} — {}.", self.verdict)
    }
}

fn blocks(n: usize) -> String {
    if n == 1 { "1 block".to_owned() } else { format!("{} blocks", thousands(n as u64)) }
}

/// One finding per proxy mode with measured lookups, at the endpoint count with the most cells.
pub fn findings(groups: &Groups<'_>, medians: &mut Medians) -> Vec<Finding> {
    let mut modes: BTreeMap<(usize, &str), Cells<'_>> = BTreeMap::new();
    for (key, group) in groups.of(workload::PACKET_PROBE, metric::LOOKUP_FIRST_PACKET) {
        if !is_control(key.mode) && !group.measured.is_empty() {
            let mode = (mode_rank(key.mode), key.mode);
            modes.entry(mode).or_default().entry(key.endpoints).or_default().push((key, group));
        }
    }
    let mut findings = Vec::new();
    for ((_, mode), by_endpoints) in modes {
        let Some((_, cells)) =
            by_endpoints.into_iter().max_by_key(|(endpoints, cells)| (cells.len(), *endpoints))
        else {
            continue;
        };
        let headline = [position::LAST, position::NONE, position::UNIFORM, position::MIDDLE, position::FIRST];
        let Some(at) = headline.iter().find(|at| cells.iter().any(|(key, _)| key.position == **at)) else {
            continue;
        };
        let mut ends = cells.iter().filter(|(key, _)| key.position == *at).filter_map(|(key, group)| {
            Some(((key.services, group.estimate(medians, |row| row.p50)?.median), group.number))
        });
        let Some(first) = ends.next() else { continue };
        let last = ends.last().unwrap_or(first);
        let slope = slope(&observations(&cells));
        let verdict = verdict(slope.as_ref());
        findings.push(Finding {
            mode: mode.to_owned(),
            ends: [first.0, last.0],
            groups: [first.1, last.1],
            slope,
            verdict,
        });
    }
    findings
}

/// Positions first, middle and last of every scale, counted in Services from 1.
fn observations(cells: &[(&GroupKey<'_>, &Group<'_>)]) -> Vec<Observation> {
    let mut all = Vec::new();
    let mut blocks = BTreeMap::new();
    for (key, group) in cells {
        let x = match key.position {
            position::FIRST => 1.0,
            position::MIDDLE => (f64::from(key.services) / 2.0).max(1.0),
            position::LAST => f64::from(key.services),
            _ => continue,
        };
        for (block, y) in group.per_block(|row| row.p50) {
            let next = blocks.len() as u32;
            let block = *blocks.entry(block).or_insert(next);
            all.push(Observation { block, x, y });
        }
    }
    all
}

fn verdict(slope: Option<&Slope>) -> String {
    let Some(slope) = slope else { return "no slope: fewer than two positions were measured".to_owned() };
    let Some(interval) = slope.interval.filter(|_| slope.n >= VERDICT_BLOCKS) else {
        return format!("no verdict from {}: at least {VERDICT_BLOCKS} are needed", blocks(slope.n));
    };
    let span = slope.range.1 - slope.range.0;
    let allowed = FLAT_SHARE * slope.intercept.max(0.0);
    if interval.high.abs().max(interval.low.abs()) * span < allowed {
        FLAT.to_owned()
    } else if interval.low > 0.0 {
        RISING.to_owned()
    } else if interval.high < 0.0 {
        "falling, which no lookup should: look for drift or a changing machine".to_owned()
    } else {
        "undecided: the interval includes zero, and more than 10% over the range".to_owned()
    }
}
