//! Pieces of rules that recur: written once for each Service port, or once for all.

use std::net::{IpAddr, SocketAddr};

use services::service::Service;

use super::ports::put_display_name;
use crate::node::Node;
use crate::text::{AddressText, put};

/// The bit that marks packets to be masqueraded (masqueradeBit 14).
pub(crate) const MARK: &str = "0x00004000";

/// Pieces of the rules of one Service port after another. The buffers are used again.
pub(crate) struct Words {
    /// `namespace/name:port`.
    pub(crate) name: Vec<u8>,
    /// `tcp`.
    pub(crate) protocol: &'static str,
    /// ` -m tcp -p tcp`.
    pub(crate) of_protocol: Vec<u8>,
    /// The Service port, as text.
    pub(crate) port: Vec<u8>,
    /// ` -m tcp -p tcp -d 10.96.0.10 --dport 80`.
    pub(crate) to_cluster_ip: Vec<u8>,
    /// What follows an address that is matched alone: nothing, or its prefix length.
    pub(crate) bits: &'static str,
    /// ` -s 10.244.0.0/16`, if a cluster CIDR is known.
    pub(crate) from_pods: Option<String>,
    /// Text of 1/n at index n.
    probabilities: Vec<String>,
}

impl Words {
    /// Those of a node; `bits`: what follows an address that is matched alone.
    pub(crate) fn new(node: &Node, bits: &'static str) -> Self {
        Self {
            name: Vec::new(),
            protocol: "",
            of_protocol: Vec::new(),
            port: Vec::new(),
            to_cluster_ip: Vec::new(),
            bits,
            from_pods: node.cluster_cidr.map(|cidr| format!(" -s {cidr}")),
            probabilities: Vec::new(),
        }
    }

    /// Those of the next Service port.
    pub(crate) fn next(&mut self, service: &Service) {
        self.name.clear();
        put_display_name(&mut self.name, service);
        if self.protocol != service.protocol.name() {
            self.protocol = service.protocol.name();
            self.of_protocol.clear();
            put!(self.of_protocol, " -m ", self.protocol, " -p ", self.protocol);
        }
        let cluster = AddressText::new(service.cluster);
        self.port.clear();
        put!(self.port, cluster.port());
        self.to_cluster_ip.clear();
        put!(self.to_cluster_ip, self.of_protocol, " -d ", cluster.ip(), self.bits, " --dport ", self.port);
    }

    /// ` -m tcp -p tcp -d 198.51.100.1 --dport 80`, for another address of the Service.
    pub(crate) fn to(&self, ip: IpAddr) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        let address = AddressText::new(SocketAddr::new(ip, 0));
        put!(out, self.of_protocol, " -d ", address.ip(), self.bits, " --dport ", self.port);
        out
    }

    /// 1/n, as kube-proxy writes it.
    pub(crate) fn probability(&mut self, n: usize) -> &str {
        for next in self.probabilities.len()..=n {
            self.probabilities.push(format!("{:.10}", 1.0 / next as f64));
        }
        &self.probabilities[n]
    }
}
