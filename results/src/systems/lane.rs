//! The systems of one lane, and where each was measured.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::name::{SystemName, listed};
use crate::groups::{Group, GroupKey, Groups};
use crate::names::{mode_rank, workload};

/// How the names of their workloads begin.
const PREFIX: &str = "kube_proxy_";

/// Whether a workload is one of real kube-proxies.
pub fn is_of_systems(workload: &str) -> bool {
    workload.starts_with(PREFIX)
}

/// Workloads of those changes that kube-proxy counts in its own programming latency: an EndpointSlice comes or changes.
pub const COUNTED_BY_KUBE_PROXY: [&str; 6] = [
    workload::KUBE_PROXY_REPLACE_ENDPOINT,
    workload::KUBE_PROXY_ADD_ENDPOINT,
    workload::KUBE_PROXY_REMOVE_ENDPOINT,
    workload::KUBE_PROXY_ADD_SERVICE,
    workload::KUBE_PROXY_REPLACE_ALL_ENDPOINTS,
    workload::KUBE_PROXY_HUNDRED_ENDPOINTS,
];

/// The systems of one lane.
#[derive(Debug)]
pub struct Systems<'a> {
    /// Their rows, and all others.
    pub groups: &'a Groups<'a>,
    /// In the order of reports, each once.
    pub names: Vec<SystemName>,
    /// Endpoints per Service of what is shown: of several numbers that with the most groups.
    pub endpoints: u32,
    index: HashMap<CellName<'a>, &'a Group<'a>>,
}

/// Workload, metric, mode, Services, system and position.
type CellName<'a> = (&'a str, &'a str, &'a str, u32, &'a str, &'a str);

impl<'a> Systems<'a> {
    /// None if no row is of one.
    pub fn of(groups: &'a Groups<'a>) -> Option<Self> {
        let own = || groups.map.keys().filter(|key| is_of_systems(key.workload));
        let columns: BTreeSet<&str> = own().map(|key| key.system).collect();
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        own().for_each(|key| *counts.entry(key.endpoints).or_default() += 1);
        let (endpoints, _) = counts.into_iter().max_by_key(|(endpoints, count)| (*count, *endpoints))?;
        let shown = groups.map.iter().filter(|(key, _)| key.endpoints == endpoints);
        let index = shown.map(|(key, group)| {
            let GroupKey { workload, metric, mode, services, system, position, .. } = *key;
            ((workload, metric, mode, services, system, position), group)
        });
        Some(Systems { groups, names: SystemName::all(&columns), endpoints, index: index.collect() })
    }

    /// What the system of a column is called.
    pub fn label<'s>(&'s self, column: &'s str) -> &'s str {
        self.names.iter().find(|name| name.column == column).map_or(column, |name| &name.label)
    }

    /// The groups of a workload and a metric that are shown, those without a figure too.
    pub fn of_metric(
        &self,
        workload: &'a str,
        metric: &'a str,
    ) -> impl Iterator<Item = (&'a GroupKey<'a>, &'a Group<'a>)> + Clone {
        let (groups, endpoints) = (self.groups, self.endpoints);
        groups.of(workload, metric).filter(move |(key, _)| key.endpoints == endpoints)
    }

    /// The group of one cell: of a system, or with an empty one of plans.
    pub fn cell(&self, workload: &str, metric: &str, at: &At<'_>) -> Option<&'a Group<'a>> {
        self.index.get(&(workload, metric, at.mode, at.services, at.system, at.position)).copied()
    }

    /// Modes in which one was tried, in the order of reports.
    pub fn modes(&self) -> Vec<&'a str> {
        let own = self.groups.map.keys().filter(|key| is_of_systems(key.workload));
        let modes: BTreeSet<(usize, &str)> = own.map(|key| (mode_rank(key.mode), key.mode)).collect();
        modes.into_iter().map(|(_, mode)| mode).collect()
    }

    /// Every cell of a node that joins or of changes, by mode, system and scale, in the order of reports. `measured`: without
    /// those that have no figure.
    pub fn cells(&self, measured: bool) -> Vec<At<'a>> {
        let own = self
            .groups
            .map
            .iter()
            .filter(|(key, _)| is_of_systems(key.workload) && key.endpoints == self.endpoints);
        let wanted = own.filter(|(_, group)| !measured || !group.measured.is_empty());
        let place = |column: &str| self.names.iter().position(|name| name.column == column);
        let cells: BTreeSet<_> = wanted
            .map(|(key, _)| (mode_rank(key.mode), key.mode, place(key.system), key.system, key.services))
            .collect();
        let cell = |(_, mode, _, system, services)| At { mode, services, system, position: "" };
        cells.into_iter().map(cell).collect()
    }

    /// `kube-proxy 1.37.2 on this node`, `kube-proxy 1.36.3 and 1.37.2 on this node`: those with a figure, or if there are none
    /// those that were tried.
    pub fn heading(&self) -> String {
        let own = self
            .groups
            .map
            .iter()
            .filter(|(key, group)| is_of_systems(key.workload) && !group.measured.is_empty());
        let measured: BTreeSet<&str> = own.map(|(key, _)| key.system).collect();
        let shown =
            self.names.iter().filter(|name| measured.is_empty() || measured.contains(name.column.as_str()));
        format!("{} on this node", listed(shown))
    }

    /// The workloads whose names are `prefix` and a number, and for which there is a metric, by their numbers.
    pub fn numbered(&self, prefix: &str, metric: &str) -> Vec<(u32, &'a str)> {
        let own = self.groups.map.keys().filter(|key| key.metric == metric);
        let all: BTreeSet<(u32, &str)> = own
            .filter_map(|key| Some((key.workload.strip_prefix(prefix)?.parse().ok()?, key.workload)))
            .collect();
        all.into_iter().collect()
    }
}

/// Where something was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At<'a> {
    /// Mode.
    pub mode: &'a str,
    /// Services.
    pub services: u32,
    /// Column `system`.
    pub system: &'a str,
    /// Position of the Service that is probed; empty: none.
    pub position: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::metric;
    use crate::record::{CellKey, Clock, Record, Unit};

    fn row(system: &str, mode: &str, services: u32, workload: &str) -> Record {
        let key = CellKey {
            run: "r".into(),
            block: 1,
            order: 1,
            mode: mode.into(),
            services,
            endpoints: 10,
            position: "".into(),
            workload: workload.into(),
            contenders: 0,
            clock: Clock::Wall,
            kernel: "k".into(),
            hypervisor: "none".into(),
            system: system.into(),
        };
        key.scalar(metric::PROGRAMMING_LATENCY, Unit::Ns, 1)
    }

    #[test]
    fn plans_are_no_systems() {
        let rows = [row("", "nftables", 10, workload::FULL_SYNC_COLD)];
        assert!(Systems::of(&Groups::split(&rows)[0]).is_none());
    }

    #[test]
    fn the_heading_names_those_that_were_measured() {
        let mut rows = vec![
            row("kube-proxy v1.37.2 sha256:11", "nftables", 10, workload::KUBE_PROXY_CHANGES),
            row("kube-proxy v1.36.3 sha256:00", "iptables-nft", 10, workload::KUBE_PROXY_CHANGES),
        ];
        let skipped = row("kube-proxy:1.34", "nftables", 10, workload::KUBE_PROXY_JOIN);
        rows.push(skipped.cell.skipped(metric::FIRST_SYNC_ENDED, Unit::Ns, "not built"));
        let groups = Groups::split(&rows);
        let systems = Systems::of(&groups[0]).unwrap();
        assert_eq!(systems.heading(), "kube-proxy 1.36.3 and 1.37.2 on this node");
        assert_eq!(systems.modes(), ["iptables-nft", "nftables"]);
        assert_eq!((systems.cells(true).len(), systems.cells(false).len()), (2, 3));
        let only = &rows[2..];
        let groups = Groups::split(only);
        assert_eq!(Systems::of(&groups[0]).unwrap().heading(), "kube-proxy 1.34 on this node");
    }

    #[test]
    fn rates_are_in_the_order_of_their_numbers() {
        let of = |rate: u32| row("x", "nftables", 10, &format!("{}{rate}", workload::KUBE_PROXY_RATE));
        let rows = [of(16), of(2), of(128)];
        let groups = Groups::split(&rows);
        let systems = Systems::of(&groups[0]).unwrap();
        let rates = systems.numbered(workload::KUBE_PROXY_RATE, metric::PROGRAMMING_LATENCY);
        assert_eq!(rates.iter().map(|(rate, _)| *rate).collect::<Vec<_>>(), [2, 16, 128]);
        assert_eq!(rates[1].1, format!("{}16", workload::KUBE_PROXY_RATE));
        assert_eq!(systems.numbered(workload::KUBE_PROXY_RATE, metric::LATE_REQUESTS), []);
    }
}
