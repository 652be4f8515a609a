//! The xtables lock, against truths that are known beforehand.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use dataplane::{KubeProxy, Mode, Program};
use experiments::lock_contention::Section as Lock;
use experiments::lock_contention::{self, Known, LEAST_OPERATIONS, Patience, Phases};
use lab::tools::Tools;
use lab::xtables_lock::{Acquisition, LOCK_FILE, Watch, acquisitions};
use netns_setup::Namespace;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use services::service_set::ServiceSet;
use workloads::recorder::Times;

use crate::testbeds::{cold, scale, wait_until};

fn has_open(pid: u32, path: &str) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).any(|file| file == Path::new(path))
}

pub fn known_wait() {
    let iptables = Tools::of(Mode::IptablesLegacy).path(Program::Iptables).unwrap();
    let namespace = Namespace::create("lock").unwrap();
    let watch = Watch::start(&namespace).unwrap();

    let mut holder = hold_lock(&namespace);

    let mut waiter = Command::new(iptables);
    waiter.args(["-w", "5", "-t", "nat", "-N", "WAITED"]);
    let mut waiter = namespace.spawn(&mut waiter).unwrap();
    wait_until("iptables queues for the lock", || has_open(waiter.id(), LOCK_FILE));
    let queued = Instant::now();
    thread::sleep(Duration::from_millis(300));
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    let truth = queued.elapsed();
    assert!(waiter.wait().unwrap().success());

    let all = acquisitions(&watch.stop().unwrap(), &HashSet::new());
    let of = |pid| all.iter().find(|acquisition| acquisition.pid == pid).copied().unwrap();
    let (held, waited) = (of(holder.id()), of(waiter.id()));
    assert_eq!(all.len(), 2, "{all:?}");
    let hold = |of: Acquisition| of.hold.unwrap();
    let (wait, held_for) = (Duration::from_nanos(waited.wait), Duration::from_nanos(hold(held)));
    // Above the truth by the time until the queue was seen; below by that until the end of the holder was.
    let [least, most] = [truth - Duration::from_millis(50), truth + Duration::from_millis(100)];
    assert!((least..most).contains(&wait), "waited {wait:?}, in truth {truth:?}");
    assert!(held_for >= wait && held.wait < waited.wait / 10, "{held:?} {waited:?}");
    assert!(hold(waited) < waited.wait, "adding a chain takes milliseconds: {waited:?}");
}

/// Starts `sh` in a namespace, which holds the lock until its standard input ends, and waits until it does.
fn hold_lock(namespace: &Namespace) -> Child {
    let script = format!("exec 9>>{LOCK_FILE}; flock 9; echo held; read _ || true");
    let mut holder = Command::new("sh");
    holder.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = namespace.spawn(&mut holder).unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    holder
}

/// One who held it before, one who gives up, one who gets it: `svcbench lock --watch` tells them apart.
pub fn followed() {
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
    let mut impatient = queue("1");
    assert_eq!(impatient.wait().unwrap().code(), Some(4));
    let mut patient = queue("60");
    wait_until("iptables queues for the lock", || has_open(patient.id(), LOCK_FILE));
    assert!(!has_open(watch.id(), LOCK_FILE), "whoever follows the lock does not touch it");
    thread::sleep(Duration::from_millis(300));
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success() && patient.wait().unwrap().success());
    // It looks ten times a second.
    thread::sleep(Duration::from_millis(500));
    kill(Pid::from_raw(watch.id() as i32), Signal::SIGINT).unwrap();
    let told = watch.wait_with_output().unwrap();
    assert!(told.status.success(), "{told:?}");
    let lines: Vec<Value> = String::from_utf8(told.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [gave_up, before, waited, summary] = &lines[..] else { panic!("{lines:#?}") };
    for (line, process) in [(gave_up, &impatient), (before, &holder), (waited, &patient)] {
        assert_eq!(line["process"]["pid"], process.id(), "{lines:#?}");
    }
    let milliseconds = |line: &Value, key| line[key].as_u64().map(|ns| ns / 1_000_000);
    assert_eq!(gave_up["gave_up"], true);
    assert!((900..3_000).contains(&milliseconds(gave_up, "wait_ns").unwrap()), "{gave_up}");
    assert!(gave_up["process"]["command"].as_str().unwrap().contains("-w 1 -t nat -N WAITED"), "{gave_up}");
    assert_eq!((&before["wait_ns"], &before["gave_up"]), (&Value::Null, &Value::Bool(false)));
    assert!(milliseconds(before, "hold_ns") >= Some(1_300), "{before}");
    assert!(milliseconds(waited, "wait_ns") >= Some(250), "{waited}");
    let hold = milliseconds(waited, "hold_ns").unwrap();
    assert!(Some(hold) < milliseconds(waited, "wait_ns"), "{waited}");
    assert_eq!((&summary["summary"]["gave_up"], &summary["summary"]["hold_ns"]["n"]), (&1.into(), &2.into()));
}

pub fn timeout() {
    let tools = Tools::of(Mode::IptablesLegacy);
    let save = tools.path(Program::IptablesSave).unwrap();
    let mut testbed = cold(Mode::IptablesLegacy, KubeProxy::Current, &ServiceSet::synthetic(scale(10, 2), 1));
    // Takes the lock once the contender has begun, and lets go after 7 s.
    let script = format!(
        "until {} -t nat | grep -q CNI-DN; do sleep 0.01; done; exec 9>>{LOCK_FILE}; flock 9; sleep 7",
        save.display()
    );
    let mut holder = Command::new("sh");
    let mut holder = testbed.lab.node.spawn(holder.args(["-c", &script]).stdin(Stdio::null())).unwrap();

    let found = lock_contention::measure(&mut testbed, 1, 8.0, &Patience::endless(), &mut |_| ()).unwrap();
    assert!(holder.wait().unwrap().success());
    // The contender once and the sync once: each gave up after 5 s, tried again, and waited for the rest.
    assert_eq!(found.timeouts, 2, "{}", found.complaints);
    let message = "Another app is currently holding the xtables lock. Stopped waiting after 5s.";
    for complaint in ["1 x exit code 4: ", "1 x sync, exit code 4: "] {
        assert!(found.complaints.contains(complaint), "{}", found.complaints);
    }
    assert_eq!(found.complaints.matches(message).count(), 2, "{}", found.complaints);
    // Waits in vain count: without them, an overloaded lock would look quick. They are not holds.
    for waits in [&found.contender_waits, &found.holder_waits] {
        let longest = waits.histogram().max();
        assert!((4_900_000_000..6_000_000_000).contains(&longest), "{longest}");
    }
    assert!(found.contender_holds.histogram().max() < 1_000_000_000);
    assert!(found.contender_operations.histogram().max() >= 5_000_000_000);
    assert!(!found.full_syncs.times.is_empty() && !found.partial_syncs.times.is_empty());
    testbed.verify_traffic().unwrap();
}

/// The program alone, without anything of ours around it: nobody lets go for 6 s, and it says so.
pub fn literal_timeout() {
    let iptables = Tools::of(Mode::IptablesLegacy).path(Program::Iptables).unwrap();
    let namespace = Namespace::create("lock").unwrap();
    let mut holder = Command::new("sh");
    let script = format!("exec 9>>{LOCK_FILE}; flock 9; echo held; sleep 6");
    holder.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut holder = namespace.spawn(&mut holder).unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");

    let begun = Instant::now();
    let mut waiter = Command::new(iptables);
    waiter.args(["-w", "5", "-t", "nat", "-N", "WAITED"]).stderr(Stdio::piped());
    let told = namespace.spawn(&mut waiter).unwrap().wait_with_output().unwrap();
    let waited = begun.elapsed();
    assert_eq!(told.status.code(), Some(4), "{told:?}");
    let message = String::from_utf8(told.stderr).unwrap();
    let expected = "Another app is currently holding the xtables lock. Stopped waiting after 5s.";
    assert_eq!(message.lines().last(), Some(expected), "{message}");
    assert!((5.0..8.0).contains(&waited.as_secs_f64()), "{waited:?}");
    assert!(holder.wait().unwrap().success());
}

/// Every acquisition is of somebody: of a contender, of a full or of a partial sync; before the syncs nothing counts.
pub fn by_sync() {
    let mut testbed =
        cold(Mode::IptablesLegacy, KubeProxy::Current, &ServiceSet::synthetic(scale(300, 2), 1));
    let found = lock_contention::measure(&mut testbed, 4, 2.0, &Patience::endless(), &mut |_| ()).unwrap();
    let count = |times: &Times| times.histogram().len();
    let (full, partial) = (&found.full_syncs, &found.partial_syncs);
    assert!(
        !full.times.is_empty() && !partial.times.is_empty() && found.timeouts == 0,
        "{}",
        found.complaints
    );
    // Each sync looks for chains and rules before it restores: some acquisitions each.
    assert!(
        count(&full.holds) > full.times.len() as u64 && count(&partial.holds) > partial.times.len() as u64
    );
    assert_eq!(count(&full.holds) + count(&partial.holds), count(&found.holder_holds));
    let waited = count(&full.contender_waits) + count(&partial.contender_waits);
    assert!(waited > 0 && waited <= count(&found.contender_waits), "{waited}");
    // Everybody got the lock in the end, once for each operation.
    assert_eq!(count(&found.contender_holds), count(&found.contender_operations));
    assert_eq!(found.acquisitions, count(&found.contender_holds) + count(&found.holder_holds));
    assert!(found.overtaken < found.acquisitions);
    // A full sync's restore writes all Services, a partial one's that which changed. The shortest of each: what else the
    // machine does only makes them longer.
    let shortest = [full, partial].map(|syncs| syncs.phases.iter().map(|phases| phases.hold).min());
    assert!(shortest[0] > shortest[1], "{shortest:?}");
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
    limit_seconds: 2.0,
    patience_seconds: Some(0.001),
    most_services: 2_000,
};

/// Alone the sync takes a second or more, as it lists every chain; an operation takes some hundredths.
pub fn starved() {
    let set = ServiceSet::synthetic(scale(2_000, 2), 1);
    let mut testbed = cold(Mode::Nftables, KubeProxy::Current, &set);
    let known = Known { has_lock: false, predicted: None, alone: Some(0.001) };
    let patience = Patience::of(&Lock { limit_seconds: 600.0, ..SWEEP }, known, false);
    let mut told = Vec::new();
    let found =
        lock_contention::measure(&mut testbed, 4, 60.0, &patience, &mut |what| told.push(what)).unwrap();

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
    assert_eq!(told.first().map(String::as_str), Some("partial sync"));
}

pub fn predicted() {
    let tools = Tools::of(Mode::IptablesLegacy);
    let save = tools.path(Program::IptablesSave).unwrap();
    let mut testbed = cold(Mode::IptablesLegacy, KubeProxy::Current, &ServiceSet::synthetic(scale(10, 2), 1));
    // Takes the lock once the contender has begun, and keeps it until its standard input ends.
    let script = format!(
        "until {} -t nat | grep -q CNI-DN; do sleep 0.01; done; exec 9>>{LOCK_FILE}; flock 9; read _ || true",
        save.display()
    );
    let mut holder = Command::new("sh");
    let mut holder = testbed.lab.node.spawn(holder.args(["-c", &script]).stdin(Stdio::piped())).unwrap();

    let known = Known { has_lock: true, predicted: Some(100.0), alone: None };
    let patience = Patience::of(&SWEEP, known, false);
    let found = lock_contention::measure(&mut testbed, 1, 60.0, &patience, &mut |_| ()).unwrap();
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    // The contender could not do enough, so the sync had all of its 2 s; the contender then had to finish.
    assert!(found.is_torn() && found.lasted < Duration::from_secs(40), "{:?}", found.lasted);
    let unfinished = [&found.partial_syncs, &found.full_syncs].map(|syncs| syncs.unfinished.as_deref());
    let why =
        unfinished.into_iter().flatten().find(|why| why.starts_with("ended unfinished after ")).unwrap();
    assert!(why.contains("predicted to take 100 s,") && why.contains("the limit is 2.0 s"), "{why}");
    let waits = found.contender_waits.histogram();
    assert!(!waits.is_empty() && waits.max() > 2_000_000_000, "its wait is kept: {}", waits.max());
    assert!(found.complaints.contains("exit code 4: "), "{}", found.complaints);
}
