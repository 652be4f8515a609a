//! What the director does with packets.

use std::net::Ipv4Addr;

use netns_setup::{Need, director};
use serde::{Deserialize, Serialize};
use workloads::connection::Treatment;

/// The director's own address (RFC 5737).
pub(super) const DIRECTOR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// What the director does with packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// It routes them, no more: clients address the real servers themselves. The control, wired as [`Method::Nat`].
    Direct,
    /// Masquerading as kube-proxy has it: with connection tracking, and `net.ipv4.vs.conntrack=1`.
    Nat,
    /// Masquerading as LVS has it by default: without connection tracking.
    NatUntracked,
    /// Direct routing; without connection tracking.
    Dr,
    /// Tunnels (IPIP); without connection tracking.
    Tun,
}

impl Method {
    /// All of them, the control first.
    pub const ALL: [Method; 5] = [Method::Direct, Method::Nat, Method::NatUntracked, Method::Dr, Method::Tun];

    /// The mode of its rows.
    pub const fn mode(self) -> &'static str {
        match self {
            Method::Direct => "direct",
            Method::Nat => "ipvs-nat",
            Method::NatUntracked => "ipvs-nat-untracked",
            Method::Dr => "ipvs-dr",
            Method::Tun => "ipvs-tun",
        }
    }

    /// What it takes beyond a lab.
    pub const fn needs(self) -> &'static [Need] {
        match self {
            Method::Direct => &[Need::Conntrack],
            Method::Nat | Method::NatUntracked => &[Need::Conntrack, Need::IpVs],
            Method::Dr => &[Need::Conntrack, Need::IpVs, Need::Bridge],
            Method::Tun => &[Need::Conntrack, Need::IpVs, Need::Ipip],
        }
    }

    /// How the machines are wired.
    pub const fn wiring(self) -> director::Method {
        match self {
            Method::Direct | Method::Nat | Method::NatUntracked => director::Method::Masquerade,
            Method::Dr => director::Method::DirectRouting,
            Method::Tun => director::Method::Tunnel,
        }
    }

    pub(super) const fn treatment(self) -> Treatment {
        match self {
            Method::Direct => Treatment::Routed,
            Method::Nat | Method::NatUntracked => Treatment::Rewritten,
            Method::Dr => Treatment::Redirected,
            Method::Tun => Treatment::Encapsulated { from: DIRECTOR },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_have_names_modes_and_needs() {
        #[derive(Deserialize)]
        struct Text {
            methods: Vec<Method>,
        }
        let text = "methods = [\"direct\", \"nat\", \"nat-untracked\", \"dr\", \"tun\"]";
        assert_eq!(toml::from_str::<Text>(text).unwrap().methods, Method::ALL);
        let modes = Method::ALL.map(Method::mode);
        let known = [&results::names::CONTROLS[..1], &results::names::FORWARDING_MODES].concat();
        assert!(known.iter().all(|mode| modes.contains(mode)), "{known:?}");
        for method in Method::ALL {
            assert_eq!(method.needs().contains(&Need::IpVs), method != Method::Direct);
            assert_eq!(method.treatment().both_ways(), !method.wiring().spares_the_way_back());
        }
    }
}
