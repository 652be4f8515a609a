//! What a figure shows, before anything is drawn.

use crate::stats::Estimate;
use crate::text::Quantity;

/// One figure: panels side by side under a common title and legend.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// File name without extension.
    pub name: &'static str,
    /// The quantity, in words.
    pub title: String,
    /// What the points are.
    pub subtitle: String,
    /// What the legend says beside a mode's name: mode and text.
    pub remarks: Vec<(String, String)>,
    /// Panels, left to right.
    pub panels: Vec<Panel>,
    /// What is missing, and why; one line each.
    pub notes: Vec<String>,
}

impl Figure {
    /// What the legend says beside a mode's name; empty if nothing.
    pub fn remark(&self, mode: &str) -> &str {
        self.remarks.iter().find(|(name, _)| name == mode).map_or("", |(_, text)| text)
    }
}

/// One pair of axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// Heading.
    pub heading: String,
    /// The horizontal axis.
    pub x: XAxis,
    /// The vertical axis.
    pub quantity: Quantity,
    /// Lines, in legend order.
    pub lines: Vec<Line>,
    /// Single events, of a panel over time.
    pub spans: Vec<Span>,
    /// Pieces of bars, of a panel of bars.
    pub bars: Vec<Bar>,
    /// Cells without a figure.
    pub gaps: Vec<Gap>,
    /// Horizontal reference lines: value and label.
    pub limits: Vec<(f64, String)>,
    /// Crosses with a label, such as timeouts.
    pub crosses: Vec<Cross>,
    /// Why there is nothing to draw; empty if there is something.
    pub empty: String,
}

impl Panel {
    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.spans.is_empty() && self.bars.is_empty()
    }
}

/// The horizontal axis of a panel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum XAxis {
    /// Number of Services, logarithmic.
    Services,
    /// Number of contenders, logarithmic.
    Contenders,
    /// Named positions; x is the index.
    Names(Vec<&'static str>),
    /// Time since the beginning, linear, in the panel's quantity.
    Time,
    /// One bar for each name, from the top; x is its length, linear, in the panel's quantity.
    Bars(Vec<String>),
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Mode.
    pub mode: String,
    /// Secondary lines (a tail beside its median) are thin, dashed and without interval bars.
    pub secondary: bool,
    /// A control measured at one scale only: drawn across the panel.
    pub level: bool,
    /// Points, left to right.
    pub points: Vec<Point>,
}

/// One point: the median over blocks, its interval and the number of blocks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Services, or the index of a name.
    pub x: f64,
    /// In the panel's quantity.
    pub y: Estimate,
    /// Number of the group of rows behind it; None where it is not of `records.csv`.
    pub group: Option<usize>,
}

/// One event that takes time.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Mode.
    pub mode: String,
    /// When it began, in the unit of [`XAxis::Time`].
    pub from: f64,
    /// When it had ended.
    pub to: f64,
    /// In the panel's quantity.
    pub y: f64,
    /// Whether its marker is white inside.
    pub hollow: bool,
}

/// A piece of a bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// What it is a part of the whole as; it stands in the place of a mode.
    pub mode: String,
    /// Which bar, from 0.
    pub row: usize,
    /// Where it begins, in the panel's quantity.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    /// Number of the group of rows behind it.
    pub group: Option<usize>,
}

/// A cell that has no figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Gap {
    /// Mode.
    pub mode: String,
    /// Services.
    pub x: f64,
}

/// A labelled cross.
#[derive(Debug, Clone, PartialEq)]
pub struct Cross {
    /// Mode.
    pub mode: String,
    /// Services.
    pub x: f64,
    /// In the panel's quantity.
    pub y: f64,
    /// Text beside it.
    pub label: String,
}
