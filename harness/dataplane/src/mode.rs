//! Which mode of kube-proxy, or control, a plan is of.

use std::fmt;

use netns_setup::Need;
use serde::{Deserialize, Serialize};

/// What carries a packet from a Service to an endpoint. The first five are controls.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Control: no rules, no connection tracking; packets go straight to an endpoint.
    Direct,
    /// Control: one rule that turns connection tracking on and does nothing else.
    Conntrack,
    /// Control: one plain DNAT rule.
    Dnat,
    /// Control: one plain DNAT rule of iptables-legacy, beside the sweep's background rules.
    #[serde(alias = "neighbours-legacy")]
    #[value(alias = "neighbours-legacy")]
    BackgroundLegacy,
    /// Control: the same of iptables-nft.
    #[serde(alias = "neighbours-nft")]
    #[value(alias = "neighbours-nft")]
    BackgroundNft,
    /// kube-proxy's iptables mode through iptables-legacy.
    IptablesLegacy,
    /// kube-proxy's iptables mode through iptables-nft.
    IptablesNft,
    /// kube-proxy's nftables mode.
    Nftables,
    /// kube-proxy's IPVS mode, programmed as kube-proxy does it.
    Ipvs,
    /// kube-proxy's IPVS mode, programmed in the best way that the kernel allows.
    // The same state of the kernel, so that it has syncs of its own and no lookups.
    IpvsBatched,
    /// A ruleset of a real node, replayed. It has no planner, and is in a sweep only if `--replay` puts it there.
    #[value(skip)]
    Replay,
}

impl Mode {
    /// All modes that can be planned: controls first, then kube-proxy's.
    pub const ALL: [Mode; 10] = [
        Mode::Direct,
        Mode::Conntrack,
        Mode::Dnat,
        Mode::BackgroundLegacy,
        Mode::BackgroundNft,
        Mode::IptablesLegacy,
        Mode::IptablesNft,
        Mode::Nftables,
        Mode::Ipvs,
        Mode::IpvsBatched,
    ];

    /// Name in sweeps, rows and plots.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Direct => "direct",
            Mode::Conntrack => "conntrack",
            Mode::Dnat => "dnat",
            Mode::BackgroundLegacy => "background-legacy",
            Mode::BackgroundNft => "background-nft",
            Mode::IptablesLegacy => "iptables-legacy",
            Mode::IptablesNft => "iptables-nft",
            Mode::Nftables => "nftables",
            Mode::Ipvs => "ipvs",
            Mode::IpvsBatched => "ipvs-batched",
            Mode::Replay => "replay",
        }
    }

    /// Whether this is a control: its kernel state does not grow with the number of Services.
    pub const fn is_control(self) -> bool {
        matches!(self, Mode::Direct | Mode::Conntrack | Mode::Dnat) || self.is_of_background()
    }

    /// Whether it is a control for background rules: without any in the sweep it has no meaning.
    pub const fn is_of_background(self) -> bool {
        matches!(self, Mode::BackgroundLegacy | Mode::BackgroundNft)
    }

    /// Whether it is IPVS, programmed in whichever way.
    pub const fn is_ipvs(self) -> bool {
        matches!(self, Mode::Ipvs | Mode::IpvsBatched)
    }

    /// What this machine must offer for the mode, beyond what every lab needs.
    pub const fn needs(self) -> &'static [Need] {
        match self {
            Mode::Direct => &[],
            // And its own tool, which is asked to check it.
            Mode::Replay => &[Need::Conntrack],
            Mode::Conntrack | Mode::Dnat | Mode::Nftables => &[Need::Conntrack, Need::Nft],
            Mode::BackgroundLegacy | Mode::IptablesLegacy => &[Need::Conntrack, Need::IptablesLegacy],
            Mode::BackgroundNft | Mode::IptablesNft => &[Need::Conntrack, Need::IptablesNft],
            Mode::Ipvs | Mode::IpvsBatched => {
                &[Need::Conntrack, Need::IpVs, Need::Dummy, Need::IpSet, Need::IptablesLegacy]
            }
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
