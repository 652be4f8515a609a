//! Logarithmic axes with ticks at 1, 2, 5 or at decades; a linear axis of time.

use crate::series::{Panel, XAxis};

/// A logarithmic axis between two positive bounds, mapped to pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LogAxis {
    low: f64,
    high: f64,
}

impl LogAxis {
    /// The smallest 1-2-5 bounds around the positive finite `values`, with a little room; 1 to 10 if there are
    /// none.
    pub(super) fn around(values: impl IntoIterator<Item = f64>) -> Self {
        match extremes(values) {
            None => LogAxis { low: 1.0, high: 10.0 },
            Some((low, high)) => LogAxis { low: step_down(low / 1.12), high: step_up(high * 1.15) },
        }
    }

    /// Bounds a little outside the positive finite `values`.
    pub(super) fn close(values: impl IntoIterator<Item = f64>) -> Self {
        match extremes(values) {
            None => LogAxis { low: 1.0, high: 10.0 },
            Some((low, high)) if low == high => LogAxis { low: low / 2.0, high: high * 2.0 },
            Some((low, high)) => {
                let room = (high / low).powf(0.04);
                LogAxis { low: low / room, high: high * room }
            }
        }
    }

    /// Where `value` lies between the bounds: 0 to 1. Zero and less lie on the lower bound.
    pub(super) fn share(self, value: f64) -> f64 {
        if value <= 0.0 {
            return 0.0;
        }
        ((value / self.low).ln() / (self.high / self.low).ln()).clamp(0.0, 1.0)
    }

    /// At most `limit` ticks, roughly: 1-2-5 steps if they fit, else decades, else every few decades.
    pub(super) fn ticks(self, limit: usize) -> Vec<f64> {
        let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        for (steps, every) in [(&[1.0, 2.0, 5.0][..], 1), (&[1.0], 1), (&[1.0], 2), (&[1.0], 3), (&[1.0], 6)]
        {
            let ticks: Vec<f64> = decades
                .clone()
                .filter(|power| power % every == 0)
                .flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)))
                .filter(|tick| (self.low * 0.999..=self.high * 1.001).contains(tick))
                .collect();
            if ticks.len() <= limit {
                return ticks;
            }
        }
        Vec::new()
    }
}

/// Time since the beginning, in seconds (thousand millions of instructions) from 0, mapped to pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TimeAxis {
    high: f64,
}

impl TimeAxis {
    /// As long as the longest of the panels over time, or of bars.
    pub(super) fn of(panels: &[Panel]) -> Self {
        let panels = panels.iter().filter(|panel| matches!(panel.x, XAxis::Time | XAxis::Bars(_)));
        let ends = panels.flat_map(|panel| {
            let points = panel.lines.iter().flat_map(|line| &line.points).map(|point| point.x);
            let bars = panel.bars.iter().map(|bar| bar.to).filter(|end| end.is_finite());
            points.chain(panel.spans.iter().map(|span| span.to)).chain(bars)
        });
        let longest = ends.map(|end| end / 1e9).fold(0.0, f64::max);
        TimeAxis { high: if longest > 0.0 { longest * 1.02 } else { 1.0 } }
    }

    /// Where this many nanoseconds lie: 0 to 1.
    pub(super) fn share(self, nanoseconds: f64) -> f64 {
        (nanoseconds / 1e9 / self.high).clamp(0.0, 1.0)
    }

    /// At most `limit` round ticks, seconds.
    pub(super) fn ticks(self, limit: usize) -> Vec<f64> {
        let least = self.high / limit.max(1) as f64;
        let decade = 10_f64.powf(least.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade).into_iter().find(|step| *step >= least);
        let step = step.unwrap_or(10.0 * decade);
        let count = (self.high / step).floor() as usize;
        (0..=count.min(limit)).map(|index| index as f64 * step).collect()
    }
}

fn extremes(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let positive = values.into_iter().filter(|value| value.is_finite() && *value > 0.0);
    positive.fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((value.min(low), value.max(high))),
    })
}

fn step_down(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    decade * [5.0, 2.0].into_iter().find(|step| step * decade <= value).unwrap_or(1.0)
}

fn step_up(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    decade * [1.0, 2.0, 5.0].into_iter().find(|step| step * decade >= value).unwrap_or(10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_round_and_hold_the_values() {
        let axis = LogAxis::around([1_500.0, 31_000.0]);
        assert_eq!(axis, LogAxis { low: 1_000.0, high: 50_000.0 });
        assert_eq!(axis.ticks(9), [1e3, 2e3, 5e3, 1e4, 2e4, 5e4]);
        assert_eq!(axis.ticks(3), [1e3, 1e4]);
        assert!(axis.share(1_500.0) > 0.0 && axis.share(31_000.0) < 1.0);
    }

    #[test]
    fn time_has_round_ticks_from_zero() {
        assert_eq!(TimeAxis { high: 103.0 }.ticks(6), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(TimeAxis { high: 0.7 }.ticks(4), [0.0, 0.2, 0.4, 0.6000000000000001]);
        assert_eq!(TimeAxis::of(&[]).share(5e8), 0.5);
        assert_eq!(TimeAxis::of(&[]).ticks(0), [0.0], "no room is still an axis");
    }

    #[test]
    fn nothing_positive_is_still_an_axis() {
        for values in [vec![], vec![0.0], vec![f64::NAN, -1.0]] {
            let axis = LogAxis::around(values);
            assert_eq!((axis.share(0.0), axis.share(f64::NAN).is_nan(), axis.ticks(9).len()), (0.0, true, 4));
        }
        assert_eq!(LogAxis::close([7.0]).share(7.0), 0.5);
        assert!(!LogAxis::around([1.0, u64::MAX as f64]).ticks(8).is_empty());
    }
}
