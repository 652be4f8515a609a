//! How long it takes to plan a sync, in every mode. Needs no privilege: `cargo bench --bench planning`.
//!
//! Each figure is one call of [`Dataplane::plan`], with all the memory that it asks for; dropping the
//! plan is not timed. The Services are made beforehand, as kube-proxy has them before it syncs.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use dataplane::{KubeProxy, Mode, Node, Sync, planner};
use services::service_set::{Scale, ServiceSet};
use services::synthetic::synthetic_endpoint;

const SERVICES: [u32; 3] = [100, 1_000, 10_000];
const ENDPOINTS: u32 = 10;
/// About 46 MB of text in iptables mode.
const SERVICES_OF_46_MB: u32 = 14_000;
/// The largest scale of the default sweep, where partial syncs are planned.
const MANY: u32 = 10_000;
/// Scales of clusters as large as they are supported (150,000 pods), and larger.
const LARGE: [Scale; 2] =
    [Scale { services: 50_000, endpoints: ENDPOINTS }, Scale { services: 5_000, endpoints: 100 }];
const SEED: u64 = 20_260_101;
/// Endpoint that no synthetic Service has.
const SPARE: u32 = 2_900_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    full(&mut settings(criterion.benchmark_group("plan-full")));
    partial(&mut settings(criterion.benchmark_group("plan-partial")));
    large(&mut settings(criterion.benchmark_group("plan-large")));
    restart(&mut settings(criterion.benchmark_group("plan-restart")));
    criterion.final_summary();
}

fn settings(mut group: BenchmarkGroup<'_, WallTime>) -> BenchmarkGroup<'_, WallTime> {
    group.sample_size(15).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group
}

/// A cold full sync: everything from nothing.
fn full(group: &mut BenchmarkGroup<'_, WallTime>) {
    for mode in Mode::ALL {
        // A control's plan is the same at every scale.
        let scales = if mode.is_control() { &SERVICES[..1] } else { &SERVICES };
        for &services in scales {
            plan(group, mode, KubeProxy::NEWEST, services, Change::Everything);
        }
        if mode == Mode::IptablesLegacy {
            plan(group, mode, KubeProxy::NEWEST, SERVICES_OF_46_MB, Change::Everything);
        }
    }
}

/// A later sync after one endpoint of one Service was replaced by another.
fn partial(group: &mut BenchmarkGroup<'_, WallTime>) {
    for mode in Mode::ALL.into_iter().filter(|mode| !mode.is_control()) {
        plan(group, mode, KubeProxy::NEWEST, MANY, Change::OneEndpoint);
    }
    // 1.30 rewrites the whole table at every sync.
    plan(group, Mode::Nftables, KubeProxy::V1_30, MANY, Change::OneEndpoint);
    plan_at(group, Mode::Nftables, KubeProxy::NEWEST, LARGE[0], Change::OneEndpoint);
}

/// A cold full sync at the largest scales.
fn large(group: &mut BenchmarkGroup<'_, WallTime>) {
    for (mode, kube_proxy) in [
        (Mode::IptablesLegacy, KubeProxy::NEWEST),
        (Mode::Nftables, KubeProxy::V1_30),
        (Mode::Nftables, KubeProxy::NEWEST),
    ] {
        for scale in LARGE {
            plan_at(group, mode, kube_proxy, scale, Change::Everything);
        }
    }
}

/// The first sync of a kube-proxy over what the one before has left.
fn restart(group: &mut BenchmarkGroup<'_, WallTime>) {
    plan_at(group, Mode::Nftables, KubeProxy::NEWEST, LARGE[0], Change::Restart);
}

#[derive(Clone, Copy)]
enum Change {
    Everything,
    OneEndpoint,
    Restart,
}

fn plan(
    group: &mut BenchmarkGroup<'_, WallTime>,
    mode: Mode,
    kube_proxy: KubeProxy,
    services: u32,
    change: Change,
) {
    plan_at(group, mode, kube_proxy, Scale { services, endpoints: ENDPOINTS }, change);
}

fn plan_at(
    group: &mut BenchmarkGroup<'_, WallTime>,
    mode: Mode,
    kube_proxy: KubeProxy,
    scale: Scale,
    change: Change,
) {
    let planner = planner(mode, Node::lab(kube_proxy));
    let set = ServiceSet::synthetic(scale, SEED);
    let (from, to, sync) = match change {
        Change::Everything => (ServiceSet::default(), set, Sync::Full),
        Change::OneEndpoint => {
            let changed = with_another_endpoint(&set);
            (set, changed, Sync::Partial)
        }
        Change::Restart => (set.clone(), set, Sync::Full),
    };
    group.throughput(Throughput::Bytes(planner.plan(&from, &to, sync).bytes()));
    let name = match kube_proxy {
        KubeProxy::NEWEST => mode.name().to_owned(),
        older => format!("{mode}-{}", older.name()),
    };
    let at = match scale.endpoints {
        ENDPOINTS => scale.services.to_string(),
        endpoints => format!("{}x{endpoints}", scale.services),
    };
    group.bench_function(BenchmarkId::new(name, at), |bencher| {
        bencher.iter_batched(|| (), |()| planner.plan(&from, &to, sync), BatchSize::PerIteration);
    });
}

fn with_another_endpoint(set: &ServiceSet) -> ServiceSet {
    let middle = set.len() / 2;
    let mut service = (*set.services()[middle]).clone();
    let mut endpoints = service.endpoints().to_vec();
    if let Some(first) = endpoints.first_mut() {
        *first = synthetic_endpoint(SPARE, first.address.port());
    }
    service.set_endpoints(endpoints);
    set.with_replaced(middle, service)
}
