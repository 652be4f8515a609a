//! Real kube-proxies in reports: their section, figures and tables, from synthetic rows.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod fixtures;

use std::fs;
use std::path::Path;

use fixtures::systems::{MODES, VERSIONS, rows};
use proptest::prelude::*;
use results::compare::{Comparison, Policy, compare};
use results::names::{LARGEST_OFFERED, metric, workload};
use results::plot::PICTURES;
use results::record::{Record, Status};
use results::report::{Rendered, render};
use results::timeline::Timelines;

fn report(rows: &[Record]) -> Rendered {
    render(rows, &Timelines::default(), &fixtures::environment(), None).unwrap()
}

const FIGURES: [&str; 4] =
    ["kube-proxy-join.svg", "programming-latency.svg", "first-sync.svg", "change-sync.svg"];

/// Figures are left under the target directory, for looking at.
#[test]
fn the_section_has_sentences_figures_and_tables() {
    let rendered = report(&rows(3));
    let names: Vec<&str> = rendered.figures.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [&["sync.svg"][..], &FIGURES[..]].concat());
    assert_eq!(rendered.images.len(), if PICTURES { names.len() } else { 0 });
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (name, svg) in &rendered.figures {
        fs::write(folder.join(format!("systems-{name}")), svg).unwrap();
    }
    for (name, png) in &rendered.images {
        fs::write(folder.join(format!("systems-{name}")), png).unwrap();
    }
    fs::write(folder.join("systems-report.html"), &rendered.html).unwrap();
    fs::write(folder.join("systems-summary.md"), &rendered.markdown).unwrap();
    let heading = "kube-proxy 1.35.4, 1.36.3 and 1.37.2 on this node";
    assert!(rendered.html.contains(&format!("<h2 id=\"kube-proxy-1\">{heading}</h2>")));
    let section = rendered.markdown.split("\n## kube-proxy").nth(1).unwrap();
    let section = section.split("### Failed and skipped").next().unwrap();
    insta::assert_snapshot!(section);
}

/// The largest rate may be svcbench's own limit.
#[test]
fn a_knee_that_was_not_reached_is_told_as_a_lower_limit() {
    let mut rows = rows(1);
    assert!(!report(&rows).html.contains("which svcbench could not offer"));
    for row in rows.iter_mut().filter(|row| row.metric == metric::KNEE) {
        row.note = format!("{LARGEST_OFFERED}; tried: 16/s: it keeps up (0 late)").into();
    }
    assert!(report(&rows).html.contains(" and more, which svcbench could not offer"));
}

#[test]
fn every_version_is_a_line_in_every_mode() {
    let rendered = report(&rows(3));
    let (_, latency) = rendered.figures.iter().find(|(name, _)| name == "programming-latency.svg").unwrap();
    for version in ["1.35.4", "1.36.3", "1.37.2"] {
        let groups =
            latency.matches(&format!("<g class=\"mode\" data-mode=\"kube-proxy {version}\">")).count();
        assert_eq!(groups, MODES.len(), "{version}");
    }
    assert!(latency.contains("1 s between syncs"));
    // One that is not built is a hollow marker, and its command is named.
    assert!(latency.contains("kube-proxy 1.34") && latency.contains("scripts/kube-proxy 1.34"));
}

#[test]
fn bars_begin_at_zero_and_have_all_parts_and_the_plan() {
    let rendered = report(&rows(1));
    let (_, bars) = rendered.figures.iter().find(|(name, _)| name == "change-sync.svg").unwrap();
    for words in
        ["generating", "listing", "waiting for the lock", "writing", ">0<", "plan 1.34", "5,000 Services"]
    {
        assert!(bars.contains(words), "{words}");
    }
    // In words too, for those who do not see them.
    assert!(bars.contains("1.37.2 323 ms: generating 303 ms, writing 20.2 ms"), "{bars}");
}

#[test]
fn a_plans_syncs_are_said_to_be() {
    let plans = report(&fixtures::rows(3));
    for page in [&plans.html, &plans.markdown] {
        assert!(page.contains("svcbench’s own imitation of kube-proxy 1.34"));
        assert!(page.contains("svcbench run kube-proxy --out DIR"));
        assert!(!page.contains("on this node has"));
    }
    let both = report(&rows(1));
    let named =
        "The section “kube-proxy 1.35.4, 1.36.3 and 1.37.2 on this node” has the real thing beside them.";
    assert!(both.html.contains(named) && both.markdown.contains(named));
    let real: Vec<Record> = rows(1).into_iter().filter(|row| !row.cell.system.is_empty()).collect();
    assert!(!report(&real).markdown.contains("imitation"), "no plan was carried out");
}

/// Runs with and without kube-proxies are compared by what both have, and what one lacks is named.
#[test]
fn runs_with_and_without_systems_are_compared() {
    let both = rows(3);
    let plans: Vec<Record> = both.iter().filter(|row| row.cell.system.is_empty()).cloned().collect();
    let run = |rows: &[Record]| fixtures::sides::run_of(rows.to_vec());
    let compared = |base: &[Record], new: &[Record]| compare(&[run(base)], &[run(new)], &Policy::default());
    let same = compared(&both, &both);
    let of_systems =
        |found: &Comparison| found.figures.iter().filter(|figure| !figure.figure.system.is_empty()).count();
    assert!(of_systems(&same) > 100);
    for (base, new) in [(&plans, &both), (&both, &plans)] {
        let found = compared(base, new);
        assert_eq!(found.figures.len(), same.figures.len(), "nothing is left out");
        let text = results::compare::text(&found, true);
        assert!(text.contains("kube-proxy v1.37.2"), "{text}");
    }
}

fn damaged(mut rows: Vec<Record>, cuts: &[(usize, u8)]) -> Vec<Record> {
    for &(at, how) in cuts {
        if rows.is_empty() {
            break;
        }
        let at = at % rows.len();
        match how % 8 {
            // A part of a cell, or a whole one, is not there.
            0 => drop(rows.remove(at)),
            1 => {
                let workload = rows[at].cell.workload.clone();
                rows.retain(|row| row.cell.workload != workload);
            }
            2 => {
                let metric = rows[at].metric.clone();
                rows.retain(|row| row.metric != metric);
            }
            3 => {
                let system = rows[at].cell.system.clone();
                rows.retain(|row| row.cell.system != system);
            }
            4 => rows[at] = rows[at].cell.failed(&rows[at].metric, rows[at].unit, "gone"),
            5 => {
                let row = &mut rows[at];
                for figure in [&mut row.min, &mut row.p50, &mut row.p99, &mut row.max, &mut row.mean] {
                    *figure = None;
                }
            }
            6 => rows[at].mean = Some(u64::MAX),
            _ => rows[at].cell.system = "kube-proxy v1. sha256:".into(),
        }
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is missing, there is a report.
    #[test]
    fn parts_may_be_missing(cuts in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..12)) {
        let all: Vec<Record> = rows(1).into_iter().filter(|row| row.cell.mode != "iptables-nft").collect();
        let rows = damaged(all, &cuts);
        let rendered = report(&rows);
        let systems = rows.iter().any(|row| row.cell.workload.starts_with("kube_proxy_"));
        prop_assert_eq!(rendered.html.contains("id=\"kube-proxy-1\""), systems);
    }
}

#[test]
fn a_run_that_was_all_skipped_says_what_to_do() {
    let skipped: Vec<Record> = rows(1).into_iter().filter(|row| row.status == Status::Skipped).collect();
    let rendered = report(&skipped);
    assert!(rendered.figures.is_empty());
    assert!(rendered.markdown.contains("## kube-proxy 1.34 on this node"));
    assert!(rendered.markdown.contains("scripts/kube-proxy 1.34"));
}

#[test]
fn no_metric_of_theirs_is_left_to_the_last_table() {
    let rendered = report(&rows(1));
    assert!(!rendered.html.contains("Other metrics"));
    assert!(VERSIONS.iter().all(|system| rendered.html.contains(system)), "rows name the binary");
    let join = rows(1).into_iter().filter(|row| row.cell.workload == workload::KUBE_PROXY_JOIN);
    assert!(join.into_iter().any(|row| row.metric == metric::SYNC_OWN_WORK));
}
