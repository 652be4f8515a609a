//! IPVS mode: its place in modes, rows and plots. This version does not program it.

/// Why there is no IPVS plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this version of svcbench does not program IPVS: it can plan and measure \
     direct, conntrack, dnat, iptables-legacy, iptables-nft and nftables"
)]
pub struct NotPlanned;
