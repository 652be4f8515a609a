//! The jumps to top-level chains, in 1.20.

use super::super::jumps::{EXTERNAL, FORWARDING, Jump, PORTALS, POSTROUTING, jump};

/// In order of creation, as observed on 1.20.2. Each is prepended, so a listing shows the reverse.
pub(crate) const JUMPS: [Jump; 8] = [
    jump("filter", "INPUT", "KUBE-EXTERNAL-SERVICES", true, EXTERNAL),
    jump("filter", "FORWARD", "KUBE-EXTERNAL-SERVICES", true, EXTERNAL),
    jump("filter", "FORWARD", "KUBE-SERVICES", true, PORTALS),
    jump("filter", "OUTPUT", "KUBE-SERVICES", true, PORTALS),
    jump("filter", "FORWARD", "KUBE-FORWARD", false, FORWARDING),
    jump("nat", "OUTPUT", "KUBE-SERVICES", false, PORTALS),
    jump("nat", "PREROUTING", "KUBE-SERVICES", false, PORTALS),
    jump("nat", "POSTROUTING", "KUBE-POSTROUTING", false, POSTROUTING),
];
