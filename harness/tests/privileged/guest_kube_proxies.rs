//! Real kube-proxies on a guest's kernel.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dataplane::{KubeProxy, Mode, Node};
use experiments::kube_proxy::{Place, Section, measure};
use experiments::rows::{LaneId, Rows};
use kube_proxy::Subject;
use lab::cores::Cores;
use lab::stop::Stop;
use netns_setup::guest::{GuestError, Image};
use netns_setup::{Need, find_kube_proxy};
use results::names::{metric, workload};
use results::record::{Clock, Record, Status};
use services::service_set::{Scale, ServiceSet};
use svcbench::lane::LAB_NEEDS;
use svcbench::sweep::cell::{Cell, Workload};
use trials::Test;

/// The version that tests have.
const MINOR: u8 = 37;
/// In names of tests for which a guest has a kube-proxy.
const MARK: &str = "in_ipvs_mode_a_real_kube_proxy";

pub(crate) fn tests() -> Vec<Test> {
    let needs = LAB_NEEDS.iter().chain(Mode::Ipvs.needs()).copied().chain([Need::KubeProxy(MINOR)]);
    vec![Test { name: name("is_measured", MINOR), needs: needs.collect(), body: Box::new(measured) }]
}

/// The name of a test for which a guest has this kube-proxy, and how it ends.
pub(crate) fn name(what: &str, minor: u8) -> String {
    format!("{MARK}_{what}::1.{minor}")
}

/// Where a guest's root looks for what `scripts/kube-proxy` has built: those that tests name.
pub(crate) fn put_into(image: &mut Image, names: &str) -> Result<(), GuestError> {
    let is_named = |minor: u8| {
        names.split_whitespace().any(|name| name.contains(MARK) && name.contains(&format!("::1.{minor}")))
    };
    (34..=MINOR).filter(|minor| is_named(*minor)).try_for_each(|minor| match find_kube_proxy(minor) {
        Some(here) => {
            image.copy_to(&here, &format!("root/.cache/svcbench/kube-proxy/1.{minor}.0/kube-proxy"))
        }
        None => Ok(()),
    })
}

fn measured() {
    let stop = Stop::new();
    // A guest has read it before; here its hash does not matter.
    let binary =
        kube_proxy::Binary::read_before(find_kube_proxy(MINOR).unwrap(), "0123456789abcdef").unwrap();
    let subject = Arc::new(Subject::of(binary, &stop, Duration::from_secs(600)).unwrap());
    let cores = Cores::choose().unwrap();
    let (mode, scale) = (Mode::Ipvs, Scale { services: 3, endpoints: 2 });
    let set = ServiceSet::synthetic(scale, 1);
    let place = Place {
        subject: &subject,
        mode,
        node: Node::lab(KubeProxy::NEWEST),
        set: &set,
        seed: 1,
        cores: &cores,
    };
    let section: Section = toml::from_str(
        "changes = [\"replace-endpoint\"]\nrepeats = 1\ngap_seconds = 1\nrestart = false\nlimit_seconds = 600\n\
         [conntrack]\nentries = [1000]",
    )
    .unwrap();
    let cell = Cell { order: 0, block: 1, mode, scale, workload: Workload::System(0), again: false };
    let lane = LaneId {
        run: "r".into(),
        lane: String::new(),
        clock: Clock::Instructions,
        kernel: "k".into(),
        hypervisor: "tcg".into(),
    };
    let mut rows: Rows = cell.rows(&lane);
    rows.of_system(&subject.name());
    // It verifies packets after each part.
    let mut parts = Vec::new();
    measure(&place, &section, &stop, &mut rows, &mut |part| parts.push(part.to_owned())).unwrap();
    let begun = [
        workload::KUBE_PROXY_CHANGES,
        "kube_proxy_conntrack_replaced_1000",
        "kube_proxy_conntrack_lost_1000",
    ];
    assert_eq!(parts, begun);
    let records = rows.into_result().records;
    let of = |workload: &str, metric: &str| {
        let is_it = |row: &&Record| row.cell.workload == workload && row.metric == metric;
        records.iter().find(is_it).unwrap_or_else(|| panic!("no {workload} {metric}: {records:?}"))
    };
    assert!(records.iter().all(|row| row.status == Status::Ok), "{records:?}");
    assert!(of(workload::KUBE_PROXY_JOIN, metric::FIRST_SYNC_ENDED).max > Some(0));
    assert_eq!(of(workload::KUBE_PROXY_CHANGES, metric::PROGRAMMING_LATENCY).n, 1);
    for clean_up in ["kube_proxy_conntrack_replaced_1000", "kube_proxy_conntrack_lost_1000"] {
        assert!(of(clean_up, metric::STALE_FLOW_ENDED).max > Some(0));
        assert!(of(clean_up, metric::TRACKED_BEFORE).max >= Some(1_000));
        // IPVS itself forgets a flow whose endpoint is gone, when it sees a packet of it.
        assert!(of(clean_up, metric::TRACKED_AFTER).max < of(clean_up, metric::TRACKED_BEFORE).max);
        assert!(of(clean_up, metric::OWN_CONNTRACK_DELETED).max >= Some(100));
    }
    let positions: BTreeSet<&str> = records
        .iter()
        .filter(|row| row.metric == metric::FIRST_ANSWER)
        .map(|row| row.cell.position.as_str())
        .collect();
    assert_eq!(positions, BTreeSet::from(["first", "last", "middle"]));
    // It has started ipset once for each set and entry.
    assert!(of(workload::KUBE_PROXY_JOIN, metric::PROGRAM_WRITING).n > 17);
}
