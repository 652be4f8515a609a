//! Runs that end before their end.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use netns_setup::Fingerprint;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use svcbench::sweep::Sweep;
use svcbench::sweep::order;

use crate::children::{Place, entries, inhabited, is_as_it_should_be, name};
use crate::testbeds::wait_until;

const KILLS: usize = 20;
/// So many runs at a time: they mostly wait to be killed.
const AT_A_TIME: usize = 4;

/// Begins with syncs at once, and has more of them than there is time for.
const SYNCS: &str = r#"
question = "Is anything left?"
seed = 2
modes = ["iptables-legacy", "iptables-nft", "nftables"]
services = [20, 50, 200]
endpoints = 5

[sync]
operations = ["cold", "add-service", "remove-service", "replace-endpoint", "noop", "append"]
blocks = 50
budget_seconds = 600

[lock]
contenders = [3]
seconds = 1
"#;

/// Some seconds in many small cells.
const CELLS: &str = r#"
question = "Does it go on where it stopped?"
seed = 3
modes = ["direct", "iptables-legacy", "nftables"]
services = [10]
endpoints = 2
# It is about what is left out or done twice, on however busy a machine.
limit_seconds = 600

[lookup]
blocks = 12
positions = ["first", "last", "miss"]
probes = 1000

[sync]
operations = ["cold", "noop"]
blocks = 1
budget_seconds = 600
"#;

pub(crate) fn killed_at_any_moment() {
    let mut random = ChaCha8Rng::seed_from_u64(20);
    let moments: Vec<(usize, u64)> =
        (0..KILLS).map(|index| (index, random.random_range(100..6_000))).collect();
    let before = Fingerprint::take();
    thread::scope(|scope| {
        for first in 0..AT_A_TIME {
            let moments = &moments;
            scope.spawn(move || {
                for &(index, milliseconds) in moments.iter().skip(first).step_by(AT_A_TIME) {
                    kill_after(
                        if index % 2 == 0 { "smoke" } else { SYNCS },
                        Duration::from_millis(milliseconds),
                    );
                }
            });
        }
    });
    assert_eq!(before.changes(&Fingerprint::take()), Vec::<String>::new());
}

fn kill_after(sweep: &str, moment: Duration) {
    let place = Place::new();
    let before = Fingerprint::take();
    // On a busy machine cells may be predicted to take too long, and a run without them would end by itself.
    let mut run = place.start(sweep, &["--no-limit"]);
    thread::sleep(moment);
    let namespaces = place.namespaces();
    assert_eq!(run.try_wait().unwrap(), None, "it should still run after {moment:?}");
    run.kill().unwrap();
    run.wait().unwrap();
    wait_until("all its programs are dead", || place.processes().is_empty());
    wait_until("its namespaces are empty", || !inhabited(&namespaces));
    assert_eq!(before.changes(&Fingerprint::take()), Vec::<String>::new(), "killed after {moment:?}");
    let beside = entries(place.path());
    assert!(beside.iter().all(|path| *path == place.out()), "{beside:?}");
    let expected = [
        "records.csv",
        "histograms.hlog",
        "blocks.csv",
        "environment.json",
        "environment.json.tmp",
        "sweep.toml",
    ];
    let within: Vec<_> = entries(place.out()).iter().map(|path| name(path)).collect();
    assert!(within.iter().all(|file| expected.contains(&file.as_str())), "{within:?}");
}

/// Starts a run and waits until it has finished a few cells, of many.
fn under_way(place: &Place) -> std::process::Child {
    let mut run = place.start(CELLS, &[]);
    wait_until("some cells are finished", || place.finished_cells() >= 5);
    assert_eq!(run.try_wait().unwrap(), None, "it ended too soon");
    run
}

/// Goes on with a run, and checks that nothing is done twice and nothing left out.
fn resume(place: &Place) {
    let before = place.files().remove("records.csv").unwrap();
    // A line that was being written goes, with its cell.
    let whole = before.iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
    assert_eq!(whole, before.len(), "rows are written cell by cell, at once");
    let output = place.run(CELLS, &["--resume"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let after = place.files();
    assert!(after["records.csv"].starts_with(&before), "earlier rows are as they were");
    assert!(after.contains_key("report.html"));

    let records = place.records();
    let amiss = records.iter().find(|record| !is_as_it_should_be(record));
    assert_eq!(amiss.map(|record| format!("{record:?}")), None);
    assert_eq!(records.iter().map(|record| &record.cell.run).collect::<BTreeSet<_>>().len(), 1, "one run");
    // Rows of a cell stand together: a cell that comes again was repeated.
    let mut orders: Vec<u32> = records.iter().map(|record| record.cell.order).collect();
    orders.dedup();
    let sweep = Sweep::parse("cells", CELLS).unwrap();
    let planned: Vec<u32> = order::order(&sweep).iter().map(|cell| cell.order).collect();
    assert_eq!(orders, planned);
}

pub(crate) fn killed_and_resumed() {
    let place = Place::new();
    let mut run = under_way(&place);
    run.kill().unwrap();
    run.wait().unwrap();
    resume(&place);
}

pub(crate) fn interrupted_and_resumed() {
    let place = Place::new();
    let mut run = under_way(&place);
    kill(Pid::from_raw(run.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130));
    let files = place.files();
    assert!(files.contains_key("report.html"), "{:?}", files.keys());
    let finished = place.finished_cells();
    let planned = order::order(&Sweep::parse("cells", CELLS).unwrap()).len();
    assert!((5..planned).contains(&finished), "{finished} of {planned}");
    assert!(place.records().iter().all(is_as_it_should_be), "what was cut short has no row");
    resume(&place);
}
