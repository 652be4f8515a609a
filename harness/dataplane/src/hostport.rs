//! HostPort: what the CNI `portmap` plugin runs when a pod with host ports comes and when it goes.
//!
//! Source: containernetworking/plugins v1.9.0, `plugins/meta/portmap` and `pkg/utils`; go-iptables, which runs one
//! `iptables` for every rule and every question; knftables for `nft`. The runtime calls the plugin once for a pod:
//! every call starts from nothing, asks for versions anew, and knows only what the kernel holds.
//!
//! Configuration: the plugin's defaults (`snat` true, `markMasqBit` 13, `masqAll` false, no conditions). Without a
//! `backend` the plugin takes iptables wherever that works (`validateBackend`), on a node whose kube-proxy is in
//! nftables mode, too; [`Backend::Nftables`] is a node whose configuration says so.

mod iptables;
mod nftables;
mod sandbox;

use services::service::{Family, Protocol};

pub use self::sandbox::{HostPort, Sandbox};
use crate::counts::Counts;
use crate::plan::{Action, Expect, Phase, Program, Step};

/// With what the plugin writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// `iptables`, of whichever variant: chains CNI-HOSTPORT-* and CNI-DN-* of the nat table.
    Iptables,
    /// `nft`: a table `cni_hostport` of its own.
    Nftables,
}

/// The host ports of a node: which pods have some now, and what the plugin runs for the next.
///
/// The state is a model of what the kernel holds, since each call of the plugin depends on it: which chains and rules
/// are there already, and the handles by which nft deletes rules. It is right as long as nobody else writes into the
/// same chains.
#[derive(Clone, Debug)]
pub struct HostPorts {
    kernel: Kernel,
    sandboxes: Vec<Sandbox>,
}

#[derive(Clone, Debug)]
enum Kernel {
    Iptables(iptables::Nat),
    Nftables(nftables::Tables),
}

impl HostPorts {
    /// A node without any. `ip6tables`: whether it works there; without it the plugin leaves IPv6 alone when a pod
    /// goes.
    pub fn new(backend: Backend, ip6tables: bool) -> Self {
        let kernel = match backend {
            Backend::Iptables => Kernel::Iptables(iptables::Nat::new(ip6tables)),
            Backend::Nftables => Kernel::Nftables(nftables::Tables::default()),
        };
        Self { kernel, sandboxes: Vec::new() }
    }

    /// What the plugin runs for a pod that comes. Nothing for one without host ports.
    pub fn add(&mut self, sandbox: Sandbox) -> Vec<Step> {
        let mut steps = Vec::new();
        if sandbox.ports.is_empty() {
            return steps;
        }
        if let Kernel::Iptables(_) = self.kernel {
            steps.extend(iptables::choice());
        }
        for family in Family::ALL {
            let Some(address) = sandbox.address(family) else { continue };
            match &mut self.kernel {
                Kernel::Iptables(nat) => nat.add(&sandbox, family, address, &mut steps),
                Kernel::Nftables(tables) => tables.add(&sandbox, family, address, &mut steps),
            }
            steps.extend(forget_flows(&sandbox, family));
            if let (Family::Ipv4, Some(key)) = (family, sandbox.route_localnet) {
                steps.push(Step::asks(Phase::Setup, Action::Sysctl { key, value: "1" }));
            }
        }
        self.sandboxes.push(sandbox);
        steps
    }

    /// What the plugin runs when the pod with this id goes. Nothing if there is none.
    pub fn remove(&mut self, container_id: &str) -> Vec<Step> {
        let mut steps = Vec::new();
        let Some(index) = self.sandboxes.iter().position(|sandbox| sandbox.container_id == container_id)
        else {
            return steps;
        };
        let sandbox = self.sandboxes.remove(index);
        match &mut self.kernel {
            Kernel::Iptables(nat) => {
                steps.extend(iptables::choice());
                nat.remove(&sandbox, &mut steps);
            }
            Kernel::Nftables(tables) => tables.remove(&sandbox, &mut steps),
        }
        steps
    }

    /// The pods that are there.
    pub fn sandboxes(&self) -> &[Sandbox] {
        &self.sandboxes
    }

    /// What the kernel holds for a family. The nat table's own chains are not counted, those of table `cni_hostport`
    /// are.
    pub fn counts(&self, family: Family) -> Counts {
        match &self.kernel {
            Kernel::Iptables(nat) => nat.counts(family),
            Kernel::Nftables(tables) => tables.counts(family),
        }
    }
}

/// Known flows of a UDP port would go on to whoever had it before. The plugin deletes them over netlink, in its own
/// process; here the program of conntrack-tools does it.
fn forget_flows(sandbox: &Sandbox, family: Family) -> Vec<Step> {
    let udp = sandbox.ports.iter().filter(|port| port.protocol == Protocol::Udp);
    udp.map(|port| {
        let port = port.host_port.to_string();
        let args = ["-D", "-f", family.name(), "-p", "udp", "--dport", &port];
        Step::new(Phase::Conntrack, Program::Conntrack, &args, Expect::ZeroOrOne)
    })
    .collect()
}
