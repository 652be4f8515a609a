//! EndpointSlices.

use k8s_openapi::api::discovery::v1 as discovery;

use super::meta::{absent, metadata};
use super::wire::Message;
use super::{METADATA, Unsupported};

/// An EndpointSlice, without its kind.
pub(crate) fn endpoint_slice(slice: &discovery::EndpointSlice) -> Result<Vec<u8>, Unsupported> {
    let discovery::EndpointSlice { address_type, endpoints, metadata: meta, ports } = slice;
    let mut message = Message::default();
    message.message(METADATA, &metadata(meta)?);
    for one in endpoints.iter().flatten() {
        message.message(2, &endpoint(one)?);
    }
    for discovery::EndpointPort { app_protocol, name, port, protocol } in ports.iter().flatten() {
        let mut one = Message::default();
        one.texts(1, name);
        one.texts(2, protocol);
        one.number(3, port.map(i64::from));
        one.texts(4, app_protocol);
        message.message(3, &one);
    }
    message.text(4, address_type);
    Ok(message.bytes())
}

fn endpoint(endpoint: &discovery::Endpoint) -> Result<Message, Unsupported> {
    let discovery::Endpoint {
        addresses,
        conditions,
        deprecated_topology,
        hints,
        hostname,
        node_name,
        target_ref,
        zone,
    } = endpoint;
    absent(target_ref, "endpoints.targetRef")?;
    let mut message = Message::default();
    message.texts(1, addresses);
    if let Some(discovery::EndpointConditions { ready, serving, terminating }) = conditions {
        let mut conditions = Message::default();
        conditions.flag(1, *ready);
        conditions.flag(2, *serving);
        conditions.flag(3, *terminating);
        message.message(2, &conditions);
    }
    message.texts(3, hostname);
    message.map(5, deprecated_topology);
    message.texts(6, node_name);
    message.texts(7, zone);
    if let Some(discovery::EndpointHints { for_nodes, for_zones }) = hints {
        let mut hints = Message::default();
        let named = |name: &str| {
            let mut one = Message::default();
            one.text(1, name);
            one
        };
        for_zones.iter().flatten().for_each(|zone| hints.message(1, &named(&zone.name)));
        for_nodes.iter().flatten().for_each(|node| hints.message(2, &named(&node.name)));
        message.message(8, &hints);
    }
    Ok(message)
}
