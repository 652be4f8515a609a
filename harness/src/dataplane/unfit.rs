//! Why a mode cannot hold some Services at all.

use super::{KubeProxy, Mode};

/// What stands against it. Where this is known beforehand, cells are skipped with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A set would need more entries than kube-proxy's sets can have.
    #[error(
        "ipset {set} would need {entries} entries, but kube-proxy makes its sets with maxelem {largest}, and IPVS mode serves \
         no more; use fewer Services, or fewer addresses, local endpoints or source ranges of theirs"
    )]
    SetTooLarge {
        /// Name of the set.
        set: &'static str,
        /// Entries it would need.
        entries: usize,
        /// Entries it can have.
        largest: usize,
    },
    /// That version of kube-proxy has no such mode, or none that is modelled.
    #[error("kube-proxy {version} in mode {mode} is not modelled: {why}", version = version.name())]
    Version {
        /// Of kube-proxy.
        version: KubeProxy,
        /// The mode.
        mode: Mode,
        /// Why not, and what to use instead.
        why: &'static str,
    },
}
