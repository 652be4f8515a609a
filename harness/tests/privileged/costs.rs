//! What a cold sync takes from the machine and leaves in its kernel: there are rows, and they are of the right size.

use std::collections::BTreeMap;

use dataplane::{KubeProxy, Mode};
use lab::usage::Tables;
use results::record::{Record, Status, Unit};
use services::service::Protocol;
use services::service_set::{Position, ServiceSet};
use workloads::recorder::Times;

use crate::children::Place;
use crate::testbeds::{cold, scale};

/// One cold sync of each of the cheap modes.
const COLD: &str = r#"
question = "What does a cold sync take?"
seed = 1
kube_proxy = "1.37"
modes = ["iptables-legacy", "nftables"]
services = [1000]
endpoints = 10

[sync]
operations = ["cold", "noop"]
blocks = 1
budget_seconds = 1
"#;

/// Others use the machine's memory too, and may give some back, or take some, while one of the modes is measured.
const TRIES: usize = 20;

pub(crate) fn rows() {
    let (mut last, mut left) = (Vec::new(), vec!["iptables-legacy", "nftables"]);
    for _ in 0..TRIES {
        let place = Place::new();
        let output = place.command(&[], COLD, &["--no-limit"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        last = place.records();
        left.retain(|mode| !is_plausible(&last, mode));
        if left.is_empty() {
            return;
        }
    }
    panic!("{left:?}: {last:#?}");
}

fn is_plausible(records: &[Record], mode: &str) -> bool {
    let of_mode = || records.iter().filter(|row| row.cell.mode == mode);
    let cold: BTreeMap<&str, &Record> = of_mode()
        .filter(|row| row.cell.workload == "full_sync_cold")
        .map(|row| (row.metric.as_str(), row))
        .collect();
    assert!(cold.values().all(|row| row.status == Status::Ok), "{cold:?}");
    let only_cold = ["tool_peak_rss", "kernel_memory", "context_switches"];
    let elsewhere = of_mode().find(|row| {
        row.cell.workload != "full_sync_cold"
            && (only_cold.contains(&row.metric.as_str()) || row.metric.starts_with("sync_cpu_"))
    });
    assert_eq!(elsewhere, None, "only of cold syncs");
    let value = |metric: &str, unit| cold.get(metric).filter(|row| row.unit == unit).and_then(|row| row.p50);
    assert!(value("context_switches", Unit::Count).is_some_and(|count| count > 0), "{cold:?}");
    let peak = value("tool_peak_rss", Unit::Bytes);
    assert!(peak.is_some_and(|peak| (100_000..10_000_000_000).contains(&peak)), "{mode}: {peak:?}");
    for class in ["sync_cpu_user", "sync_cpu_system", "sync_cpu_softirq", "sync_cpu_irq"] {
        // In guests a tick is one of the guest's.
        let seen = value(class, Unit::Ns);
        assert!(seen.is_none_or(|seen| seen >= 20 * 1_000_000), "{class} of few ticks: {seen:?}");
    }
    // 10,000 endpoints, each with at least a rule or an element.
    let memory = value("kernel_memory", Unit::Bytes);
    memory.is_some_and(|memory| (1_000_000..1_000_000_000).contains(&memory))
}

pub(crate) fn tables() {
    let mut testbed = cold(Mode::Nftables, KubeProxy::NEWEST, &ServiceSet::synthetic(scale(10, 3), 1));
    testbed.forget_flows().unwrap();
    let before = Tables::of(&testbed.lab.node);
    let (targets, picks) = testbed.service_targets(Position::First, Protocol::Udp, 500).unwrap();
    let targets: Vec<_> = targets.iter().map(|target| target.for_probe().unwrap()).collect();
    let sent = testbed.probe().first_packets(&targets, &picks, &mut Times::new(), None).unwrap();
    sent.all_verified().unwrap();
    let growth = Tables::of(&testbed.lab.node).growth(&before);
    assert_eq!(growth.conntrack, Some(500));
    // Where the kernel has IPVS at all, nothing here uses it.
    assert!(growth.ipvs.is_none_or(|growth| growth == 0), "{growth:?}");
}
