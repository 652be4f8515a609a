//! [`Record`], the one row type: one metric of one cell, measured, failed or skipped.

mod cell;
pub(crate) mod shared;
mod units;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

pub use self::cell::CellKey;
pub use self::units::{Clock, Status, Text, Unit};

/// The columns of `records.csv`, in file order.
pub const COLUMNS: [&str; 27] = [
    "run",
    "block",
    "order",
    "mode",
    "services",
    "endpoints",
    "position",
    "workload",
    "contenders",
    "metric",
    "unit",
    "clock",
    "kernel",
    "hypervisor",
    "n",
    "min",
    "p50",
    "p90",
    "p99",
    "p999",
    "max",
    "mean",
    "stddev",
    "status",
    "note",
    "hist",
    "system",
];

/// A column that older files lack: its index in [`COLUMNS`].
pub(crate) const HYPERVISOR_AT: usize = 13;
/// Its name.
pub(crate) const HYPERVISOR: &str = COLUMNS[HYPERVISOR_AT];
/// The other one, newer still, and the last: the columns before it are where they always were.
pub(crate) const SYSTEM_AT: usize = 26;
/// Its name.
pub(crate) const SYSTEM: &str = COLUMNS[SYSTEM_AT];

/// One row of `records.csv`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Columns", into = "Columns")]
pub struct Record {
    /// The cell that it belongs to.
    pub cell: CellKey,
    /// What was measured; see [`crate::names::metric`].
    pub metric: Text,
    /// Unit of the figures.
    pub unit: Unit,
    /// Number of samples.
    pub n: u64,
    /// Smallest sample.
    pub min: Option<u64>,
    /// 50th percentile.
    pub p50: Option<u64>,
    /// 90th percentile.
    pub p90: Option<u64>,
    /// 99th percentile.
    pub p99: Option<u64>,
    /// 99.9th percentile.
    pub p999: Option<u64>,
    /// Largest sample.
    pub max: Option<u64>,
    /// Arithmetic mean, rounded.
    pub mean: Option<u64>,
    /// Standard deviation of the samples, rounded.
    pub stddev: Option<u64>,
    /// Measured, failed or skipped.
    pub status: Status,
    /// Why it failed or was skipped, or a remark.
    pub note: Text,
    /// Tag of the whole distribution in `histograms.hlog`, or empty.
    pub hist: Text,
}

/// The columns of a row, in file order.
#[derive(Serialize, Deserialize)]
pub(crate) struct Columns {
    pub run: Text,
    pub block: u32,
    pub order: u32,
    pub mode: Text,
    pub services: u32,
    pub endpoints: u32,
    pub position: Text,
    pub workload: Text,
    pub contenders: u32,
    pub metric: Text,
    pub unit: Unit,
    pub clock: Clock,
    pub kernel: Text,
    pub hypervisor: Text,
    pub n: u64,
    pub min: Option<u64>,
    pub p50: Option<u64>,
    pub p90: Option<u64>,
    pub p99: Option<u64>,
    pub p999: Option<u64>,
    pub max: Option<u64>,
    pub mean: Option<u64>,
    pub stddev: Option<u64>,
    pub status: Status,
    pub note: Text,
    pub hist: Text,
    #[serde(default)]
    pub system: Text,
}

/// Takes a row apart into columns and puts it together again.
macro_rules! row_and_columns {
    (cell: $($of_cell:ident)+; row: $($own:ident)+;) => {
        impl From<Record> for Columns {
            fn from(Record { cell: CellKey { $($of_cell),+ }, $($own),+ }: Record) -> Self {
                Columns { $($of_cell,)+ $($own),+ }
            }
        }

        impl From<Columns> for Record {
            fn from(Columns { $($of_cell,)+ $($own),+ }: Columns) -> Self {
                Record { cell: CellKey { $($of_cell),+ }, $($own),+ }
            }
        }
    };
}

row_and_columns! {
    cell: run block order mode services endpoints position workload contenders clock kernel hypervisor system;
    row: metric unit n min p50 p90 p99 p999 max mean stddev status note hist;
}

impl Record {
    /// The column `p50`; as this and the next are used: as a value, where one of several columns is chosen.
    pub fn p50(&self) -> Option<u64> {
        self.p50
    }

    /// The column `p90`.
    pub fn p90(&self) -> Option<u64> {
        self.p90
    }

    /// The column `p99`.
    pub fn p99(&self) -> Option<u64> {
        self.p99
    }

    /// The column `p999`.
    pub fn p999(&self) -> Option<u64> {
        self.p999
    }

    /// The column `max`.
    pub fn max(&self) -> Option<u64> {
        self.max
    }

    /// The ordered figures with their column names: min, p50, p90, p99, p999, max.
    pub fn quantiles(&self) -> [(&'static str, Option<u64>); 6] {
        [
            ("min", self.min),
            ("p50", self.p50),
            ("p90", self.p90),
            ("p99", self.p99),
            ("p999", self.p999),
            ("max", self.max),
        ]
    }
}

impl CellKey {
    /// A row of one value: every quantile is that value and the deviation is 0.
    pub fn scalar(&self, metric: &str, unit: Unit, value: u64) -> Record {
        self.samples(metric, unit, &[value])
    }

    /// A row of a few exact samples (nearest-rank quantiles, population deviation). No samples: a failed row.
    pub fn samples(&self, metric: &str, unit: Unit, samples: &[u64]) -> Record {
        let mut sorted = samples.to_vec();
        sorted.sort_unstable();
        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
            return self.failed(metric, unit, "no samples were recorded");
        };
        let count = sorted.len() as f64;
        let quantile = |q: f64| {
            let rank = (q * count).ceil().max(1.0) as usize;
            sorted.get(rank - 1).copied().or(Some(max))
        };
        let mean = sorted.iter().map(|&v| v as f64).sum::<f64>() / count;
        let variance = sorted.iter().map(|&v| (v as f64 - mean).powi(2)).sum::<f64>() / count;
        Record {
            n: sorted.len() as u64,
            min: Some(min),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: Some(max),
            mean: Some(mean.round() as u64),
            stddev: Some(variance.sqrt().round() as u64),
            ..self.row(metric, unit, Status::Ok, "")
        }
    }

    /// A row that summarises a histogram; `hist` is its tag in `histograms.hlog`, or empty. An empty histogram
    /// gives a failed row.
    pub fn distribution(&self, metric: &str, unit: Unit, histogram: &Histogram<u64>, hist: &str) -> Record {
        if histogram.is_empty() {
            return self.failed(metric, unit, "no samples were recorded");
        }
        let quantile = |q| Some(histogram.value_at_quantile(q));
        Record {
            n: histogram.len(),
            min: Some(histogram.min()),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: Some(histogram.max()),
            mean: Some(histogram.mean().round() as u64),
            stddev: Some(histogram.stdev().round() as u64),
            hist: hist.into(),
            ..self.row(metric, unit, Status::Ok, "")
        }
    }

    /// A row without figures: it was tried, and `reason` says what went wrong. Runs of white space in the reason
    /// become one space.
    pub fn failed(&self, metric: &str, unit: Unit, reason: &str) -> Record {
        self.row(metric, unit, Status::Failed, reason)
    }

    /// A row without figures: it was refused beforehand, for `reason` (white space as in [`CellKey::failed`]).
    pub fn skipped(&self, metric: &str, unit: Unit, reason: &str) -> Record {
        self.row(metric, unit, Status::Skipped, reason)
    }

    fn row(&self, metric: &str, unit: Unit, status: Status, note: &str) -> Record {
        Record {
            cell: self.clone(),
            metric: metric.into(),
            unit,
            n: 0,
            min: None,
            p50: None,
            p90: None,
            p99: None,
            p999: None,
            max: None,
            mean: None,
            stddev: None,
            status,
            // One line per row, so that a torn file is torn in its last line only.
            note: note.split_whitespace().collect::<Vec<_>>().join(" ").into(),
            hist: Text::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> CellKey {
        CellKey {
            run: "r".into(),
            block: 1,
            order: 2,
            mode: "ipvs".into(),
            services: 10,
            endpoints: 1,
            position: "last".into(),
            workload: "packet_probe".into(),
            contenders: 0,
            clock: Clock::Wall,
            kernel: "6.1".into(),
            hypervisor: "none".into(),
            system: "".into(),
        }
    }

    #[test]
    fn a_scalar_is_every_quantile() {
        let row = key().scalar("rules", Unit::Count, 7);
        assert!(row.quantiles().iter().all(|(_, v)| *v == Some(7)));
        assert_eq!((row.n, row.mean, row.stddev), (1, Some(7), Some(0)));
    }

    #[test]
    fn samples_use_the_nearest_rank() {
        let row = key().samples("apply", Unit::Ns, &[40, 10, 30, 20]);
        assert_eq!((row.min, row.p50, row.p90, row.max), (Some(10), Some(20), Some(40), Some(40)));
        assert_eq!((row.mean, row.stddev), (Some(25), Some(11)));
    }

    #[test]
    fn nothing_recorded_is_a_failure_not_a_zero() {
        let empty = Histogram::<u64>::new(3).unwrap();
        let row = key().distribution("lookup_first_packet", Unit::Ns, &empty, "t");
        assert_eq!((row.status, row.p50, row.hist.as_str()), (Status::Failed, None, ""));
        assert_eq!(key().samples("apply", Unit::Ns, &[]).status, Status::Failed);
    }

    #[test]
    fn a_histogram_keeps_its_order_even_at_the_extremes() {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        for value in [0, 1, 999, 1_000_000, u64::MAX / 4] {
            histogram.record(value).unwrap();
        }
        let row = key().distribution("lookup_first_packet", Unit::Ns, &histogram, "t");
        let values: Vec<_> = row.quantiles().iter().map(|(_, v)| v.unwrap()).collect();
        assert!(values.is_sorted(), "{values:?}");
    }
}
