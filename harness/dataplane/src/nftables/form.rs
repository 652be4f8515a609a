//! What differs between the versions of the table.

use services::service::Service;

use super::base::{self, Base};
use super::container::Container;
use crate::kube_proxy::KubeProxy;

/// The form of one version.
pub(crate) struct Form {
    /// What is there without any Service.
    pub(crate) base: &'static Base,
    /// What is listed before each transaction.
    pub(crate) listing: Listing,
    /// How packets get from a Service to its endpoints.
    pub(crate) endpoints: Endpoints,
    /// Sets and maps that grow with Services, in the order in which kube-proxy reads and cleans them.
    pub(crate) containers: &'static [Container],
    /// Whether it is that of 1.30: every sync rewrites the whole table, and rules and elements say more.
    pub(crate) is_1_30: bool,
    /// What marks a packet that is to be masqueraded.
    pub(crate) mark: &'static str,
    /// The end of the rule that marks whatever comes in from outside the cluster.
    pub(crate) comment_of_mark: &'static str,
    /// Longest comment of an element, in bytes.
    pub(crate) longest_comment: usize,
}

/// How the names of chains and sets are read that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listing {
    /// `nft list chains` and `nft list sets`, of all tables of the family.
    AllTables,
    /// One terse `nft list table`.
    OwnTable,
    /// A dump of chains and one of sets over netlink, without a program.
    Netlink,
}

/// How packets get from a Service to its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoints {
    /// By a map of chains, one for each endpoint, which mark what comes from the endpoint itself.
    Chains,
    /// By a map of addresses. Only session affinity needs a chain for each endpoint. What an endpoint sends to itself is
    /// masqueraded by a set.
    Addresses {
        /// Whether a Service with one endpoint has no map.
        single: bool,
    },
}

const CONTAINERS: [Container; 7] = [
    Container::ClusterIps,
    Container::ServiceIps,
    Container::FirewallIps,
    Container::NoEndpointServices,
    Container::NoEndpointNodeports,
    Container::ServiceNodeports,
    Container::HairpinConnections,
];

/// All but the last.
const WITHOUT_HAIRPINS: &[Container] = CONTAINERS.split_at(6).0;

const V1_34: Form = Form {
    base: &base::V1_34,
    listing: Listing::AllTables,
    endpoints: Endpoints::Chains,
    containers: WITHOUT_HAIRPINS,
    is_1_30: false,
    mark: "jump mark-for-masquerade",
    comment_of_mark: "",
    longest_comment: usize::MAX,
};

static FORM_1_30: Form = Form { base: &base::V1_30, is_1_30: true, ..V1_34 };
static FORM_1_34: Form = V1_34;
static FORM_1_35: Form = Form { listing: Listing::OwnTable, ..V1_34 };

const V1_36: Form = Form {
    base: &base::V1_36,
    listing: Listing::OwnTable,
    endpoints: Endpoints::Addresses { single: false },
    containers: &CONTAINERS,
    mark: "mark set mark or 0x00004000",
    comment_of_mark: " comment \"masquerade\"",
    ..V1_34
};

static FORM_1_36: Form = V1_36;
static FORM_1_37: Form = Form {
    base: &base::V1_37,
    listing: Listing::Netlink,
    endpoints: Endpoints::Addresses { single: true },
    // `CommentLengthMax` of knftables.
    longest_comment: 128,
    ..V1_36
};

impl Form {
    /// That of a version.
    pub(crate) const fn of(version: KubeProxy) -> &'static Self {
        match version {
            // The mode came later; its oldest form stands for it.
            KubeProxy::V1_20 | KubeProxy::V1_30 => &FORM_1_30,
            KubeProxy::V1_34 => &FORM_1_34,
            KubeProxy::V1_35 => &FORM_1_35,
            KubeProxy::V1_36 => &FORM_1_36,
            KubeProxy::V1_37 => &FORM_1_37,
        }
    }

    /// Whether each endpoint of a Service has a chain.
    pub(crate) fn has_endpoint_chains(&self, service: &Service) -> bool {
        self.endpoints == Endpoints::Chains || service.affinity_seconds.is_some()
    }

    /// Whether hairpins are masqueraded by a set.
    pub(crate) const fn has_hairpins(&self) -> bool {
        matches!(self.endpoints, Endpoints::Addresses { .. })
    }
}
