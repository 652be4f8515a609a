//! The report of a synthetic run: its words, its determinism, its distrust of rows.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod fixtures;

use std::fs;

use fixtures::guest;
use results::plot::PICTURES;
use results::record::{CellKey, Clock, Record, Status};
use results::record_file::RecordWriter;
use results::report::{render, write_report};
use results::timeline::Timelines;

const SWEEP: &str = "question = \"From which N on?\"\nservices = [10, 100] # <script>\n";

#[test]
fn the_summary_reads_like_this() {
    let rendered =
        render(&fixtures::rows(5), &Timelines::default(), &fixtures::environment(), Some(SWEEP)).unwrap();
    insta::assert_snapshot!(rendered.markdown);
}

#[test]
fn a_run_of_two_blocks_gets_no_verdict() {
    let rendered = render(&fixtures::rows(2), &Timelines::default(), &fixtures::environment(), None).unwrap();
    assert!(rendered.markdown.contains("no verdict from 2 blocks"));
    assert!(!rendered.markdown.contains("rising"));
}

#[test]
fn a_folder_becomes_a_report_twice_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = RecordWriter::open(&dir.path().join("records.csv")).unwrap();
    let rows = fixtures::rows(3);
    for cell in rows.chunk_by(|a, b| a.cell.order == b.cell.order) {
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
    let pictures = ["lookup.png", "sync.png", "lock.png", "connect.png"];
    let texts = ["report.html", "summary.md", "lookup.svg", "sync.svg", "lock.svg", "connect.svg"];
    assert_eq!(names, [&texts[..], if PICTURES { &pictures } else { &[] }].concat());
    let count = |status| rows.iter().filter(|row| row.status == status).count() as u64;
    assert_eq!((first.measured, first.failed), (count(Status::Ok), count(Status::Failed)));
    assert_eq!(first.skipped, count(Status::Skipped));
    // Left under the target directory, for looking at.
    fs::write(format!("{}/report.html", env!("CARGO_TARGET_TMPDIR")), &bytes[0]).unwrap();
}

#[test]
fn failed_and_skipped_cells_are_on_the_page_with_their_reasons() {
    let rendered =
        render(&fixtures::rows(5), &Timelines::default(), &fixtures::environment(), Some(SWEEP)).unwrap();
    for page in [&rendered.html, &rendered.markdown] {
        for reason in
            ["this kernel has no", "predicted 104 s", "probes came back with an endpoint of another Service"]
        {
            assert!(page.contains(reason), "{reason}");
        }
    }
    assert!(rendered.html.contains("services = [10, 100] # &lt;script&gt;"));
    assert!(!rendered.html.contains("http://localhost"));
    assert_eq!(rendered.html.matches("<script").count(), 1, "the page's own");
}

#[test]
fn rows_cannot_inject_markup() {
    let mut rows = fixtures::rows(1);
    let evil = "\"><script>alert(1)</script>|\n# x\u{0}\u{7}`[a](http://b)";
    for row in &mut rows {
        row.cell.mode = evil.into();
        row.cell.kernel = evil.into();
        row.note = evil.into();
        if row.cell.block == 0 && row.cell.order % 3 == 0 {
            row.metric = evil.into();
            row.cell.workload = evil.into();
        }
    }
    let mut environment = fixtures::environment();
    environment.question = evil.into();
    environment.programs.insert(evil.into(), evil.into());
    let rendered = render(&rows, &Timelines::default(), &environment, Some(evil)).unwrap();
    assert_eq!(rendered.html.matches("<script").count(), 1, "the page's own");
    assert!(!rendered.html.contains("alert(1)</script>") && !rendered.markdown.contains("<script"));
    assert!(!rendered.markdown.contains("[a](") && !rendered.html.contains('\u{0}'));
    assert!(rendered.figures.iter().all(|(_, svg)| !svg.contains("<script") && !svg.contains('\u{7}')));
    // Every Markdown table row still has as many cells as its header.
    assert!(rendered.markdown.lines().filter(|line| line.starts_with('|')).all(|line| line.ends_with('|')));
}

#[test]
fn unknown_names_are_in_the_full_table() {
    let mut rows = fixtures::rows(1);
    rows.truncate(4);
    rows[0].cell.workload = "udp_rr".into();
    rows[0].metric = "jitter".into();
    rows[1].cell.mode = "cilium".into();
    let html = render(&rows, &Timelines::default(), &fixtures::environment(), None).unwrap().html;
    for name in ["udp_rr", "jitter", "cilium", "Other metrics"] {
        assert!(html.contains(name), "{name}");
    }
}

#[test]
fn an_empty_run_and_two_kernels_are_reports_too() {
    let empty = render(&[], &Timelines::default(), &fixtures::environment(), None).unwrap();
    assert!(empty.html.contains("no rows yet") && empty.figures.is_empty());
    let mut rows = fixtures::rows(1);
    let guest: Vec<Record> = rows
        .iter()
        .filter(|row| row.cell.workload == "packet_probe")
        .map(|row| Record {
            cell: CellKey { clock: Clock::Instructions, kernel: "6.1.0".into(), ..row.cell.clone() },
            ..row.clone()
        })
        .collect();
    rows.extend(guest);
    let both = render(&rows, &Timelines::default(), &fixtures::environment(), None).unwrap();
    let names: Vec<_> = both.figures.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["lookup.svg", "lookup-2.svg", "sync.svg", "lock.svg", "connect.svg"]);
    assert!(both.figures[1].1.contains("instr"));
    assert!(both.markdown.contains("## Instruction clock: Linux 6.1.0, a KVM guest"));
    assert!(both.markdown.contains("no passport of this lane"), "a guest without a passport says so");
}

#[test]
fn two_lanes_are_told_apart() {
    let rows = guest::two_lanes(5);
    let rendered = render(&rows, &Timelines::default(), &guest::two_passports(), None).unwrap();
    insta::assert_snapshot!(rendered.markdown);
    let names: Vec<_> = rendered.figures.iter().map(|(name, _)| name.as_str()).collect();
    let expected =
        ["lookup.svg", "lookup-2.svg", "sync.svg", "lock.svg", "connect.svg", "sync-2.svg", "lock-2.svg"];
    assert_eq!(names, expected);
    for (name, svg) in &rendered.figures {
        let guest = name.contains("-2");
        assert_eq!(svg.contains("instructions"), guest, "{name}");
        assert_eq!(svg.contains("6.18.44"), !guest, "{name}: the caption is of its own passport");
        assert_eq!(svg.contains("emulated by QEMU 7.2.22"), guest, "{name}");
        fs::write(format!("{}/two-{name}", env!("CARGO_TARGET_TMPDIR")), svg).unwrap();
    }
    // The guest's lookups follow the host's before any other figure.
    let place = |text: &str| rendered.html.find(text).unwrap_or_else(|| panic!("{text}"));
    let order =
        ["first packet of a new flow, wall", "first packet of a new flow, guest", "Rule sync: applying"];
    assert!(order.map(place).is_sorted());
    assert!(rendered.html.contains("Environment of the guest: instruction clock"));
    assert!(rendered.html.contains("memory given to the guest") && rendered.html.contains("212 instr"));
    fs::write(format!("{}/two-report.html", env!("CARGO_TARGET_TMPDIR")), rendered.html).unwrap();
}

/// Whichever version wrote the committed run, this one reports it.
#[test]
fn the_reference_run_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let reference = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("reference");
    for file in ["records.csv", "environment.json", "sweep.toml"] {
        fs::copy(reference.join(file), dir.path().join(file)).unwrap();
    }
    let report = write_report(dir.path()).unwrap();
    assert!(report.measured > 0);
    let html = fs::read_to_string(&report.files[0]).unwrap();
    assert!(!html.contains("no passport of this lane"), "every lane has its passport");
    for file in &report.files {
        let name = format!("reference-{}", file.file_name().unwrap().to_str().unwrap());
        fs::copy(file, std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)).unwrap();
    }
}

/// No figure may depend on what another lane has measured.
#[test]
fn lanes_do_not_mix() {
    let both = render(&guest::two_lanes(3), &Timelines::default(), &guest::two_passports(), None).unwrap();
    let host = render(&fixtures::rows(3), &Timelines::default(), &guest::two_passports(), None).unwrap();
    let alone = render(&guest::guest_rows(3), &Timelines::default(), &guest::two_passports(), None).unwrap();
    let named = |name: &str| &both.figures.iter().find(|(file, _)| file == name).unwrap().1;
    for (name, svg) in &host.figures {
        assert_eq!(named(name), svg);
    }
    for (name, svg) in &alone.figures {
        assert_eq!(named(&name.replace(".svg", "-2.svg")), svg);
    }
    assert_eq!(alone.figures[0].0, "lookup.svg", "the only lane's first figure has the plain name");
    assert!(alone.html.contains("Host: Linux 6.18.44"), "the host's passport stays on top");
    assert!(alone.markdown.contains("## Instruction clock: Linux 6.1.0-53-cloud-amd64, emulated by QEMU"));
}

#[test]
fn slopes_have_intervals_or_say_why_not() {
    let rendered =
        render(&guest::guest_rows(5), &Timelines::default(), &guest::two_passports(), None).unwrap();
    let (_, lookup) = &rendered.figures[0];
    for text in [&rendered.html, lookup] {
        assert!(text.contains("identical in all 5 blocks") && text.contains("+26 instr"));
        assert!(
            text.contains("+60 instr") && text.contains("[58, 62]"),
            "iptables-nft differs in every block"
        );
    }
    assert!(lookup.contains("+26 instr per rule"));
    assert!(rendered.html.contains("per Service, which is one rule, +26 instructions"));
}

#[test]
fn a_reason_is_listed_once_per_mode() {
    let rendered = render(&fixtures::rows(5), &Timelines::default(), &fixtures::environment(), None).unwrap();
    let row =
        "| ipvs | full\\_sync\\_cold; packet\\_probe | skipped | 10; 100; 1,000; 2,000; 5,000; 10,000 |";
    assert!(rendered.markdown.contains(row), "{}", rendered.markdown);
    assert_eq!(
        rendered.markdown.matches("this kernel has no ip").count(),
        2,
        "in the advice and in the table"
    );
}

#[test]
fn where_waiting_for_the_lock_passes_a_limit_is_told_for_each_number_of_contenders() {
    let markdown = render(&fixtures::contenders(), &Timelines::default(), &fixtures::environment(), None)
        .unwrap()
        .markdown;
    let from = markdown.find("### Services at which waiting").unwrap();
    insta::assert_snapshot!(markdown[from..].trim_end());
}

/// Links of the page that lead nowhere.
fn dead_links(html: &str) -> Vec<&str> {
    let after = |start: &'static str| {
        html.match_indices(start).map(move |(at, _)| {
            let rest = &html[at + start.len()..];
            &rest[..rest.find('"').unwrap()]
        })
    };
    let ids: std::collections::BTreeSet<&str> = after(" id=\"").collect();
    after("href=\"#").filter(|target| !ids.contains(target)).collect()
}

#[test]
fn numbers_lead_to_rows_that_are_there() {
    let html =
        render(&guest::two_lanes(2), &Timelines::default(), &guest::two_passports(), None).unwrap().html;
    assert!(html.matches("href=\"#r").count() > 1_000);
    let claims = html.split("<h2 id=\"claims\"").nth(1).unwrap().split("<h2 ").next().unwrap();
    assert!(claims.contains("href=\"#m"), "what shows a claim leads to its rows");
    assert_eq!(dead_links(&html), Vec::<&str>::new());
}

#[test]
fn of_a_large_run_the_page_names_lines() {
    let rows = fixtures::rows(60);
    let small = render(&fixtures::rows(5), &Timelines::default(), &fixtures::environment(), None).unwrap();
    let html = render(&rows, &Timelines::default(), &fixtures::environment(), None).unwrap().html;
    assert!(rows.len() > 20_000 && html.len() < small.html.len() * 4, "{} {}", small.html.len(), html.len());
    assert!(!small.html.contains("The run is large"));
    assert!(html.contains("The run is large: of each figure&#39;s rows the first"));
    // The last row of the first metric's first group is named, not shown.
    let last = rows
        .iter()
        .rposition(|row| row.cell.workload == "append" && row.cell.mode == "iptables-legacy")
        .unwrap();
    assert!(html.contains(&format!("to line {} of records.csv", last + 2)));
    assert_eq!(dead_links(&html), Vec::<&str>::new());
}

/// As many figures as rows: tables and rows are cut down, and say so.
#[test]
fn of_very_many_figures_the_page_shows_some() {
    let one = fixtures::rows(1)
        .into_iter()
        .find(|row| row.status == Status::Ok && row.cell.mode == "nftables")
        .unwrap();
    let rows: Vec<Record> = (0..9_000)
        .map(|order| Record {
            cell: CellKey { contenders: order, order, ..one.cell.clone() },
            metric: "jitter".into(),
            ..one.clone()
        })
        .collect();
    let html = render(&rows, &Timelines::default(), &fixtures::environment(), None).unwrap().html;
    assert!(html.len() < 4_000_000, "{}", html.len());
    assert!(html.contains("The first 2,000 of 9,000 rows: the rest is in records.csv."));
    assert!(html.contains("Of 3,000 more figures the rows are in records.csv only"));
    assert_eq!(dead_links(&html), Vec::<&str>::new());
}
