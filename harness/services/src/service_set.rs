//! What is installed: ordered sets of Services, their scale, and what differs between two of them. Pure data.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::service::{Endpoint, Family, Hint, Hints, Protocol, Service, ServiceKey};

/// Number of Services and of endpoints behind each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Scale {
    /// Services (service ports), at least 1.
    pub services: u32,
    /// Endpoints per Service, at least 1.
    pub endpoints: u32,
}

/// A place in the list of Services, and so in every list of rules made from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Position {
    /// The first Service.
    First,
    /// The one half-way.
    Middle,
    /// The last Service.
    Last,
    /// Every Service equally often, in seeded random order.
    Uniform,
    /// An address that is no Service: the packet passes every rule unmatched.
    Miss,
}

impl Position {
    /// All positions, in reading order.
    pub const ALL: [Position; 5] =
        [Position::First, Position::Middle, Position::Last, Position::Uniform, Position::Miss];

    /// Lower-case name, as in the sweep file and the rows.
    pub const fn name(self) -> &'static str {
        match self {
            Position::First => "first",
            Position::Middle => "middle",
            Position::Last => "last",
            Position::Uniform => "uniform",
            Position::Miss => "miss",
        }
    }
}

/// An ordered list of Services; the order is the order of the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceSet {
    services: Vec<Arc<Service>>,
}

impl FromIterator<Service> for ServiceSet {
    fn from_iter<T: IntoIterator<Item = Service>>(services: T) -> Self {
        Self { services: services.into_iter().map(Arc::new).collect() }
    }
}

impl FromIterator<Arc<Service>> for ServiceSet {
    fn from_iter<T: IntoIterator<Item = Arc<Service>>>(services: T) -> Self {
        Self { services: services.into_iter().collect() }
    }
}

impl ServiceSet {
    /// The Services, in rule order.
    pub fn services(&self) -> &[Arc<Service>] {
        &self.services
    }

    /// Number of Services.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// Endpoints of all Services together (an endpoint of two Services counts twice).
    pub fn total_endpoints(&self) -> usize {
        self.services.iter().map(|service| service.endpoints().len()).sum()
    }

    /// IP family of its Services, which all have the same; of an empty set: IPv4.
    pub fn family(&self) -> Family {
        self.services.first().map_or(Family::Ipv4, |service| service.family())
    }

    /// The set with one more Service at the end.
    pub fn with_added(&self, service: Service) -> Self {
        let mut services = self.services.clone();
        services.push(Arc::new(service));
        Self { services }
    }

    /// The set without the Service at `index`; unchanged if there is none.
    pub fn without(&self, index: usize) -> Self {
        let mut services = self.services.clone();
        if index < services.len() {
            services.remove(index);
        }
        Self { services }
    }

    /// The set in which the Service at `index` is another; unchanged if there is none.
    pub fn with_replaced(&self, index: usize, service: Service) -> Self {
        let mut services = self.services.clone();
        if let Some(slot) = services.get_mut(index) {
            *slot = Arc::new(service);
        }
        Self { services }
    }

    /// The set as a kube-proxy sees it that does not know its Node's zone: it follows no hints for zones
    /// (`topologyModeFromHints` in pkg/proxy/topology.go).
    pub fn without_zone_hints(&self) -> Self {
        let without = |service: &Arc<Service>| {
            if service.endpoints().iter().all(|endpoint| endpoint.hints.zone == Hint::None) {
                return Arc::clone(service);
            }
            let mut service = Service::clone(service);
            let endpoints = service.endpoints().iter();
            let without = endpoints
                .map(|endpoint| Endpoint { hints: Hints { zone: Hint::None, ..endpoint.hints }, ..*endpoint })
                .collect();
            service.set_endpoints(without);
            Arc::new(service)
        };
        Self { services: self.services.iter().map(without).collect() }
    }

    /// Whether anybody answers for the cluster IP of the Service at `index`.
    pub fn answers(&self, index: usize) -> bool {
        self.services.get(index).is_some_and(|service| !service.routes().internal(service).is_empty())
    }

    /// Index of the Service nearest to `index` that packets can be sent to, by TCP or UDP, and that answers for its cluster IP.
    pub fn nearest_answering(&self, index: usize) -> Option<usize> {
        (0..self.len())
            .filter(|&at| self.services[at].protocol != Protocol::Sctp && self.answers(at))
            .min_by_key(|&at| at.abs_diff(index))
    }

    /// The set in which one endpoint of the Service at `index`, the first that answers for its cluster IP, has another
    /// address; unchanged without one.
    pub fn with_endpoint_replaced(&self, index: usize, address: std::net::IpAddr) -> Self {
        let Some(service) = self.services.get(index) else { return self.clone() };
        let Some(old) = service.routes().internal(service).first().copied() else { return self.clone() };
        self.with_endpoint_exchanged(
            index,
            old.address,
            std::net::SocketAddr::new(address, old.address.port()),
        )
    }

    /// The set in which the endpoint `old` of the Service at `index` is `new`; unchanged without one.
    pub fn with_endpoint_exchanged(
        &self,
        index: usize,
        old: std::net::SocketAddr,
        new: std::net::SocketAddr,
    ) -> Self {
        let Some(service) = self.services.get(index) else { return self.clone() };
        let mut service = Service::clone(service);
        let mut endpoints = service.endpoints().to_vec();
        let exchanged = endpoints.iter_mut().find(|endpoint| endpoint.address == old);
        exchanged.into_iter().for_each(|endpoint| endpoint.address = new);
        service.set_endpoints(endpoints);
        self.with_replaced(index, service)
    }

    /// Index of the Service of `protocol` nearest to a position whose cluster IP is answered for; `None` for uniform and miss,
    /// which are no single Service, and when the set has no such Service.
    pub fn index_at(&self, position: Position, protocol: Protocol) -> Option<usize> {
        let wanted = match position {
            Position::First => 0,
            Position::Middle => self.len() / 2,
            Position::Last => self.len().checked_sub(1)?,
            Position::Uniform | Position::Miss => return None,
        };
        (0..self.len())
            .filter(|&index| self.services[index].protocol == protocol && self.answers(index))
            .min_by_key(|&index| index.abs_diff(wanted))
    }
}

/// What changed between two sets, as indices: what kube-proxy's change trackers would hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Indices (in `to`) of Services that are new or differ.
    pub changed: Vec<usize>,
    /// Indices (in `from`) of Services that are gone.
    pub removed: Vec<usize>,
}

impl Diff {
    /// Compares two sets by Service identity; the order of Services does not count as a change.
    pub fn between(from: &ServiceSet, to: &ServiceSet) -> Self {
        if from.is_empty() {
            return Self { changed: (0..to.len()).collect(), removed: Vec::new() };
        }
        let mut old: HashMap<ServiceKey<'_>, (usize, &Arc<Service>)> = from
            .services
            .iter()
            .enumerate()
            .map(|(index, service)| (service.key(), (index, service)))
            .collect();
        let mut diff = Self::default();
        for (index, service) in to.services.iter().enumerate() {
            match old.remove(&service.key()) {
                Some((_, before)) if Arc::ptr_eq(before, service) || before == service => {}
                _ => diff.changed.push(index),
            }
        }
        diff.removed = old.into_values().map(|(index, _)| index).collect();
        diff.removed.sort_unstable();
        diff
    }

    /// Services of `from` that are gone or differ: those whose rules may have to go.
    pub fn touched<'a>(
        &self,
        from: &'a ServiceSet,
        to: &ServiceSet,
    ) -> impl Iterator<Item = &'a Arc<Service>> {
        let changed: HashSet<ServiceKey<'_>> =
            self.changed.iter().map(|&index| to.services[index].key()).collect();
        let before = from.services.iter().filter(move |service| changed.contains(&service.key()));
        let before: Vec<_> = if self.changed.is_empty() { Vec::new() } else { before.collect() };
        before.into_iter().chain(self.removed.iter().map(|&index| &from.services[index]).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{synthetic_endpoint, synthetic_service};

    #[test]
    fn positions_find_the_nearest_service_of_the_protocol() {
        let set = ServiceSet::synthetic(Scale { services: 10, endpoints: 1 }, 1);
        assert_eq!(set.index_at(Position::First, Protocol::Udp), Some(0));
        assert_eq!(set.index_at(Position::First, Protocol::Tcp), Some(1));
        assert_eq!(set.index_at(Position::Last, Protocol::Tcp), Some(9));
        assert_eq!(set.index_at(Position::Last, Protocol::Udp), Some(8));
        assert_eq!(set.index_at(Position::Miss, Protocol::Udp), None);
    }

    #[test]
    fn without_hints_for_zones_only_those_for_nodes_are_followed() {
        let mut service = synthetic_service(1, Protocol::Tcp, 3);
        let hints = |hints: &[(Hint, Hint); 3], service: &Service| -> Vec<Endpoint> {
            let hints = hints.iter().map(|&(node, zone)| Hints { node, zone });
            let endpoints = service.endpoints().iter().copied().zip(hints);
            endpoints.map(|(endpoint, hints)| Endpoint { hints, ..endpoint }).collect()
        };
        service.set_endpoints(hints(&[(Hint::None, Hint::Here); 3], &service));
        let set: ServiceSet = [service.clone(), synthetic_service(2, Protocol::Tcp, 1)].into_iter().collect();
        let without = set.without_zone_hints();
        assert!(Arc::ptr_eq(&without.services()[1], &set.services()[1]), "it had none");
        assert!(without.services()[0].endpoints().iter().all(|endpoint| endpoint.hints == Hints::NONE));

        service.set_endpoints(hints(&[(Hint::Here, Hint::Elsewhere); 3], &service));
        let set: ServiceSet = [service].into_iter().collect();
        let of = |set: &ServiceSet| set.services()[0].endpoints()[0].hints;
        assert_eq!(of(&set.without_zone_hints()), Hints { node: Hint::Here, zone: Hint::None });
    }

    #[test]
    fn a_diff_names_what_changed_and_nothing_else() {
        let set = ServiceSet::synthetic(Scale { services: 5, endpoints: 2 }, 1);
        assert_eq!(Diff::between(&set, &set), Diff::default());
        let more = set.with_added(synthetic_service(99, Protocol::Tcp, 2));
        assert_eq!(Diff::between(&set, &more), Diff { changed: vec![5], removed: vec![] });
        assert_eq!(Diff::between(&more, &set), Diff { changed: vec![], removed: vec![5] });
        let mut other = (*set.services()[2]).clone();
        other.set_endpoints(vec![synthetic_endpoint(77, 5353)]);
        assert_eq!(
            Diff::between(&set, &set.with_replaced(2, other)),
            Diff { changed: vec![2], removed: vec![] }
        );
    }
}
