//! The jumps to top-level chains, since 1.25.

use super::jumps::{EXTERNAL, FIREWALL, FORWARDING, HEALTH_CHECKS, Jump, PORTALS, POSTROUTING, jump};

/// In order of creation, as observed on 1.30.5; the same in both families. Each is prepended, so a listing shows the reverse.
pub(crate) const JUMPS: [Jump; 14] = [
    jump("filter", "INPUT", "KUBE-EXTERNAL-SERVICES", true, EXTERNAL),
    jump("filter", "FORWARD", "KUBE-EXTERNAL-SERVICES", true, EXTERNAL),
    jump("filter", "INPUT", "KUBE-NODEPORTS", false, HEALTH_CHECKS),
    jump("filter", "FORWARD", "KUBE-SERVICES", true, PORTALS),
    jump("filter", "OUTPUT", "KUBE-SERVICES", true, PORTALS),
    jump("filter", "FORWARD", "KUBE-FORWARD", false, FORWARDING),
    jump("filter", "INPUT", "KUBE-PROXY-FIREWALL", true, FIREWALL),
    jump("filter", "OUTPUT", "KUBE-PROXY-FIREWALL", true, FIREWALL),
    jump("filter", "FORWARD", "KUBE-PROXY-FIREWALL", true, FIREWALL),
    jump("nat", "OUTPUT", "KUBE-SERVICES", false, PORTALS),
    jump("nat", "PREROUTING", "KUBE-SERVICES", false, PORTALS),
    jump("nat", "POSTROUTING", "KUBE-POSTROUTING", false, POSTROUTING),
    jump("filter", "INPUT", "KUBE-FIREWALL", false, ""),
    jump("filter", "OUTPUT", "KUBE-FIREWALL", false, ""),
];
