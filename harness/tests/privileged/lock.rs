//! The xtables lock, against truths that are known beforehand.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use dataplane::{KubeProxy, Mode, Program};
use experiments::lock_contention::Section as Lock;
use experiments::lock_contention::{self, Known, LEAST_OPERATIONS, LockContention, Patience, Phases};
use lab::testbed::Testbed;
use lab::tools::Tools;
use lab::xtables_lock::{Acquisition, LOCK_FILE, Watch, acquisitions};
use netns_setup::Namespace;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use services::service_set::ServiceSet;
use workloads::clock::nanoseconds;
use workloads::recorder::Times;

use crate::children::{entries, name};
use crate::testbeds::{cold, scale, wait_until};

fn has_open(pid: u32, path: &str) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).any(|file| file == Path::new(path))
}

pub(crate) fn known_wait() {
    let iptables = Tools::of(Mode::IptablesLegacy).path(Program::Iptables).unwrap();
    let namespace = Namespace::create("lock").unwrap();
    let watch = Watch::start(&namespace).unwrap();

    let mut holder = hold_lock(&namespace);

    let mut waiter = Command::new(iptables);
    waiter.args(["-w", "600", "-t", "nat", "-N", "WAITED"]);
    let begun = Instant::now();
    let mut waiter = namespace.spawn(&mut waiter).unwrap();
    wait_until("iptables queues for the lock", || has_open(waiter.id(), LOCK_FILE));
    let queued = Instant::now();
    thread::sleep(Duration::from_secs(1));
    let least = queued.elapsed();
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    assert!(waiter.wait().unwrap().success());
    let most = begun.elapsed();

    let all = acquisitions(&watch.stop().unwrap(), &HashSet::new());
    let of = |pid| all.iter().find(|acquisition| acquisition.pid == pid).copied().unwrap();
    let (held, waited) = (of(holder.id()), of(waiter.id()));
    assert_eq!(all.len(), 2, "{all:?}");
    let hold = |of: Acquisition| of.hold.unwrap();
    let (wait, held_for) = (Duration::from_nanos(waited.wait), Duration::from_nanos(hold(held)));
    // It began to wait before that was seen, and had waited before it had ended. What the watch is late by, which has
    // real-time priority, is far less than the rest of a fifth.
    assert!((least * 4 / 5..=most).contains(&wait), "waited {wait:?}, in truth {least:?} to {most:?}");
    assert!(held_for >= wait * 4 / 5 && held.wait < waited.wait, "{held:?} {waited:?}");
    let [hold, span] = [hold(waited), waited.wait + hold(waited)].map(Duration::from_nanos);
    assert!(span <= most && hold < wait, "adding a chain takes milliseconds: {waited:?}");
}

/// Starts a program in a namespace, which holds the lock until its standard input ends, and waits until it does.
///
/// It takes the lock itself: in a PID namespace `/proc/locks` has no line for a lock whose taker has ended, even if another
/// holds it still (fs/locks.c, `locks_translate_pid`).
fn hold_lock(namespace: &Namespace) -> Child {
    let mut holder = Command::new("flock");
    holder.args(["--no-fork", LOCK_FILE, "sh", "-c", "echo held; read _ || true"]);
    holder.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = namespace.spawn(&mut holder).unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    holder
}

/// One who held it before, one who gives up, one who gets it: `svcbench lock --watch` tells them apart.
pub(crate) fn followed() {
    let iptables = Tools::of(Mode::IptablesLegacy).path(Program::Iptables).unwrap();
    let namespace = Namespace::create("lock").unwrap();
    let mut holder = hold_lock(&namespace);

    let mut watch = Command::new(env!("CARGO_BIN_EXE_svcbench"));
    watch.args(["lock", "--watch", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut watch = namespace.spawn(&mut watch).unwrap();
    let mut line = String::new();
    BufReader::new(watch.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("following /run/xtables.lock"), "{line}");

    let queue = |patience: &str| {
        let mut command = Command::new(&iptables);
        command.args(["-w", patience, "-t", "nat", "-N", "WAITED"]).stderr(Stdio::null());
        namespace.spawn(&mut command).unwrap()
    };
    let begun = Instant::now();
    let mut impatient = queue("1");
    assert_eq!(impatient.wait().unwrap().code(), Some(4));
    let mut patient = queue("600");
    wait_until("iptables queues for the lock", || has_open(patient.id(), LOCK_FILE));
    assert!(!has_open(watch.id(), LOCK_FILE), "whoever follows the lock does not touch it");
    thread::sleep(Duration::from_millis(600));
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success() && patient.wait().unwrap().success());
    let all = begun.elapsed().as_millis() as u64;
    let (sender, reported) = mpsc::channel();
    let lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    // A turn that is not seen is a failure, and does not hang.
    let next = || {
        let line = reported.recv_timeout(Duration::from_secs(60)).expect("another line");
        serde_json::from_str::<Value>(&line).unwrap()
    };
    // All turns have been seen.
    let mut lines: Vec<Value> = (0..3).map(|_| next()).collect();
    kill(Pid::from_raw(watch.id() as i32), Signal::SIGINT).unwrap();
    lines.push(next());
    assert!(reported.recv().is_err() && watch.wait().unwrap().success(), "{lines:#?}");
    let [gave_up, before, waited, summary] = &lines[..] else { panic!("{lines:#?}") };
    for (line, process) in [(gave_up, &impatient), (before, &holder), (waited, &patient)] {
        assert_eq!(line["process"]["pid"], process.id(), "{lines:#?}");
    }
    let milliseconds = |line: &Value, key| line[key].as_u64().map(|ns| ns / 1_000_000);
    assert_eq!(gave_up["gave_up"], true);
    assert!((900..=all).contains(&milliseconds(gave_up, "wait_ns").unwrap()), "{gave_up}");
    assert!(gave_up["process"]["command"].as_str().unwrap().contains("-w 1 -t nat -N WAITED"), "{gave_up}");
    assert_eq!((&before["wait_ns"], &before["gave_up"]), (&Value::Null, &Value::Bool(false)));
    assert!(milliseconds(before, "hold_ns") >= Some(1_300), "{before}");
    assert!((250..=all).contains(&milliseconds(waited, "wait_ns").unwrap()), "{waited}");
    let hold = milliseconds(waited, "hold_ns").unwrap();
    assert!(Some(hold) < milliseconds(waited, "wait_ns"), "{waited}");
    assert_eq!((&summary["summary"]["gave_up"], &summary["summary"]["hold_ns"]["n"]), (&1.into(), &2.into()));
}

pub(crate) fn timeout() {
    let tools = Tools::of(Mode::IptablesLegacy);
    let save = tools.path(Program::IptablesSave).unwrap();
    let mut testbed = cold(Mode::IptablesLegacy, KubeProxy::NEWEST, &ServiceSet::synthetic(scale(10, 2), 1));
    // On a busy machine the lock may be taken when all is over: once more.
    let (found, most) = (0..10).find_map(|_| held_while_measured(&mut testbed, &save)).unwrap();
    // More than two if one of them has given up twice before the other has once.
    assert!(found.timeouts >= 2, "{}", found.complaints);
    let message = "Another app is currently holding the xtables lock. Stopped waiting after 5s.";
    for complaint in [" x exit code 4: ", " x sync, exit code 4: "] {
        assert!(found.complaints.contains(complaint), "{}", found.complaints);
    }
    assert_eq!(found.complaints.matches(message).count(), 2, "{}", found.complaints);
    // Waits in vain count: without them, an overloaded lock would look quick. They are not holds.
    for waits in [&found.contender_waits, &found.holder_waits] {
        let longest = waits.histogram().max();
        assert!((4_900_000_000..most).contains(&longest), "{longest}");
    }
    assert!(found.contender_holds.histogram().max() < 4_900_000_000);
    assert!(found.contender_operations.histogram().max() >= 5_000_000_000);
    assert!(!found.full_syncs.times.is_empty() || !found.partial_syncs.times.is_empty());
    testbed.verify_traffic().unwrap();
}

/// Measures while somebody holds the lock until the contender and the sync have given up once and wait again: each gives up after
/// 5 s, tries again, and waits for the rest. And how long that took, nanoseconds.
fn held_while_measured(testbed: &mut Testbed, save: &Path) -> Option<(LockContention, u64)> {
    // Takes the lock once the contender has begun, and lets go when its standard input ends.
    let script = format!(
        "until {} -t nat | grep -q CNI-DN; do sleep 0.01; done; exec 9>>{LOCK_FILE}; flock 9; echo held; read _ || true",
        save.display()
    );
    let mut holder = Command::new("sh");
    holder.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = testbed.lab.node.spawn(&mut holder).unwrap();
    let (shell, node) = (holder.id(), testbed.lab.node.identity().net);
    let (stdin, stdout) = (holder.stdin.take(), holder.stdout.take().unwrap());
    let over = AtomicBool::new(false);
    let (found, most, waited) = thread::scope(|scope| {
        let over = &over;
        let release = scope.spawn(move || {
            let (mut queued, mut line) = (Queued::default(), String::new());
            BufReader::new(stdout).read_line(&mut line).unwrap();
            let mut wait_again = false;
            wait_until("the contender and the sync have given up and wait again", || {
                queued.look(node, shell);
                wait_again = queued.contenders.len() >= 2 && queued.syncs.len() >= 2;
                wait_again || over.load(Ordering::Relaxed)
            });
            drop(stdin);
            wait_again
        });
        let begun = Instant::now();
        let found = lock_contention::measure(testbed, 1, 8.0, &Patience::endless(), &mut |_| ()).unwrap();
        let most = nanoseconds(begun.elapsed());
        over.store(true, Ordering::Relaxed);
        (found, most, release.join().unwrap())
    });
    assert!(holder.wait().unwrap().success());
    waited.then_some((found, most))
}

/// Programs of a namespace that have been seen to have the lock file open, but for one that holds it.
#[derive(Default)]
struct Queued {
    contenders: HashSet<u32>,
    syncs: HashSet<u32>,
}

impl Queued {
    fn look(&mut self, namespace: u64, holder: u32) {
        let pids = entries("/proc").into_iter().filter_map(|process| name(&process).parse::<u32>().ok());
        for pid in pids.filter(|&pid| pid != holder) {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words);
            let within = |net: fs::Metadata| net.ino() == namespace;
            if words.contains("iptables")
                && fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(within)
                && has_open(pid, LOCK_FILE)
            {
                let is_contender = words.contains("CNI-DN");
                if is_contender { &mut self.contenders } else { &mut self.syncs }.insert(pid);
            }
        }
    }
}

/// The program alone, without anything of ours around it: nobody lets go, and it says so.
pub(crate) fn literal_timeout() {
    let iptables = Tools::of(Mode::IptablesLegacy).path(Program::Iptables).unwrap();
    let namespace = Namespace::create("lock").unwrap();
    let mut holder = hold_lock(&namespace);
    let begun = Instant::now();
    let mut waiter = Command::new(iptables);
    waiter.args(["-w", "5", "-t", "nat", "-N", "WAITED"]).stderr(Stdio::piped());
    let output = namespace.spawn(&mut waiter).unwrap().wait_with_output().unwrap();
    let waited = begun.elapsed();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let message = String::from_utf8(output.stderr).unwrap();
    let expected = "Another app is currently holding the xtables lock. Stopped waiting after 5s.";
    assert_eq!(message.lines().last(), Some(expected), "{message}");
    assert!(waited >= Duration::from_secs(5), "{waited:?}");
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
}

/// Every acquisition is of somebody: of a contender, of a full or of a partial sync; before the syncs nothing counts.
pub(crate) fn by_sync() {
    let mut testbed = cold(Mode::IptablesLegacy, KubeProxy::NEWEST, &ServiceSet::synthetic(scale(300, 2), 1));
    // A full sync's restore writes all Services, a partial one's that which changed. The shortest of each: what else the
    // machine does only makes them longer, and on a busy one it takes more of them until the shortest is as it should be.
    let mut shortest = [u64::MAX; 2];
    wait_until("the shortest full restore holds the lock longer than the shortest partial one", || {
        let found =
            lock_contention::measure(&mut testbed, 4, 2.0, &Patience::endless(), &mut |_| ()).unwrap();
        every_acquisition_is_of_somebody(&found);
        for (shortest, syncs) in shortest.iter_mut().zip([&found.full_syncs, &found.partial_syncs]) {
            *shortest = syncs.phases.iter().map(|phases| phases.hold).fold(*shortest, u64::min);
        }
        shortest[0] > shortest[1]
    });
}

fn every_acquisition_is_of_somebody(found: &LockContention) {
    let count = |times: &Times| times.histogram().len();
    let (full, partial) = (&found.full_syncs, &found.partial_syncs);
    assert!(!full.times.is_empty() && !partial.times.is_empty(), "{}", found.complaints);
    // Each sync looks for chains and rules before it restores: some acquisitions each.
    assert!(
        count(&full.holds) > full.times.len() as u64 && count(&partial.holds) > partial.times.len() as u64
    );
    assert_eq!(count(&full.holds) + count(&partial.holds), count(&found.holder_holds));
    let waited = count(&full.contender_waits) + count(&partial.contender_waits);
    assert!(waited > 0 && waited <= count(&found.contender_waits), "{waited}");
    // Everybody got the lock, once for each operation, but for those that gave up.
    let operations = count(&found.contender_operations);
    assert!((operations - found.timeouts..=operations).contains(&count(&found.contender_holds)));
    assert_eq!(found.acquisitions, count(&found.contender_holds) + count(&found.holder_holds));
    assert!(found.overtaken < found.acquisitions);
    // One restore each, whose parts are within the sync.
    for syncs in [full, partial] {
        assert_eq!(syncs.phases.len(), syncs.times.len());
        for (phases, time) in syncs.phases.iter().zip(&syncs.times) {
            let Phases { spawn, lock_wait, hold, reply } = *phases;
            assert!(
                spawn > 0 && hold > 0 && spawn + lock_wait + hold + reply <= *time,
                "{phases:?} of {time}"
            );
        }
    }
}

const SWEEP: Lock = Lock {
    contenders: Vec::new(),
    seconds: 60.0,
    limit_seconds: 10.0,
    patience_seconds: Some(0.001),
    most_services: 2_000,
};

/// Alone the sync takes a second or more, as it lists every chain by a program, which 1.37 does not; an operation takes some
/// hundredths.
pub(crate) fn starved() {
    let set = ServiceSet::synthetic(scale(2_000, 2), 1);
    let mut testbed = cold(Mode::Nftables, KubeProxy::V1_34, &set);
    let known = Known { has_lock: false, predicted: None, alone: Some(0.001) };
    let patience = Patience::of(&Lock { limit_seconds: 600.0, ..SWEEP }, known, false);
    let mut reported = Vec::new();
    let found =
        lock_contention::measure(&mut testbed, 4, 60.0, &patience, &mut |what| reported.push(what)).unwrap();

    // It was ended as soon as contenders had done enough, and what they did is there.
    assert!(found.partial_syncs.times.is_empty() && found.full_syncs.times.is_empty());
    let why = found.partial_syncs.unfinished.as_deref().unwrap();
    for words in ["starved: ended unfinished after ", " against 4 contenders; ", "; it was at `nft "] {
        assert!(why.contains(words), "{why}");
    }
    assert!(found.full_syncs.unfinished.as_deref().unwrap().starts_with("not begun"));
    assert!(found.is_torn() && found.round_seconds().is_none());
    assert!(found.contender_operations.histogram().len() >= LEAST_OPERATIONS);
    assert_eq!((found.complaints.as_str(), found.timeouts), ("", 0));
    assert!(found.contender_waits.histogram().is_empty() && !found.has_lock);
    assert_eq!(reported.first().map(String::as_str), Some("partial sync"));
}

pub(crate) fn predicted() {
    let tools = Tools::of(Mode::IptablesLegacy);
    let save = tools.path(Program::IptablesSave).unwrap();
    let mut testbed = cold(Mode::IptablesLegacy, KubeProxy::NEWEST, &ServiceSet::synthetic(scale(10, 2), 1));
    // Takes the lock once the contender has begun, and keeps it until its standard input ends.
    let script = format!(
        "until {} -t nat | grep -q CNI-DN; do sleep 0.01; done; exec 9>>{LOCK_FILE}; flock 9; read _ || true",
        save.display()
    );
    let mut holder = Command::new("sh");
    let mut holder = testbed.lab.node.spawn(holder.args(["-c", &script]).stdin(Stdio::piped())).unwrap();

    let known = Known { has_lock: true, predicted: Some(100.0), alone: None };
    let patience = Patience::of(&SWEEP, known, false);
    let found = lock_contention::measure(&mut testbed, 1, 3_600.0, &patience, &mut |_| ()).unwrap();
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    // The contender could not do enough, so the sync had all of its 10 s; the contender then had to finish.
    assert!(found.is_torn() && found.lasted < Duration::from_secs(600), "{:?}", found.lasted);
    let unfinished = [&found.partial_syncs, &found.full_syncs].map(|syncs| syncs.unfinished.as_deref());
    let why =
        unfinished.into_iter().flatten().find(|why| why.starts_with("ended unfinished after ")).unwrap();
    assert!(why.contains("predicted to take 100 s,") && why.contains("the limit is 10"), "{why}");
    let waits = found.contender_waits.histogram();
    assert!(!waits.is_empty() && waits.max() > 2_000_000_000, "its wait is kept: {}", waits.max());
    assert!(found.complaints.contains("exit code 4: "), "{}", found.complaints);
}
