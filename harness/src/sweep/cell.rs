//! Cells: the smallest things that are measured, skipped or resumed. This file knows every experiment by name: what it is
//! called in rows, what each block does of it, how long it should take. Where it is measured is `lane/measure.rs`.

use std::fmt;

use dataplane::Mode;
use experiments::churn::scenario::Scenario;
use experiments::disruption::RuleChange;
use experiments::forwarding::{Method, Response};
use experiments::load::Offered;
use experiments::rows::{LaneId, Rows};
use experiments::{load, lookup, sync, tcp_crr};
use lab::replay::Replay;
use results::names::{metric, position, workload};
use results::record::CellKey;
use serde::{Deserialize, Serialize};
use services::service_set::{Position, Scale};

use super::Sweep;

/// Why a change of a replayed ruleset is not measured.
pub const NO_PLANNER: &str =
    "a replayed ruleset has no planner that could change it; `cold` and `restart` install it as it is";

/// One thing to measure once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cell {
    /// Index in the run; rows carry it, and a resumed run knows by it what is done.
    pub order: u32,
    /// Block, from 1.
    pub block: u32,
    /// Mode or control.
    pub mode: Mode,
    /// How many Services and endpoints.
    pub scale: Scale,
    /// What is done.
    pub workload: Workload,
    /// Whether it is the second of an A/A pair: the block has had the same cell before.
    pub again: bool,
}

impl Cell {
    /// Whether a sync cell runs only if it fits the budget: all but the first visit of the first block.
    pub const fn is_in_budget(&self) -> bool {
        self.block > 1 || self.again
    }

    /// The mode in its rows: of forwarding it is the method.
    pub const fn mode_name(&self) -> &'static str {
        match self.workload {
            Workload::Forwarding(method, _) => method.mode(),
            _ => self.mode.name(),
        }
    }

    /// Its rows, none yet.
    pub fn rows(&self, lane: &LaneId) -> Rows {
        let Names { workload, position, contenders } = self.workload.names();
        let key = CellKey {
            run: lane.run.as_str().into(),
            block: self.block,
            order: self.order,
            mode: self.mode_name().into(),
            services: self.scale.services,
            endpoints: self.scale.endpoints,
            position: position.into(),
            workload: workload.into(),
            contenders,
            clock: lane.clock,
            kernel: lane.kernel.as_str().into(),
            hypervisor: lane.hypervisor.as_str().into(),
            system: "".into(),
        };
        Rows::new(key, &lane.lane, self.workload.headline())
    }

    /// The whole cell is skipped: one row for each of its workloads.
    pub fn skip(&self, sweep: &Sweep, rows: &mut Rows, reason: &str) {
        match (self.workload, &sweep.sync) {
            (Workload::Sync, Some(sync)) => {
                sync.operations.iter().for_each(|&operation| rows.skip(operation, reason));
            }
            _ => rows.skip_cell(reason),
        }
    }
}

impl fmt::Display for Cell {
    /// `nftables 100 x 10, lookup at last, block 3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, scale, workload, block, .. } = self;
        match workload {
            Workload::Forwarding(..) => write!(f, "{workload}, block {block}"),
            _ => write!(f, "{mode} {} x {}, {workload}, block {block}", scale.services, scale.endpoints),
        }
    }
}

/// What is done in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Workload {
    /// Packet probes.
    Lookup(Position),
    /// `tcp_crr`.
    Connect(Position),
    /// A load.
    Load(workloads::load::Workload, Offered),
    /// All sync operations, in a lab of their own.
    Sync,
    /// So many contenders for the xtables lock while syncs run.
    Lock(u32),
    /// A sequence of changes.
    Churn(Scenario),
    /// A load while rules change.
    Disruption(RuleChange, workloads::load::Workload),
    /// Connections through an LVS director.
    Forwarding(Method, Response),
    /// The real kube-proxy that has this place in `systems`.
    System(u8),
}

impl Workload {
    /// Whether it visits the labs that live side by side.
    pub const fn is_of_lookups(self) -> bool {
        matches!(self, Workload::Lookup(_) | Workload::Connect(_) | Workload::Load(..))
    }

    /// Whether it has the lab of a sync, or takes it over.
    pub const fn is_of_syncs(self) -> bool {
        matches!(self, Workload::Sync | Workload::Lock(_) | Workload::Churn(_) | Workload::Disruption(..))
    }

    /// What it is called in rows.
    fn names(self) -> Names {
        let named = |workload: &str| Names { workload: workload.to_owned(), position: "", contenders: 0 };
        match self {
            Workload::Lookup(position) => {
                Names { position: position.name(), ..named(workload::PACKET_PROBE) }
            }
            Workload::Connect(position) => Names { position: position.name(), ..named(workload::TCP_CRR) },
            Workload::Load(load, offered) => {
                Names { position: position::UNIFORM, ..named(&offered.workload(load)) }
            }
            Workload::Sync => named(workload::FULL_SYNC_COLD),
            Workload::Lock(contenders) => Names { contenders, ..named(workload::XTABLES_LOCK) },
            Workload::Churn(scenario) => named(scenario.workload()),
            Workload::Disruption(change, load) => named(&change.workload(load)),
            Workload::Forwarding(_, response) => named(response.workload()),
            Workload::System(_) => named(workload::KUBE_PROXY_JOIN),
        }
    }

    /// The metric that stands for a cell where it is skipped or has failed.
    const fn headline(self) -> &'static str {
        match self {
            Workload::Lookup(_) => metric::LOOKUP_FIRST_PACKET,
            Workload::Connect(_) | Workload::Load(..) => metric::RESPONSE_TIME,
            Workload::Sync => metric::APPLY,
            Workload::Lock(_) => metric::CONTENDER_OPERATION,
            Workload::Churn(_) => metric::BUSY,
            Workload::Disruption(..) => metric::RESPONSE_DURING,
            Workload::Forwarding(..) => metric::DIRECTOR_CPU,
            Workload::System(_) => metric::FIRST_SYNC_ENDED,
        }
    }

    /// Seconds that it should take, if a partial and a full sync of this mode and scale take so many. `takes_lock`: whether
    /// its tools take the xtables lock.
    pub fn expected_seconds(self, sweep: &Sweep, partial: f64, full: f64, takes_lock: bool) -> f64 {
        match self {
            Workload::Lookup(_) => sweep.lookup.as_ref().map_or(0.0, lookup::Section::expected_seconds),
            Workload::Connect(_) => sweep.connect.as_ref().map_or(0.0, tcp_crr::Section::expected_seconds),
            Workload::Load(..) => sweep.load.as_ref().map_or(0.0, load::Section::expected_seconds),
            Workload::Sync => sync::expected_seconds(partial, full, sweep.limit_seconds),
            Workload::Lock(_) => sweep
                .lock
                .as_ref()
                .map_or(0.0, |section| section.expected_seconds(partial + full, takes_lock)),
            Workload::Churn(scenario) => {
                sweep.churn.as_ref().map_or(0.0, |section| section.expected_seconds(scenario, partial))
            }
            Workload::Disruption(change, _) => sweep
                .disruption
                .as_ref()
                .map_or(0.0, |section| section.expected_seconds(change, partial, full)),
            Workload::Forwarding(_, response) => {
                sweep.forwarding.as_ref().map_or(0.0, |section| section.expected_seconds(response))
            }
            Workload::System(_) => {
                sweep.system.as_ref().map_or(0.0, |section| section.expected_seconds(full))
            }
        }
    }

    /// Why it is not measured of a replayed ruleset; `None`: it is.
    pub fn not_of(self, replay: &Replay) -> Option<String> {
        match self {
            Workload::Lookup(Position::Miss) => replay.without_misses(),
            Workload::Lookup(_) => replay.without_services(),
            Workload::Connect(_) | Workload::Load(..) => Some(
                "the endpoints of a replayed ruleset are addresses anywhere, at which no server listens"
                    .into(),
            ),
            Workload::Sync => None,
            Workload::Lock(_)
            | Workload::Churn(_)
            | Workload::Disruption(..)
            | Workload::Forwarding(..)
            | Workload::System(_) => Some(NO_PLANNER.into()),
        }
    }

    /// Blocks of visits to the labs that live side by side.
    pub fn blocks_of_lookups(sweep: &Sweep) -> u32 {
        let lookup = sweep.lookup.as_ref().map_or(0, |section| section.blocks);
        let connect = sweep.connect.as_ref().map_or(0, |section| section.blocks);
        let load = sweep.load.as_ref().map_or(0, |section| section.blocks);
        lookup.max(connect).max(load)
    }

    /// What a block does in each of the labs that live side by side.
    pub fn of_lookups(sweep: &Sweep, block: u32) -> Vec<Workload> {
        let mut visits = Vec::new();
        if let Some(lookup) = sweep.lookup.as_ref().filter(|section| block <= section.blocks) {
            visits.extend(lookup.positions.iter().map(|&at| Workload::Lookup(at)));
        }
        if let Some(connect) = sweep.connect.as_ref().filter(|section| block <= section.blocks) {
            visits.extend(connect.positions.iter().map(|&at| Workload::Connect(at)));
        }
        if let Some(load) = sweep.load.as_ref().filter(|section| block <= section.blocks) {
            for &workload in &load.workloads {
                visits.extend(load.offered().map(|offered| Workload::Load(workload, offered)));
            }
        }
        visits
    }

    /// Blocks of syncs and of what follows them.
    pub fn blocks_of_syncs(sweep: &Sweep) -> u32 {
        let sync = sweep.sync.as_ref().map_or(0, |section| section.blocks);
        let churn = sweep.churn.as_ref().map_or(0, |section| section.blocks);
        let disruption = sweep.disruption.as_ref().map_or(0, |section| section.blocks);
        sync.max(u32::from(sweep.lock.is_some())).max(churn).max(disruption)
    }

    /// Whether a block syncs at this scale.
    pub fn has_sync(sweep: &Sweep, block: u32, mode: Mode, scale: Scale) -> bool {
        sweep
            .sync
            .as_ref()
            .is_some_and(|section| block <= section.blocks && is_within(section.most_services, mode, scale))
    }

    /// What follows the first sync of a mode and scale in a block, in the lab that it leaves; the lock last, as its
    /// contenders leave chains behind.
    pub fn after_sync(sweep: &Sweep, block: u32, mode: Mode, scale: Scale) -> Vec<Workload> {
        let mut visits = Vec::new();
        if let Some(churn) = sweep.churn.as_ref().filter(|section| block <= section.blocks) {
            visits.extend(churn.scenarios.iter().map(|&scenario| Workload::Churn(scenario)));
        }
        // What batches leave in the kernel is what `ipvs` has: only its syncs differ.
        if mode == Mode::IpvsBatched {
            return visits;
        }
        let disruption = sweep.disruption.as_ref().filter(|section| block <= section.blocks);
        if let Some(section) = disruption.filter(|section| is_within(section.most_services, mode, scale)) {
            for &workload in &section.workloads {
                let events = section.events.iter();
                visits.extend(events.map(|&change| Workload::Disruption(change, workload)));
            }
        }
        let lock = sweep.lock.as_ref().filter(|_| block == 1);
        if let Some(section) = lock.filter(|section| is_within(section.most_services, mode, scale)) {
            visits.extend(section.contenders.iter().map(|&contenders| Workload::Lock(contenders)));
        }
        visits
    }

    /// The real kube-proxies that a block has at this mode and scale.
    pub fn of_systems(sweep: &Sweep, block: u32, mode: Mode, scale: Scale) -> Vec<Workload> {
        let section = sweep.system.as_ref().filter(|section| block <= section.blocks);
        if kube_proxy::proxy_mode(mode).is_none()
            || section.is_none_or(|section| scale.services > section.most_services)
        {
            return Vec::new();
        }
        let real = sweep.systems.iter().enumerate().filter(|(_, system)| system.is_real());
        real.filter_map(|(index, _)| Some(Workload::System(u8::try_from(index).ok()?))).collect()
    }

    /// What each block of forwarding does, the second visit of its A/A pair included.
    pub fn of_forwarding(sweep: &Sweep) -> Vec<Workload> {
        let methods = sweep.forwarding.as_ref().map_or(&[][..], |section| &section.methods);
        let both = |&method: &Method| {
            [Response::Segment, Response::Large].map(|response| Workload::Forwarding(method, response))
        };
        let again = methods.first().filter(|_| sweep.aa);
        let again = again.map(|&method| Workload::Forwarding(method, Response::Segment));
        methods.iter().flat_map(both).chain(again).collect()
    }
}

/// What is so by the name of a workload.
struct Names {
    workload: String,
    position: &'static str,
    contenders: u32,
}

/// Whether a scale is measured where larger ones are left out. A replayed ruleset is as large as it is.
fn is_within(most_services: u32, mode: Mode, scale: Scale) -> bool {
    scale.services <= most_services || mode == Mode::Replay
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Workload::Lookup(position) => write!(f, "lookup at {}", position.name()),
            Workload::Connect(position) => write!(f, "connect at {}", position.name()),
            Workload::Load(workload, Offered::PerSecond(rate)) => write!(f, "{workload} at {rate}/s"),
            Workload::Load(workload, Offered::Saturation) => write!(f, "{workload} at saturation"),
            Workload::Disruption(change, workload) => {
                write!(f, "{workload} during {}", change.name())
            }
            Workload::Sync => f.write_str("rule sync"),
            Workload::Churn(scenario) => f.write_str(scenario.name()),
            Workload::System(index) => write!(f, "kube-proxy, system {}", index + 1),
            Workload::Lock(contenders) => write!(f, "xtables lock, {contenders} contenders"),
            Workload::Forwarding(method, response) => {
                let answer = if response.bytes() == 0 { "one segment" } else { "64 KiB" };
                write!(f, "forwarding by {}, {answer}", method.mode())
            }
        }
    }
}
