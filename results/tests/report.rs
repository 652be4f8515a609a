//! The report of a synthetic run: its words, its determinism, its distrust of rows.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod fixtures;

use std::fs;

use results::record::{Record, Status};
use results::record_file::RecordWriter;
use results::report::{render, write_report};

const SWEEP: &str = "question = \"From which N on?\"\nservices = [10, 100] # <script>\n";

#[test]
fn the_summary_reads_like_this() {
    let rendered = render(&fixtures::rows(5), &fixtures::environment(), Some(SWEEP)).unwrap();
    insta::assert_snapshot!(rendered.markdown);
}

#[test]
fn a_run_of_two_blocks_gets_no_verdict() {
    let rendered = render(&fixtures::rows(2), &fixtures::environment(), None).unwrap();
    assert!(rendered.markdown.contains("no verdict from 2 blocks"));
    assert!(!rendered.markdown.contains("rising"));
}

#[test]
fn a_folder_becomes_a_report_twice_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = RecordWriter::open(&dir.path().join("records.csv")).unwrap();
    let rows = fixtures::rows(3);
    for cell in rows.chunk_by(|a, b| a.order == b.order) {
        writer.append_cell(cell).unwrap();
    }
    fixtures::environment().write(&dir.path().join("environment.json")).unwrap();
    fs::write(dir.path().join("sweep.toml"), SWEEP).unwrap();
    let read = |report: &results::report::Report| -> Vec<Vec<u8>> {
        report.files.iter().map(|file| fs::read(file).unwrap()).collect()
    };
    let first = write_report(dir.path()).unwrap();
    let bytes = read(&first);
    assert_eq!(read(&write_report(dir.path()).unwrap()), bytes);
    let names: Vec<_> = first.files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["report.html", "summary.md", "lookup.svg", "sync.svg", "lock.svg", "connect.svg"]);
    let count = |status| rows.iter().filter(|row| row.status == status).count() as u64;
    assert_eq!((first.measured, first.failed), (count(Status::Ok), count(Status::Failed)));
    assert_eq!(first.skipped, count(Status::Skipped));
    // Left under the target directory, for looking at.
    fs::write(format!("{}/report.html", env!("CARGO_TARGET_TMPDIR")), &bytes[0]).unwrap();
}

#[test]
fn failed_and_skipped_cells_are_on_the_page_with_their_reasons() {
    let rendered = render(&fixtures::rows(5), &fixtures::environment(), Some(SWEEP)).unwrap();
    for page in [&rendered.html, &rendered.markdown] {
        for reason in
            ["this kernel has no", "predicted 104 s", "probes came back with an endpoint of another Service"]
        {
            assert!(page.contains(reason), "{reason}");
        }
    }
    assert!(rendered.html.contains("services = [10, 100] # &lt;script&gt;"));
    assert!(!rendered.html.contains("<script") && !rendered.html.contains("http://localhost"));
}

#[test]
fn rows_cannot_inject_markup() {
    let mut rows = fixtures::rows(1);
    let evil = "\"><script>alert(1)</script>|\n# x\u{0}\u{7}`[a](http://b)";
    for row in &mut rows {
        row.mode = evil.into();
        row.kernel = evil.into();
        row.note = evil.into();
        if row.block == 0 && row.order % 3 == 0 {
            row.metric = evil.into();
            row.workload = evil.into();
        }
    }
    let mut environment = fixtures::environment();
    environment.question = evil.into();
    environment.programs.insert(evil.into(), evil.into());
    let rendered = render(&rows, &environment, Some(evil)).unwrap();
    assert!(!rendered.html.contains("<script") && !rendered.markdown.contains("<script"));
    assert!(!rendered.markdown.contains("[a](") && !rendered.html.contains('\u{0}'));
    assert!(rendered.figures.iter().all(|(_, svg)| !svg.contains("<script") && !svg.contains('\u{7}')));
    // Every Markdown table row still has as many cells as its header.
    assert!(rendered.markdown.lines().filter(|line| line.starts_with('|')).all(|line| line.ends_with('|')));
}

#[test]
fn unknown_names_are_in_the_full_table() {
    let mut rows = fixtures::rows(1);
    rows.truncate(4);
    rows[0].workload = "udp_rr".into();
    rows[0].metric = "jitter".into();
    rows[1].mode = "cilium".into();
    let html = render(&rows, &fixtures::environment(), None).unwrap().html;
    for name in ["udp_rr", "jitter", "cilium", "Other metrics"] {
        assert!(html.contains(name), "{name}");
    }
}

#[test]
fn an_empty_run_and_two_kernels_are_reports_too() {
    let empty = render(&[], &fixtures::environment(), None).unwrap();
    assert!(empty.html.contains("no rows yet") && empty.figures.is_empty());
    let mut rows = fixtures::rows(1);
    let guest: Vec<Record> = rows
        .iter()
        .filter(|row| row.workload == "packet_probe")
        .map(|row| Record {
            clock: results::record::Clock::Instructions,
            kernel: "6.1.0".into(),
            ..row.clone()
        })
        .collect();
    rows.extend(guest);
    let both = render(&rows, &fixtures::environment(), None).unwrap();
    assert_eq!(both.figures.len(), 8);
    assert!(both.figures[4].0 == "lookup-2.svg" && both.figures[4].1.contains("instr"));
    assert!(both.markdown.contains("## Linux 6.1.0, instructions clock"));
}
