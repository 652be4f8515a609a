//! A run is killed while a real kube-proxy is started, runs, syncs or is ended.

use std::fs;
use std::thread;
use std::time::Duration;

use dataplane::Mode;
use netns_setup::Fingerprint;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::given::binary;
use crate::children::{Place, entries, inhabited, name};
use crate::testbeds::wait_until;

const KILLS: usize = 20;
/// So many runs at a time: they mostly wait to be killed.
const AT_A_TIME: usize = 4;
const MODES: [Mode; 2] = [Mode::Nftables, Mode::IptablesLegacy];

/// Short parts over and over, and more of them than there is time for.
const SWEEP: &str = r#"
question = "Is anything left?"
seed = 5
modes = ["MODE"]
services = [200]
endpoints = 5
systems = ["kube-proxy:1.3"]

[system]
changes = ["replace-endpoint", "add-service"]
repeats = 1
gap_seconds = 0.5
relist = true
blocks = 1000
limit_seconds = 600
"#;

pub(crate) fn at_any_moment() {
    let mut random = ChaCha8Rng::seed_from_u64(14);
    let moments: Vec<(usize, u64)> =
        (0..KILLS).map(|index| (index, random.random_range(200..15_000))).collect();
    let before = Fingerprint::take();
    thread::scope(|scope| {
        for first in 0..AT_A_TIME {
            let moments = &moments;
            scope.spawn(move || {
                for &(index, milliseconds) in moments.iter().skip(first).step_by(AT_A_TIME) {
                    after(MODES[index % MODES.len()], Duration::from_millis(milliseconds));
                }
            });
        }
    });
    assert_eq!(before.changes(&Fingerprint::take()), Vec::<String>::new());
    assert!(!fs::exists("/run/kube-proxy").unwrap(), "the host's");
}

fn after(mode: Mode, moment: Duration) {
    let place = Place::new();
    let sweep = SWEEP.replace("MODE", mode.name());
    let mut run = place.start(&sweep, &["--no-limit", "--kube-proxy-binary", &binary()]);
    // A moment is a moment, early or late.
    thread::sleep(moment);
    assert_eq!(run.try_wait().unwrap(), None, "it should still run after {moment:?}");
    // Stopped, it starts nothing more, so that all there is can be listed. Rooms have no environment that could be marked: they
    // are found by their namespaces, which threads of the run share with them.
    kill(Pid::from_raw(run.id().try_into().unwrap()), Signal::SIGSTOP).unwrap();
    wait_until("it is stopped", || is_stopped(run.id()));
    let namespaces = place.namespaces();
    run.kill().unwrap();
    run.wait().unwrap();
    wait_until("all its programs are dead", || place.processes().is_empty());
    wait_until("its namespaces are empty", || !inhabited(&namespaces));
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

fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.starts_with('T')
}
