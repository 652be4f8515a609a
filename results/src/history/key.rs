//! Which figures are followed over time.

use serde::Serialize;

use crate::compare::direction::{self, Direction};
use crate::names::{metric, workload};
use crate::record::Unit;

/// Which quantile of a row a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantile {
    /// Median.
    P50,
    /// 99th percentile.
    P99,
}

/// What is followed over time: the median over a run's blocks of a quantile.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SeriesKey {
    /// Workload.
    pub workload: String,
    /// Metric.
    pub metric: String,
    /// Quantile.
    pub field: Quantile,
    #[serde(skip)]
    pub(super) rank: usize,
    /// Mode.
    pub mode: String,
    /// Endpoints per Service.
    pub endpoints: u32,
    /// Contenders for the lock.
    pub contenders: u32,
    /// Position of the Service that is looked up.
    pub position: String,
    /// Services installed.
    pub services: u32,
    /// Unit of the rows.
    pub unit: Unit,
    /// See [`CellKey::system`](crate::record::CellKey::system).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub system: String,
}

impl SeriesKey {
    /// Which way is worse: up, down, or neither.
    pub fn worse(&self) -> Option<Worse> {
        match direction::of(&self.metric, self.unit) {
            Direction::Lower => Some(Worse::Up),
            Direction::Higher => Some(Worse::Down),
            Direction::Structure | Direction::Neither => None,
        }
    }
}

/// Which way a figure gets worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Worse {
    /// As it grows.
    Up,
    /// As it falls.
    Down,
}

/// The metrics that are followed, and of what a run's figure is the median over blocks.
pub(super) fn followed(name: &str, of: &str) -> Option<Quantile> {
    let is_sync =
        name.starts_with("full_sync_") || name.starts_with("partial_sync_") || name == workload::APPEND;
    match (name, of) {
        (workload::PACKET_PROBE, metric::LOOKUP_FIRST_PACKET)
        | (workload::TCP_CRR, metric::RESPONSE_TIME | metric::TRANSACTIONS_PER_SECOND)
        | (workload::FULL_SYNC_COLD, metric::RULES | metric::KERNEL_MEMORY | metric::TOOL_PEAK_RSS)
        | (workload::FORWARDING | workload::FORWARDING_64K, metric::DIRECTOR_CPU) => Some(Quantile::P50),
        (workload::XTABLES_LOCK, metric::LOCK_WAIT | metric::CONTENDER_OPERATION) => Some(Quantile::P99),
        (_, metric::APPLY) if is_sync => Some(Quantile::P50),
        (_, metric::PROGRAMMING_LATENCY) => Some(Quantile::P50),
        (load, metric::RESPONSE_TIME) if load.starts_with(workload::LOAD) => Some(Quantile::P99),
        (load, metric::TRANSACTIONS_PER_SECOND | metric::THROUGHPUT) if load.starts_with(workload::LOAD) => {
            Some(Quantile::P50)
        }
        (disruption, metric::RESPONSE_DURING) if disruption.starts_with(workload::DISRUPTION) => {
            Some(Quantile::P99)
        }
        _ => None,
    }
}
