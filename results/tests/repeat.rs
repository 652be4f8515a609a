//! Two passes over the same lookups, with planted differences.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod fixtures;

use std::time::Duration;

use fixtures::guest::guest_rows;
use hdrhistogram::Histogram;
use proptest::prelude::*;
use results::histogram::{HistogramWriter, TaggedHistogram};
use results::record::{Clock, Record, Status};
use results::record_file::RecordWriter;
use results::repeat::{RepeatError, RepeatFault, Repeatability, Sample, compare};

/// Lookups of the guest's lane, each with a histogram whose p1 is below its p50.
fn pass() -> Vec<Sample> {
    let rows = guest_rows(2).into_iter().filter(|row| row.cell.workload == "packet_probe");
    rows.map(|mut record| {
        let histogram = histogram(&record, 0);
        record.p50 = Some(histogram.value_at_quantile(0.5));
        Sample { histogram: Some(histogram), record }
    })
    .collect()
}

/// 2,000 samples around the row's p50; `lower` is taken from the p1.
fn histogram(row: &Record, lower: u64) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).unwrap();
    let p50 = row.p50.unwrap();
    histogram.record_n(p50 * 9 / 10 - lower, 40).unwrap();
    histogram.record_n(p50, 1_960).unwrap();
    histogram
}

fn find(pass: &mut [Sample], mode: &str, metric: &str) -> usize {
    pass.iter().position(|sample| sample.record.cell.mode == mode && sample.record.metric == metric).unwrap()
}

fn verdict(second: &[Sample]) -> Repeatability {
    compare(&pass(), second).unwrap()
}

#[test]
fn the_same_twice_passes() {
    let verdict = verdict(&pass());
    assert!(verdict.passes() && verdict.uncompared.is_empty());
    assert_eq!(verdict.compared.len(), 2 * 4 * (3 * 8 + 4 * 7));
    let text = verdict.to_string();
    assert!(text.ends_with(
        "Repeatable: 416 lookups in 7 modes; p50 off by 0% at most (0.100% is allowed); \
         p1 of direct the same in all 64."
    ));
}

#[test]
fn p50_may_differ_by_a_thousandth_in_every_mode() {
    for (mode, metric) in [("ipvs", "lookup_first_packet"), ("direct", "lookup_established")] {
        for (from, to, agrees) in
            [(8_000, 8_008, true), (8_000, 8_009, false), (8_009, 8_000, false), (0, 1, false)]
        {
            let (mut first, mut second) = (pass(), pass());
            let at = find(&mut first, mode, metric);
            first[at].record.p50 = Some(from);
            second[at].record.p50 = Some(to);
            let verdict = compare(&first, &second).unwrap();
            assert_eq!(verdict.passes(), agrees, "{mode} {from} {to}");
            assert_eq!((&verdict.compared[0].key.mode[..], verdict.compared[0].p50), (mode, [from, to]));
            assert_eq!(verdict.compared[0].fault(), (!agrees).then_some(RepeatFault::P50));
        }
    }
}

#[test]
fn p1_may_not_differ_at_all_in_direct_and_elsewhere_it_may() {
    for (mode, fault) in [("direct", Some(RepeatFault::P1)), ("conntrack", None), ("ipvs", None)] {
        let mut second = pass();
        let at = find(&mut second, mode, "lookup_first_packet");
        second[at].histogram = Some(histogram(&second[at].record, 8));
        let verdict = verdict(&second);
        let found = verdict.compared.iter().find(|cell| cell.p1[0] != cell.p1[1]).unwrap();
        assert_eq!((found.fault(), verdict.passes()), (fault, fault.is_none()), "{mode}");
        assert!(
            fault.is_none() || found == &verdict.compared[0],
            "a fault comes first though its p50 is the same"
        );
    }
}

#[test]
fn direct_without_a_histogram_proves_nothing() {
    let mut second = pass();
    let at = find(&mut second, "direct", "lookup_established");
    second[at].histogram = None;
    let verdict = verdict(&second);
    assert_eq!(verdict.compared[0].fault(), Some(RepeatFault::NoHistogram));
    assert!(!verdict.passes() && verdict.to_string().contains("no histogram to take p1 from"));
}

#[test]
fn what_only_one_pass_has_fails_and_what_both_skipped_does_not() {
    let lose = |sample: &mut Sample, status, note: &str| {
        let row = &mut sample.record;
        (row.status, row.note, row.p50) = (status, note.into(), None);
    };
    let mut second = pass();
    second.remove(3);
    let missing = verdict(&second);
    assert!(!missing.passes() && missing.to_string().contains("measured; then absent"), "{missing}");

    let mut second = pass();
    lose(&mut second[3], Status::Failed, "3 of 2,000 probes went astray");
    let failed = verdict(&second);
    assert!(!failed.passes() && failed.to_string().contains("failed — 3 of 2,000 probes went astray"));

    let (mut first, mut second) = (pass(), pass());
    for pass in [&mut first, &mut second] {
        let of_ipvs = pass.iter_mut().filter(|sample| sample.record.cell.mode == "ipvs");
        of_ipvs.for_each(|sample| lose(sample, Status::Skipped, "no ip_vs"));
    }
    let skipped = compare(&first, &second).unwrap();
    assert!(skipped.passes());
    assert!(
        skipped.to_string().contains("not compared: 56 lookups of ipvs: skipped — no ip_vs\n"),
        "{skipped}"
    );
    second.iter_mut().filter(|s| s.record.cell.mode == "ipvs").for_each(|s| s.record.status = Status::Failed);
    assert!(!compare(&first, &second).unwrap().passes());
}

#[test]
fn platforms_are_never_compared() {
    let mut second = pass();
    second.iter_mut().for_each(|sample| sample.record.cell.hypervisor = "kvm".into());
    assert!(matches!(compare(&pass(), &second), Err(RepeatError::Nothing)));
    assert!(matches!(compare(&[], &[]), Err(RepeatError::Nothing)));
    let message = compare(&pass(), &[]).unwrap_err().to_string();
    assert!(message.contains("--clock instructions"), "{message}");
}

#[test]
fn a_verdict_reads_like_this() {
    let mut second = pass();
    for (index, sample) in second.iter_mut().enumerate().filter(|(index, _)| index % 40 == 7) {
        let p50 = sample.record.p50.unwrap();
        sample.record.p50 = Some(p50 + p50 * index as u64 / 200_000);
    }
    let at = find(&mut second, "direct", "lookup_first_packet");
    second[at].histogram = Some(histogram(&second[at].record, 8));
    second.pop();
    insta::assert_snapshot!(verdict(&second).to_string());
}

#[test]
fn a_folder_is_read_with_its_histograms() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows: Vec<Record> = pass().into_iter().map(|sample| sample.record).take(4).collect();
    // The wall clock has nothing to say here.
    let mut wall = rows[0].clone();
    wall.cell.clock = Clock::Wall;
    rows.push(wall);
    RecordWriter::open(&dir.path().join("records.csv")).unwrap().append_cell(&rows).unwrap();
    let mut log = HistogramWriter::open(&dir.path().join("histograms.hlog")).unwrap();
    let mut append = |row: &Record, histogram: &Histogram<u64>| {
        log.append(&row.hist, Duration::ZERO, Duration::ZERO, histogram).unwrap();
    };
    append(&rows[0], &histogram(&rows[0], 8));
    append(&rows[0], &histogram(&rows[0], 0));
    // What a killed run left of the cell that was measured again: not the row's.
    let mut stale = histogram(&rows[0], 16);
    stale.record(1).unwrap();
    append(&rows[0], &stale);
    append(&rows[1], &histogram(&rows[1], 0));
    let read = Sample::read(dir.path()).unwrap();
    let records: Vec<_> = read.iter().map(|sample| &sample.record).collect();
    assert_eq!(records, rows[..4].iter().collect::<Vec<_>>());
    let found: Vec<_> = read.iter().map(|sample| sample.histogram.clone()).collect();
    let expected = [Some(histogram(&rows[0], 0)), Some(histogram(&rows[1], 0)), None, None];
    assert!(found == expected, "the last histogram of a tag that agrees with its row");
    let untagged = TaggedHistogram {
        tag: String::new(),
        start: Duration::ZERO,
        length: Duration::ZERO,
        histogram: histogram(&rows[0], 0),
    };
    let joined = Sample::join(vec![Record { hist: "".into(), ..rows[0].clone() }], vec![untagged]);
    assert!(joined[0].histogram.is_none(), "a row without a tag has no histogram");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn which_pass_came_first_does_not_matter(
        first in proptest::collection::vec(1_000_u64..1_010, 1..8),
        second in proptest::collection::vec(1_000_u64..1_010, 1..8),
    ) {
        let samples = |values: &[u64]| -> Vec<Sample> {
            pass().into_iter().zip(values).map(|(mut sample, p50)| {
                sample.record.p50 = Some(*p50);
                sample
            }).collect()
        };
        let (first, second) = (samples(&first), samples(&second));
        let (forward, back) = (compare(&first, &second).unwrap(), compare(&second, &first).unwrap());
        prop_assert_eq!(forward.passes(), back.passes());
        let differences = |verdict: &Repeatability| -> Vec<f64> {
            verdict.compared.iter().map(|cell| cell.difference()).collect()
        };
        prop_assert_eq!(differences(&forward), differences(&back));
        let agree = first.len() == second.len() && first.iter().zip(&second).all(|(a, b)| {
            let (a, b) = (a.record.p50.unwrap(), b.record.p50.unwrap());
            a.abs_diff(b) * 1_000 <= a.min(b)
        });
        prop_assert_eq!(forward.passes(), agree);
    }
}
