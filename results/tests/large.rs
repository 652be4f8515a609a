//! A million rows: `cargo test --release -p results --test large -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod fixtures;

use std::time::Instant;

use results::record_file::{RecordWriter, read_records};
use results::report::render;

#[test]
#[ignore = "half a gigabyte of memory; seconds in release, minutes in debug"]
fn a_million_rows_are_read_and_reported_in_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.csv");
    let start = Instant::now();
    let rows = fixtures::rows(2_500);
    println!("{} rows made in {:?}", rows.len(), start.elapsed());
    let start = Instant::now();
    let mut writer = RecordWriter::open(&path).unwrap();
    for cell in rows.chunk_by(|a, b| a.order == b.order) {
        writer.append_cell(cell).unwrap();
    }
    println!("written in {:?}", start.elapsed());
    drop(rows);
    let start = Instant::now();
    let rows = read_records(&path).unwrap();
    println!("read in {:?}", start.elapsed());
    assert!(rows.len() > 1_000_000);
    let start = Instant::now();
    let rendered = render(&rows, &fixtures::environment(), None).unwrap();
    println!("rendered in {:?}", start.elapsed());
    assert!(rendered.html.contains("2,500"));
}
