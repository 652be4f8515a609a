//! Which resources are served, under which names and paths.

/// A resource that can be listed and watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// v1 Nodes.
    Nodes,
    /// v1 Namespaces.
    Namespaces,
    /// v1 Services.
    Services,
    /// v1 Pods: always an empty list, for clients that want one.
    Pods,
    /// v1 Endpoints: always an empty list, for clients that still want one beside the slices.
    Endpoints,
    /// discovery.k8s.io/v1 EndpointSlices.
    EndpointSlices,
    /// networking.k8s.io/v1 ServiceCIDRs.
    ServiceCidrs,
    /// networking.k8s.io/v1 NetworkPolicies: always an empty list, for clients that want one.
    NetworkPolicies,
}

/// What is fixed of a resource.
pub(crate) struct Facts {
    /// API group; empty: core.
    pub group: &'static str,
    /// As in the path.
    pub plural: &'static str,
    pub singular: &'static str,
    /// What kubectl takes instead.
    pub short: &'static [&'static str],
    pub kind: &'static str,
    pub namespaced: bool,
    /// Fields that a `fieldSelector` may name besides `metadata.name` and `metadata.namespace`
    /// (pkg/apis/core/v1/conversion.go).
    pub fields: &'static [&'static str],
}

/// The one version that every group here has.
pub(crate) const VERSION: &str = "v1";

impl Resource {
    /// All of them.
    pub const ALL: [Resource; 8] = [
        Resource::Nodes,
        Resource::Namespaces,
        Resource::Services,
        Resource::Pods,
        Resource::Endpoints,
        Resource::EndpointSlices,
        Resource::ServiceCidrs,
        Resource::NetworkPolicies,
    ];

    /// Its name in paths: `endpointslices`.
    pub const fn plural(self) -> &'static str {
        self.facts().plural
    }

    /// The kind of its objects: `EndpointSlice`.
    pub const fn kind(self) -> &'static str {
        self.facts().kind
    }

    /// `apiVersion` of its objects: `v1` or `discovery.k8s.io/v1`.
    pub const fn api_version(self) -> &'static str {
        match self {
            Resource::Nodes
            | Resource::Namespaces
            | Resource::Services
            | Resource::Pods
            | Resource::Endpoints => "v1",
            Resource::EndpointSlices => "discovery.k8s.io/v1",
            Resource::ServiceCidrs | Resource::NetworkPolicies => "networking.k8s.io/v1",
        }
    }

    /// The one with this name in this group.
    pub(crate) fn find(group: &str, plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| {
            let facts = resource.facts();
            facts.group == group && facts.plural == plural
        })
    }

    /// `services`, or `endpointslices.discovery.k8s.io`: how messages name it.
    pub(crate) fn qualified(self) -> String {
        let facts = self.facts();
        match facts.group {
            "" => facts.plural.to_owned(),
            group => format!("{}.{group}", facts.plural),
        }
    }

    pub(crate) const fn facts(self) -> &'static Facts {
        match self {
            Resource::Nodes => &Facts {
                group: "",
                plural: "nodes",
                singular: "node",
                short: &["no"],
                kind: "Node",
                namespaced: false,
                fields: &["spec.unschedulable"],
            },
            Resource::Namespaces => &Facts {
                group: "",
                plural: "namespaces",
                singular: "namespace",
                short: &["ns"],
                kind: "Namespace",
                namespaced: false,
                fields: &["status.phase"],
            },
            Resource::Services => &Facts {
                group: "",
                plural: "services",
                singular: "service",
                short: &["svc"],
                kind: "Service",
                namespaced: true,
                fields: &["spec.clusterIP", "spec.type"],
            },
            Resource::Pods => &Facts {
                group: "",
                plural: "pods",
                singular: "pod",
                short: &["po"],
                kind: "Pod",
                namespaced: true,
                fields: &[
                    "spec.nodeName",
                    "spec.restartPolicy",
                    "spec.schedulerName",
                    "spec.serviceAccountName",
                    "spec.hostNetwork",
                    "status.phase",
                    "status.podIP",
                    "status.podIPs",
                    "status.nominatedNodeName",
                ],
            },
            Resource::Endpoints => &Facts {
                group: "",
                plural: "endpoints",
                singular: "endpoints",
                short: &["ep"],
                kind: "Endpoints",
                namespaced: true,
                fields: &[],
            },
            Resource::EndpointSlices => &Facts {
                group: "discovery.k8s.io",
                plural: "endpointslices",
                singular: "endpointslice",
                short: &[],
                kind: "EndpointSlice",
                namespaced: true,
                fields: &[],
            },
            Resource::ServiceCidrs => &Facts {
                group: "networking.k8s.io",
                plural: "servicecidrs",
                singular: "servicecidr",
                short: &[],
                kind: "ServiceCIDR",
                namespaced: false,
                fields: &[],
            },
            Resource::NetworkPolicies => &Facts {
                group: "networking.k8s.io",
                plural: "networkpolicies",
                singular: "networkpolicy",
                short: &["netpol"],
                kind: "NetworkPolicy",
                namespaced: true,
                fields: &[],
            },
        }
    }
}
