//! Nodes, Namespaces, ServiceCIDRs.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1 as networking;

use super::meta::{absent, metadata, time};
use super::wire::Message;
use super::{METADATA, Unsupported};

/// A Node, without its kind.
pub(crate) fn node(node: &core::Node) -> Result<Vec<u8>, Unsupported> {
    let core::Node { metadata: meta, spec, status } = node;
    let mut message = Message::default();
    message.message(METADATA, &metadata(meta)?);
    if let Some(spec) = spec {
        message.message(2, &node_spec(spec)?);
    }
    if let Some(status) = status {
        message.message(3, &node_status(status)?);
    }
    Ok(message.bytes())
}

fn node_spec(spec: &core::NodeSpec) -> Result<Message, Unsupported> {
    let core::NodeSpec {
        config_source,
        external_id,
        pod_cidr,
        pod_cidrs,
        pod_preemption_policy,
        provider_id,
        taints,
        unschedulable,
    } = spec;
    absent(config_source, "spec.configSource")?;
    absent(pod_preemption_policy, "spec.podPreemptionPolicy")?;
    absent(taints, "spec.taints")?;
    let mut message = Message::default();
    message.texts(1, pod_cidr);
    message.texts(2, external_id);
    message.texts(3, provider_id);
    message.flag(4, *unschedulable);
    message.texts(7, pod_cidrs.iter().flatten());
    Ok(message)
}

fn node_status(status: &core::NodeStatus) -> Result<Message, Unsupported> {
    let core::NodeStatus {
        addresses,
        allocatable,
        capacity,
        conditions,
        config,
        daemon_endpoints,
        declared_features,
        features,
        images,
        node_info,
        phase,
        runtime_handlers,
        volumes_attached,
        volumes_in_use,
    } = status;
    absent(allocatable, "status.allocatable")?;
    absent(capacity, "status.capacity")?;
    absent(config, "status.config")?;
    absent(daemon_endpoints, "status.daemonEndpoints")?;
    absent(features, "status.features")?;
    absent(images, "status.images")?;
    absent(runtime_handlers, "status.runtimeHandlers")?;
    absent(volumes_attached, "status.volumesAttached")?;
    let mut message = Message::default();
    message.texts(3, phase);
    for core::NodeCondition {
        last_heartbeat_time,
        last_transition_time,
        message: text,
        reason,
        status,
        type_,
    } in conditions.iter().flatten()
    {
        let mut condition = Message::default();
        condition.text(1, type_);
        condition.text(2, status);
        last_heartbeat_time.iter().for_each(|moment| condition.message(3, &time(moment)));
        last_transition_time.iter().for_each(|moment| condition.message(4, &time(moment)));
        condition.texts(5, reason);
        condition.texts(6, text);
        message.message(4, &condition);
    }
    for core::NodeAddress { address, type_ } in addresses.iter().flatten() {
        let mut one = Message::default();
        one.text(1, type_);
        one.text(2, address);
        message.message(5, &one);
    }
    if let Some(info) = node_info {
        message.message(7, &node_info_of(info)?);
    }
    message.texts(9, volumes_in_use.iter().flatten());
    message.texts(14, declared_features.iter().flatten());
    Ok(message)
}

fn node_info_of(info: &core::NodeSystemInfo) -> Result<Message, Unsupported> {
    let core::NodeSystemInfo {
        architecture,
        boot_id,
        container_runtime_version,
        kernel_version,
        kube_proxy_version,
        kubelet_version,
        machine_id,
        operating_system,
        os_image,
        running_in_user_namespace,
        swap,
        system_uuid,
    } = info;
    absent(swap, "status.nodeInfo.swap")?;
    let texts = [
        machine_id,
        system_uuid,
        boot_id,
        kernel_version,
        os_image,
        container_runtime_version,
        kubelet_version,
        kube_proxy_version,
        operating_system,
        architecture,
    ];
    let mut message = Message::default();
    (1..).zip(texts).for_each(|(tag, text)| message.text(tag, text));
    message.flag(12, *running_in_user_namespace);
    Ok(message)
}

/// A Namespace, without its kind.
pub(crate) fn namespace(namespace: &core::Namespace) -> Result<Vec<u8>, Unsupported> {
    let core::Namespace { metadata: meta, spec, status } = namespace;
    let mut message = Message::default();
    message.message(METADATA, &metadata(meta)?);
    absent(spec, "spec")?;
    if let Some(core::NamespaceStatus { conditions, phase }) = status {
        absent(conditions, "status.conditions")?;
        let mut status = Message::default();
        status.texts(1, phase);
        message.message(3, &status);
    }
    Ok(message.bytes())
}

/// A ServiceCIDR, without its kind.
pub(crate) fn service_cidr(cidr: &networking::ServiceCIDR) -> Result<Vec<u8>, Unsupported> {
    let networking::ServiceCIDR { metadata: meta, spec, status } = cidr;
    let mut message = Message::default();
    message.message(METADATA, &metadata(meta)?);
    absent(status, "status")?;
    if let Some(networking::ServiceCIDRSpec { cidrs }) = spec {
        let mut spec = Message::default();
        spec.texts(1, cidrs.iter().flatten());
        message.message(2, &spec);
    }
    Ok(message.bytes())
}
