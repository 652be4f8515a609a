//! Services of a cluster in labs, and whole runs over them.

use std::path::{Path, PathBuf};

use dataplane::{KubeProxy, Mode, Node};
use lab::cluster::Installed;
use lab::stop::Stop;
use lab::testbed::Testbed;
use results::record::Status;
use services::cluster::{ClusterInput, Wanted};
use services::service::Protocol;
use svcbench::lane::unable_modes;
use svcbench::sweep::Sweep;

use crate::children::Place;

/// A cluster with every feature; its node `n1` has an endpoint at its own address.
fn everything() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dataplane/tests/golden/clusters/everything.json")
}

fn installed() -> Installed {
    // A guest has no folders of the golden ones.
    let text = include_str!("../../dataplane/tests/golden/clusters/everything.json");
    let input = ClusterInput::read_from(text.as_bytes(), "everything.json", Some("n1")).unwrap();
    Installed::of(&everything(), input.choose(&Wanted::default()).unwrap()).unwrap()
}

/// Every Service that has somebody to answer does, from a pod's address; the others are there, too.
pub(crate) fn answers(mode: Mode) {
    let cluster = installed();
    let node = cluster.node(Node::lab(KubeProxy::NEWEST));
    let mut testbed =
        Testbed::of_cluster(&cluster.addresses, mode, cluster.scale(), node, 1, &Stop::new()).unwrap();
    testbed.load(&cluster.set, None).unwrap();
    testbed.verify_counts().unwrap();
    testbed.verify_traffic().unwrap();
    let mut answered = 0;
    for (index, service) in cluster.set.services().iter().enumerate() {
        if service.protocol != Protocol::Sctp && cluster.set.answers(index) {
            testbed
                .verify_service(index, 10)
                .unwrap_or_else(|error| panic!("{}: {error:#}", service.display_name()));
            answered += 1;
        }
    }
    assert_eq!(answered, 13, "all but one without endpoints and one of SCTP");
}

/// All modes that this kernel has: lookups and syncs of everything, without a failure.
pub(crate) fn run() {
    let place = Place::new();
    let file = everything();
    let from = ["--from", file.to_str().unwrap(), "--no-limit"];
    let output = place.run("smoke", &[&from[..], &["--node", "n1"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let records = place.records();
    let sweep = Sweep::load("smoke").unwrap().0;
    let unable = unable_modes(&sweep.modes);
    for mode in Mode::ALL.into_iter().filter(|mode| sweep.modes.contains(mode)) {
        let rows: Vec<_> = records.iter().filter(|row| row.cell.mode == mode.name()).collect();
        let expected = if unable.contains_key(&mode) { Status::Skipped } else { Status::Ok };
        let other = rows.iter().find(|row| row.status != expected);
        assert_eq!(other.map(|row| (&row.cell.workload, row.status, &row.note)), None, "{mode}");
        let of_cluster = |row: &&&results::record::Record| (row.cell.services, row.cell.endpoints) == (15, 2);
        assert_eq!(rows.iter().filter(of_cluster).count(), rows.len(), "{mode}");
    }
    for workload in ["packet_probe", "full_sync_cold", "partial_sync_replace_endpoint"] {
        let has = |mode: &str| {
            records.iter().any(|row| row.cell.mode == mode && row.cell.workload.contains(workload))
        };
        assert!(
            has("nftables"),
            "{workload}: {:?}",
            records.iter().map(|row| &row.cell.workload).collect::<Vec<_>>()
        );
    }
    let other = place.run("smoke", &[&from[..], &["--node", "n2", "--resume"]].concat());
    let said = String::from_utf8_lossy(&other.stderr);
    assert!(other.status.code() == Some(2) && said.contains("was made with another sweep"), "{said}");
}
