//! Intervals of 95%.

/// How sure an interval is, and what is left on both sides together.
pub const CONFIDENCE: f64 = 0.95;

/// A closed 95% interval, in the unit of its estimate.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Whether `value` is inside.
    pub fn holds(self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// The interval of no width.
    pub const fn point(value: f64) -> Self {
        Interval { low: value, high: value }
    }
}
