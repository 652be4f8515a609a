//! Loads through labs, and what they feel while rules change.

use std::io::Read;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use dataplane::{KubeProxy, Mode};
use experiments::disruption::{self, Config, RuleChange};
use experiments::load::{LoadSpec, through};
use lab::cores::Cores;
use lab::stop::Stop;
use netns_setup::Conntrack;
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use services::service_set::ServiceSet;
use workloads::load::{Load, Pace, Rhythm, Workload};

use crate::children::SVCBENCH;
use crate::testbeds::{TIMEOUT, cold, scale};

/// Every workload, closed and open, to all Services: each request is answered by an endpoint of its Service, and over
/// enough of them every endpoint has answered.
pub(crate) fn loads(mode: Mode) {
    let set = ServiceSet::synthetic(scale(6, 2), 1);
    let mut testbed = cold(mode, KubeProxy::NEWEST, &set);
    let (cores, stop) = (Cores::choose().unwrap(), Stop::new());
    // The processor of a guest is slow.
    let requests = if mode.is_ipvs() { 60 } else { 300 };
    for workload in Workload::ALL {
        let request_bytes = (workload == Workload::TcpStream).then_some(100_000);
        let closed = Load {
            pace: Pace::Closed { requests: Some(requests) },
            // However long they take.
            duration: TIMEOUT,
            // So that there are flows enough for every endpoint.
            requests_per_flow: NonZeroU32::new(1),
            request_bytes,
            ..Load::new(workload, [])
        };
        let rate = NonZeroU64::new(requests).unwrap();
        let open = Load {
            pace: Pace::Open { per_second: rate, rhythm: Rhythm::Poisson { seed: 3 } },
            duration: Duration::from_secs(1),
            ..closed.clone()
        };
        let closed = LoadSpec { flows: NonZeroUsize::new(4), ..LoadSpec::of(closed) };
        for spec in [closed, LoadSpec::of(open)] {
            let found = through(&mut testbed, &spec, &cores, &stop).unwrap();
            let outcome = found.outcome;
            assert!(found.tables.conntrack.is_some(), "{workload}");
            let counts = outcome.counts;
            assert!(counts.is_balanced() && counts.started > requests / 2, "{workload}: {counts:?}");
            // On a busy machine some may be due and not begun at the end.
            assert_eq!(counts.lost(), counts.cancelled, "{workload}: {:?}", outcome.first_fault);
            outcome.all_answered().unwrap();
            // Half of the Services are of its protocol.
            let silent =
                (0..3).filter(|&target| outcome.seen.of(target).iter().any(|answers| answers.count == 0));
            assert_eq!(silent.count(), 0, "{workload}: {:?}", outcome.seen);
        }
    }
    assert_eq!(testbed.lab.node.run(Conntrack::count).unwrap(), 0, "flows are forgotten after a load");
}

/// Each change in turn over the same lab, which is checked by count and by packets at the end of each.
pub(crate) fn disruptions(mode: Mode) {
    let mut testbed = cold(mode, KubeProxy::NEWEST, &ServiceSet::synthetic(scale(12, 4), 1));
    let cores = Cores::choose().unwrap();
    let (rate, workloads) = match mode.is_ipvs() {
        true => (100, &[Workload::TcpCrr][..]),
        false => (500, &[Workload::TcpCrr, Workload::UdpRr][..]),
    };
    let (mut before_it, mut programmed) = (0, 0);
    for &workload in workloads {
        for change in RuleChange::ALL {
            let config = Config {
                workload,
                per_second: NonZeroU64::new(rate).unwrap(),
                margin: Duration::from_millis(200),
                changes: 3,
                limit: None,
                seed: 1,
            };
            let before = testbed.set.clone();
            let found = disruption::measure(&mut testbed, change, &config, &cores).unwrap();
            let what = format!("{workload} during {}", change.name());
            let (replaced, syncs) = match change {
                RuleChange::FullSync | RuleChange::Restart => (0, 1),
                RuleChange::PartialSync => (1, 1),
                RuleChange::EndpointChurn => (3, 3),
                RuleChange::ServiceChurn => (0, 4),
            };
            let impact = &found.impact;
            assert_eq!(found.steps.len(), syncs, "{what}");
            assert_eq!(impact.stale_ns.len(), replaced, "{what}");
            // On a busy machine none may have come to the new endpoint before the end.
            assert!(impact.programming_ns.len() <= replaced, "{what}");
            programmed += impact.programming_ns.len();
            assert_eq!(testbed.set == before, replaced == 0, "{what}");
            assert!(found.steps.is_sorted_by(|one, next| one.applied_ns <= next.decided_ns), "{what}");
            // On a busy machine none may have been answered before it.
            before_it += impact.before.count();
            assert!(impact.due_during > 0, "{what}");
            let due: u64 = impact.bins.iter().map(|bin| bin.due).sum();
            assert_eq!(due, found.outcome.counts.started, "{what}");
            assert_eq!(found.outcome.counts.wrong_endpoint, 0, "{what}");
        }
    }
    assert!(programmed > 0, "somebody came to a new endpoint");
    assert!(before_it > 0, "somebody was answered before anything changed");
}

/// Flows that the soak may have open at once: on a busy machine it has all of them, on a quiet one a few.
const FLOWS: u64 = 64;

/// Half of what the machine can, while endpoints come and go: no request is lost sight of, memory stays level, and once all have
/// ended no file is left open. It is short; `SVCBENCH_SOAK_SECONDS=600` makes a soak of it.
pub(crate) fn soak() {
    let seconds =
        std::env::var("SVCBENCH_SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8.0);
    let base = ["load", "tcp_crr", "--mode", "nftables", "-s", "50", "-e", "4", "--json", "--flows"];
    let saturation = json(Command::new(SVCBENCH).args(base).args(["8", "--duration", "1"]).output().unwrap());
    let rate = (saturation["rate_per_second"].as_f64().unwrap() / 2.0) as u64;
    let mut child = Command::new(SVCBENCH)
        .args(base)
        .args([
            &FLOWS.to_string(),
            "--churn",
            "300",
            "--rate",
            &rate.to_string(),
            "--duration",
            &f64::to_string(&seconds),
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    // What it says at its end does not fit into such a pipe: then it waits, and can be looked at.
    fcntl(&stdout, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let process = format!("/proc/{}", child.id());
    let mut samples: Vec<(u64, u64)> = Vec::new();
    let mut sample = || {
        let status = std::fs::read_to_string(format!("{process}/status")).unwrap_or_default();
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let rss = rss.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        let files = std::fs::read_dir(format!("{process}/fd")).map(|files| files.count() as u64);
        if let (Some(rss), Ok(files)) = (rss, files) {
            samples.push((rss, files));
        }
    };
    while poll(&mut [PollFd::new(stdout.as_fd(), PollFlags::POLLIN)], PollTimeout::from(50_u8)).unwrap() == 0
    {
        sample();
    }
    sample();
    let mut text = String::new();
    stdout.read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    let count = |name: &str| found[name].as_u64().unwrap();
    let parts = ["answered", "refused", "reset", "timed_out", "cancelled"].map(count);
    assert_eq!(parts.iter().sum::<u64>(), count("started"), "{found}");
    assert_eq!((count("wrong_endpoint"), count("garbled")), (0, 0), "{found}");
    assert!(count("answered") > 0, "{found}");
    assert!(found["sync_ns"]["n"].as_u64().unwrap() > 1, "endpoints came and went: {found}");
    let median = |part: &[(u64, u64)]| {
        let mut values: Vec<u64> = part.iter().map(|sample| sample.0).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    let quarter = samples.len() / 4;
    let (early, late) = (&samples[quarter..2 * quarter], &samples[3 * quarter..]);
    // Each second of the series is kept, some 20 kB; and each flow that is open has buffers at both of its ends.
    let grown = median(late).saturating_sub(median(early));
    let most = 3_000.0 + 20.0 * seconds + 16.0 * FLOWS as f64;
    assert!(grown as f64 <= most, "{grown} kB more memory in {seconds} s");
    let files: Vec<u64> = samples.iter().map(|sample| sample.1).collect();
    let (least, most, last) =
        (files.iter().min().unwrap(), files.iter().max().unwrap(), files.last().unwrap());
    assert!(*last <= least + 8, "open files after the load: {last}, and {least} before it");
    println!(
        "soak of {seconds} s at {rate}/s: {grown} kB more memory, open files {least} to {most}, {last} at the end, {}",
        found["started"]
    );
}

fn json(output: std::process::Output) -> serde_json::Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}
