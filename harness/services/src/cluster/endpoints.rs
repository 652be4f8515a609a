//! EndpointSlices: which endpoints a Service port has (pkg/proxy/endpointslicecache.go).

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::discovery::v1 as discovery;

use super::address;
use super::check::{label, plain, port, protocol, quoted, subdomain, unicast};
use super::passed::PassedOver;
use super::service::is_for_another_proxy;
use crate::addresses::MAX_ENDPOINTS;
use crate::service::{Condition, Endpoint, Family, Hint, Hints, Protocol, Service};

/// Which Service a slice belongs to.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// All slices, by the (namespace, name) of their Service.
#[derive(Default)]
pub(super) struct Slices {
    services: HashMap<(String, String), OfService>,
    /// (namespace, name) of every slice.
    names: HashSet<(String, String)>,
    nodes: HashMap<String, u32>,
    /// For whom endpoints are meant; the first: everybody.
    meant: Vec<Meant>,
    numbers: HashMap<Meant, u32>,
    endpoints: u64,
}

/// Names in `hints.forNodes` and `hints.forZones`.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Meant {
    nodes: Vec<String>,
    zones: Vec<String>,
}

/// The node that kube-proxy runs on.
#[derive(Clone, Copy)]
pub(super) struct Here<'a> {
    pub(super) node: &'a str,
    /// Its label `topology.kubernetes.io/zone`; empty without one, as for kube-proxy.
    pub(super) zone: &'a str,
}

#[derive(Default)]
struct OfService {
    ports: Vec<OfPort>,
    slices: usize,
    has_hints: bool,
    wanted: bool,
}

struct OfPort {
    name: String,
    protocol: Protocol,
    endpoints: Vec<Found>,
}

/// An endpoint that is of use.
struct Found {
    address: SocketAddr,
    /// As [`Slices::nodes`] numbers it; `None`: on no node.
    node: Option<u32>,
    condition: Condition,
    /// Place in [`Slices::meant`].
    meant: u32,
}

impl Slices {
    /// Takes one slice.
    pub(super) fn take(
        &mut self,
        slice: discovery::EndpointSlice,
        passed_over: &mut PassedOver,
    ) -> Result<(), String> {
        let name = slice.metadata.name.ok_or("an EndpointSlice needs a name")?;
        let namespace = slice.metadata.namespace.ok_or("an EndpointSlice needs a namespace")?;
        subdomain(&name, "name")?;
        label(&namespace, "namespace")?;
        let family = match slice.address_type.as_str() {
            "IPv4" => Family::Ipv4,
            "IPv6" => Family::Ipv6,
            "FQDN" => {
                passed_over.slices.add(|| format!("{namespace}/{name}"));
                return Ok(());
            }
            other => {
                return Err(format!(
                    "addressType: {} is unknown; expected IPv4, IPv6 or FQDN",
                    quoted(other)
                ));
            }
        };
        let mut labels = slice.metadata.labels.unwrap_or_default();
        if is_for_another_proxy(&labels).is_some() {
            return Ok(());
        }
        let Some(service) = labels.remove(SERVICE_NAME).filter(|service| !service.is_empty()) else {
            passed_over.slices.add(|| format!("{namespace}/{name}"));
            return Ok(());
        };
        if !self.names.insert((namespace.clone(), name)) {
            return Err("it is there twice".into());
        }
        let owner = self.services.entry((namespace, service)).or_default();
        owner.slices += 1;
        let endpoints = slice.endpoints.unwrap_or_default();
        let (nodes, all_meant, numbers) = (&mut self.nodes, &mut self.meant, &mut self.numbers);
        if all_meant.is_empty() {
            all_meant.push(Meant::default());
            numbers.insert(Meant::default(), 0);
        }
        let has_hints = &mut owner.has_hints;
        let read = |(index, endpoint): (usize, &discovery::Endpoint)| {
            let usable = usable(endpoint, family, nodes)
                .map_err(|problem| format!("endpoints[{index}].{problem}"))
                .transpose()?;
            let meant = meant_for(endpoint);
            *has_hints |= meant != Meant::default();
            let number = numbers.get(&meant).copied().unwrap_or_else(|| {
                let number = all_meant.len() as u32;
                all_meant.push(meant.clone());
                numbers.insert(meant, number);
                number
            });
            Some(usable.map(|(ip, node, condition)| (ip, node, condition, number)))
        };
        let usable: Vec<(IpAddr, Option<u32>, Condition, u32)> =
            endpoints.iter().enumerate().filter_map(read).collect::<Result<_, _>>()?;
        for (index, port) in slice.ports.unwrap_or_default().into_iter().enumerate() {
            let (name, protocol, number) =
                slice_port(port).map_err(|problem| format!("ports[{index}].{problem}"))?;
            // A port without a number stands for all, which kube-proxy does not do.
            let Some(number) = number else { continue };
            self.endpoints += usable.len() as u64;
            if self.endpoints > MAX_ENDPOINTS {
                return Err(format!(
                    "there are more than {MAX_ENDPOINTS} endpoints; so many cannot be planned"
                ));
            }
            owner.add(
                name,
                protocol,
                usable.iter().map(|&(ip, node, condition, meant)| Found {
                    address: SocketAddr::new(ip, number),
                    node,
                    condition,
                    meant,
                }),
            );
        }
        Ok(())
    }

    /// The endpoints of a Service port as a kube-proxy on `node` sees them. Of two entries for one address the local one
    /// counts, as for kube-proxy, then the one that is ready; kube-proxy takes the first, in an order that varies.
    pub(super) fn endpoints(&mut self, service: &Service, here: Option<Here<'_>>) -> Vec<Endpoint> {
        let node = here.and_then(|here| self.nodes.get(here.node).copied());
        let all_meant = &self.meant;
        let key = (service.namespace.clone(), service.name.clone());
        let Some(owner) = self.services.get_mut(&key) else { return Vec::new() };
        owner.wanted = true;
        let port = |port: &&OfPort| port.name == service.port_name && port.protocol == service.protocol;
        let mut endpoints: Vec<Endpoint> = owner
            .ports
            .iter()
            .filter(port)
            .flat_map(|port| &port.endpoints)
            .filter(|found| Family::of(found.address.ip()) == service.family())
            .map(|found| Endpoint {
                address: found.address,
                local: node.is_some() && found.node == node,
                condition: found.condition,
                // A kube-proxy that is nowhere in particular follows none.
                hints: here.map_or(Hints::NONE, |here| hints(all_meant.get(found.meant as usize), here)),
            })
            .collect();
        // Of equal addresses, `set_endpoints` keeps the first.
        endpoints.sort_by_key(|endpoint| (!endpoint.local, endpoint.condition == Condition::Terminating));
        endpoints
    }

    /// Tells which slices belong to no Service, and which Services have hints that are not `followed`.
    pub(super) fn without_service(
        self,
        followed: bool,
        is_known: impl Fn(&(String, String)) -> bool,
        passed_over: &mut PassedOver,
    ) {
        // In an order that does not vary.
        let mut services: Vec<_> = self.services.into_iter().collect();
        services.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (key, owner) in services {
            let name = || plain(&format!("{}/{}", key.0, key.1));
            if owner.wanted && owner.has_hints && !followed {
                passed_over.hints.add(name);
            }
            if !owner.wanted && !is_known(&key) {
                (0..owner.slices).for_each(|_| passed_over.slices.add(name));
            }
        }
    }
}

impl OfService {
    fn add(&mut self, name: String, protocol: Protocol, endpoints: impl Iterator<Item = Found>) {
        let of_port = |port: &OfPort| port.name == name && port.protocol == protocol;
        match self.ports.iter_mut().find(|port| of_port(port)) {
            Some(port) => port.endpoints.extend(endpoints),
            None => self.ports.push(OfPort { name, protocol, endpoints: endpoints.collect() }),
        }
    }
}

/// For whom an endpoint is meant.
fn meant_for(endpoint: &discovery::Endpoint) -> Meant {
    let Some(hints) = &endpoint.hints else { return Meant::default() };
    Meant {
        nodes: hints.for_nodes.iter().flatten().map(|node| node.name.clone()).collect(),
        zones: hints.for_zones.iter().flatten().map(|zone| zone.name.clone()).collect(),
    }
}

/// What that means for the node.
fn hints(meant: Option<&Meant>, here: Here<'_>) -> Hints {
    let hint = |names: &[String], own: &str| match names {
        [] => Hint::None,
        names if names.iter().any(|name| name == own) => Hint::Here,
        _ => Hint::Elsewhere,
    };
    meant.map_or(Hints::NONE, |meant| Hints {
        node: hint(&meant.nodes, here.node),
        zone: hint(&meant.zones, here.zone),
    })
}

/// Name, protocol and number; the number 0 is none.
fn slice_port(given: discovery::EndpointPort) -> Result<(String, Protocol, Option<u16>), String> {
    let protocol = protocol(given.protocol.as_deref()).map_err(|problem| format!("protocol: {problem}"))?;
    let number = match given.port {
        None | Some(0) => None,
        Some(number) => Some(port(number).map_err(|problem| format!("port: {problem}"))?),
    };
    Ok((given.name.unwrap_or_default(), protocol, number))
}

/// What kube-proxy knows of an endpoint; `None`: it is not used.
fn usable(
    endpoint: &discovery::Endpoint,
    family: Family,
    nodes: &mut HashMap<String, u32>,
) -> Result<Option<(IpAddr, Option<u32>, Condition)>, String> {
    // Consumers use the first and ignore the rest (discovery/v1).
    let Some(text) = endpoint.addresses.first() else { return Ok(None) };
    let wrong = |problem: String| format!("addresses[0]: {problem}");
    let words = match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    };
    let ip = match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => {
            return Err(wrong(format!(
                "{text} is an IPv4 address written as IPv6, which kube-proxy would copy into rules; expected {words}"
            )));
        }
        Ok(ip) if Family::of(ip) == family => unicast(ip).map_err(wrong)?,
        Ok(_) | Err(_) if address::address(text).is_some_and(|ip| Family::of(ip) == family) => {
            return Err(wrong(format!(
                "{} has leading zeros, which kube-proxy would copy into rules; expected them left out",
                quoted(text)
            )));
        }
        Ok(_) | Err(_) => return Err(wrong(format!("{} is not an {words} address", quoted(text)))),
    };
    let conditions = endpoint.conditions.as_ref();
    let condition = |of: fn(&discovery::EndpointConditions) -> Option<bool>| conditions.and_then(of);
    let condition = if condition(|of| of.ready).unwrap_or(true) {
        Condition::Ready
    } else if condition(|of| of.serving).unwrap_or(true) && condition(|of| of.terminating).unwrap_or(false) {
        Condition::Terminating
    } else {
        return Ok(None);
    };
    let node = endpoint.node_name.as_ref().map(|name| match nodes.get(name) {
        Some(&number) => number,
        None => {
            let number = nodes.len() as u32;
            nodes.insert(name.clone(), number);
            number
        }
    });
    Ok(Some((ip, node, condition)))
}
