//! Rules that are there once, whatever the Services.

use super::words::MARK;
use crate::text::put;

/// Chains of the nat table that kube-proxy fills, in its order.
pub(crate) const NAT: [&str; 4] = ["KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ"];
/// Chains that the kernel shows without those that kube-proxy fills: 12 built in (filter 3, mangle 5, nat 4), 3 canaries.
pub(crate) const CHAINS: usize = 12 + 3;
/// Rules that the kernel shows in the nat table, without jumps.
pub(crate) const NAT_RULES: u64 = 5;

/// The lines of some chains.
pub(crate) fn chain_lines(chains: &[&str], out: &mut Vec<u8>) {
    for chain in chains {
        put!(out, ":", chain, " - [0:0]\n");
    }
}

/// What follows the rules of Services in the filter table. `counted`: a match that counts invalid packets; `answers`: comments
/// of the rules that let answers pass.
pub(crate) fn filter_tail(counted: &str, answers: &[&str], out: &mut Vec<u8>) {
    put!(out, "-A KUBE-FORWARD -m conntrack --ctstate INVALID", counted, " -j DROP\n");
    put!(out, "-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding rules\" -m mark --mark ");
    put!(out, MARK, "/", MARK, " -j ACCEPT\n");
    for answer in answers {
        put!(out, "-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding ", answer, "\"");
        put!(out, " -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n");
    }
    put!(out, "COMMIT\n");
}

/// The nat table up to the chains of Services.
pub(crate) fn nat_head(out: &mut Vec<u8>) {
    put!(out, "*nat\n");
    chain_lines(&NAT, out);
}

/// What stands between the chains of Services and their rules.
pub(crate) fn nat_rules(out: &mut Vec<u8>) {
    put!(out, "-A KUBE-POSTROUTING -m mark ! --mark ", MARK, "/", MARK, " -j RETURN\n");
    put!(out, "-A KUBE-POSTROUTING -j MARK --xor-mark ", MARK, "\n");
    put!(out, "-A KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring SNAT\"");
    put!(out, " -j MASQUERADE --random-fully\n");
    put!(out, "-A KUBE-MARK-MASQ -j MARK --or-mark ", MARK, "\n");
}

/// The rule that must stand behind all Services, and the end of the nat table. `except`: what it does not match.
pub(crate) fn nat_tail(except: &str, out: &mut Vec<u8>) {
    put!(
        out,
        "-A KUBE-SERVICES -m comment --comment \"kubernetes service nodeports; NOTE: this must be the last rule"
    );
    put!(out, " in this chain\" -m addrtype --dst-type LOCAL", except, " -j KUBE-NODEPORTS\nCOMMIT\n");
}
