//! What a kube-proxy is started with: a `KubeProxyConfiguration` and a kubeconfig, both as JSON, which is YAML too.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use dataplane::Program;
use ipnet::IpNet;
use serde_json::json;

use crate::version::Version;

/// `mode` of kube-proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyMode {
    /// With the iptables programs; which variant of them is [`Tools`](lab::tools::Tools)' matter.
    Iptables,
    /// With nft.
    Nftables,
    /// With IPVS, IP sets and iptables.
    Ipvs,
}

impl ProxyMode {
    /// As kube-proxy has it.
    pub const fn name(self) -> &'static str {
        match self {
            ProxyMode::Iptables => "iptables",
            ProxyMode::Nftables => "nftables",
            ProxyMode::Ipvs => "ipvs",
        }
    }

    /// Programs without which it does not start in this mode.
    pub const fn needs(self) -> &'static [Program] {
        match self {
            ProxyMode::Iptables => IPTABLES,
            ProxyMode::Nftables => &[Program::Nft],
            ProxyMode::Ipvs => {
                &[Program::Iptables, Program::IptablesSave, Program::IptablesRestore, Program::Ipset]
            }
        }
    }
}

const IPTABLES: &[Program] = &[Program::Iptables, Program::IptablesSave, Program::IptablesRestore];

/// How objects are written between API server and kube-proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentType {
    /// `application/json`.
    Json,
    /// `application/vnd.kubernetes.protobuf`, kube-proxy's own choice.
    Protobuf,
}

impl ContentType {
    const fn name(self) -> &'static str {
        match self {
            ContentType::Json => "application/json",
            ContentType::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }
}

/// Verbosity from which on a sync in IPVS mode has a line (pkg/proxy/ipvs/proxier.go).
const IPVS_SYNC: u8 = 4;

/// A configuration cannot be given to this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A feature gate that came later: kube-proxy would end with `unrecognized feature gate`.
    #[error("kube-proxy {version} has no feature gate {gate}: it came with 1.{since}")]
    Gate {
        /// The gate.
        gate: String,
        /// The version that is to be started.
        version: String,
        /// Minor version that brought it.
        since: u32,
    },
}

/// Gates of kube-proxy that not all of 1.34 to 1.37 have, with the minor version that brought them
/// (pkg/features/kube_features.go).
const GATES: &[(&str, u32)] = &[
    ("AllowServiceExternalIPs", 36),
    ("KubeProxyIPVS", 37),
    ("KubeProxyNFTablesLocalhostNodePorts", 37),
    ("NFTablesNetlink", 37),
];

/// What can be chosen. Whatever is not here is kube-proxy's own default; what would change the machine is switched off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `mode`.
    pub mode: ProxyMode,
    /// Where the API server listens: `http://127.0.0.1:6443`.
    pub api_server: String,
    /// `hostnameOverride`: the Node that it runs on.
    pub node_name: String,
    /// `clusterCIDR`, of one or both families: traffic from elsewhere to a Service is masqueraded. None: nothing is.
    pub cluster_cidrs: Vec<IpNet>,
    /// `nodePortAddresses`; none: what the mode has (all addresses, or the Node's own with nftables).
    pub node_port_addresses: Vec<String>,
    /// `iptables.localhostNodePorts`: when on, kube-proxy sets the namespace's `route_localnet`.
    pub localhost_node_ports: bool,
    /// `masqueradeAll`.
    pub masquerade_all: bool,
    /// `masqueradeBit`, 0 to 31.
    pub masquerade_bit: u8,
    /// `ipvs.scheduler`.
    pub scheduler: Option<String>,
    /// `syncPeriod`: at least this often all is looked after.
    pub sync_period: Duration,
    /// `minSyncPeriod`: at most this often there is a sync.
    pub min_sync_period: Duration,
    /// `healthzBindAddress`.
    pub health: SocketAddr,
    /// `metricsBindAddress`.
    pub metrics: SocketAddr,
    /// `featureGates`.
    pub feature_gates: BTreeMap<String, bool>,
    /// `clientConnection.contentType` and `acceptContentTypes`.
    pub content_type: ContentType,
    /// Whether it serves IPv6 too in iptables and IPVS mode. Else its `ip6tables` is a program that fails. In nftables mode
    /// it asks the namespace's `net.ipv6.conf.all.disable_ipv6`.
    pub ipv6: bool,
    /// Verbosity of the log; from 2 on each sync has a line. In IPVS mode that takes 4, which the file that syncs then has.
    pub verbosity: u8,
    /// What it finds under the names of its programs in place of them: see [`recorder`](crate::recorder).
    pub recorder: Option<PathBuf>,
}

impl Config {
    /// kube-proxy's defaults: sync period 30 s, at least 1 s between syncs, masquerade bit 14, metrics on port 10249, health
    /// on port 10256. JSON, both families, verbosity 2.
    pub fn new(mode: ProxyMode, api_server: impl Into<String>, node_name: impl Into<String>) -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            mode,
            api_server: api_server.into(),
            node_name: node_name.into(),
            cluster_cidrs: Vec::new(),
            node_port_addresses: Vec::new(),
            localhost_node_ports: true,
            masquerade_all: false,
            masquerade_bit: 14,
            scheduler: None,
            sync_period: Duration::from_secs(30),
            min_sync_period: Duration::from_secs(1),
            health: local(10256),
            metrics: local(10249),
            feature_gates: BTreeMap::new(),
            content_type: ContentType::Json,
            ipv6: true,
            verbosity: 2,
            recorder: None,
        }
    }

    /// The text of its `--config` file. `kubeconfig`: where the other one is.
    ///
    /// # Errors
    /// If this version does not know a feature gate.
    pub fn text(&self, version: &Version, kubeconfig: &str) -> Result<String, ConfigError> {
        let mut gates = self.feature_gates.clone();
        for (gate, since) in GATES {
            if gates.contains_key(*gate) && !version.is_at_least(*since) {
                let (gate, version) = ((*gate).to_owned(), version.to_string());
                return Err(ConfigError::Gate { gate, version, since: *since });
            }
        }
        // On in 1.37, and planned to be off by default in 1.40.
        if self.mode == ProxyMode::Ipvs && version.is_at_least(37) {
            gates.entry("KubeProxyIPVS".to_owned()).or_insert(true);
        }
        let mut config = json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": self.mode.name(),
            "hostnameOverride": self.node_name,
            // A port that is taken ends it, where it would else go on without metrics.
            "bindAddressHardFail": true,
            "healthzBindAddress": self.health.to_string(),
            "metricsBindAddress": self.metrics.to_string(),
            "clientConnection": {
                "kubeconfig": kubeconfig,
                "contentType": self.content_type.name(),
                "acceptContentTypes": self.content_type.name(),
                "qps": 50,
                "burst": 100,
            },
            "clusterCIDR": self.cluster_cidrs.iter().map(IpNet::to_string).collect::<Vec<_>>().join(","),
            "detectLocalMode": "ClusterCIDR",
            // Of the limits, the table's is the whole machine's, and all are the lab's to choose.
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
            // Its own -999 would have the kernel end anything else first when memory runs out.
            "oomScoreAdj": 0,
            "featureGates": gates,
            "logging": { "format": "text", "verbosity": self.verbosity, "flushFrequency": "1s" },
        });
        if !self.node_port_addresses.is_empty() {
            config["nodePortAddresses"] = json!(self.node_port_addresses);
        }
        let periods = json!({
            "syncPeriod": seconds(self.sync_period),
            "minSyncPeriod": seconds(self.min_sync_period),
        });
        config[self.mode.name()] = periods;
        // IPVS mode writes rules for iptables, and takes their settings from the section of iptables.
        let section = if self.mode == ProxyMode::Nftables { "nftables" } else { "iptables" };
        config[section]["masqueradeAll"] = json!(self.masquerade_all);
        config[section]["masqueradeBit"] = json!(self.masquerade_bit);
        if self.mode == ProxyMode::Ipvs && self.verbosity < IPVS_SYNC {
            config["logging"]["vmodule"] = json!([{ "filePattern": "proxier", "verbosity": IPVS_SYNC }]);
        }
        match (self.mode, &self.scheduler) {
            (ProxyMode::Iptables, _) => {
                config[section]["localhostNodePorts"] = json!(self.localhost_node_ports);
            }
            (ProxyMode::Ipvs, Some(scheduler)) => config["ipvs"]["scheduler"] = json!(scheduler),
            _ => {}
        }
        Ok(format!("{config:#}\n"))
    }

    /// The text of its kubeconfig: plain HTTP, nobody in particular.
    pub fn kubeconfig(&self) -> String {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "svcbench", "cluster": { "server": self.api_server } }],
            "users": [{ "name": "kube-proxy", "user": {} }],
            "contexts": [{ "name": "svcbench", "context": { "cluster": "svcbench", "user": "kube-proxy" } }],
            "current-context": "svcbench",
        });
        format!("{config:#}\n")
    }
}

/// As `metav1.Duration` reads it.
fn seconds(duration: Duration) -> String {
    match duration.subsec_nanos() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ns", duration.as_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn config(mode: ProxyMode) -> Config {
        Config {
            cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap(), "fd00:10:244::/56".parse().unwrap()],
            ..Config::new(mode, "http://127.0.0.1:6443", "node1")
        }
    }

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn nftables_of_1_37_without_netlink() {
        let mut config = config(ProxyMode::Nftables);
        config.feature_gates.insert("NFTablesNetlink".into(), false);
        insta::assert_snapshot!(config.text(&version("v1.37.2"), "/run/kube-proxy/kubeconfig").unwrap());
        let error = config.text(&version("v1.34.4"), "k").unwrap_err().to_string();
        assert_eq!(error, "kube-proxy v1.34.4 has no feature gate NFTablesNetlink: it came with 1.37");
    }

    #[test]
    fn ipvs_of_1_34_and_1_37_differ_by_a_gate() {
        let config = Config { scheduler: Some("mh".into()), masquerade_all: true, ..config(ProxyMode::Ipvs) };
        let (old, new) = (config.text(&version("1.34.4"), "k"), config.text(&version("1.37.2"), "k"));
        insta::assert_snapshot!(old.as_ref().unwrap());
        let gate = "\"featureGates\": {\n    \"KubeProxyIPVS\": true\n  }";
        assert_eq!(new.unwrap(), old.unwrap().replace("\"featureGates\": {}", gate));
    }

    #[test]
    fn iptables_of_1_34() {
        let config = Config {
            content_type: ContentType::Protobuf,
            node_port_addresses: vec!["primary".into()],
            localhost_node_ports: false,
            min_sync_period: Duration::from_millis(100),
            ..config(ProxyMode::Iptables)
        };
        insta::assert_snapshot!(config.text(&version("1.34.4"), "/run/kube-proxy/kubeconfig").unwrap());
        insta::assert_snapshot!(config.kubeconfig());
    }

    proptest! {
        #[test]
        fn any_name_is_quoted(name in "\\PC{0,40}", server in "\\PC{0,40}") {
            let config = Config::new(ProxyMode::Iptables, server.clone(), name.clone());
            let text: Value = serde_json::from_str(&config.text(&version("1.36.3"), "k").unwrap()).unwrap();
            prop_assert_eq!(text["hostnameOverride"].as_str(), Some(name.as_str()));
            let kubeconfig: Value = serde_json::from_str(&config.kubeconfig()).unwrap();
            prop_assert_eq!(kubeconfig["clusters"][0]["cluster"]["server"].as_str(), Some(server.as_str()));
        }
    }
}
