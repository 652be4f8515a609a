//! Intervals, false alarms and power on simulated data whose truth is known, with one fixed seed.

#![expect(clippy::print_stdout, reason = "tests talk to whoever runs them")]
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod fixtures;

use fixtures::sides;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, LogNormal, Normal, StudentT};
use results::compare::{Comparison, ComparisonOutcome, Judgement, Policy, Run, compare};
use results::stats::{Interval, Medians, Observation, Power, paired, slope, welch};

const TRIALS: usize = 2_000;

/// How blocks scatter around 1,000, which is always the median.
#[derive(Debug, Clone, Copy)]
enum Noise {
    /// Normally, by so many percent.
    Normal(f64),
    /// By a factor: standard deviation of the logarithm.
    LogNormal(f64),
    /// As Student's t with four degrees of freedom, by so many percent: one block in fifty is far out.
    HeavyTails(f64),
}

const NOISES: [Noise; 4] =
    [Noise::Normal(2.0), Noise::LogNormal(0.05), Noise::LogNormal(0.5), Noise::HeavyTails(2.0)];

impl Noise {
    fn draw(self, generator: &mut ChaCha8Rng) -> f64 {
        match self {
            Noise::Normal(percent) => Normal::new(1e3, 10.0 * percent).unwrap().sample(generator),
            Noise::LogNormal(sigma) => 1e3 * LogNormal::new(0.0, sigma).unwrap().sample(generator),
            Noise::HeavyTails(percent) => {
                1e3 + 10.0 * percent * StudentT::new(4.0).unwrap().sample(generator)
            }
        }
    }

    fn blocks(self, n: usize, generator: &mut ChaCha8Rng) -> Vec<f64> {
        (0..n).map(|_| self.draw(generator)).collect()
    }
}

/// Asserts that 93 to 97% of `TRIALS` intervals hold `truth`.
fn covers(what: &str, truth: f64, mut interval: impl FnMut(&mut ChaCha8Rng) -> Interval) {
    let mut generator = ChaCha8Rng::seed_from_u64(20_261_130);
    let held = (0..TRIALS).filter(|_| interval(&mut generator).holds(truth)).count();
    let coverage = held as f64 / TRIALS as f64;
    println!("{what}: {:.2}%", 100.0 * coverage);
    assert!((0.93..=0.97).contains(&coverage), "{what}: {coverage}");
}

#[test]
fn intervals_of_medians_hold_what_they_promise() {
    let mut medians = Medians::new();
    for noise in NOISES {
        for n in [3, 4, 5, 6, 7, 8, 10, 13, 20, 41] {
            covers(&format!("median of {n}, {noise:?}"), 1e3, |generator| {
                medians.estimate(&noise.blocks(n, generator)).unwrap().interval.unwrap()
            });
        }
    }
}

#[test]
fn intervals_of_slopes_hold_what_they_promise() {
    // Slopes may be negative and have no logarithm: a skew as of LogNormal(0.5) is more than their intervals promise.
    for noise in [Noise::Normal(2.0), Noise::LogNormal(0.05), Noise::HeavyTails(2.0)] {
        for n in [3, 5, 8] {
            covers(&format!("slope over {n}, {noise:?}"), 2.7, |generator| {
                let mut points = Vec::new();
                for block in 0..n {
                    // A block is faster or slower as a whole, and each of its points by itself.
                    let conditions = noise.draw(generator) / 1e3;
                    for x in [1.0, 50.0, 100.0, 500.0, 1e3] {
                        let own = Normal::new(0.0, 20.0).unwrap().sample(generator);
                        points.push(Observation { block, x, y: (3e3 + 2.7 * x) * conditions + own });
                    }
                }
                slope(&points).unwrap().interval.unwrap()
            });
        }
    }
}

fn logarithms(values: Vec<f64>) -> Vec<f64> {
    values.into_iter().map(f64::ln).collect()
}

#[test]
fn intervals_of_differences_hold_what_they_promise() {
    for noise in NOISES {
        for (first, second) in [(5, 5), (3, 5), (5, 10), (8, 8)] {
            covers(&format!("{first} against {second} blocks, {noise:?}"), 1.05_f64.ln(), |generator| {
                let before = logarithms(noise.blocks(first, generator));
                let after = noise.blocks(second, generator).into_iter().map(|value| value * 1.05).collect();
                welch(&before, &logarithms(after)).unwrap().interval
            });
        }
        covers(&format!("5 pairs, {noise:?}"), 1.05_f64.ln(), |generator| {
            let pair = |generator: &mut ChaCha8Rng| {
                let block = noise.draw(generator).ln();
                let own = |generator: &mut ChaCha8Rng| Normal::new(0.0, 0.01).unwrap().sample(generator);
                (block + own(generator), block + 1.05_f64.ln() + own(generator))
            };
            let pairs: Vec<_> = (0..5).map(|_| pair(generator)).collect();
            paired(&pairs).unwrap().interval
        });
    }
}

/// What it costs that Welch's test does not ask both sides to scatter alike, where one scatters five times as much.
#[test]
fn sides_that_scatter_differently_are_compared_honestly() {
    for n in [5, 8] {
        covers(&format!("unequal scatter, {n}"), 0.0, |generator| {
            let quiet = logarithms(Noise::LogNormal(0.02).blocks(n, generator));
            let noisy = logarithms(Noise::LogNormal(0.1).blocks(n, generator));
            welch(&quiet, &noisy).unwrap().interval
        });
    }
}

/// Figures that decide, of a run that is not small: three modes, three scales, three positions.
const FIGURES: usize = 27;

/// A run of `FIGURES` lookups in five blocks; `shift` is the factor of the first of them.
fn run(noise: Noise, shift: f64, generator: &mut ChaCha8Rng) -> Run {
    let values: Vec<Vec<f64>> = (0..FIGURES)
        .map(|figure| {
            let factor = if figure == 0 { shift } else { 1.0 };
            // In picoseconds, so that rounding is none of the noise.
            noise.blocks(5, generator).into_iter().map(|value| 1e3 * factor * value).collect()
        })
        .collect();
    sides::lookups(&values)
}

fn comparisons(
    noise: Noise,
    shift: f64,
    policy: &Policy,
    trials: usize,
    mut look: impl FnMut(&Comparison) -> bool,
) -> f64 {
    let mut generator = ChaCha8Rng::seed_from_u64(20_261_130);
    let found = (0..trials)
        .filter(|_| {
            let (base, new) = (run(noise, 1.0, &mut generator), run(noise, shift, &mut generator));
            look(&compare(&[base], &[new], policy))
        })
        .count();
    found as f64 / trials as f64
}

/// The whole verdict, over all figures together: with no threshold to hide behind, and as people run it.
#[test]
fn an_identical_run_is_called_different_in_at_most_five_of_a_hundred() {
    let bare = Policy { threshold: 0.0, ..Policy::default() };
    let claims = |comparison: &Comparison| {
        assert_eq!(comparison.family, FIGURES);
        comparison.figures.iter().any(|figure| matches!(figure.verdict, Judgement::Worse | Judgement::Better))
    };
    for noise in [Noise::Normal(2.0), Noise::HeavyTails(2.0)] {
        let rate = comparisons(noise, 1.0, &bare, 600, claims);
        println!("false alarms without a threshold, {noise:?}: {:.2}%", 100.0 * rate);
        assert!(rate <= 0.05, "{noise:?}: {rate}");
    }
    let regressions = |comparison: &Comparison| comparison.outcome == ComparisonOutcome::Regression;
    let rate = comparisons(Noise::HeavyTails(2.0), 1.0, &Policy::default(), 100, regressions);
    assert!(rate <= 0.01, "{rate}");
}

/// Noise at which five blocks against five can just show 5%, in a family of `FIGURES`: it is found in four of five.
#[test]
fn a_shift_of_five_percent_is_found_at_the_promised_power() {
    const SIGMA: f64 = 0.0125;
    // Five blocks that have exactly this standard deviation.
    let blocks: Vec<f64> = [-1.0, -1.0, 0.0, 1.0, 1.0].map(|side| side * SIGMA).into();
    let noise = welch(&blocks, &blocks).unwrap();
    assert!((noise.standard_error - SIGMA * 0.4_f64.sqrt()).abs() < 1e-12);
    let level = 0.05 / FIGURES as f64;
    let promise = Power::new().detectable(&noise, level, 0.001_f64.ln_1p()).unwrap().exp_m1();
    println!("promise {promise}");
    assert!((promise - 0.05).abs() < 0.0005, "{promise}");
    let policy = Policy { threshold: 1.0, ..Policy::default() };
    let mut told = Vec::new();
    let found = comparisons(Noise::LogNormal(SIGMA), 1.05, &policy, 600, |comparison| {
        told.extend(
            comparison.figures.iter().map(|figure| figure.difference.unwrap().detectable_percent.unwrap()),
        );
        let mut all = comparison.figures.iter();
        all.any(|figure| figure.verdict == Judgement::Worse && figure.figure == sides::first_figure())
    });
    told.sort_unstable_by(f64::total_cmp);
    let told = told[told.len() / 2];
    println!("found: {:.1}%; comparisons say {told:.2}%", 100.0 * found);
    assert!((0.77..=0.83).contains(&found), "{found}");
    // Each estimates its own noise; the middle of their promises is the truth, within a tenth.
    assert!((4.5..=5.5).contains(&told), "{told}");
}
