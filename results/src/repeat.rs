//! Whether two passes over the same lookups agree: `svcbench run --repeat-check`.
//!
//! In the instruction clock a lookup that is measured again, from an empty machine, must give the same figures: p50
//! within [`P50_LIMIT`] in every mode, and p1, which no straggler reaches, exactly in [`EXACT_MODE`], where nothing
//! but the path itself is measured. Cells are compared block by block, because both passes visit them in one order.

mod shown;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;

use hdrhistogram::Histogram;

use crate::histogram::{HistogramError, TaggedHistogram, read_histograms};
use crate::names::{metric, mode_rank, position, workload};
use crate::platform::Platform;
use crate::record::{Clock, Record, Status, Text};
use crate::record_file::{ReadError, read_records};

/// Most that the p50 of a lookup may differ between passes: this many thousandths of the smaller one.
pub const P50_LIMIT: u64 = 1;
/// The mode whose p1 may not differ at all.
pub const EXACT_MODE: &str = "direct";

/// Why passes could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum RepeatError {
    /// The rows of a pass could not be read.
    #[error(transparent)]
    Records(#[from] ReadError),
    /// The histograms of a pass could not be read.
    #[error(transparent)]
    Histograms(#[from] HistogramError),
    /// No lookup was measured in both passes.
    #[error(
        "nothing to compare: no lookup was measured in both passes; let the sweep have a [lookup] section and modes \
         that can run, and measure with --clock instructions"
    )]
    Nothing,
}

/// A row with its whole distribution, if there is one.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The row.
    pub record: Record,
    /// The histogram that its tag names.
    pub histogram: Option<Histogram<u64>>,
}

impl Sample {
    /// Joins rows and histograms by tag. A cell that was measured again after a kill may have left a histogram whose
    /// row is lost, so only one that agrees with the row in its n and p50 is taken.
    pub fn join(records: Vec<Record>, histograms: Vec<TaggedHistogram>) -> Vec<Sample> {
        let mut by_tag: BTreeMap<String, Vec<Histogram<u64>>> = BTreeMap::new();
        for tagged in histograms {
            by_tag.entry(tagged.tag).or_default().push(tagged.histogram);
        }
        let of = |record: &Record| {
            let known = by_tag.get(record.hist.as_str()).filter(|_| !record.hist.is_empty())?;
            let agrees = |histogram: &&Histogram<u64>| {
                histogram.len() == record.n && Some(histogram.value_at_quantile(0.5)) == record.p50
            };
            known.iter().rev().find(agrees).cloned()
        };
        records.into_iter().map(|record| Sample { histogram: of(&record), record }).collect()
    }

    /// The lookups in the instruction clock of the run in `dir`.
    ///
    /// # Errors
    ///
    /// [`RepeatError::Records`], [`RepeatError::Histograms`].
    pub fn read(dir: &Path) -> Result<Vec<Sample>, RepeatError> {
        let mut records = read_records(&dir.join("records.csv"))?;
        records.retain(|row| row.cell.clock == Clock::Instructions && is_lookup(row));
        Ok(Sample::join(records, read_histograms(&dir.join("histograms.hlog"))?))
    }
}

fn is_lookup(row: &Record) -> bool {
    row.cell.workload == workload::PACKET_PROBE
        && [metric::LOOKUP_FIRST_PACKET, metric::LOOKUP_ESTABLISHED].contains(&row.metric.as_str())
}

/// What must agree between passes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LookupKey {
    /// Clock.
    pub clock: Clock,
    /// `uname -r`.
    pub kernel: Text,
    /// See [`crate::record::CellKey::hypervisor`].
    pub hypervisor: Text,
    rank: usize,
    /// Mode.
    pub mode: Text,
    /// Services installed.
    pub services: u32,
    /// Endpoints per Service.
    pub endpoints: u32,
    position_rank: usize,
    /// Position of the Service looked up.
    pub position: Text,
    /// Metric: first packet or established.
    pub metric: Text,
    /// Block.
    pub block: u32,
    /// Which of several rows with all this in common, in file order.
    pub nth: u32,
}

impl LookupKey {
    fn of(row: &Record) -> Self {
        let known = position::ALL.iter().position(|name| *name == row.cell.position);
        LookupKey {
            clock: row.cell.clock,
            kernel: row.cell.kernel.clone(),
            hypervisor: row.cell.hypervisor.clone(),
            rank: mode_rank(&row.cell.mode),
            mode: row.cell.mode.clone(),
            services: row.cell.services,
            endpoints: row.cell.endpoints,
            position_rank: known.unwrap_or(position::ALL.len()),
            position: row.cell.position.clone(),
            metric: row.metric.clone(),
            block: row.cell.block,
            nth: 0,
        }
    }

    /// The platform of its rows.
    pub fn platform(&self) -> Platform<'_> {
        Platform { clock: self.clock, kernel: &self.kernel, hypervisor: &self.hypervisor }
    }
}

/// One lookup that was measured in both passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepeatedLookup {
    /// Which.
    pub key: LookupKey,
    /// p50 of the first and the second pass, in nanoseconds of the clock.
    pub p50: [u64; 2],
    /// p1 of each pass; None without a histogram.
    pub p1: [Option<u64>; 2],
}

/// What is wrong with one lookup, if anything is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RepeatFault {
    /// p50 differs by more than [`P50_LIMIT`].
    P50,
    /// p1 differs, in [`EXACT_MODE`].
    P1,
    /// p1 is not known, in [`EXACT_MODE`].
    NoHistogram,
}

impl RepeatedLookup {
    /// Difference of the p50 as a share of the smaller one.
    pub fn difference(&self) -> f64 {
        let [low, high] = self.ordered();
        if high == low { 0.0 } else { (high - low) as f64 / low as f64 }
    }

    /// What is wrong with it.
    pub fn fault(&self) -> Option<RepeatFault> {
        let [low, high] = self.ordered();
        if u128::from(high - low) * 1_000 > u128::from(low) * u128::from(P50_LIMIT) {
            return Some(RepeatFault::P50);
        }
        match self.p1 {
            _ if self.key.mode != EXACT_MODE => None,
            [Some(first), Some(second)] => (first != second).then_some(RepeatFault::P1),
            _ => Some(RepeatFault::NoHistogram),
        }
    }

    fn ordered(&self) -> [u64; 2] {
        let [first, second] = self.p50;
        [first.min(second), first.max(second)]
    }
}

/// A lookup without a figure in at least one pass: what each pass has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpairedLookup {
    /// Which.
    pub key: LookupKey,
    /// In words, first and second pass: measured, absent, or status and reason.
    pub passes: [String; 2],
    /// Whether both passes skipped it: that is no disagreement.
    pub skipped: bool,
}

/// What two passes say; its [`Display`](std::fmt::Display) is a table, the worst lookups first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeatability {
    /// Lookups measured in both passes, the worst first.
    pub compared: Vec<RepeatedLookup>,
    /// The others.
    pub uncompared: Vec<UnpairedLookup>,
}

impl Repeatability {
    /// Whether the passes agree: no fault, and nothing that only one pass has or that failed.
    pub fn passes(&self) -> bool {
        self.compared.iter().all(|cell| cell.fault().is_none())
            && self.uncompared.iter().all(|cell| cell.skipped)
    }
}

/// Compares the lookups of two passes; other rows do not matter. Rows of different platforms are different lookups.
///
/// # Errors
///
/// [`RepeatError::Nothing`] if there is no lookup that both passes measured.
pub fn compare(first: &[Sample], second: &[Sample]) -> Result<Repeatability, RepeatError> {
    let mut keys: BTreeMap<LookupKey, [Option<&Sample>; 2]> = BTreeMap::new();
    for (pass, samples) in [first, second].into_iter().enumerate() {
        for sample in samples.iter().filter(|sample| is_lookup(&sample.record)) {
            let mut key = LookupKey::of(&sample.record);
            while keys.get(&key).is_some_and(|found| found[pass].is_some()) {
                key.nth += 1;
            }
            keys.entry(key).or_default()[pass] = Some(sample);
        }
    }
    let mut verdict = Repeatability { compared: Vec::new(), uncompared: Vec::new() };
    for (key, found) in keys {
        let p50 = found.map(|sample| sample.and_then(|sample| sample.record.p50));
        match p50 {
            [Some(one), Some(other)] => {
                let p1 = found.map(|sample| Some(sample?.histogram.as_ref()?.value_at_quantile(0.01)));
                verdict.compared.push(RepeatedLookup { key, p50: [one, other], p1 });
            }
            _ => {
                let is = |sample: Option<&Sample>| sample.map(|sample| sample.record.status);
                let skipped = found.iter().all(|sample| is(*sample) == Some(Status::Skipped));
                verdict.uncompared.push(UnpairedLookup { key, passes: found.map(in_words), skipped });
            }
        }
    }
    if verdict.compared.is_empty() {
        return Err(RepeatError::Nothing);
    }
    verdict.compared.sort_by(|a, b| {
        let worst = |cell: &RepeatedLookup| Reverse(cell.fault().is_some());
        worst(a).cmp(&worst(b)).then(b.difference().total_cmp(&a.difference())).then(a.key.cmp(&b.key))
    });
    Ok(verdict)
}

fn in_words(sample: Option<&Sample>) -> String {
    match sample.map(|sample| &sample.record) {
        None => "absent".to_owned(),
        Some(row) if row.status == Status::Ok => "measured".to_owned(),
        Some(row) if row.note.is_empty() => row.status.to_string(),
        Some(row) => format!("{} — {}", row.status, row.note),
    }
}
