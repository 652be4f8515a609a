//! Tables of text: headings, cells, and the rows behind their figures.

use std::collections::BTreeMap;

use crate::text::thousands;

/// A table of text; the first `left` columns are names, the rest figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Title.
    pub title: String,
    /// How to read it.
    pub remark: String,
    /// Column headings.
    pub columns: Vec<String>,
    /// Number of leading columns that hold names.
    pub left: usize,
    /// Rows; each has as many cells as there are columns.
    pub rows: Vec<Vec<String>>,
    /// What is behind figures, by row and column; cells that are not here are words, or say by themselves what they count.
    pub origins: BTreeMap<(usize, usize), Origin>,
}

impl Table {
    pub(crate) fn new(title: &str, remark: &str, left: usize, columns: &[&str]) -> Self {
        Table {
            title: title.to_owned(),
            remark: remark.to_owned(),
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            left,
            rows: Vec::new(),
            origins: BTreeMap::new(),
        }
    }

    /// Cut down to what can be read, and says so.
    pub(crate) fn readable(mut self) -> Self {
        let all = self.rows.len();
        if all > MOST_ROWS {
            self.rows.truncate(MOST_ROWS);
            let [shown, all] = [MOST_ROWS, all].map(|count| thousands(count as u64));
            self.remark += &format!(" The first {shown} of {all} rows: the rest is in records.csv.");
        }
        self
    }

    /// Adds a row of cells, as many as there are columns.
    pub(crate) fn push(&mut self, cells: Vec<Cell>) {
        let row = self.rows.len();
        let origins =
            cells.iter().enumerate().filter_map(|(column, cell)| Some(((row, column), cell.origin?)));
        self.origins.extend(origins);
        self.rows.push(cells.into_iter().map(|cell| cell.text).collect());
    }
}

/// Longer tables nobody reads.
const MOST_ROWS: usize = 2_000;

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
