//! Service objects: all ports of one (namespace, name), of both families.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    ClientIPConfig, LoadBalancerIngress, LoadBalancerStatus, Service as ServiceObject, ServicePort,
    ServiceSpec, ServiceStatus, SessionAffinityConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use services::service::{Family, Policy, Protocol, Service};

use super::error::ObjectsError;

/// As the API names it.
pub(super) const fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Sctp => "SCTP",
    }
}

/// As the API names it.
pub(super) const fn family(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}

/// That an API server could hold them as one object.
pub(super) fn check(ports: &[Arc<Service>]) -> Result<(), ObjectsError> {
    let Some(first) = ports.first() else { return Ok(()) };
    let service = || format!("{}/{}", first.namespace, first.name);
    let differ = |what| Err(ObjectsError::PortsDiffer { service: service(), what });
    let impossible = |what| Err(ObjectsError::Impossible { service: service(), what });
    for (index, port) in ports.iter().enumerate() {
        let others = || ports.iter().take(index);
        let key = (&port.port_name, port.protocol);
        for other in others().filter(|other| (&other.port_name, other.protocol) == key) {
            if other.family() == port.family() {
                return Err(ObjectsError::Twice { service: service(), port: port.port_name.clone() });
            }
            if (other.cluster.port(), other.node_port) != (port.cluster.port(), port.node_port) {
                return differ("a port's numbers, from family to family");
            }
        }
        if let Some(other) = others().find(|other| other.family() == port.family()) {
            if other.cluster.ip() != port.cluster.ip() {
                return differ("the cluster IP");
            }
            if other.external_ips != port.external_ips {
                return differ("external IPs");
            }
            if other.load_balancer_ips != port.load_balancer_ips {
                return differ("load-balancer IPs");
            }
            if other.source_ranges != port.source_ranges {
                return differ("source ranges");
            }
        }
        if port.external_policy != first.external_policy || port.internal_policy != first.internal_policy {
            return differ("traffic policies");
        }
        if port.health_check_node_port != first.health_check_node_port {
            return differ("the health-check node port");
        }
        if port.affinity_seconds != first.affinity_seconds {
            return differ("session affinity");
        }
    }
    if first.health_check_node_port.is_some() && first.external_policy == Policy::Cluster {
        return impossible("a health-check node port goes with externalTrafficPolicy Local only");
    }
    if first.affinity_seconds.is_some_and(|seconds| !(1..=86_400).contains(&seconds)) {
        return impossible("session affinity lasts 1 to 86400 seconds");
    }
    Ok(())
}

/// Families of a Service, the first that it is listed with first.
pub(super) fn families(ports: &[Arc<Service>]) -> Vec<Family> {
    let mut families: Vec<Family> = ports.iter().map(|port| port.family()).collect();
    families.dedup();
    families.truncate(2);
    families
}

/// What every port of one family has, for each family in turn.
fn of_families<T: ToString>(ports: &[Arc<Service>], list: fn(&Service) -> &[T]) -> Vec<String> {
    let of = |family: Family| {
        let port = ports.iter().find(|port| port.family() == family);
        port.map_or(&[][..], |port| list(port)).iter().map(ToString::to_string)
    };
    families(ports).into_iter().flat_map(of).collect()
}

/// The object; the ports are those of one Service and pass [`check`].
pub(super) fn object(ports: &[Arc<Service>]) -> Option<ServiceObject> {
    let first = ports.first()?;
    let cluster_ip = |family: Family| {
        let of_family = ports.iter().find(|port| port.family() == family);
        of_family.map(|port| port.cluster.ip().to_string())
    };
    let families = families(ports);
    let cluster_ips: Vec<String> = families.iter().filter_map(|&family| cluster_ip(family)).collect();
    let external_ips = of_families(ports, |service| &service.external_ips);
    let ranges = of_families(ports, |service| &service.source_ranges);
    let load_balancer = of_families::<IpAddr>(ports, |service| &service.load_balancer_ips);
    let has_node_ports = ports.iter().any(|port| port.node_port.is_some());
    let is_local = first.external_policy == Policy::Local;
    // A load balancer that has no address yet is the only thing with a policy Local and nothing to reach it by.
    let is_load_balancer = !load_balancer.is_empty()
        || first.health_check_node_port.is_some()
        || !ranges.is_empty()
        || is_local && !has_node_ports && external_ips.is_empty();
    let kind = match (is_load_balancer, has_node_ports) {
        (true, _) => "LoadBalancer",
        (false, true) => "NodePort",
        (false, false) => "ClusterIP",
    };
    let is_external = kind != "ClusterIP" || !external_ips.is_empty();
    let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
    let spec = ServiceSpec {
        allocate_load_balancer_node_ports: is_load_balancer
            .then(|| ports.iter().all(|port| port.node_port.is_some())),
        cluster_ip: cluster_ips.first().cloned(),
        cluster_ips: some(cluster_ips),
        external_ips: some(external_ips),
        external_traffic_policy: is_external.then(|| policy(first.external_policy)),
        health_check_node_port: first.health_check_node_port.map(i32::from),
        internal_traffic_policy: Some(policy(first.internal_policy)),
        ip_family_policy: Some(if families.len() > 1 { "RequireDualStack" } else { "SingleStack" }.into()),
        ip_families: Some(families.iter().map(|&of| family(of).into()).collect()),
        load_balancer_source_ranges: some(ranges),
        ports: Some(service_ports(ports)),
        session_affinity: Some(if first.affinity_seconds.is_some() { "ClientIP" } else { "None" }.into()),
        session_affinity_config: first.affinity_seconds.map(|seconds| SessionAffinityConfig {
            client_ip: Some(ClientIPConfig { timeout_seconds: i32::try_from(seconds).ok() }),
        }),
        type_: Some(kind.into()),
        ..ServiceSpec::default()
    };
    let ingress = |ip| LoadBalancerIngress {
        ip: Some(ip),
        ip_mode: Some("VIP".into()),
        ..LoadBalancerIngress::default()
    };
    let ingress: Vec<_> = load_balancer.into_iter().map(ingress).collect();
    let status = LoadBalancerStatus { ingress: (!ingress.is_empty()).then_some(ingress) };
    Some(ServiceObject {
        metadata: ObjectMeta {
            namespace: Some(first.namespace.clone()),
            name: Some(first.name.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: Some(ServiceStatus { load_balancer: Some(status), ..ServiceStatus::default() }),
    })
}

fn policy(policy: Policy) -> String {
    match policy {
        Policy::Cluster => "Cluster",
        Policy::Local => "Local",
    }
    .into()
}

/// Each port once: it has the same numbers in both families.
fn service_ports(ports: &[Arc<Service>]) -> Vec<ServicePort> {
    let mut list: Vec<&Arc<Service>> = Vec::new();
    for port in ports {
        let key = (&port.port_name, port.protocol);
        if !list.iter().any(|other| (&other.port_name, other.protocol) == key) {
            list.push(port);
        }
    }
    let port = |port: &Arc<Service>| {
        let number = i32::from(port.cluster.port());
        let name = (!port.port_name.is_empty()).then(|| port.port_name.clone());
        ServicePort {
            // A name, so that endpoints with other port numbers change no Service.
            target_port: Some(name.clone().map_or(IntOrString::Int(number), IntOrString::String)),
            name,
            node_port: port.node_port.map(i32::from),
            port: number,
            protocol: Some(protocol(port.protocol).into()),
            app_protocol: None,
        }
    };
    list.into_iter().map(port).collect()
}
