//! Churn scenarios as figures: whose syncs are drawn, where, and in which platform.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod fixtures;

use std::fs;

use results::groups::Groups;
use results::names::workload;
use results::record::{CellKey, Clock};
use results::record_file::RecordWriter;
use results::report::write_report;
use results::series::{Figure, XAxis, figures};
use results::stats::Medians;
use results::timeline::{IMPACT, ImpactRow, OLD_IMPACT, TIMELINES, TimelineRow, Timelines, append};

const SECOND: u64 = 1_000_000_000;

/// A rolling update in two modes at two scales: every second one sync, slow ones of iptables.
fn timeline() -> Vec<TimelineRow> {
    let mut rows = Vec::new();
    for (order, (mode, services, cost)) in [
        ("iptables-legacy", 100, 40_000_000),
        ("nftables", 100, 10_000_000),
        ("iptables-legacy", 5_000, 700_000_000),
        ("nftables", 5_000, 12_000_000),
    ]
    .into_iter()
    .enumerate()
    {
        for sync in 0..20 {
            let start = u64::from(sync) * (SECOND + cost);
            rows.push(TimelineRow {
                cell: CellKey {
                    run: "2026-11-21-0740".into(),
                    order: order as u32,
                    block: 0,
                    mode: mode.into(),
                    services,
                    endpoints: 10,
                    workload: workload::CHURN_ROLLING_UPDATE.into(),
                    clock: Clock::Wall,
                    kernel: "6.18.44".into(),
                    hypervisor: "kvm".into(),
                    system: "".into(),
                    position: "".into(),
                    contenders: 0,
                },
                sync: sync + 1,
                start,
                end: start + cost,
                changes: u32::from(sync < 19) * 3,
                bytes: 900,
            });
        }
    }
    rows
}

fn drawn(timeline: &[TimelineRow]) -> Vec<Figure> {
    let rows = fixtures::rows(1);
    let groups = Groups::split(&rows);
    let timelines = Timelines { syncs: timeline.to_vec(), impact: Vec::new() };
    let all = figures(&groups[0], &[], &timelines, &mut Medians::new());
    all.into_iter().filter(|figure| figure.name.starts_with("churn")).collect()
}

#[test]
fn each_scenario_is_a_figure_and_each_scale_a_panel() {
    let [figure] = &drawn(&timeline())[..] else { panic!("one scenario, one figure") };
    assert_eq!(figure.name, "churn-rolling-update");
    let headings: Vec<_> = figure.panels.iter().map(|panel| panel.heading.as_str()).collect();
    assert_eq!(headings, ["100 Services x 10", "5,000 Services x 10"]);
    assert!(figure.panels.iter().all(|panel| panel.x == XAxis::Time && panel.spans.len() == 40));
    let slow = &figure.panels[1].spans[1];
    assert_eq!((slow.mode.as_str(), slow.from, slow.y), ("iptables-legacy", 1.7e9, 7e8));
    assert_eq!(figure.panels[0].spans.iter().filter(|span| span.hollow).count(), 2, "nothing had changed");
    assert_eq!(figure.remarks[0], ("iptables-legacy".to_owned(), "20 / 20 syncs".to_owned()));
}

#[test]
fn syncs_of_another_kernel_or_block_are_not_mixed_in() {
    let mut rows = timeline();
    for row in &mut rows {
        row.cell.kernel = "6.1".into();
    }
    assert_eq!(drawn(&rows), []);
    let once = timeline();
    let again = once.iter().cloned().map(|mut row| {
        (row.cell.block, row.cell.order) = (1, row.cell.order + 10);
        row
    });
    let both: Vec<_> = once.iter().cloned().chain(again).collect();
    assert_eq!(drawn(&both), drawn(&once));
}

#[test]
fn the_report_of_a_folder_shows_its_timelines() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = RecordWriter::open(&dir.path().join("records.csv")).unwrap();
    writer.append_cell(&fixtures::rows(1)[..2]).unwrap();
    fixtures::environment().write(&dir.path().join("environment.json")).unwrap();
    append(&dir.path().join(TIMELINES), &timeline()).unwrap();
    let report = write_report(dir.path()).unwrap();
    let svg = fs::read_to_string(dir.path().join("churn-rolling-update.svg")).unwrap();
    assert!(svg.contains("5,000 Services x 10") && svg.contains("since the scenario began"), "{svg}");
    assert!(fs::read_to_string(&report.files[0]).unwrap().contains("rolling update of a Deployment"));
    // Left under the target directory, for looking at.
    fs::write(format!("{}/churn.svg", env!("CARGO_TARGET_TMPDIR")), svg).unwrap();
    let broken = fs::read_to_string(dir.path().join(TIMELINES)).unwrap().replace(",900", ",many");
    fs::write(dir.path().join(TIMELINES), broken).unwrap();
    let error = write_report(dir.path()).unwrap_err().to_string();
    assert!(error.contains("timelines.csv") && error.contains("line: 2"), "{error}");
}

/// A load that is disturbed once in each of two modes, and in another block.
fn disturbed() -> Timelines {
    let mut all = Timelines::default();
    for (order, block, mode) in [(1, 1, "iptables-legacy"), (2, 1, "nftables"), (3, 2, "nftables")] {
        let workload = format!("{}restart.tcp_crr", workload::DISRUPTION);
        for part in 0..20_u64 {
            let busy = u64::from((8..12).contains(&part));
            all.impact.push(ImpactRow {
                cell: CellKey {
                    run: "2026-11-21-0740".into(),
                    order,
                    block,
                    mode: mode.into(),
                    services: 1_000,
                    endpoints: 10,
                    workload: workload.as_str().into(),
                    clock: Clock::Wall,
                    kernel: "6.18.44".into(),
                    hypervisor: "kvm".into(),
                    system: "".into(),
                    position: "".into(),
                    contenders: 0,
                },
                from: part * 50_000_000,
                length: 50_000_000,
                due: 50,
                lost: busy * u64::from(order),
                p50: Some(100_000 + busy * 50_000),
                p99: Some(200_000 + busy * 3_000_000),
                max: (part != 3).then_some(300_000 + busy * 8_000_000),
            });
        }
        all.syncs.push(TimelineRow {
            cell: CellKey {
                order,
                block,
                mode: mode.into(),
                services: 1_000,
                workload: workload.into(),
                ..timeline().remove(0).cell
            },
            sync: 1,
            start: 400_000_000,
            end: 590_000_000,
            changes: 1,
            ..timeline().remove(0)
        });
    }
    all
}

#[test]
fn a_disruption_is_a_figure_with_a_panel_per_mode() {
    let rows = fixtures::rows(1);
    let groups = Groups::split(&rows);
    let all = figures(&groups[0], &[], &disturbed(), &mut Medians::new());
    let [figure] = &all.iter().filter(|figure| figure.name.starts_with("disruption")).collect::<Vec<_>>()[..]
    else {
        panic!("one happening, one figure")
    };
    assert_eq!(figure.title, "Traffic while kube-proxy restarts: tcp_crr, 1,000 Services x 10");
    let [legacy, nftables] = &figure.panels[..] else { panic!("two modes") };
    assert_eq!((legacy.heading.as_str(), nftables.heading.as_str()), ("iptables-legacy", "nftables"));
    // What has no figure leaves a hole.
    assert_eq!((legacy.lines[0].points.len(), legacy.lines[1].points.len()), (19, 20));
    assert_eq!(nftables.spans.len(), 1, "the first block only");
    assert_eq!((nftables.spans[0].from, nftables.spans[0].y), (4e8, 1.9e8));
    assert_eq!(figure.remarks[1], ("nftables".to_owned(), "8 lost".to_owned()));
    assert!(results::plot::draw(figure, "caption").contains("stroke-dasharray"));
}

#[test]
fn an_old_folder_has_the_same_figures() {
    let drawn = [OLD_IMPACT, IMPACT].map(|name| {
        let dir = tempfile::tempdir().unwrap();
        RecordWriter::open(&dir.path().join("records.csv")).unwrap().append_cell(&fixtures::rows(1)).unwrap();
        fixtures::environment().write(&dir.path().join("environment.json")).unwrap();
        append(&dir.path().join(TIMELINES), &disturbed().syncs).unwrap();
        append(&dir.path().join(name), &disturbed().impact).unwrap();
        write_report(dir.path()).unwrap();
        fs::read_to_string(dir.path().join("disruption-restart.svg")).unwrap()
    });
    assert!(drawn[0].contains("Traffic while kube-proxy restarts") && drawn[0] == drawn[1]);
}
