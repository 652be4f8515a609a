//! `records.csv` against kills, foreign files, odd text and flipped bytes.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod fixtures;

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use results::names::position;
use results::record::{COLUMNS, CellKey, Clock, Record, Status, Text, Unit};
use results::record_file::{RecordWriter, parse_records, read_records, recover};
use results::timeline::Timelines;
use tempfile::TempDir;

fn folder() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.csv");
    (dir, path)
}

fn write(rows: &[Record]) -> (TempDir, PathBuf) {
    let (dir, path) = folder();
    let mut writer = RecordWriter::open(&path).unwrap();
    for cell in rows.chunk_by(|a, b| a.cell.order == b.cell.order) {
        writer.append_cell(cell).unwrap();
    }
    (dir, path)
}

/// The error of reading `bytes`, without the folder's name.
fn message(bytes: &[u8]) -> String {
    let (dir, path) = folder();
    fs::write(&path, bytes).unwrap();
    match read_records(&path) {
        Ok(rows) => format!("{} rows", rows.len()),
        Err(error) => error.to_string().replace(&format!("{}/", dir.path().display()), ""),
    }
}

#[test]
fn rows_are_read_back_and_appended_to() {
    let rows = fixtures::rows(2);
    let (_dir, path) = write(&rows[..50]);
    RecordWriter::open(&path).unwrap().append_cell(&rows[50..]).unwrap();
    assert_eq!(read_records(&path).unwrap(), rows);
    assert_eq!(recover(&path).unwrap(), rows);
}

#[test]
fn errors_name_file_line_column_and_what_to_do() {
    let header = COLUMNS.join(",");
    let good =
        "r,0,1,ipvs,10,1,last,packet_probe,0,lookup_first_packet,ns,wall,6.1,none,9,1,2,3,4,5,6,2,1,ok,,,";
    let file = |row: &str| format!("{header}\n{good}\n{row}\n").into_bytes();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("good", file(good)),
        ("empty file", Vec::new()),
        ("an image", b"\x89PNG\r\n\x1a\n\x00\x00".to_vec()),
        ("foreign table", b"name,value\na,1\n".to_vec()),
        ("reordered header", file(good).iter().copied().skip(4).collect()),
        ("extra header column", format!("{header},extra\n{good},1\n").into_bytes()),
        ("too few fields", file("r,0,1")),
        ("unknown unit", file(&good.replace(",ns,", ",furlong,"))),
        ("unknown clock", file(&good.replace(",wall,", ",sun,"))),
        ("unknown status", file(&good.replace(",ok,", ",fine,"))),
        ("unknown position", file(&good.replace(",last,", ",penultimate,"))),
        ("fraction", file(&good.replace(",9,1,", ",9,1.5,"))),
        ("too large for its column", file(&good.replace(",0,1,ipvs", ",0,4294967296,ipvs"))),
        ("ok without figures", file(&good.replace("1,2,3,4,5,6,2,1,ok", ",,,,,,,,ok"))),
        ("ok without samples", file(&good.replace(",9,1,2,", ",0,1,2,"))),
        ("skipped with figures", file(&good.replace(",ok,", ",skipped,"))),
        ("quantiles out of order", file(&good.replace("1,2,3,4,5,6", "1,2,3,9,5,6"))),
        ("not UTF-8", [&file(good)[..], b"\xff\xfe,0,1", &good.as_bytes()[5..], b"\n"].concat()),
        ("torn", file(good)[..header.len() + good.len() + 20].to_vec()),
    ];
    let report: Vec<_> = cases.iter().map(|(name, bytes)| format!("{name}: {}", message(bytes))).collect();
    insta::assert_snapshot!(report.join("\n"));
}

/// The file as svcbench wrote it before it had these columns.
fn older(rows: &[Record], columns: &[&str]) -> Vec<u8> {
    let (_dir, path) = write(rows);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(path).unwrap();
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in reader.records() {
        let line = line.unwrap();
        let kept = line.iter().enumerate().filter(|(index, _)| !columns.contains(&COLUMNS[*index]));
        writer.write_record(kept.map(|(_, field)| field)).unwrap();
    }
    writer.into_inner().unwrap()
}

#[test]
fn a_file_without_the_hypervisor_is_read_but_not_continued() {
    let mut rows = fixtures::rows(1);
    let bytes = older(&rows, &["system", "hypervisor"]);
    rows.iter_mut().for_each(|row| row.cell.hypervisor = "".into());
    read_and_not_continued(&bytes, &rows, 25);
}

#[test]
fn a_file_without_the_system_is_read_but_not_continued() {
    let mut rows = fixtures::rows(1);
    rows.iter_mut().for_each(|row| row.cell.system = "kube-proxy 1.37.2 sha256:0123456789abcdef".into());
    let bytes = older(&rows, &["system"]);
    rows.iter_mut().for_each(|row| row.cell.system = "".into());
    read_and_not_continued(&bytes, &rows, 26);
}

fn read_and_not_continued(bytes: &[u8], rows: &[Record], columns: usize) {
    let (_dir, path) = folder();
    assert_eq!(parse_records(bytes, &path).unwrap(), rows);
    for whole in [bytes, &bytes[..bytes.len() - 5]] {
        fs::write(&path, whole).unwrap();
        for error in
            [recover(&path).unwrap_err().to_string(), RecordWriter::open(&path).unwrap_err().to_string()]
        {
            assert!(error.contains("not continued"), "{error}");
            assert!(error.contains("start a new folder"), "{error}");
        }
        assert_eq!(fs::read(&path).unwrap(), whole, "it is left alone");
    }
    let text = std::str::from_utf8(bytes).unwrap();
    let wider = text.replacen("\n2026", "\nextra,2026", 1);
    let expected = format!(":2: expected {columns} fields, found {}", columns + 1);
    assert!(message(wider.as_bytes()).contains(&expected));
}

/// Every committed run can be read, whichever version wrote it.
#[test]
fn the_reference_run_is_read() {
    let reference = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("reference");
    assert!(!read_records(&reference.join("records.csv")).unwrap().is_empty());
}

#[test]
fn a_kill_at_any_byte_costs_at_most_two_cells() {
    let rows = &fixtures::rows(1)[..12];
    let (_dir, path) = write(rows);
    let whole = fs::read(&path).unwrap();
    let header = COLUMNS.join(",").len();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        if length == 0 || whole[length - 1] == b'\n' {
            continue;
        }
        assert!(read_records(&path).is_err());
        assert!(RecordWriter::open(&path).is_err());
        let kept = recover(&path).unwrap();
        assert_eq!(kept, rows[..kept.len()], "cut at {length}");
        assert_eq!(read_records(&path).unwrap(), kept);
        let complete = whole[..length].iter().filter(|byte| **byte == b'\n').count().saturating_sub(1);
        let dropped = rows[..complete]
            .iter()
            .filter(|row| length > header && row.cell.order == rows[complete - 1].cell.order);
        assert_eq!(kept.len() + dropped.count(), complete);
        RecordWriter::open(&path).unwrap().append_cell(&rows[kept.len()..]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn recovering_nothing_or_something_foreign() {
    let (_dir, path) = folder();
    assert_eq!(recover(&path).unwrap(), []);
    fs::write(&path, "not ours").unwrap();
    assert!(recover(&path).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"not ours", "a foreign file is left alone");
}

/// 20,000 deterministic mutations of a valid file: flipped, inserted, deleted and doubled bytes.
#[test]
fn flipped_bytes_end_in_rows_or_a_clear_error() {
    let (_dir, path) = write(&fixtures::rows(1)[..6]);
    let whole = fs::read(&path).unwrap();
    let alphabet = b",\"\n\r-+9ek\xff\x00 ";
    let mut state = 42_u64;
    let mut next = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit
    };
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..=next(3) {
            let at = next(bytes.len());
            match next(4) {
                0 => bytes[at] = alphabet[next(alphabet.len())],
                1 => bytes.insert(at, alphabet[next(alphabet.len())]),
                2 => drop(bytes.remove(at)),
                _ => bytes.extend_from_within(at..),
            }
        }
        match parse_records(&bytes, &path) {
            Ok(_) => accepted += 1,
            Err(error) => assert!(error.to_string().contains("records.csv:"), "{error}"),
        }
    }
    assert!(accepted > 0 && accepted < 20_000, "{accepted}");
}

fn any_record() -> impl Strategy<Value = Record> {
    let texts = proptest::collection::vec(any::<String>(), 9);
    let names = (0..position::ALL.len(), 0..Unit::ALL.len(), 0..Clock::ALL.len(), 0..Status::ALL.len());
    let figures = (proptest::array::uniform6(any::<u64>()), any::<u64>(), any::<u64>(), 1_u64..);
    (texts, names, any::<[u32; 5]>(), figures).prop_map(
        |(texts, names, [block, order, services, endpoints, contenders], figures)| {
            let (mut quantiles, mean, stddev, n) = figures;
            quantiles.sort_unstable();
            let status = Status::ALL[names.3];
            let figure = |value: u64| (status == Status::Ok).then_some(value);
            let texts = texts.into_iter().map(Text::from).collect::<Vec<_>>();
            let [run, mode, workload, metric, kernel, hypervisor, note, hist, system] =
                texts.try_into().unwrap();
            Record {
                cell: CellKey {
                    run,
                    block,
                    order,
                    mode,
                    services,
                    endpoints,
                    position: position::ALL[names.0].into(),
                    workload,
                    contenders,
                    clock: Clock::ALL[names.2],
                    kernel,
                    hypervisor,
                    system,
                },
                metric,
                unit: Unit::ALL[names.1],
                n,
                min: figure(quantiles[0]),
                p50: figure(quantiles[1]),
                p90: figure(quantiles[2]),
                p99: figure(quantiles[3]),
                p999: figure(quantiles[4]),
                max: figure(quantiles[5]),
                mean: figure(mean),
                stddev: figure(stddev),
                status,
                note,
                hist,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_record_survives_the_file(rows in proptest::collection::vec(any_record(), 0..5)) {
        let (_dir, path) = folder();
        RecordWriter::open(&path).unwrap().append_cell(&rows).unwrap();
        prop_assert_eq!(read_records(&path).unwrap(), rows.clone());
        // Whatever can be read can be reported.
        let rendered = results::report::render(&rows, &Timelines::default(), &fixtures::environment(), None);
        prop_assert!(rendered.is_ok());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), header: bool) {
        let (_dir, path) = folder();
        let header = if header { format!("{}\n", COLUMNS.join(",")) } else { String::new() };
        fs::write(&path, [header.as_bytes(), &bytes].concat()).unwrap();
        let _ = read_records(&path);
        let _ = recover(&path);
    }
}
