//! Services.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::meta::{absent, metadata};
use super::wire::Message;
use super::{METADATA, Unsupported};

/// A Service, without its kind.
pub(crate) fn service(service: &core::Service) -> Result<Vec<u8>, Unsupported> {
    let core::Service { metadata: meta, spec, status } = service;
    let mut message = Message::default();
    message.message(METADATA, &metadata(meta)?);
    if let Some(spec) = spec {
        message.message(2, &service_spec(spec));
    }
    if let Some(core::ServiceStatus { conditions, load_balancer }) = status {
        absent(conditions, "status.conditions")?;
        let mut status = Message::default();
        if let Some(core::LoadBalancerStatus { ingress }) = load_balancer {
            let mut balancer = Message::default();
            for entry in ingress.iter().flatten() {
                balancer.message(1, &load_balancer_ingress(entry)?);
            }
            status.message(1, &balancer);
        }
        message.message(3, &status);
    }
    Ok(message.bytes())
}

fn load_balancer_ingress(entry: &core::LoadBalancerIngress) -> Result<Message, Unsupported> {
    let core::LoadBalancerIngress { hostname, ip, ip_mode, ports } = entry;
    absent(ports, "status.loadBalancer.ingress.ports")?;
    let mut message = Message::default();
    message.texts(1, ip);
    message.texts(2, hostname);
    message.texts(3, ip_mode);
    Ok(message)
}

fn service_spec(spec: &core::ServiceSpec) -> Message {
    let core::ServiceSpec {
        allocate_load_balancer_node_ports,
        cluster_ip,
        cluster_ips,
        external_ips,
        external_name,
        external_traffic_policy,
        health_check_node_port,
        internal_traffic_policy,
        ip_families,
        ip_family_policy,
        load_balancer_class,
        load_balancer_ip,
        load_balancer_source_ranges,
        ports,
        publish_not_ready_addresses,
        selector,
        session_affinity,
        session_affinity_config,
        traffic_distribution,
        type_,
    } = spec;
    let mut message = Message::default();
    ports.iter().flatten().for_each(|port| message.message(1, &service_port(port)));
    message.map(2, selector);
    message.texts(3, cluster_ip);
    message.texts(4, type_);
    message.texts(5, external_ips.iter().flatten());
    message.texts(7, session_affinity);
    message.texts(8, load_balancer_ip);
    message.texts(9, load_balancer_source_ranges.iter().flatten());
    message.texts(10, external_name);
    message.texts(11, external_traffic_policy);
    message.number(12, health_check_node_port.map(i64::from));
    message.flag(13, *publish_not_ready_addresses);
    if let Some(core::SessionAffinityConfig { client_ip }) = session_affinity_config {
        let mut config = Message::default();
        if let Some(core::ClientIPConfig { timeout_seconds }) = client_ip {
            let mut timeout = Message::default();
            timeout.number(1, timeout_seconds.map(i64::from));
            config.message(1, &timeout);
        }
        message.message(14, &config);
    }
    message.texts(17, ip_family_policy);
    message.texts(18, cluster_ips.iter().flatten());
    message.texts(19, ip_families.iter().flatten());
    message.flag(20, *allocate_load_balancer_node_ports);
    message.texts(21, load_balancer_class);
    message.texts(22, internal_traffic_policy);
    message.texts(23, traffic_distribution);
    message
}

fn service_port(port: &core::ServicePort) -> Message {
    let core::ServicePort { app_protocol, name, node_port, port, protocol, target_port } = port;
    let mut message = Message::default();
    message.texts(1, name);
    message.texts(2, protocol);
    message.number(3, Some((*port).into()));
    if let Some(target) = target_port {
        let mut either = Message::default();
        match target {
            IntOrString::Int(number) => {
                either.number(1, Some(0));
                either.number(2, Some((*number).into()));
            }
            IntOrString::String(text) => {
                either.number(1, Some(1));
                either.text(3, text);
            }
        }
        message.message(4, &either);
    }
    message.number(5, node_port.map(i64::from));
    message.texts(6, app_protocol);
    message
}
