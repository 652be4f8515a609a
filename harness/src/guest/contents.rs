//! What a guest must hold to run the modes: programs of this machine, and modules of the guest's kernel.

use dataplane::Mode;

/// Programs that are looked up on this machine and put into the image with the libraries they need.
/// A mode whose program is missing here is missing in the guest too, and its rows say so.
pub(super) const PROGRAMS: [&str; 15] = [
    "iptables-legacy",
    "iptables-legacy-save",
    "iptables-legacy-restore",
    "ip6tables-legacy",
    "ip6tables-legacy-save",
    "ip6tables-legacy-restore",
    "iptables-nft",
    "iptables-nft-save",
    "iptables-nft-restore",
    "nft",
    "ipset",
    "conntrack",
    "ipvsadm",
    "sh",
    "sleep",
];

/// Files beside the programs that they open by name: iptables' matches and targets, protocol names.
pub(super) const DATA: [&str; 4] =
    ["/etc/protocols", "/etc/services", "/etc/ethertypes", "/etc/nsswitch.conf"];

/// Folders whose shared objects are opened while a program runs (`iptables -m`, `-j`).
pub(super) const PLUGINS: [&str; 3] =
    ["/usr/lib/x86_64-linux-gnu/xtables", "/usr/lib64/xtables", "/usr/lib/xtables"];

/// What every lab needs of the kernel.
const LAB: [&str; 2] = ["tun", "veth"];
/// Connection tracking, its control over netlink, and address translation.
const CONNTRACK: [&str; 3] = ["nf_conntrack", "nf_conntrack_netlink", "nf_nat"];
/// What the rules of kube-proxy match and do, in whichever variant of iptables.
const XTABLES: [&str; 14] = [
    "xt_comment",
    "xt_conntrack",
    "xt_statistic",
    "xt_mark",
    "xt_addrtype",
    "xt_tcpudp",
    "xt_sctp",
    "xt_multiport",
    "xt_nat",
    "xt_MASQUERADE",
    "xt_physdev",
    "xt_recent",
    "xt_set",
    "ipt_REJECT",
];
const LEGACY: [&str; 9] = [
    "ip_tables",
    "iptable_nat",
    "iptable_filter",
    "iptable_mangle",
    "ip6_tables",
    "ip6table_nat",
    "ip6table_filter",
    "ip6table_mangle",
    "ip6t_REJECT",
];
const NFTABLES: [&str; 14] = [
    "nf_tables",
    "nft_chain_nat",
    "nft_nat",
    "nft_masq",
    "nft_numgen",
    "nft_ct",
    "nft_fib",
    "nft_fib_ipv4",
    "nft_fib_ipv6",
    "nft_reject",
    "nft_reject_ipv4",
    "nft_reject_ipv6",
    "nft_reject_inet",
    "nft_hash",
];
/// What background rules need besides, in whichever variant of iptables.
const BACKGROUND: [&str; 7] =
    ["nft_compat", "iptable_raw", "ipt_rpfilter", "xt_CT", "ip_set", "ip_set_hash_net", "ip_set_hash_ip"];
const IPSETS: [&str; 7] = [
    "ip_set",
    "ip_set_hash_ip",
    "ip_set_hash_ipport",
    "ip_set_hash_ipportip",
    "ip_set_hash_ipportnet",
    "ip_set_bitmap_port",
    "dummy",
];
/// IPVS with every scheduler that it knows, so that whichever a Service asks for is there, and the match for its
/// connections.
const IPVS: [&str; 15] = [
    "ip_vs",
    "xt_ipvs",
    "ip_vs_rr",
    "ip_vs_wrr",
    "ip_vs_lc",
    "ip_vs_wlc",
    "ip_vs_lblc",
    "ip_vs_lblcr",
    "ip_vs_sh",
    "ip_vs_dh",
    "ip_vs_mh",
    "ip_vs_sed",
    "ip_vs_nq",
    "ip_vs_fo",
    "ip_vs_ovf",
];

/// What the labs of forwarding methods need. Loading `ipip` puts a device into every new namespace, so it is loaded for
/// them only.
pub(super) const FORWARDING: [&str; 2] = ["bridge", "ipip"];

/// Modules for these modes: those without which no lab can be made, and those without which a mode cannot run, which its
/// rows then say. Whatever the kernel has built in is not looked for.
pub(super) fn modules(modes: &[Mode]) -> (Vec<&'static str>, Vec<&'static str>) {
    let mut names: Vec<&str> = Vec::new();
    let mut add = |more: &[&'static str]| {
        for name in more {
            if !names.contains(name) {
                names.push(name);
            }
        }
    };
    for &mode in modes {
        match mode {
            // Replayed rulesets stay with the host.
            Mode::Direct | Mode::Replay => {}
            Mode::Conntrack | Mode::Dnat | Mode::Nftables => {
                add(&CONNTRACK);
                add(&NFTABLES);
            }
            Mode::BackgroundLegacy | Mode::BackgroundNft => {
                add(&CONNTRACK);
                add(&XTABLES);
                add(&LEGACY);
                add(&NFTABLES);
                add(&BACKGROUND);
            }
            Mode::IptablesLegacy => {
                add(&CONNTRACK);
                add(&XTABLES);
                add(&LEGACY);
            }
            Mode::IptablesNft => {
                add(&CONNTRACK);
                add(&XTABLES);
                add(&NFTABLES);
                add(&["nft_compat"]);
            }
            Mode::Ipvs | Mode::IpvsBatched => {
                add(&CONNTRACK);
                add(&XTABLES);
                add(&LEGACY);
                add(&IPSETS);
                add(&IPVS);
            }
        }
    }
    (LAB.to_vec(), names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_module_is_named_once_and_controls_need_little() {
        let (lab, all) = modules(&Mode::ALL);
        let mut distinct = all.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), all.len());
        assert_eq!((lab, modules(&[Mode::Direct]).1), (vec!["tun", "veth"], vec![]));
        assert!(modules(&[Mode::Ipvs]).1.contains(&"ip_vs_mh"));
        assert!(!modules(&[Mode::Nftables]).1.contains(&"ip_vs"));
    }
}
