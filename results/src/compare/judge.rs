//! From the blocks of two sides to a verdict.

use crate::groups::GroupKey;
use crate::names::workload;
use crate::record::{Clock, Status};
use crate::stats::{Difference, Floor, Interval, Medians, Power, holm, paired, welch};
use crate::text::thousands;

use super::comparison::{Compared, Effect, Judgement, Measured, MetricKey, TestMethod};
use super::direction::{self, Direction};
use super::gather::{BothSides, SideGroups};
use super::policy::Policy;

/// Differences up to this share are never claimed, whatever the threshold: histograms keep three digits.
const RESOLUTION: f64 = 0.001;

/// By default a figure decides if it was measured in so many blocks of either side; with fewer it can show nothing.
const DECISIVE_BLOCKS: usize = 3;
/// Corrected p values up to this are claimed.
const ALPHA: f64 = 0.05;
const SIDES: [&str; 2] = ["BASE", "NEW"];

/// What all figures of a lane have in common.
pub(super) struct LaneFacts {
    pub index: usize,
    pub clock: Clock,
    pub refused: bool,
    pub sides: [bool; 2],
    /// Whether both sides measured one sweep: then they have the same figures and blocks, or lost some.
    pub same_sweep: bool,
    /// Whether the same block of both sides did the same.
    pub paired: bool,
}

/// On which scale sides are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// Logarithms: differences are ratios.
    Ratio,
    /// Values, some of them zero; per this many of BASE.
    Sum(f64),
}

impl Scale {
    /// A difference on this scale as a share of BASE; None where that is zero.
    fn share(self, difference: f64) -> Option<f64> {
        match self {
            Scale::Ratio => Some(difference.exp_m1()),
            Scale::Sum(per) => (per > 0.0).then(|| difference / per),
        }
    }

    /// A share of BASE as a difference on this scale.
    fn difference(self, share: f64) -> f64 {
        match self {
            Scale::Ratio => share.ln_1p(),
            Scale::Sum(per) => share * per,
        }
    }
}

/// A difference before it is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tested {
    pub difference: Difference,
    pub scale: Scale,
    pub method: TestMethod,
}

/// A figure before its family is known.
pub(super) struct Case {
    pub compared: Compared,
    pub tested: Option<Tested>,
    pub direction: Direction,
    /// Whether a block is missing that the other side has, where both should have the same.
    pub incomplete: bool,
}

/// Compares one figure.
pub(super) fn case(
    key: &GroupKey<'_>,
    cell: &BothSides<'_>,
    floor: Option<Floor>,
    lane: &LaneFacts,
    policy: &Policy,
    medians: &mut Medians,
) -> Case {
    let direction = direction::of(key.metric, key.unit);
    let named = policy.named().map(|metrics| metrics.contains(key.metric));
    let [base, new] = [&cell[0], &cell[1]].map(|side| measured(side, medians));
    let blocks = [base, new].map(|measured| measured.map_or(0, |measured| measured.blocks));
    let may_decide = policy.may_decide(key.mode) && direction != Direction::Neither;
    let enough = blocks.iter().any(|blocks| *blocks >= DECISIVE_BLOCKS);
    let decisive = may_decide
        && named.unwrap_or_else(|| enough && direction::is_decisive(key.workload, key.metric, key.mode));
    let mut compared = Compared {
        figure: MetricKey::of(key, lane.index, lane.clock),
        verdict: Judgement::NotComparable,
        decisive,
        inconclusive: false,
        why: String::new(),
        base,
        new,
        difference: None,
        threshold_percent: policy.threshold(key.metric),
        floor_percent: floor.map(|floor| 100.0 * floor.difference),
    };
    let mut tested = None;
    let mut incomplete = false;
    if lane.refused {
        compared.why = "its lane is refused: the runs were not measured alike".to_owned();
        // The lane decides for all its figures; see `outcome`.
        compared.decisive = false;
    } else if base.is_none() || new.is_none() {
        (compared.why, compared.inconclusive) = absent(cell, [base, new], lane);
        compared.inconclusive &= compared.decisive;
    } else if direction == Direction::Neither {
        compared.why = "neither more nor less of it is better".to_owned();
    } else if direction == Direction::Structure && !(decisive && named == Some(true)) {
        compared.verdict = structure(cell);
    } else {
        tested = test(cell, direction, lane.paired);
        incomplete = lane.same_sweep && blocks[0] != blocks[1] && has_fixed_blocks(key.workload);
        match tested {
            Some(_) if incomplete => {
                compared.why =
                    format!("{} blocks in BASE, {} in NEW, of one and the same sweep", blocks[0], blocks[1]);
            }
            Some(_) => {}
            None => {
                compared.why = "one block does not tell how far another would be".to_owned();
                compared.inconclusive = decisive;
            }
        }
        let lost = cell[1].lost_rows();
        if let Some(row) = cell[1].lost().filter(|row| row.status == Status::Failed) {
            push(
                &mut compared.why,
                &format!("{} of its rows without a figure in NEW: {}", thousands(lost as u64), row.note),
            );
        }
    }
    Case { compared, tested, direction, incomplete }
}

fn push(why: &mut String, more: &str) {
    if !why.is_empty() {
        why.push_str("; ");
    }
    why.push_str(more);
}

fn measured(side: &SideGroups<'_>, medians: &mut Medians) -> Option<Measured> {
    let values: Vec<f64> = side.blocks().into_iter().map(|(_, value)| value).collect();
    let estimate = medians.estimate(&values)?;
    let runs = side.by_run().len();
    Some(Measured { median: estimate.median, interval: estimate.interval, blocks: estimate.n, runs })
}

/// Why a figure that a side has not cannot be compared, and whether that may hide a regression.
fn absent(cell: &BothSides<'_>, measured: [Option<Measured>; 2], lane: &LaneFacts) -> (String, bool) {
    let mut why = String::new();
    let mut notes: Vec<String> = Vec::new();
    for ((name, side), measured) in SIDES.into_iter().zip(cell).zip(measured) {
        if measured.is_some() {
            continue;
        }
        match side.lost() {
            Some(row) if row.note.is_empty() => push(&mut why, &format!("{} in {name}", row.status)),
            Some(row) if notes.iter().any(|note| *note == *row.note) => {
                why = format!("{} in both: {}", row.status, row.note);
            }
            Some(row) => {
                push(&mut why, &format!("{} in {name}: {}", row.status, row.note));
                notes.push(row.note.to_string());
            }
            None => push(&mut why, &format!("no row in {name}")),
        }
    }
    if let Some(side) = lane.sides.iter().position(|present| !present) {
        why = format!("{} has no rows of this clock and kernel", SIDES[side]);
    }
    let hidden = match measured {
        // Lost.
        [Some(_), None] => true,
        // New, unless BASE should have had it.
        [None, Some(_)] => lane.same_sweep && cell[0].lost_rows() == 0,
        // Never measured.
        _ => cell[1].lost().is_some_and(|row| row.status == Status::Failed),
    };
    (why, hidden)
}

/// Whether every block of a sweep measures the workload; syncs repeat as a budget allows.
fn has_fixed_blocks(name: &str) -> bool {
    !(name.starts_with("full_sync") || name.starts_with("partial_sync") || name == workload::APPEND)
}

/// Exact counts: any difference is one.
fn structure(cell: &BothSides<'_>) -> Judgement {
    let [base, new] = [&cell[0], &cell[1]].map(distinct);
    if base == new { Judgement::NoDifference } else { Judgement::Changed }
}

fn distinct(side: &SideGroups<'_>) -> Vec<f64> {
    let mut values: Vec<f64> = side.blocks().into_iter().map(|(_, value)| value).collect();
    values.sort_unstable_by(f64::total_cmp);
    values.dedup();
    values
}

/// The difference, and how it was found. None where a side has too few values.
fn test(cell: &BothSides<'_>, direction: Direction, may_pair: bool) -> Option<Tested> {
    let [base, new] = [&cell[0], &cell[1]].map(SideGroups::by_run);
    if base.len() > 1 && new.len() > 1 {
        return tested(&base, &new, TestMethod::Runs);
    }
    let [base, new] = [&cell[0], &cell[1]].map(SideGroups::blocks);
    let number = |blocks: &[((usize, &str, u32), f64)]| -> Vec<u32> {
        blocks.iter().map(|((_, _, number), _)| *number).collect()
    };
    let same_blocks = number(&base) == number(&new);
    let one_run = [&base, &new].iter().all(|side| side.windows(2).all(|pair| pair[0].0.1 == pair[1].0.1));
    let [base, new] = [base, new].map(|side| Vec::from_iter(side.into_iter().map(|(_, value)| value)));
    // A count that was checked against the model is exact, however often it was taken.
    if direction == Direction::Structure
        && let ([base, ..], [new, ..]) = (&base[..], &new[..])
    {
        return tested(&[*base; 2], &[*new; 2], TestMethod::Blocks);
    }
    let method =
        if may_pair && same_blocks && one_run { TestMethod::PairedBlocks } else { TestMethod::Blocks };
    tested(&base, &new, method)
}

/// Tests two sides, on logarithms if all values are positive.
pub(super) fn tested(base: &[f64], new: &[f64], method: TestMethod) -> Option<Tested> {
    let ratio = base.iter().chain(new).all(|value| *value > 0.0);
    let scaled = |values: &[f64]| -> Vec<f64> {
        values.iter().map(|value| if ratio { value.ln() } else { *value }).collect()
    };
    let (one, other) = (scaled(base), scaled(new));
    let difference = match method {
        TestMethod::PairedBlocks => paired(&Vec::from_iter(one.into_iter().zip(other))),
        _ => welch(&one, &other),
    }?;
    let scale = if ratio { Scale::Ratio } else { Scale::Sum(base.iter().sum::<f64>() / base.len() as f64) };
    let method = if difference.degrees.is_none() { TestMethod::Exact } else { method };
    Some(Tested { difference, scale, method })
}

impl Tested {
    /// Whether a difference of more than `share` is claimed at this corrected p value: up or down.
    pub(super) fn claim(&self, share: f64, p_corrected: f64) -> Option<bool> {
        let Difference { effect, interval, .. } = self.difference;
        let shown = p_corrected < ALPHA && !interval.holds(0.0);
        (shown && effect.abs() > self.scale.difference(share)).then_some(effect > 0.0)
    }

    /// The smallest difference, as a share, that could have been shown above `floor` in a family of `members`.
    pub(super) fn detectable(&self, floor: f64, members: usize, power: &mut Power) -> Option<f64> {
        let level = ALPHA / members.max(1) as f64;
        let limit = self.scale.difference(floor);
        self.scale.share(power.detectable(&self.difference, level, limit)?)
    }

    fn shown(&self, p_corrected: f64, detectable: Option<f64>) -> Effect {
        let Difference { effect, interval, p, .. } = self.difference;
        let percent = |difference| self.scale.share(difference).map(|share| 100.0 * share);
        let ends = percent(interval.low).zip(percent(interval.high));
        Effect {
            percent: percent(effect),
            interval_percent: ends.map(|(low, high)| Interval { low, high }),
            p,
            p_corrected,
            method: self.method,
            detectable_percent: detectable.map(|share| 100.0 * share),
        }
    }
}

/// Judges all figures: those that decide are one family, as they decide together; the others are another. Returns them
/// worst first, and the size of the first family.
pub(super) fn verdicts(cases: Vec<Case>) -> (Vec<Compared>, usize) {
    let mut judged: Vec<(f64, Compared)> = Vec::new();
    let mut power = Power::new();
    let (deciding, others): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| case.compared.decisive);
    let family = deciding.iter().filter(|case| case.tested.is_some()).count();
    for cases in [deciding, others] {
        let p_values: Vec<f64> = cases.iter().filter_map(|case| Some(case.tested?.difference.p)).collect();
        let (members, mut corrected) = (p_values.len(), holm(&p_values).into_iter());
        for case in cases {
            let p = case.tested.and_then(|_| corrected.next());
            judged.push(judge(case, p.unwrap_or(1.0), members, &mut power));
        }
    }
    judged.sort_by(|(size, one), (other_size, other)| {
        // Worse, then what may hide something, then the rest by verdict.
        let rank =
            |figure: &Compared| (figure.verdict != Judgement::Worse, !figure.inconclusive, figure.verdict);
        let decides = |figure: &Compared| !figure.decisive;
        rank(one).cmp(&rank(other)).then(decides(one).cmp(&decides(other))).then(other_size.total_cmp(size))
    });
    (judged.into_iter().map(|(_, figure)| figure).collect(), family)
}

/// The figure with its verdict, and for sorting the size of its difference, or of what could have gone unseen.
fn judge(case: Case, p_corrected: f64, members: usize, power: &mut Power) -> (f64, Compared) {
    let Case { mut compared, tested, direction, incomplete } = case;
    let Some(tested) = tested else { return (0.0, compared) };
    let threshold = compared.threshold_percent / 100.0;
    let floor = compared.floor_percent.map_or(0.0, |percent| percent / 100.0);
    let detectable = tested.detectable(floor, members, power).map(|share| share.max(RESOLUTION));
    let floor = floor.max(RESOLUTION);
    let more_is_worse = direction != Direction::Higher;
    compared.verdict = match tested.claim(threshold.max(floor), p_corrected) {
        Some(up) if up == more_is_worse => Judgement::Worse,
        Some(_) => Judgement::Better,
        None => Judgement::NoDifference,
    };
    if compared.verdict == Judgement::NoDifference {
        // Nothing lost on either side is exact, though it is a share of nothing.
        let exact = tested.method == TestMethod::Exact;
        let unseen = match detectable {
            Some(share) => share > threshold.max(RESOLUTION),
            None => !exact,
        };
        if tested.claim(floor, p_corrected).is_some() {
            push(&mut compared.why, "a difference is shown, but within the threshold");
        }
        if unseen && compared.decisive {
            push(&mut compared.why, "a difference as large as the threshold could have gone unseen");
        }
        compared.inconclusive = compared.decisive && (unseen || incomplete);
    }
    compared.difference = Some(tested.shown(p_corrected, detectable));
    let size = if compared.inconclusive {
        detectable.unwrap_or(f64::INFINITY)
    } else {
        tested.difference.effect.abs()
    };
    (size, compared)
}
