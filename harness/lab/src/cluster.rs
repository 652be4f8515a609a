//! A cluster's Services as what a run installs, in addresses of synthetic ones.

use std::path::Path;
use std::sync::Arc;

use dataplane::Node;
use netns_setup::{SetupError, Topology};
use services::address_blocks::LabBlocks;
use services::cluster::lab_addresses::{Full, LabAddresses};
use services::cluster::{Chosen, ClusterInput};
use services::service::{Family, Protocol};
use services::service_set::{Scale, ServiceSet};

/// What stands before the digest in the copy of the sweep that a run keeps.
pub const PLANNED: &str = "# SHA-256 of what was planned: ";

/// What every lab of a run gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Its Service ports, in the order of the file.
    pub set: Arc<ServiceSet>,
    /// Addresses of its lab.
    pub addresses: LabAddresses,
    /// Which packets are sent in lookups: those of the protocol that more Services answer. All cells of a run send the
    /// same, or the controls would be none.
    pub protocol: Protocol,
    chosen: Chosen,
    file: String,
}

/// Why a cluster cannot be installed.
#[derive(Debug, thiserror::Error)]
pub enum NotInstalled {
    /// Its family.
    #[error("the packet probe sends IPv4, and these are Services of IPv6; `svcbench plan` plans them")]
    Ipv6,
    /// Nobody would answer.
    #[error("no Service of TCP or UDP has an endpoint that packets could be sent to")]
    Nobody,
    /// Addresses.
    #[error(transparent)]
    Full(#[from] Full),
    /// As the lab sees it.
    #[error(transparent)]
    Testbed(#[from] SetupError),
}

/// The lab that is built on these blocks.
pub fn topology(blocks: &LabBlocks, label: String) -> Topology {
    let [client_prefix, service_prefix, endpoint_prefix] = blocks.own;
    Topology {
        label,
        probe_prefix: blocks.probes,
        client_prefix,
        service_prefix,
        endpoint_prefix,
        node_address: blocks.node,
    }
}

impl Installed {
    /// Of what was read from `file` and chosen.
    ///
    /// # Errors
    /// [`NotInstalled`].
    pub fn of(file: &Path, chosen: Chosen) -> Result<Self, NotInstalled> {
        if chosen.family == Family::Ipv6 {
            return Err(NotInstalled::Ipv6);
        }
        let set = &chosen.set;
        let answering = |protocol| {
            let is = |&index: &usize| set.services()[index].protocol == protocol && set.answers(index);
            (0..set.len()).filter(is).count()
        };
        let [tcp, udp] = [Protocol::Tcp, Protocol::Udp].map(answering);
        if tcp + udp == 0 {
            return Err(NotInstalled::Nobody);
        }
        let addresses = LabAddresses::choose(&chosen)?;
        topology(&addresses.blocks, String::new()).validate().map_err(SetupError::from)?;
        Ok(Self {
            set: Arc::new(chosen.set.clone()),
            addresses,
            protocol: if tcp > udp { Protocol::Tcp } else { Protocol::Udp },
            file: file.display().to_string(),
            chosen,
        })
    }

    /// The node; settings of kube-proxy are those of `like`.
    pub const fn node(&self, like: Node) -> Node {
        like.of_cluster(&self.chosen)
    }

    /// Number of Services, and of endpoints of each, on average.
    pub fn scale(&self) -> Scale {
        let services = self.set.len().max(1);
        let mean = ((self.set.total_endpoints() + services / 2) / services).max(1);
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Scale { services: number(services), endpoints: number(mean) }
    }

    /// Lines for the copy of the sweep that a run keeps: a comment by which a run that is resumed knows whether it is the
    /// same cluster, and people what it was. Neither names nor addresses.
    pub fn note(&self, input: &ClusterInput) -> String {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(format!("{:?}", self.chosen).as_bytes());
        let Scale { services, endpoints } = self.scale();
        let name = Path::new(&self.file).file_name().unwrap_or_default().to_string_lossy();
        format!(
            "\n# Installed instead of synthetic Services, with --from {name}: {services} Service ports of {} Services, {endpoints} \
             endpoints each on average.\n{PLANNED}{}\n",
            input.service_objects,
            data_encoding::HEXLOWER.encode(&digest)
        )
    }
}
