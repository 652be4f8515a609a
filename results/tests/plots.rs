//! Figures of a synthetic run, and of runs with nothing to show.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod fixtures;

use results::findings::findings;
use results::groups::Groups;
use results::plot::draw;
use results::record::Record;
use results::series::figures;
use results::stats::Medians;
use results::timeline::Timelines;

fn draw_all(rows: &[Record]) -> Vec<(String, String)> {
    let groups = Groups::split(rows);
    let Some(platform) = groups.first() else { return Vec::new() };
    let caption = fixtures::environment().caption();
    let mut medians = Medians::new();
    let findings = findings(platform, &mut medians);
    let figures = figures(platform, &findings, &Timelines::default(), &mut medians);
    figures.iter().map(|figure| (figure.name.to_owned(), draw(figure, &caption))).collect()
}

/// Leaves the figures under the target directory, for looking at.
#[test]
fn a_run_draws_four_figures() {
    let drawn = draw_all(&fixtures::rows(5));
    assert_eq!(
        drawn.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["lookup", "sync", "lock", "connect"]
    );
    for (name, svg) in drawn {
        assert!(svg.starts_with("<svg width=\"1200\"") && svg.contains("viewBox") && svg.contains("<title>"));
        assert!(svg.trim_end().ends_with("</svg>"));
        std::fs::write(format!("{}/{name}.svg", env!("CARGO_TARGET_TMPDIR")), svg).unwrap();
    }
}

#[test]
fn a_cell_that_failed_in_one_block_says_so() {
    let (_, lookup) = draw_all(&fixtures::rows(5)).swap_remove(0);
    assert!(lookup.contains("iptables-nft at 5,000: failed in 1 of 5 rows — 3 of 2,000 probes"));
    assert!(lookup.contains("ipvs: skipped — this kernel has no ip_vs module"));
}

#[test]
fn syncs_that_were_ended_are_marked_and_named() {
    let drawn = draw_all(&fixtures::guest::guest_rows(1));
    let (_, lock) = drawn.iter().find(|(name, _)| name == "lock").unwrap();
    std::fs::write(format!("{}/unfinished-lock.svg", env!("CARGO_TARGET_TMPDIR")), lock).unwrap();
    assert!(lock.contains("A full sync against them"));
    let named = "Syncs ended unfinished (hollow markers), contenders measured all the same: iptables-nft at 10; 100; 1,000; \
                 5,000, nftables at 1,000; 5,000. Why: in the report.";
    assert!(lock.contains(named));
}

#[test]
fn several_numbers_of_contenders_are_a_figure_of_their_own() {
    let drawn = draw_all(&fixtures::contenders());
    assert_eq!(drawn.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["lock", "lock-contenders"]);
    let (_, svg) = &drawn[1];
    std::fs::write(format!("{}/lock-contenders.svg", env!("CARGO_TARGET_TMPDIR")), svg).unwrap();
    for words in ["contenders for the lock", "5,000 Services", "gives up", ">16<", ">1<"] {
        assert!(svg.contains(words), "{words}");
    }
    // One number of contenders is what the figure over Services shows.
    let few: Vec<Record> =
        fixtures::contenders().into_iter().filter(|row| row.cell.contenders == 4).collect();
    assert_eq!(draw_all(&few).len(), 1);
}

#[test]
fn a_run_that_was_all_skipped_says_why() {
    let rows: Vec<Record> = fixtures::rows(1).into_iter().filter(|row| row.cell.mode == "ipvs").collect();
    for (name, svg) in draw_all(&rows) {
        assert!(svg.contains("no data"), "{name}");
        std::fs::write(format!("{}/skipped-{name}.svg", env!("CARGO_TARGET_TMPDIR")), svg).unwrap();
    }
}

#[test]
fn one_point_zeros_and_extremes_are_drawn() {
    let all = fixtures::rows(1);
    for value in [0, 1, u64::MAX] {
        for services in [0, 1, u32::MAX] {
            let mut rows = all.clone();
            for row in &mut rows {
                row.cell.services = services;
                for figure in
                    [&mut row.min, &mut row.p50, &mut row.p90, &mut row.p99, &mut row.p999, &mut row.max]
                {
                    *figure = figure.map(|_| value);
                }
            }
            assert_eq!(draw_all(&rows).len(), 4);
        }
    }
}

/// Blocks that disagree: the intervals must show it.
#[test]
fn noisy_blocks_get_wide_intervals() {
    let mut rows = fixtures::rows(5);
    for row in rows.iter_mut().filter(|row| row.cell.mode != "nftables") {
        let factor = [5, 9, 10, 13, 24][row.cell.block as usize % 5];
        for figure in [&mut row.min, &mut row.p50, &mut row.p90, &mut row.p99, &mut row.p999, &mut row.max] {
            *figure = figure.map(|value| value * factor / 10);
        }
    }
    for (name, svg) in draw_all(&rows) {
        std::fs::write(format!("{}/noisy-{name}.svg", env!("CARGO_TARGET_TMPDIR")), svg).unwrap();
    }
}

#[test]
fn the_instruction_clock_never_says_seconds() {
    let mut rows = fixtures::rows(3);
    rows.iter_mut().for_each(|row| row.cell.clock = results::record::Clock::Instructions);
    for (name, svg) in draw_all(&rows) {
        assert!(svg.contains("instr") && !svg.contains("µs") && !svg.contains(" ms"), "{name}");
        std::fs::write(format!("{}/instructions-{name}.svg", env!("CARGO_TARGET_TMPDIR")), svg).unwrap();
    }
}

/// With the fonts of this program, whatever the machine has.
#[test]
#[cfg_attr(not(feature = "png"), ignore = "built without png; test with --features png")]
fn pictures_are_the_same_twice_and_have_words() {
    let rows = fixtures::rows(2);
    let groups = Groups::split(&rows);
    let mut medians = Medians::new();
    let mut figure = figures(&groups[0], &[], &Timelines::default(), &mut medians).swap_remove(0);
    let png = |figure: &results::series::Figure| {
        results::plot::Picture::default().png(figure, "Linux 6.18 · µs – “x” ≥ 10⁹").unwrap()
    };
    let first = png(&figure);
    assert_eq!(first, png(&figure));
    // Signature, then the header: width and height.
    assert_eq!((&first[1..4], &first[16..20]), (&b"PNG"[..], &1200_u32.to_be_bytes()[..]));
    std::fs::write(format!("{}/picture.png", env!("CARGO_TARGET_TMPDIR")), &first).unwrap();
    figure.title.push('!');
    assert_ne!(first, png(&figure), "words are drawn");
}
