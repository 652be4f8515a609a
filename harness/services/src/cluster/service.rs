//! Service objects: which Service ports the proxier of each family makes of one (pkg/proxy/serviceport.go and
//! servicechangetracker.go).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use k8s_openapi::api::core::v1 as core;

use super::address;
use super::check::{label, plain, port, protocol, quoted, unicast};
use super::passed::{PassedOver, Reason};
use crate::service::{Family, Policy, Service};

/// Seconds that session affinity lasts unless the Service says otherwise: what the API server fills in.
const AFFINITY_SECONDS: i32 = 10_800;
/// The longest that it takes.
const MAX_AFFINITY_SECONDS: i32 = 86_400;

/// Whether kube-proxy's watches leave an object out, and why.
pub(super) fn is_for_another_proxy(labels: &BTreeMap<String, String>) -> Option<Reason> {
    if labels.contains_key("service.kubernetes.io/service-proxy-name") {
        return Some(Reason::OtherProxy);
    }
    labels.contains_key("service.kubernetes.io/headless").then_some(Reason::Headless)
}

/// The Service ports of each family, without endpoints. What is passed over is counted.
pub(super) fn ports(
    object: &core::Service,
    passed_over: &mut PassedOver,
) -> Result<[Vec<Service>; 2], String> {
    let name = object.metadata.name.as_deref().ok_or("metadata.name: a Service needs a name")?;
    let namespace =
        object.metadata.namespace.as_deref().ok_or("metadata.namespace: a Service needs a namespace")?;
    label(name, "metadata.name:")?;
    label(namespace, "metadata.namespace:")?;
    let full_name = || format!("{namespace}/{name}");
    let default = core::ServiceSpec::default();
    let spec = object.spec.as_ref().unwrap_or(&default);
    let kind = kind(spec)?;
    let labelled = object.metadata.labels.as_ref().and_then(is_for_another_proxy);
    if let Some(reason) = labelled.or_else(|| skipped(spec, kind)) {
        passed_over.service(reason, full_name);
        return Ok(Default::default());
    }
    let of_family = |family| -> Result<Option<IpAddr>, String> { cluster_ip(spec, family) };
    let cluster = [of_family(Family::Ipv4)?, of_family(Family::Ipv6)?];
    let common = Common::of(object, spec, kind, |entry| {
        passed_over.entries.add(|| format!("{}: {entry}", full_name()))
    })?;
    let mut found = <[Vec<Service>; 2]>::default();
    for (family, cluster) in Family::ALL.into_iter().zip(cluster) {
        let Some(cluster) = cluster else {
            passed_over
                .service(if family == Family::Ipv4 { Reason::NoIpv4 } else { Reason::NoIpv6 }, full_name);
            continue;
        };
        for (index, port) in spec.ports.iter().flatten().enumerate() {
            let service = service_port(namespace, name, port, cluster)
                .map_err(|problem| format!("spec.ports[{index}].{problem}"))?;
            found[family as usize].push(common.applied(service));
        }
    }
    Ok(found)
}

/// `spec.type`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    ClusterIp,
    NodePort,
    LoadBalancer,
    ExternalName,
}

fn kind(spec: &core::ServiceSpec) -> Result<Kind, String> {
    match spec.type_.as_deref() {
        None | Some("ClusterIP") => Ok(Kind::ClusterIp),
        Some("NodePort") => Ok(Kind::NodePort),
        Some("LoadBalancer") => Ok(Kind::LoadBalancer),
        Some("ExternalName") => Ok(Kind::ExternalName),
        Some(other) => Err(format!(
            "spec.type: {} is unknown; expected ClusterIP, NodePort, LoadBalancer or ExternalName",
            quoted(other)
        )),
    }
}

/// The one that kube-proxy looks at first; the API server keeps it the same as the first of the list.
fn first_cluster_ip(spec: &core::ServiceSpec) -> &str {
    let first = spec.cluster_ips.as_ref().and_then(|ips| ips.first());
    spec.cluster_ip.as_deref().or(first.map(String::as_str)).unwrap_or_default()
}

/// `ShouldSkipService`.
fn skipped(spec: &core::ServiceSpec, kind: Kind) -> Option<Reason> {
    match (kind, first_cluster_ip(spec)) {
        (Kind::ExternalName, _) => Some(Reason::ExternalName),
        (_, "None") => Some(Reason::Headless),
        (_, "") => Some(Reason::NoClusterIp),
        _ => None,
    }
}

/// The cluster IP of a family (`GetClusterIPByFamily`).
fn cluster_ip(spec: &core::ServiceSpec, family: Family) -> Result<Option<IpAddr>, String> {
    let (field, text) = match spec.ip_families.as_deref() {
        None | Some([]) => ("spec.clusterIP".to_owned(), Some(first_cluster_ip(spec))),
        Some(families) => {
            let names = ["IPv4", "IPv6"];
            if let Some(other) = families.iter().find(|name| !names.contains(&name.as_str())) {
                return Err(format!("spec.ipFamilies: {} is unknown; expected IPv4 or IPv6", quoted(other)));
            }
            let ips: Vec<&str> = match spec.cluster_ips.as_deref() {
                None | Some([]) => vec![first_cluster_ip(spec)],
                Some(ips) => ips.iter().map(String::as_str).collect(),
            };
            let index = families.iter().position(|name| name == names[family as usize]);
            let Some(index) = index.filter(|&index| index < ips.len()) else { return Ok(None) };
            (format!("spec.clusterIPs[{index}]"), Some(ips[index]))
        }
    };
    let Some(text) = text else { return Ok(None) };
    let wrong = |problem: String| format!("{field}: {problem}");
    let ip = address::address(text).ok_or_else(|| wrong(format!("{} is not an IP address", quoted(text))))?;
    let ip = unicast(ip).map_err(wrong)?;
    match spec.ip_families.as_deref() {
        Some([_, ..]) if Family::of(ip) != family => {
            Err(wrong(format!("{ip} is not of the family that spec.ipFamilies has at its place")))
        }
        _ => Ok(Some(ip).filter(|&ip| Family::of(ip) == family)),
    }
}

fn service_port(
    namespace: &str,
    name: &str,
    given: &core::ServicePort,
    cluster: IpAddr,
) -> Result<Service, String> {
    let protocol = protocol(given.protocol.as_deref()).map_err(|problem| format!("protocol: {problem}"))?;
    let port_name = given.name.as_deref().unwrap_or_default();
    if !port_name.is_empty() {
        label(port_name, "name:")?;
    }
    let number = port(given.port).map_err(|problem| format!("port: {problem}"))?;
    let cluster = SocketAddr::new(cluster, number);
    let mut service = Service::new(namespace, name, port_name, protocol, cluster, Vec::new());
    service.node_port = match given.node_port {
        None | Some(0) => None,
        Some(number) => Some(port(number).map_err(|problem| format!("nodePort: {problem}"))?),
    };
    Ok(service)
}

/// What all ports of a Service have in common. Addresses of both families: each proxier takes its own.
struct Common {
    external_ips: Vec<IpAddr>,
    load_balancer_ips: Vec<IpAddr>,
    source_ranges: Vec<IpNet>,
    external_policy: Policy,
    internal_policy: Policy,
    health_check_node_port: Option<u16>,
    affinity_seconds: Option<u32>,
}

impl Common {
    /// `pass_over` hears what kube-proxy skips.
    fn of(
        object: &core::Service,
        spec: &core::ServiceSpec,
        kind: Kind,
        mut pass_over: impl FnMut(String),
    ) -> Result<Self, String> {
        let texts = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
        let external = texts(&spec.external_ips);
        let mut read = |texts: Vec<String>, field: &str| -> Vec<IpAddr> {
            let found = texts.into_iter().map(|text| (address::address(&text), text));
            distinct(found, |text| pass_over(format!("{field} {}", quoted(text))))
        };
        let is_external = match kind {
            Kind::LoadBalancer | Kind::NodePort => true,
            Kind::ClusterIp | Kind::ExternalName => !external.is_empty(),
        };
        let external_ips = read(external, "externalIPs");
        let load_balancer_ips = read(ingress(object)?, "ingress");
        let ranges = texts(&spec.load_balancer_source_ranges).into_iter();
        let source_ranges = distinct(ranges.map(|text| (address::range(&text), text)), |text| {
            pass_over(format!("loadBalancerSourceRanges {}", quoted(text)));
        });
        let external_policy = match policy(spec.external_traffic_policy.as_deref(), "externalTrafficPolicy")?
        {
            Policy::Local if is_external => Policy::Local,
            _ => Policy::Cluster,
        };
        let has_check = kind == Kind::LoadBalancer && external_policy == Policy::Local;
        let health_check_node_port = match spec.health_check_node_port {
            Some(number) if has_check && number != 0 => {
                Some(port(number).map_err(|problem| format!("spec.healthCheckNodePort: {problem}"))?)
            }
            _ => None,
        };
        Ok(Self {
            external_ips,
            load_balancer_ips,
            source_ranges,
            external_policy,
            internal_policy: policy(spec.internal_traffic_policy.as_deref(), "internalTrafficPolicy")?,
            health_check_node_port,
            affinity_seconds: affinity(spec)?,
        })
    }

    fn applied(&self, mut service: Service) -> Service {
        let family = service.family();
        let own = |ips: &[IpAddr]| ips.iter().copied().filter(|&ip| Family::of(ip) == family).collect();
        service.external_ips = own(&self.external_ips);
        service.load_balancer_ips = own(&self.load_balancer_ips);
        let is_own = |range: &IpNet| Family::of(range.addr()) == family;
        service.source_ranges = self.source_ranges.iter().copied().filter(is_own).collect();
        service.external_policy = self.external_policy;
        service.internal_policy = self.internal_policy;
        service.health_check_node_port = self.health_check_node_port;
        service.affinity_seconds = self.affinity_seconds;
        service
    }
}

/// What could be read, each once; the texts of the rest are passed over. Of empty ones nothing is said, as by kube-proxy.
fn distinct<T: PartialEq>(
    found: impl Iterator<Item = (Option<T>, String)>,
    mut pass_over: impl FnMut(&str),
) -> Vec<T> {
    let mut list = Vec::new();
    for (value, text) in found {
        match value {
            Some(value) if !list.contains(&value) => list.push(value),
            None if text.trim().is_empty() => {}
            _ => pass_over(&text),
        }
    }
    list
}

/// Addresses of load balancers that leave the destination of packets as it is (`IsVIPMode`).
fn ingress(object: &core::Service) -> Result<Vec<String>, String> {
    let status = object.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let mut ips = Vec::new();
    for (index, entry) in status.and_then(|status| status.ingress.as_ref()).into_iter().flatten().enumerate()
    {
        let is_vip = match entry.ip_mode.as_deref() {
            None | Some("VIP") => true,
            Some("Proxy") => false,
            Some(other) => {
                return Err(format!(
                    "status.loadBalancer.ingress[{index}].ipMode: {} is unknown; expected VIP or Proxy",
                    quoted(other)
                ));
            }
        };
        ips.extend(entry.ip.clone().filter(|ip| is_vip && !ip.is_empty()));
    }
    Ok(ips)
}

fn policy(text: Option<&str>, field: &str) -> Result<Policy, String> {
    match text {
        None | Some("" | "Cluster") => Ok(Policy::Cluster),
        Some("Local") => Ok(Policy::Local),
        Some(other) => Err(format!("spec.{field}: {} is unknown; expected Cluster or Local", quoted(other))),
    }
}

fn affinity(spec: &core::ServiceSpec) -> Result<Option<u32>, String> {
    match spec.session_affinity.as_deref() {
        None | Some("" | "None") => return Ok(None),
        Some("ClientIP") => {}
        Some(other) => {
            return Err(format!(
                "spec.sessionAffinity: {} is unknown; expected None or ClientIP",
                quoted(other)
            ));
        }
    }
    let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    let seconds = config.and_then(|config| config.timeout_seconds).unwrap_or(AFFINITY_SECONDS);
    match u32::try_from(seconds) {
        Ok(known) if (1..=MAX_AFFINITY_SECONDS).contains(&seconds) => Ok(Some(known)),
        _ => Err(plain(&format!(
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: {seconds} is out of range; expected 1 to \
             {MAX_AFFINITY_SECONDS}"
        ))),
    }
}
