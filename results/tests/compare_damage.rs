//! Damaged files given to a comparison: an error, a refusal, or the verdict of the whole files; never another verdict.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod fixtures;

use std::path::Path;
use std::sync::LazyLock;

use fixtures::sides::{self, lookups};
use proptest::prelude::*;
use proptest::sample::Index;
use results::compare::{ComparisonOutcome, Policy, Run, bencher, compare, junit, markdown, read_side, text};
use results::environment::Environment;
use results::record_file::parse_records;

/// Nine lookups in five blocks that agree to 1%.
fn values(factor: f64) -> Vec<Vec<f64>> {
    let block =
        |figure: usize, block: usize| 1_000.0 + 100.0 * figure as f64 + [0.0, 4.0, -5.0, 9.0, -8.0][block];
    let figure =
        |figure| (0..5).map(|at| block(figure, at) * if figure % 3 == 0 { factor } else { 1.0 }).collect();
    (0..9).map(figure).collect()
}

#[derive(Clone)]
struct Files {
    csv: Vec<u8>,
    json: Vec<u8>,
}

fn files(run: &Run) -> Files {
    let dir = tempfile::tempdir().unwrap();
    sides::write(dir.path(), run);
    let read = |name| std::fs::read(dir.path().join(name)).unwrap();
    Files { csv: read("records.csv"), json: read("environment.json") }
}

/// What the files say, if they can be read.
fn parsed(files: &Files) -> Option<Run> {
    let records = parse_records(&files.csv, Path::new("records.csv")).ok()?;
    let environment: Environment = serde_json::from_slice(&files.json).ok()?;
    Some(Run { records, environment, ..sides::run_of(Vec::new()) })
}

/// The outcome; everything that can be written of it is written.
fn outcome(base: &Files, new: &Files) -> Option<ComparisonOutcome> {
    let comparison = compare(&[parsed(base)?], &[parsed(new)?], &Policy::default());
    let pages =
        [text(&comparison, true), markdown(&comparison, true), junit(&comparison), bencher(&comparison)];
    assert!(pages.iter().all(|page| !page.is_empty()));
    Some(comparison.outcome)
}

#[derive(Debug, Clone)]
enum Damage {
    Flip(Vec<(Index, u8)>),
    Cut(Index),
    /// Cut behind a whole line.
    CutLine(Index),
    /// A line less.
    DropLine(Index),
}

impl Damage {
    fn of(&self, bytes: &mut Vec<u8>) {
        let lines = |bytes: &[u8]| -> Vec<usize> {
            let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(ends).collect()
        };
        match self {
            Damage::Flip(flips) => {
                for (index, bits) in flips {
                    let at = index.index(bytes.len());
                    bytes[at] ^= bits;
                }
            }
            Damage::Cut(index) => bytes.truncate(index.index(bytes.len())),
            Damage::CutLine(index) => {
                let ends = lines(bytes);
                bytes.truncate(ends[index.index(ends.len())]);
            }
            Damage::DropLine(index) => {
                let ends = lines(bytes);
                let at = index.index(ends.len() - 1);
                bytes.drain(ends[at]..ends[at + 1]);
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let flip = (any::<Index>(), prop_oneof![1_u8..=255, (0_u32..8).prop_map(|bit| 1 << bit)]);
    prop_oneof![
        4 => prop::collection::vec(flip, 1..3).prop_map(Damage::Flip),
        1 => any::<Index>().prop_map(Damage::Cut),
        2 => any::<Index>().prop_map(Damage::CutLine),
        2 => any::<Index>().prop_map(Damage::DropLine),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::with_cases(600) })]

    #[test]
    fn damage_never_turns_a_verdict_round(damage in damage(), passport in any::<bool>(), in_base in any::<bool>(), slower in any::<bool>()) {
        static WHOLE: LazyLock<[Files; 2]> = LazyLock::new(|| [1.0, 1.1].map(|factor| files(&lookups(&values(factor)))));
        let whole = if slower { ComparisonOutcome::Regression } else { ComparisonOutcome::Ok };
        let mut sides = [WHOLE[0].clone(), WHOLE[usize::from(slower)].clone()];
        let file = &mut sides[usize::from(!in_base)];
        damage.of(if passport { &mut file.json } else { &mut file.csv });
        let found = outcome(&sides[0], &sides[1]);
        let refusal = matches!(found, None | Some(ComparisonOutcome::Inconclusive | ComparisonOutcome::NotComparable));
        prop_assert!(refusal || found == Some(whole), "{found:?} instead of {whole:?}");
    }
}

#[test]
fn whole_files_have_their_verdict() {
    let of = |factor| files(&lookups(&values(factor)));
    assert_eq!(outcome(&of(1.0), &of(1.0)), Some(ComparisonOutcome::Ok));
    assert_eq!(outcome(&of(1.0), &of(1.1)), Some(ComparisonOutcome::Regression));
    assert_eq!(outcome(&of(1.1), &of(1.0)), Some(ComparisonOutcome::Ok), "better is no regression");
}

/// Near the threshold as well: a NEW that lost blocks of a regression is not called fine.
#[test]
fn a_cut_new_is_never_fine() {
    let (base, mut new) = (lookups(&values(1.0)), lookups(&values(1.055)));
    assert_eq!(
        compare(std::slice::from_ref(&base), std::slice::from_ref(&new), &Policy::default()).outcome,
        ComparisonOutcome::Regression
    );
    while new.records.pop().is_some() {
        let found = compare(std::slice::from_ref(&base), std::slice::from_ref(&new), &Policy::default());
        assert_ne!(
            found.outcome,
            ComparisonOutcome::Ok,
            "{} rows left: {}",
            new.records.len(),
            found.summary
        );
    }
}

/// Real rows, whose lanes, notes and figures are many.
#[test]
fn damaged_real_rows_never_panic() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference-guest");
    let base = read_side(&reference).unwrap();
    let bytes = std::fs::read(reference.join("records.csv")).unwrap();
    for cut in (0..20).map(|part| bytes.len() * part / 20) {
        let end = bytes[..cut].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let Ok(records) = parse_records(&bytes[..end], Path::new("cut")) else { continue };
        let new = Run { records, ..base[0].clone() };
        let found = compare(&base, &[new], &Policy::default());
        assert!(
            matches!(found.outcome, ComparisonOutcome::Inconclusive | ComparisonOutcome::NotComparable),
            "{}",
            found.summary
        );
    }
    assert_eq!(
        compare(&base, &base, &Policy::default()).outcome,
        ComparisonOutcome::Ok,
        "by instructions, whole"
    );
}
