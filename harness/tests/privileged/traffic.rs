//! Loads through labs, and what they feel while rules change.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::time::Duration;

use harness::cores::Cores;
use harness::dataplane::{KubeProxy, Mode};
use harness::disruption::{self, Config, Happening};
use harness::load::{Order, through};
use harness::scale::ServiceSet;
use harness::stop::Stop;
use netns_setup::Conntrack;
use workloads::load::{Pace, Rhythm, Workload};

use crate::worlds::{cold, scale};

/// Every workload, closed and open, to all Services: each request is answered by an endpoint of its Service, and over
/// enough of them every endpoint has answered.
pub fn loads(mode: Mode) {
    let set = ServiceSet::synthetic(scale(6, 2), 1);
    let mut world = cold(mode, KubeProxy::Current, &set);
    let (cores, stop) = (Cores::choose().unwrap(), Stop::new());
    // The processor of a guest is slow.
    let requests = if mode.is_ipvs() { 60 } else { 300 };
    for workload in Workload::ALL {
        let request_bytes = (workload == Workload::TcpStream).then_some(100_000);
        let closed = Order {
            pace: Pace::Closed { requests: Some(requests) },
            flows: NonZeroUsize::new(4),
            // So that there are flows enough for every endpoint.
            requests_per_flow: NonZeroU32::new(1),
            request_bytes,
            ..Order::new(workload)
        };
        let rate = NonZeroU64::new(requests).unwrap();
        let open = Order {
            pace: Pace::Open { per_second: rate, rhythm: Rhythm::Poisson { seed: 3 } },
            flows: None,
            duration: Duration::from_secs(1),
            ..closed.clone()
        };
        for order in [closed, open] {
            let outcome = through(&mut world, &order, &cores, &stop).unwrap();
            let counts = outcome.counts;
            assert!(counts.is_balanced() && counts.started > requests / 2, "{workload}: {counts:?}");
            // On a busy machine some may be due and not begun at the end.
            assert_eq!(counts.lost(), counts.cancelled, "{workload}: {:?}", outcome.first_fault);
            outcome.all_answered().unwrap();
            // Half of the Services are of its protocol.
            let silent = (0..3).filter(|&aim| outcome.seen.of(aim).iter().any(|answers| answers.count == 0));
            assert_eq!(silent.count(), 0, "{workload}: {:?}", outcome.seen);
        }
    }
    assert_eq!(world.lab.node.run(Conntrack::count).unwrap(), 0, "flows are forgotten after a load");
}

/// Each happening in turn over the same lab, which is checked by count and by packets at the end of each.
pub fn disruptions(mode: Mode) {
    let mut world = cold(mode, KubeProxy::Current, &ServiceSet::synthetic(scale(12, 4), 1));
    let cores = Cores::choose().unwrap();
    let (rate, workloads) = match mode.is_ipvs() {
        true => (100, &[Workload::TcpCrr][..]),
        false => (500, &[Workload::TcpCrr, Workload::UdpRr][..]),
    };
    for &workload in workloads {
        for happening in Happening::ALL {
            let config = Config {
                workload,
                per_second: NonZeroU64::new(rate).unwrap(),
                margin: Duration::from_millis(200),
                changes: 3,
                limit: None,
                seed: 1,
            };
            let before = world.set.clone();
            let found = disruption::measure(&mut world, happening, &config, &cores).unwrap();
            let what = format!("{workload} during {}", happening.name());
            let (replaced, syncs) = match happening {
                Happening::FullSync | Happening::Restart => (0, 1),
                Happening::PartialSync => (1, 1),
                Happening::EndpointChurn => (3, 3),
                Happening::ServiceChurn => (0, 4),
            };
            let felt = &found.felt;
            assert_eq!(found.steps.len(), syncs, "{what}");
            assert_eq!((felt.stale_ns.len(), felt.programming_ns.len()), (replaced, replaced), "{what}");
            assert_eq!(world.set == before, replaced == 0, "{what}");
            assert!(found.steps.is_sorted_by(|one, next| one.applied_ns <= next.decided_ns), "{what}");
            assert!(felt.before.count() > 0 && felt.due_during > 0, "{what}: {felt:?}");
            let due: u64 = felt.bins.iter().map(|bin| bin.due).sum();
            assert_eq!(due, found.outcome.counts.started, "{what}");
            assert_eq!(found.outcome.counts.wrong_endpoint, 0, "{what}");
        }
    }
}
