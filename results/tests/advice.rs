//! What runs advise in plain words, and when they hold their tongue.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod fixtures;

use fixtures::guest;
use results::advice::{Advice, Sentence, SentencePart, advice};
use results::findings::findings;
use results::groups::Groups;
use results::names::{metric, workload};
use results::record::{Clock, Record};
use results::stats::Medians;
use results::table::Source;

/// The advice of each lane.
fn advise(rows: &[Record]) -> Vec<Option<Advice>> {
    let mut medians = Medians::new();
    Groups::split(rows)
        .iter()
        .map(|groups| {
            let findings = findings(groups, &mut medians);
            advice(groups, &findings, &mut medians)
        })
        .collect()
}

fn only(rows: &[Record]) -> Advice {
    let [Some(advice)] = <[_; 1]>::try_from(advise(rows)).unwrap() else { panic!("no advice") };
    advice
}

fn read(advice: &Advice) -> String {
    let mut text = advice.lead.text();
    for topic in &advice.because {
        let sentences: Vec<_> = topic.sentences.iter().map(Sentence::text).collect();
        text += &format!("\n\n{}: {}", topic.name, sentences.join(" "));
    }
    text
}

/// The rows of one workload and metric.
fn of(rows: Vec<Record>, workload: &str, metric: &str) -> Vec<Record> {
    rows.into_iter().filter(|row| row.cell.workload == workload && row.metric == metric).collect()
}

fn lookups(blocks: u32) -> Vec<Record> {
    of(fixtures::rows(blocks), workload::PACKET_PROBE, metric::LOOKUP_FIRST_PACKET)
}

/// Sets every figure of a row to `of` it.
fn change(row: &mut Record, of: impl Fn(u64) -> u64) {
    for figure in [&mut row.min, &mut row.p50, &mut row.p90, &mut row.p99, &mut row.p999, &mut row.max] {
        *figure = figure.map(&of);
    }
}

#[test]
fn five_blocks_advise_like_this() {
    insta::assert_snapshot!(read(&only(&fixtures::rows(5))));
}

#[test]
fn a_guest_advises_in_instructions() {
    let advice = read(&only(&guest::guest_rows(5)));
    insta::assert_snapshot!(advice);
    assert!(!advice.contains(" ms") && !advice.contains("µs") && !advice.contains("On this machine"));
}

#[test]
fn the_reference_runs_advise_like_this() {
    for folder in ["reference", "reference-xeon"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("records.csv");
        let rows = results::record_file::read_records(&path).unwrap();
        // On the hosts lookups have five blocks, syncs one: the former are ranked, the latter are not.
        for advice in advise(&rows).into_iter().flatten().take(1) {
            assert!(
                advice.lead.text().contains("choose nftables for lookups at scale, because"),
                "{}",
                read(&advice)
            );
            assert!(read(&advice).contains("(one block): an indication, no ranking."), "{}", read(&advice));
        }
    }
}

#[test]
fn few_blocks_rank_nothing() {
    for blocks in 1..5 {
        let advice = only(&fixtures::rows(blocks));
        let lead = advice.lead.text();
        assert!(lead.contains("ranks nothing") && !lead.contains("choose"), "{blocks}: {lead}");
        assert!(read(&advice).contains("an indication, no ranking"), "{blocks}");
    }
    // One mode with one block less is enough to hold back.
    let mut rows = lookups(5);
    rows.retain(|row| !(row.cell.mode == "iptables-legacy" && row.cell.block == 2));
    assert!(only(&rows).lead.text().contains("it has 4 blocks of a figure"));
}

#[test]
fn overlapping_intervals_and_small_differences_are_no_reason() {
    // 8% apart in every block, as exactly as can be.
    let mut rows = lookups(5);
    for row in &mut rows {
        let value = if row.cell.mode == "nftables" { 1_000 } else { 1_080 };
        change(row, |_| value);
    }
    let lead = only(&rows).lead.text();
    assert!(lead.contains("the lookup gives no reason to choose: up to 10,000 Services"), "{lead}");
    // Twice as much in the median, and all over the place.
    for row in &mut rows {
        let value = match (row.cell.mode.as_str(), row.cell.block) {
            ("nftables", 4) => 2_600,
            ("nftables", _) => 1_000,
            (_, block) => [900, 1_500, 2_000, 2_500, 9_000][block as usize % 5],
        };
        change(row, |_| value);
    }
    let lead = only(&rows).lead.text();
    assert!(lead.contains("no reason to choose"), "{lead}");
    // 20% apart and steady.
    for row in &mut rows {
        let value = if row.cell.mode == "nftables" { 1_000 } else { 1_200 };
        change(row, |_| value);
    }
    let lead = only(&rows).lead.text();
    assert!(lead.contains("choose nftables for lookups at scale, because at 10,000 Services"), "{lead}");
    assert!(lead.contains("1.2 times as much"), "{lead}");
}

#[test]
fn modes_that_are_alike_share_the_advice() {
    let mut rows = lookups(5);
    for row in &mut rows {
        let value = if row.cell.mode == "iptables-legacy" { 9_000 } else { 1_000 };
        change(row, |_| value);
    }
    assert!(only(&rows).lead.text().contains("choose iptables-nft or nftables for lookups"));
}

#[test]
fn syncs_alone_and_one_mode_alone() {
    let rows = of(fixtures::rows(5), workload::PARTIAL_SYNC_REPLACE_ENDPOINT, metric::APPLY);
    let advice = only(&rows);
    assert!(advice.lead.text().contains("where rules change often, because at"), "{}", read(&advice));
    let names: Vec<_> = advice.because.iter().map(|topic| topic.name).collect();
    assert_eq!(names, ["Rule sync"], "what was not measured is not spoken of");
    let mut rows = lookups(5);
    rows.retain(|row| row.cell.mode == "nftables");
    assert_eq!(
        only(&rows).lead.text(),
        "Only nftables was measured, so that there is nothing to choose between."
    );
}

#[test]
fn nothing_to_choose_between_is_no_advice() {
    assert_eq!(advise(&[]), []);
    let mut rows = lookups(5);
    rows.retain(|row| row.cell.mode == "direct" || row.cell.mode == "dnat");
    assert_eq!(advise(&rows), [None]);
    // What kube-proxy has not cannot be chosen.
    let mut rows = guest::guest_rows(5);
    rows.retain(|row| row.cell.mode == "ipvs-batched" || row.cell.mode == "ipvs-dr");
    assert_eq!(advise(&rows), [None]);
}

/// No sentence about one lane may depend on another, and none has figures of both clocks.
#[test]
fn lanes_do_not_mix() {
    let [host, guest] = <[_; 2]>::try_from(advise(&guest::two_lanes(5))).unwrap().map(Option::unwrap);
    assert_eq!(read(&host), read(&only(&fixtures::rows(5))));
    assert_eq!(read(&guest), read(&only(&guest::guest_rows(5))));
}

/// Each figure leads to rows that are there and, if it is one group's, that it can come from.
#[test]
fn every_figure_has_its_rows() {
    let rows = guest::two_lanes(5);
    let platforms = Groups::split(&rows);
    let advices = advise(&rows);
    for (groups, advice) in platforms.iter().zip(advices) {
        let advice = advice.unwrap();
        let numbers: Vec<usize> = groups.map.values().map(|group| group.number).collect();
        let sentences = advice.because.iter().flat_map(|topic| &topic.sentences).chain([&advice.lead]);
        let mut figures = 0;
        for part in sentences.flat_map(|sentence| &sentence.parts) {
            let SentencePart::Figure { source: Source::Group(number) | Source::Metric(number), text } = part
            else {
                continue;
            };
            assert!(numbers.contains(number), "{text}");
            figures += 1;
        }
        assert!(figures > 20, "{figures}");
    }
}

#[test]
fn extremes_are_advice_too() {
    for value in [0, 1, u64::MAX] {
        for clock in Clock::ALL {
            let mut rows = fixtures::rows(5);
            rows.iter_mut().for_each(|row| {
                row.cell.clock = clock;
                change(row, |_| value);
            });
            assert!(!read(&only(&rows)).is_empty());
        }
    }
}
