//! Cells of tables: their text, and what is behind a figure.

use crate::groups::{Group, GroupKey, Groups};
use crate::record::Record;
use crate::stats::Medians;

/// The rows behind a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Those of one group, by its number.
    Group(usize),
    /// Those of all groups of a workload and a metric, by the number of the first.
    Metric(usize),
}

/// What is behind a figure in a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Origin {
    /// The figure as a number, in the unit of its rows: tables are sorted by it.
    pub value: f64,
    /// Its rows.
    pub source: Source,
}

/// A cell of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// What is behind it; None if it is no figure.
    pub origin: Option<Origin>,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell { text, origin: None }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Cell {
    /// A figure and its rows.
    pub fn figure(text: impl Into<String>, value: f64, source: Source) -> Self {
        Cell { text: text.into(), origin: Some(Origin { value, source }) }
    }
}

/// Median over blocks with its interval; a dash where there is none.
pub(super) fn figure(
    groups: &Groups<'_>,
    key: &GroupKey<'_>,
    group: &Group<'_>,
    medians: &mut Medians,
    field: fn(&Record) -> Option<u64>,
) -> Cell {
    let quantity = groups.quantity(key.unit);
    match group.estimate(medians, field) {
        Some(estimate) => {
            Cell::figure(quantity.show_estimate(estimate), estimate.median, Source::Group(group.number))
        }
        None => "—".into(),
    }
}
