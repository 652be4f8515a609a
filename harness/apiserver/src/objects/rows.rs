//! Which endpoints of a Service can be in one slice: those that have the same ports with the same numbers.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use services::service::Service;

use super::slice::{Group, SliceEndpoint, SlicePort};

/// The endpoints of every group, in the order of the Service's.
pub(super) fn groups(ports: &[Arc<Service>]) -> BTreeMap<Group, Vec<SliceEndpoint>> {
    let mut groups: BTreeMap<Group, Vec<SliceEndpoint>> = BTreeMap::new();
    for (endpoint, ports) in rows(ports) {
        let family = services::service::Family::of(endpoint.ip);
        groups.entry(Group { family, ports }).or_default().push(endpoint);
    }
    groups
}

/// Each address with its ports. It is there more than once if a port has two numbers there, or if its ports are not in the
/// same condition.
fn rows(ports: &[Arc<Service>]) -> Vec<(SliceEndpoint, Vec<SlicePort>)> {
    let mut rows: Vec<(SliceEndpoint, Vec<SlicePort>)> = Vec::new();
    let mut of_address: HashMap<IpAddr, Vec<usize>> = HashMap::new();
    for service in ports {
        for endpoint in service.endpoints() {
            let port = SlicePort {
                name: service.port_name.clone(),
                protocol: service.protocol,
                number: endpoint.address.port(),
            };
            let ip = endpoint.address.ip();
            let (local, condition, hints) = (endpoint.local, endpoint.condition, endpoint.hints);
            let entry = SliceEndpoint { ip, local, condition, hints };
            let known = of_address.entry(ip).or_default();
            let has_place = |&&row: &&usize| {
                let (other, ports) = &rows[row];
                let key = (&port.name, port.protocol);
                *other == entry && !ports.iter().any(|port| (&port.name, port.protocol) == key)
            };
            match known.iter().find(has_place).copied() {
                Some(row) => rows[row].1.push(port),
                None => {
                    known.push(rows.len());
                    rows.push((entry, vec![port]));
                }
            }
        }
    }
    rows
}
