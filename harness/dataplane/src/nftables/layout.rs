//! What of a Service there is in the table: which chains, and where its traffic is led.

use services::routes::Routes;
use services::service::{Policy, Service};

/// A chain that a Service has of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Chain {
    /// Endpoints under policy Cluster.
    Cluster,
    /// Endpoints under policy Local.
    Local,
    /// Where node port, external and load-balancer IPs lead to.
    External,
    /// Who may not use the load-balancer IPs.
    Firewall,
}

impl Chain {
    /// All, in the order in which kube-proxy makes them.
    pub(crate) const ALL: [Chain; 4] = [Chain::Cluster, Chain::Local, Chain::External, Chain::Firewall];

    /// What its name begins with.
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Chain::Cluster => "service-",
            Chain::Local => "local-",
            Chain::External => "external-",
            Chain::Firewall => "firewall-",
        }
    }

    const fn under(policy: Policy) -> Self {
        match policy {
            Policy::Cluster => Chain::Cluster,
            Policy::Local => Chain::Local,
        }
    }
}

/// A Service as the table has it.
pub(crate) struct Layout<'a> {
    /// The Service.
    pub(crate) service: &'a Service,
    /// Its endpoints.
    pub(crate) routes: Routes<'a>,
    /// Whether there are endpoints for traffic to the cluster IP.
    pub(crate) internal: bool,
    /// Whether there are endpoints for traffic from outside to node port, external and load-balancer IPs.
    pub(crate) external: bool,
}

impl<'a> Layout<'a> {
    /// Of a Service.
    pub(crate) fn of(service: &'a Service) -> Self {
        let routes = service.routes();
        let served = |policy| routes.any && (policy == Policy::Cluster || !routes.local.is_empty());
        let (internal, external) = (served(service.internal_policy), served(service.external_policy));
        Self { service, routes, internal, external }
    }

    /// Whether the Service has such a chain.
    pub(crate) fn has(&self, chain: Chain) -> bool {
        match chain {
            Chain::Cluster => !self.routes.cluster.is_empty(),
            Chain::Local => !self.routes.local.is_empty(),
            // Also without endpoints for traffic from outside: the node's own and that of pods is short-circuited.
            Chain::External => self.routes.any && self.service.is_externally_accessible(),
            // With or without endpoints.
            Chain::Firewall => {
                !self.service.load_balancer_ips.is_empty() && !self.service.source_ranges.is_empty()
            }
        }
    }

    /// Where traffic to the cluster IP is led, if there are endpoints for it.
    pub(crate) const fn internal_chain(&self) -> Chain {
        Chain::under(self.service.internal_policy)
    }

    /// Where traffic from outside is led in the end, if there are endpoints for it.
    pub(crate) const fn external_policy_chain(&self) -> Chain {
        Chain::under(self.service.external_policy)
    }
}
