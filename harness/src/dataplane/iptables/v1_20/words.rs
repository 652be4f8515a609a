//! Pieces of rules that recur, in 1.20.

use super::super::words::Words;
use crate::dataplane::node::Node;
use crate::service::Family;

/// Those of a node. Single addresses have prefix lengths.
pub(crate) fn words(node: &Node) -> Words {
    let bits = match node.family() {
        Family::Ipv4 => "/32",
        Family::Ipv6 => "/128",
    };
    Words::new(node, bits)
}
