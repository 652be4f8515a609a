//! A run of some 1,000,000 rows, from file to report: `cargo bench -p results`.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark may stop; criterion writes undocumented items"
)]

#[path = "../tests/fixtures/mod.rs"]
mod fixtures;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use results::record_file::{RecordWriter, read_records};
use results::report::render;
use results::timeline::Timelines;

/// Blocks of the synthetic run; 2,500 are some 1,000,000 rows.
const BLOCKS: u32 = 2_500;

fn large(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a folder for the rows");
    let path = dir.path().join("records.csv");
    let rows = fixtures::rows(BLOCKS);
    let mut writer = RecordWriter::open(&path).expect("a new file");
    for cell in rows.chunk_by(|one, next| one.cell.order == next.cell.order) {
        writer.append_cell(cell).expect("room on the disk");
    }
    let mut group = criterion.benchmark_group("large");
    group.throughput(Throughput::Elements(rows.len() as u64)).sample_size(10);
    group.bench_function("read", |bencher| {
        bencher.iter(|| read_records(&path).expect("the rows just written"))
    });
    let environment = fixtures::environment();
    group.bench_function("report", |bencher| {
        bencher.iter(|| render(&rows, &Timelines::default(), &environment, None).expect("a report"));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default();
    targets = large
}
criterion_main!(benches);
