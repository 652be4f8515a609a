//! flannel: what lets pods' packets pass, and masquerades what leaves the cluster.
//!
//! Source: flannel v0.27, `pkg/trafficmngr/iptables` (`forwardRules`, `masqRules`), with iptables that knows
//! `--random-fully`. It appends its jumps, once, by `iptables-restore --noflush`, so they stand behind kube-proxy's,
//! which are prepended. With `EnableNFTables`, which is not the default, it would have tables of its own instead.
//!
//! What a packet of a lab meets: kube-proxy's KUBE-FORWARD accepts it before FLANNEL-FWD if it was marked for
//! masquerading or belongs to a known flow; else FLANNEL-FWD accepts it, by its source. In FLANNEL-POSTRTG the first
//! packet of a flow returns at the second rule, as one from a pod of this node to another pod.

use ipnet::Ipv4Net;

use super::ruleset::{Hook, HookPosition, PlannedTable, Ruleset};

/// The mark of kube-proxy, whose masquerading is left to it (`trafficmngr.KubeProxyMark`).
const KUBE_PROXY_MARK: &str = "0x4000/0x4000";

/// Its rules for a cluster network of which this node has a subnet.
pub(super) fn ruleset(cluster: Ipv4Net, node: Ipv4Net) -> Ruleset {
    let forward = |rule: &str| format!("{rule} -m comment --comment \"flanneld forward\" -j ACCEPT");
    let masquerade =
        |rule: &str, target: &str| format!("{rule} -m comment --comment \"flanneld masq\" -j {target}");
    let filter = PlannedTable {
        name: "filter",
        chains: vec![(
            "FLANNEL-FWD".into(),
            vec![forward(&format!("-s {cluster}")), forward(&format!("-d {cluster}"))],
        )],
        hooks: vec![jump("FORWARD", "flanneld forward", "FLANNEL-FWD")],
    };
    let nat = PlannedTable {
        name: "nat",
        chains: vec![(
            "FLANNEL-POSTRTG".into(),
            vec![
                masquerade(&format!("-m mark --mark {KUBE_PROXY_MARK}"), "RETURN"),
                masquerade(&format!("-s {node} -d {cluster}"), "RETURN"),
                masquerade(&format!("-s {cluster} -d {node}"), "RETURN"),
                masquerade(&format!("! -s {cluster} -d {node}"), "RETURN"),
                masquerade(&format!("-s {cluster} ! -d 224.0.0.0/4"), "MASQUERADE --random-fully"),
                masquerade(&format!("! -s {cluster} -d {cluster}"), "MASQUERADE --random-fully"),
            ],
        )],
        hooks: vec![jump("POSTROUTING", "flanneld masq", "FLANNEL-POSTRTG")],
    };
    Ruleset { sets: Vec::new(), tables: vec![nat, filter] }
}

fn jump(chain: &'static str, comment: &str, target: &str) -> Hook {
    let rules = vec![format!("-m comment --comment \"{comment}\" -j {target}")];
    Hook { chain, place: HookPosition::Bottom, rules }
}
