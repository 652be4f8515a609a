//! What the table amounts to.

use std::collections::HashSet;

use services::service::Policy;
use services::service_set::ServiceSet;

use super::elements::{self, Slot};
use super::form::{Endpoints, Form};
use super::layout::{Chain, Layout};
use crate::counts::Counts;
use crate::node::Node;

/// Rules, chains and elements of the table with these Services. Elements that packets put into the sets of session
/// affinity are not counted.
pub(crate) fn of(node: &Node, set: &ServiceSet) -> Counts {
    let form = Form::of(node.kube_proxy);
    let knows_pods = node.cluster_cidr.is_some();
    let rules = form.base.rules + u64::from(knows_pods && form.base.marks_strangers);
    let mut counts = Counts { rules, chains: form.base.chains, ..Counts::default() };
    let mut slots: HashSet<Slot> = HashSet::with_capacity(2 * set.len());
    for service in set.services() {
        let layout = Layout::of(service);
        elements::of(form, &layout, &mut |element| {
            slots.insert(element.slot);
        });
        counts.chains += Chain::ALL.into_iter().filter(|&chain| layout.has(chain)).count() as u64;
        if form.has_endpoint_chains(service) {
            counts.chains += layout.routes.reachable.len() as u64;
        }
        counts.rules += self::rules(form, &layout, knows_pods);
    }
    // The node's own address is the one element of nodeport-ips.
    counts.elements = slots.len() as u64 + 1;
    counts
}

fn rules(form: &Form, layout: &Layout<'_>, knows_pods: bool) -> u64 {
    let has_affinity = layout.service.affinity_seconds.is_some();
    let choice = |endpoints: &[_]| match endpoints.len() as u64 {
        0 => 0,
        count if has_affinity => count + 1,
        _ => 1,
    };
    let external = match layout.service.external_policy {
        _ if !layout.has(Chain::External) => 0,
        // Masquerade, and on to the endpoints.
        Policy::Cluster => 2,
        // Pods; the node itself, masqueraded and short-circuited; and on to the endpoints, if there are any.
        Policy::Local => u64::from(knows_pods) + 2 + u64::from(layout.external),
    };
    let each = match form.endpoints {
        // The hairpin, and the way to the endpoint.
        Endpoints::Chains => 2 + u64::from(has_affinity),
        Endpoints::Addresses { .. } if has_affinity => 2,
        Endpoints::Addresses { .. } => 0,
    };
    u64::from(knows_pods && layout.internal && !form.base.marks_strangers)
        + external
        + u64::from(layout.has(Chain::Firewall))
        + choice(&layout.routes.cluster)
        + choice(&layout.routes.local)
        + each * layout.routes.reachable.len() as u64
}
