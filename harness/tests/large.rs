//! A report of many rows: what memory each takes, and that its page can be read.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use nix::sys::resource::{UsageWho, getrusage};
use results::record::COLUMNS;

/// What a row may take, in bytes. Of a million rows like these it is 440 in a release build, and 500 are promised. Here
/// the tables of shared texts, which end at 65,536 texts, are still growing, and syncs come with the rows: some 510. With texts
/// of its own a row would take more than 900.
const EACH: f64 = 600.0;
/// Rows of the smaller and the larger run: of both the page shows as much as it ever does.
const FEW: usize = 25_000;
const MANY: usize = 75_000;

/// A run in which everything that makes rows large is met: as many cells as there can be with ten blocks, a
/// distribution for each row, and for every tenth a long reason of its own why there is no figure.
fn write(folder: &Path, rows: usize) {
    let mut file = BufWriter::new(File::create(folder.join("records.csv")).unwrap());
    writeln!(file, "{}", COLUMNS.join(",")).unwrap();
    let cells = rows / 20;
    for row in 0..rows {
        let (block, cell, metric) =
            (row / (2 * cells), row / 2 % cells, ["first_packet", "established"][row % 2]);
        let mode = ["iptables-legacy", "iptables-nft", "nftables", "ipvs"][cell % 4];
        let services = cell / 4 + 1;
        let key = format!(
            "2026-11-21T07:40:12Z-7,{block},{row},{mode},{services},10,last,packet_probe,0,lookup_{metric},ns,wall,\
             6.18.44-cloud-amd64,virtual machine"
        );
        let p50 = 3_000 + (row * 7_919) % 300;
        match row % 10 {
            9 => writeln!(
                file,
                "{key},0,,,,,,,,,failed,probe {row} came back with an endpoint of another Service: 10.96.7.{} where 10.96.0.1 \
                 was expected,,",
                row % 251
            ),
            _ => writeln!(
                file,
                "{key},2000,{},{p50},{},{},{},{},{p50},17,ok,,o{row}.{mode}.{metric},",
                p50 - 1, p50 + 1, p50 + 2, p50 + 3, p50 + 4
            ),
        }
        .unwrap();
    }
    file.flush().unwrap();
    std::fs::write(folder.join("environment.json"), "{}").unwrap();
}

/// Syncs and their impact on loads, one row of each for every ten rows of the run.
fn write_timelines(folder: &Path, rows: usize) {
    let key = "2026-11-21T07:40:12Z-7,1,1,nftables,100,10";
    let testbed = "wall,6.18.44-cloud-amd64,virtual machine";
    let mut file = BufWriter::new(File::create(folder.join("timelines.csv")).unwrap());
    writeln!(file, "run,order,block,mode,services,endpoints,workload,clock,kernel,hypervisor,sync,start,end,changes,bytes").unwrap();
    for sync in 0..rows {
        writeln!(file, "{key},churn_idle,{testbed},{sync},{},{},1,100", sync * 1_000, sync * 1_000 + 10)
            .unwrap();
    }
    file.flush().unwrap();
    let mut file = BufWriter::new(File::create(folder.join("impact.csv")).unwrap());
    writeln!(file, "run,order,block,mode,services,endpoints,workload,clock,kernel,hypervisor,from,length,due,lost,p50,p99,max").unwrap();
    for part in 0..rows {
        writeln!(file, "{key},disruption_full_sync.tcp_crr,{testbed},{},1000,10,0,5,6,7", part * 1_000)
            .unwrap();
    }
    file.flush().unwrap();
}

/// The most memory that the report of so many rows was seen to use, in bytes. Only grows from call to call: it is that of the
/// largest child.
fn peak(rows: usize) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), rows);
    write_timelines(folder.path(), rows / 10);
    let output =
        Command::new(env!("CARGO_BIN_EXE_svcbench")).arg("report").arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let page = std::fs::read(folder.path().join("report.html")).unwrap();
    assert!(page.len() < 8_000_000, "{} bytes are no page to read", page.len());
    let page = String::from_utf8(page).unwrap();
    for said in [
        &format!("Measured at {} different numbers of Services, more than can be read", rows.div_ceil(80)),
        "other reasons, each in its row of records.csv",
        "more syncs than can be told apart are not drawn",
        "the one with the highest value is drawn",
    ] {
        assert!(page.contains(said), "{said}");
    }
    getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss() as f64 * 1024.0
}

/// The only test of this program: it looks at the memory of all its children.
#[test]
fn a_million_rows_fit_into_memory_and_their_report_can_be_read() {
    let (few, many) = (peak(FEW), peak(MANY));
    let each = (many - few) / (MANY - FEW) as f64;
    assert!(each < EACH, "{few} bytes, and {each} for each row");
}
