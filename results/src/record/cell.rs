//! What all rows of a cell share.

use super::units::{Clock, Text};

/// The columns that all rows of a cell share; its methods make the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellKey {
    /// Identifier of the run.
    pub run: Text,
    /// Block number: each block runs every cell once.
    pub block: u32,
    /// Index of the cell in the shuffled run order; shared by all rows of a cell.
    pub order: u32,
    /// Control or proxy mode; see [`crate::names`].
    pub mode: Text,
    /// Services installed.
    pub services: u32,
    /// Endpoints per Service.
    pub endpoints: u32,
    /// Which Service is looked up; one of [`crate::names::position::ALL`].
    pub position: Text,
    /// Workload; see [`crate::names::workload`].
    pub workload: Text,
    /// Processes contending for the xtables lock.
    pub contenders: u32,
    /// Clock of the figures.
    pub clock: Clock,
    /// `uname -r` of the kernel that was measured.
    pub kernel: Text,
    /// What that kernel ran on: `none` (bare metal), `kvm`, `tcg` or another name; empty where the file is older
    /// than the column.
    pub hypervisor: Text,
    /// Whose rules were measured, where it is a program under test: `kube-proxy 1.37.2 sha256:0123456789abcdef`. Empty: rules
    /// that svcbench has planned itself, as in all files older than the column; the passport says of which version.
    pub system: Text,
}
