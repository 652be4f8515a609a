//! How long filling and syncing take in each mode: to say how long a run takes, and to refuse what cannot end well.
//!
//! Measured on one machine with 2 cores and Linux 6.18, iptables 1.8.9 and nft 1.0.6: see results/reference-xeon, a run with the
//! forms of kube-proxy 1.34 and older; nftables mode of 1.36 and 1.37 on 2026-11-30, processor time of nft with plans of 1.37 of
//! 1,000 and 5,000 Services x 10 endpoints and a partial sync after them.

use dataplane::{KubeProxy, Mode};

/// Seconds for 1,000 Services x 10 endpoints and growth with the number of Services: (load, growth, one
/// partial sync, growth, full sync, growth).
const fn costs(mode: Mode, version: KubeProxy) -> [(f64, f64); 3] {
    match mode {
        Mode::Direct | Mode::Conntrack | Mode::Dnat | Mode::BackgroundLegacy | Mode::BackgroundNft => {
            [(0.01, 0.0); 3]
        }
        Mode::IptablesLegacy => [(0.4, 1.3), (0.1, 1.1), (0.9, 1.2)],
        // Whatever its tool is, and whatever it holds besides Services.
        Mode::Replay | Mode::IptablesNft => [(0.7, 1.2), (0.3, 1.5), (6.0, 2.0)],
        Mode::Nftables => match version {
            KubeProxy::V1_20 | KubeProxy::V1_30 | KubeProxy::V1_34 | KubeProxy::V1_35 => {
                [(0.7, 1.5), (1.4, 1.2), (1.5, 2.0)]
            }
            // Measured: 0.15 and 1.9, 0.007 and 0.03, 0.16 and 3.6. In a full sync and a partial one other programs read what is there.
            KubeProxy::V1_36 | KubeProxy::V1_37 => [(0.15, 1.6), (0.02, 0.9), (0.2, 1.9)],
        },
        // Guessed from the programs that are run, about a millisecond each.
        Mode::Ipvs => [(0.1, 1.0), (0.15, 0.8), (3.0, 1.0)],
        Mode::IpvsBatched => [(0.1, 1.0), (0.02, 0.5), (0.1, 1.0)],
    }
}

fn of_endpoints((seconds, growth): (f64, f64), endpoints: f64) -> f64 {
    seconds * (endpoints / 10_000.0).powf(growth)
}

/// Seconds of one mode with so many endpoints.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Writing Services to a kernel in whatever pieces are quickest.
    pub fill: f64,
    /// A partial sync.
    pub partial: f64,
    /// A full sync.
    pub full: f64,
}

impl Pace {
    /// Of a mode, as a version of kube-proxy has it, with so many endpoints.
    pub fn of(mode: Mode, version: KubeProxy, endpoints: f64) -> Self {
        let [fill, partial, full] = costs(mode, version).map(|cost| of_endpoints(cost, endpoints));
        Self { fill, partial, full }
    }
}
