//! The text for `iptables-restore --noflush`.

use services::service_set::ServiceSet;

use super::fixed;
use super::form::Form;
use super::ports::Ports;
use crate::text::put;

/// One sync's: the linear lists (KUBE-SERVICES, KUBE-NODEPORTS, the whole filter table) are always written; chains of single
/// Services only within the scope.
pub(crate) fn input(form: &impl Form, ports: &Ports<'_>, comments: bool, stale: &[String]) -> Vec<u8> {
    let mut out = Vec::with_capacity(ports.capacity(form.node(), comments));
    form.filter_table(ports, false, &mut out);
    form.nat_head(false, &mut out);
    form.chain_lines(ports, &mut out);
    for chain in stale {
        put!(out, ":", chain, " - [0:0]\n");
    }
    fixed::nat_rules(&mut out);
    form.rules(ports, comments, &mut out);
    for chain in stale {
        put!(out, "-X ", chain, "\n");
    }
    form.nat_tail(&mut out);
    out
}

/// One transaction with everything that is there once, one for each piece of the Services, and the rule
/// that must be last.
pub(crate) fn inputs_in_pieces(
    form: &impl Form,
    to: &ServiceSet,
    piece: usize,
    comments: bool,
) -> Vec<Vec<u8>> {
    let mut first = Vec::new();
    form.filter_table(&form.ports(to.services(), |_| false), true, &mut first);
    form.nat_head(true, &mut first);
    fixed::nat_rules(&mut first);
    put!(first, "COMMIT\n");
    let mut inputs = vec![first];
    for services in to.services().chunks(piece) {
        let ports = form.ports(services, |_| true);
        let mut out = Vec::with_capacity(ports.capacity(form.node(), comments));
        put!(out, "*nat\n");
        let mut lines = Vec::new();
        form.chain_lines(&ports, &mut lines);
        // iptables-nft keeps its chains in a sorted list that it searches from the front: in reverse
        // order each new one is first. A quarter of the time at 10,000 Services.
        let mut lines: Vec<&[u8]> = lines.split_inclusive(|&byte| byte == b'\n').collect();
        lines.sort_unstable_by(|one, other| other.cmp(one));
        lines.iter().for_each(|line| put!(out, line));
        form.rules(&ports, comments, &mut out);
        put!(out, "COMMIT\n");
        inputs.push(out);
    }
    let mut last = b"*nat\n".to_vec();
    form.nat_tail(&mut last);
    inputs.push(last);
    inputs
}

/// Flushes and deletes chains.
pub(crate) fn delete_chains(chains: &[String]) -> Vec<u8> {
    let mut out = b"*nat\n".to_vec();
    for chain in chains {
        put!(out, ":", chain, " - [0:0]\n");
    }
    for chain in chains {
        put!(out, "-X ", chain, "\n");
    }
    put!(out, "COMMIT\n");
    out
}
