//! A history of synthetic runs: what it says, what it leaves out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use results::environment::Environment;
use results::history::{self, History, LEVEL, Width, history, read};
use results::names::{metric, workload};
use results::record::{CellKey, Clock, Record, Unit};
use results::record_file::RecordWriter;

/// A wobble of up to 1%, always the same.
fn wobble(value: f64, salt: u32) -> u64 {
    let x = salt.wrapping_mul(2_654_435_761) >> 16;
    (value * (1.0 + f64::from(x % 100) / 10_000.0)) as u64
}

/// Rows of a run: lookups of two modes and a control at two scales, three blocks, on a machine that is slower by a factor.
fn rows(run: u32, nftables: f64, kernel: &str, machine: f64) -> Vec<Record> {
    let mut rows = Vec::new();
    for block in 1..=3 {
        for (index, (mode, time)) in
            [("direct", 470.0), ("iptables-legacy", 31_000.0), ("nftables", nftables)].into_iter().enumerate()
        {
            for services in [1_000, 10_000] {
                let key = CellKey {
                    run: format!("run-{run}").as_str().into(),
                    block,
                    order: 0,
                    mode: mode.into(),
                    services,
                    endpoints: 10,
                    position: "last".into(),
                    workload: workload::PACKET_PROBE.into(),
                    contenders: 0,
                    clock: Clock::Wall,
                    kernel: kernel.into(),
                    hypervisor: "kvm".into(),
                    system: "".into(),
                };
                let salt = run * 977 + block * 31 + services / 100 + index as u32 * 7_919;
                rows.push(key.scalar(metric::LOOKUP_FIRST_PACKET, Unit::Ns, wobble(time * machine, salt)));
            }
        }
    }
    rows
}

fn passport(run: u32, kernel: &str, cpu: &str) -> Environment {
    Environment {
        started: format!("2026-03-{:02}T06:00:00Z", run + 1),
        run: format!("run-{run}"),
        kernel: kernel.into(),
        hypervisor: "kvm".into(),
        virtualisation: "KVM".into(),
        cpu_model: cpu.into(),
        cores: 4,
        machine: "x86_64".into(),
        programs: [("nft".to_owned(), "v1.0.6".to_owned())].into(),
        ..Environment::default()
    }
}

fn write(folder: &Path, rows: &[Record], environment: &Environment) {
    fs::create_dir_all(folder).unwrap();
    RecordWriter::open(&folder.join("records.csv")).unwrap().append_cell(rows).unwrap();
    environment.write(&folder.join("environment.json")).unwrap();
}

/// Twenty-four runs: nftables slows down by 12% with another kernel after 14 of them, and a twenty-fifth on another machine.
fn many(dir: &Path) {
    for run in 0..24 {
        let (kernel, nftables) = if run < 14 { ("6.18.44", 1_300.0) } else { ("6.18.45", 1_456.0) };
        let environment = passport(run, kernel, "Xeon");
        write(&dir.join(format!("run-{run:02}")), &rows(run, nftables, kernel, 1.0), &environment);
    }
    write(
        &dir.join("other").join("epyc"),
        &rows(24, 900.0, "6.18.45", 1.0),
        &passport(24, "6.18.45", "EPYC"),
    );
}

fn of(dirs: &[PathBuf], dir: &Path) -> History {
    let (runs, unreadable) = read(dirs);
    let mut history = history(runs, unreadable, Width::Largest, LEVEL);
    // The folder is another one each time.
    let short = |path: &mut PathBuf| *path = Path::new("DIR").join(path.strip_prefix(dir).unwrap_or(path));
    history.runs.iter_mut().for_each(|run| short(&mut run.folder));
    history.unreadable.iter_mut().for_each(|left| {
        short(&mut left.folder);
        left.why = left.why.replace(&*dir.to_string_lossy(), "DIR");
    });
    history
}

#[test]
fn a_change_is_marked_with_what_came_with_it() {
    let dir = tempfile::tempdir().unwrap();
    many(dir.path());
    let history = of(&[dir.path().to_owned()], dir.path());
    insta::assert_snapshot!("text", history::text(&history));
    insta::assert_snapshot!("markdown", history::markdown(&history));
    assert_eq!((history.runs.len(), history.machines.len()), (25, 2));
    let changed: Vec<_> = history.series.iter().filter(|series| !series.changes.is_empty()).collect();
    let [nftables] = changed[..] else { panic!("{changed:?}") };
    assert_eq!((nftables.figure.mode.as_str(), nftables.figure.services), ("nftables", 10_000));
    let [change] = &nftables.changes[..] else { panic!("{nftables:?}") };
    let (low, high) = change.interval.unwrap();
    assert!(low < 0.12 && 0.12 < high && high - low < 0.01, "{change:?}");
    assert_eq!((change.at, &change.events[..]), (14, &["kernel 6.18.44 → 6.18.45".to_owned()][..]));
    let wide = {
        let (runs, _) = read(&[dir.path().to_owned()]);
        history::history(runs, Vec::new(), Width::All, LEVEL)
    };
    assert_eq!(wide.series.len(), 2 * history.series.len());
}

#[test]
fn a_change_of_the_control_is_told() {
    let dir = tempfile::tempdir().unwrap();
    for run in 0..16 {
        let rows = rows(run, 1_300.0, "6.18.44", if run < 8 { 1.0 } else { 1.2 });
        write(&dir.path().join(format!("run-{run:02}")), &rows, &passport(run, "6.18.44", "Xeon"));
    }
    let history = of(&[dir.path().to_owned()], dir.path());
    let told = |mode: &str| {
        let series = history.series.iter().find(|series| series.figure.mode == mode).unwrap();
        series.changes[0].events.clone()
    };
    assert!(told("nftables")[0].contains("the control direct changes there too"));
    assert!(told("direct").is_empty());
}

#[test]
fn what_cannot_be_read_is_named_and_left_out() {
    let dir = tempfile::tempdir().unwrap();
    many(dir.path());
    let broken =
        |name: &str, file: &str, text: &str| fs::write(dir.path().join(name).join(file), text).unwrap();
    broken("run-03", "records.csv", "run,block,what\n1,2,3\n");
    broken("run-07", "environment.json", "{\"kernal\": 1}");
    fs::remove_file(dir.path().join("run-09/environment.json")).unwrap();
    let mut torn = fs::read_to_string(dir.path().join("run-11/records.csv")).unwrap();
    torn.truncate(torn.len() - 20);
    broken("run-11", "records.csv", &torn);
    passport(12, "", "").write(&dir.path().join("run-12/environment.json")).unwrap();
    let undated = Environment { started: String::new(), ..passport(13, "6.18.44", "Xeon") };
    undated.write(&dir.path().join("run-13/environment.json")).unwrap();
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let dirs = [dir.path().to_owned(), dir.path().join("run-00"), empty, dir.path().join("absent")];
    let history = of(&dirs, dir.path());
    // The names of fields that could have been meant change from version to version.
    let short = |why: &str| why.split(", expected one of").next().unwrap_or(why).to_owned();
    let left: Vec<String> = history
        .unreadable
        .iter()
        .map(|left| format!("{}: {}", left.folder.display(), short(&left.why)))
        .collect();
    insta::assert_snapshot!("left_out", left.join("\n"));
    // Twenty are left of twenty-five; one of them has no passport of its lane, and so no figures.
    assert_eq!(history.runs.len(), 20);
    let nftables =
        history.series.iter().find(|series| series.machine == 0 && series.figure.mode == "nftables").unwrap();
    assert_eq!((nftables.points.len(), nftables.changes.len()), (18, 1));
}

#[test]
fn few_runs_say_so() {
    let dir = tempfile::tempdir().unwrap();
    for run in 0..2 {
        write(
            &dir.path().join(format!("run-{run}")),
            &rows(run, 1_300.0, "6.18", 1.0),
            &passport(run, "6.18", "Xeon"),
        );
    }
    let history = of(&[dir.path().to_owned()], dir.path());
    let text = history::text(&history);
    assert!(text.contains("3 figures have fewer than 10 runs"), "{text}");
    let none = history::history(Vec::new(), Vec::new(), Width::All, LEVEL);
    assert!(history::svg(&none).contains("No figure has two runs"));
    assert!(history::html(&none).contains("None is shown"));
}

#[test]
fn the_page_is_the_same_each_time_and_trusts_nobody() {
    let dir = tempfile::tempdir().unwrap();
    many(dir.path());
    let hostile = dir.path().join("<script>alert(1)</script>".replace('/', "_"));
    fs::rename(dir.path().join("run-20"), hostile).unwrap();
    let history = of(&[dir.path().to_owned()], dir.path());
    let (page, picture) = (history::html(&history), history::svg(&history));
    assert_eq!((page.clone(), picture.clone()), (history::html(&history), history::svg(&history)));
    assert!(!page.contains("<script") && !picture.contains("<script"));
    assert!(page.contains(&picture) && !page.contains("http://localhost") && !page.contains("src="));
    assert!(picture.contains("+12.1% [11.9, 12.3], worse at run-14 (2026-03-15)"), "{picture}");
    let written = history::write(&history, &dir.path().join("out/deep")).unwrap();
    assert_eq!(fs::read_to_string(&written[1]).unwrap(), picture);
    let (path, _) = history::write(&history, &dir.path().join("run-00/records.csv")).unwrap_err();
    assert!(path.ends_with("records.csv"));
}
