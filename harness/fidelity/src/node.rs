//! The node that both sides have: the same addresses, the same kernel.

use std::path::Path;

use dataplane::{KubeProxy, Mode, Node};
use netns_setup::nfacct;
use netns_setup::single_node::{SingleNode, Topology};
use services::service::Family;

use crate::subject::Subjects;

/// What a node is made of.
#[derive(Clone, Debug)]
pub(crate) struct NodeSpec {
    pub(crate) mode: Mode,
    /// Those that this kernel has.
    pub(crate) families: Vec<Family>,
    /// Whether the Node object has the label of its zone.
    pub(crate) has_zone: bool,
    /// Of each family, IPv4 first.
    nodes: [Node; 2],
}

impl NodeSpec {
    /// For these Services. Whether the kernel counts for kube-proxy is seen when there is a namespace.
    pub(crate) fn new(mode: Mode, version: KubeProxy, subjects: &Subjects, has_zone: bool) -> Self {
        let node = |family: Family| Node {
            address: subjects.addresses[family as usize],
            cluster_cidr: subjects.cluster_cidrs[family as usize],
            ..Node::lab(version)
        };
        Self { mode, families: families(), has_zone, nodes: Family::ALL.map(node) }
    }

    /// What kube-proxy's proxier of a family knows besides Services.
    pub(crate) const fn node(&self, family: Family) -> Node {
        self.nodes[family as usize]
    }

    /// Makes one. `label`: for messages.
    pub(crate) fn build(&mut self, label: &str) -> anyhow::Result<SingleNode> {
        let topology = Topology {
            label: format!("{label}-{}", self.mode),
            node: self.families.iter().map(|&family| self.node(family).address).collect(),
            local_pods: Vec::new(),
            remote_pods: Vec::new(),
        };
        let node = SingleNode::build(&topology)?;
        let counts = node.node.run(|| nfacct::ensure("svcbench-verify")).is_ok();
        self.nodes.iter_mut().for_each(|node| node.nfacct = counts);
        Ok(node)
    }
}

/// The families of this kernel.
fn families() -> Vec<Family> {
    let has_ipv6 = Path::new("/proc/sys/net/ipv6").exists();
    Family::ALL.into_iter().filter(|&family| family == Family::Ipv4 || has_ipv6).collect()
}
