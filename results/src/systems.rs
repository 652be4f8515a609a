//! Real kube-proxies in the rows: which there are, what each is called, where each was measured, and what its syncs are made of.

mod lane;
mod name;
mod phases;

pub use self::lane::{At, COUNTED_BY_KUBE_PROXY, Systems, is_of_systems};
pub use self::name::SystemName;
pub use self::phases::{PLAN, PhaseTime, SyncKind, SyncPhases, sync_phases};
