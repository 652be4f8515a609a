//! Pieces of rules that recur, in 1.20.

use services::service::Family;

use super::super::words::Words;
use crate::node::Node;

/// Those of a node. Single addresses have prefix lengths.
pub(crate) fn words(node: &Node) -> Words {
    let bits = match node.family() {
        Family::Ipv4 => "/32",
        Family::Ipv6 => "/128",
    };
    Words::new(node, bits)
}
