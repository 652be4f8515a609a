//! Scenarios: every change is synced, and what is left is what the last change said.

use dataplane::{KubeProxy, Mode};
use experiments::churn::{self, scenario::Scenario};
use services::service_set::ServiceSet;

use crate::testbeds::{cold, scale};

/// Each scenario in turn over the same lab; the counts of the kernel and packets are checked at the end of each.
pub(crate) fn scenarios(mode: Mode) {
    let mut testbed = cold(mode, KubeProxy::NEWEST, &ServiceSet::synthetic(scale(12, 4), 1));
    // A sync of IPVS takes seconds in an emulated guest, and none is shared.
    let pods = if mode.is_ipvs() { 4 } else { 8 };
    for scenario in Scenario::ALL {
        let timeline = scenario.timeline(&testbed.set, pods, 3).unwrap();
        let changes = timeline.changes.len();
        let last = timeline.changes.last().map(|change| change.edits[0].clone());
        let found = churn::measure(&mut testbed, scenario, pods, 3, None).unwrap();
        let carried: u32 = found.syncs.iter().map(|sync| sync.changes).sum();
        assert_eq!((carried as usize, found.latency.histogram().len() as usize), (changes, changes));
        assert!(found.syncs.is_sorted_by(|one, next| one.end <= next.start), "{:?}", found.syncs);
        match last {
            Some(edit) => {
                let mut wanted = (*testbed.set.services()[edit.service]).clone();
                wanted.set_endpoints(edit.endpoints);
                assert_eq!(*testbed.set.services()[edit.service], wanted);
                // IPVS mode has no pause between syncs that changes could share.
                assert!(
                    mode.is_ipvs() || found.syncs.len() < changes,
                    "changes within a second share a sync"
                );
            }
            // IPVS mode reconciles every half minute.
            // One more if they take no time, as those that have nothing to send.
            None if mode.is_ipvs() => assert!((9..=10).contains(&found.syncs.len()), "{:?}", found.syncs),
            None => assert_eq!(found.syncs.len(), 0),
        }
    }
}
