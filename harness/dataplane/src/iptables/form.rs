//! What each version of kube-proxy writes in a form of its own. All else is the same in all of them.

use std::sync::Arc;

use services::service::Service;
use services::service_set::ServiceSet;

use super::jumps::Present;
use super::ports::{Port, Ports, Traffic};
use crate::node::Node;
use crate::plan::Step;

/// Above this many endpoints kube-proxy leaves the comments out of the rules that there are most of,
/// and since 1.25 no longer looks for stale chains at every sync (`largeClusterEndpointsThreshold`).
pub(crate) const LARGE_CLUSTER: usize = 1000;

/// The form of one version.
pub(crate) trait Form {
    /// The node, and kube-proxy's settings.
    fn node(&self) -> &Node;

    /// Where traffic of a Service goes.
    fn traffic<'a>(&self, service: &'a Service) -> Traffic<'a>;

    /// The chain of traffic to the cluster IP, up to its hash.
    fn internal_chain(&self, port: &Port<'_>) -> &'static str;

    /// Whether the rules that there are most of carry comments.
    fn comments(&self, to: &ServiceSet) -> bool;

    /// What a process does as it starts.
    fn start(&self, present: Present) -> Vec<Step>;

    /// Creates top-level chains and checks the jumps to them.
    fn jumps(&self, present: Present) -> Vec<Step>;

    /// Writes the filter table. `all_chains`: with those, too, that only the jumps make.
    fn filter_table(&self, ports: &Ports<'_>, all_chains: bool, out: &mut Vec<u8>);

    /// Writes the nat table up to the chains of Services. `all_chains`: as in [`Self::filter_table`].
    fn nat_head(&self, all_chains: bool, out: &mut Vec<u8>);

    /// Writes the chain lines of Service ports in scope.
    fn chain_lines(&self, ports: &Ports<'_>, out: &mut Vec<u8>);

    /// Writes the rules of Service ports in the nat table: those of the lists that packets walk for all, the rest for those
    /// in scope.
    fn rules(&self, ports: &Ports<'_>, comments: bool, out: &mut Vec<u8>);

    /// Writes the rule that must stand behind all Services, and the end of the nat table.
    fn nat_tail(&self, out: &mut Vec<u8>);

    /// Service ports; `in_scope`: whether the own chains of the one at an index are written.
    fn ports<'a>(&self, services: &'a [Arc<Service>], in_scope: impl Fn(usize) -> bool) -> Ports<'a> {
        Ports::new(services, |service| self.traffic(service), in_scope)
    }
}
