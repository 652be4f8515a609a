//! Why a mode cannot hold some Services at all.

use crate::kube_proxy::KubeProxy;
use crate::mode::Mode;

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
    /// Two Services want the same address or node port to lead to different places.
    #[error(
        "{first} and {second} both claim {what}: in nftables mode an address leads to one Service only, and kube-proxy's \
         sync fails (1.30) or lets another one win at every sync; give one of them another"
    )]
    Claimed {
        /// Address or node port.
        what: String,
        /// The Service that comes first.
        first: String,
        /// The other.
        second: String,
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

/// That a version of kube-proxy is modelled in a mode.
///
/// # Errors
/// If it is not: of 1.20 there is the iptables mode only.
pub(crate) fn has_mode(version: KubeProxy, mode: Mode) -> Result<(), Unfit> {
    if version != KubeProxy::V1_20 {
        return Ok(());
    }
    let why = match mode {
        Mode::Nftables => {
            "there was no such mode before 1.29; use iptables-legacy or iptables-nft, or a newer version"
        }
        Mode::Ipvs | Mode::IpvsBatched => "no recording of it exists; use 1.30 or newer, or an iptables mode",
        _ => return Ok(()),
    };
    Err(Unfit::Version { version, mode, why })
}
