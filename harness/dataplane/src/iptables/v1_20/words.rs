//! Pieces of rules that recur, in 1.20.

use super::super::words::Words;
use crate::node::Node;
use services::service::Family;

/// Those of a node. Single addresses have prefix lengths.
pub(crate) fn words(node: &Node) -> Words {
    let bits = match node.family() {
        Family::Ipv4 => "/32",
        Family::Ipv6 => "/128",
    };
    Words::new(node, bits)
}
