//! What kube-proxy promises: where the first packet of a connection must end up, and from which address.
//!
//! One reference for all modes, taken from the Kubernetes Service API and pkg/proxy, and from nothing that a planner
//! writes. Where a mode does otherwise by design, [`Difference`] names it, with the reason. Tests send real packets
//! through every mode and compare.

mod differences;

use std::net::{IpAddr, SocketAddr};

use dataplane::{KubeProxy, Mode, Node};
use services::routes::Routes;
use services::service::{Endpoint, Policy, Protocol, Service};
use services::service_set::ServiceSet;

pub use self::differences::Difference;

/// Who sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A pod: its address is in the cluster CIDR.
    Pod,
    /// A process on the node itself.
    Node,
    /// Somebody outside the cluster.
    Outside,
}

/// The first packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstPacket {
    /// Source address.
    pub from: IpAddr,
    /// Who sends it.
    pub origin: Origin,
    /// Destination.
    pub to: SocketAddr,
    /// Transport protocol.
    pub protocol: Protocol,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promise {
    /// It goes to one of these.
    Delivered(Vec<Choice>),
    /// The sender gets an error: nobody is there.
    Rejected,
    /// It disappears.
    Dropped,
    /// It is none of kube-proxy's business, and goes where its address leads.
    Untouched,
}

/// An endpoint that a packet may go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Choice {
    /// The endpoint.
    pub endpoint: SocketAddr,
    /// Whether it sees the node's address for the sender's.
    pub masqueraded: bool,
}

/// How a packet comes to a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entrance {
    Cluster,
    External,
    LoadBalancer,
    NodePort,
}

/// What must become of a packet, and the differences by design that had a part in it.
pub fn promise(
    mode: Mode,
    node: &Node,
    set: &ServiceSet,
    packet: &FirstPacket,
) -> (Promise, Vec<Difference>) {
    let mut differences = Vec::new();
    let Some((service, entrance)) = entrance(mode, node, set, packet, &mut differences) else {
        return (stray(mode, set, packet, &mut differences), differences);
    };
    let judge = Judge { mode, node, packet, service, routes: service.routes() };
    let promise = match entrance {
        Entrance::Cluster => judge.internal(&mut differences),
        Entrance::LoadBalancer if judge.is_shut_out(&mut differences) => Promise::Dropped,
        Entrance::External | Entrance::LoadBalancer | Entrance::NodePort => {
            judge.external(entrance, &mut differences)
        }
    };
    (promise, differences)
}

/// The Service that a packet is for. Kubernetes lets no two have the same address, port and protocol.
fn entrance<'a>(
    mode: Mode,
    node: &Node,
    set: &'a ServiceSet,
    packet: &FirstPacket,
    differences: &mut Vec<Difference>,
) -> Option<(&'a Service, Entrance)> {
    let of = |fits: &dyn Fn(&Service) -> bool| {
        let mut all = set.services().iter().map(AsRef::as_ref);
        all.find(|service| service.protocol == packet.protocol && fits(service))
    };
    let (ip, port) = (packet.to.ip(), packet.to.port());
    let found = of(&|service| service.cluster == packet.to).map(|service| (service, Entrance::Cluster));
    let on_port = |service: &Service| service.cluster.port() == port;
    let external = || of(&|service| on_port(service) && service.external_ips.contains(&ip));
    let balancer = || of(&|service| on_port(service) && service.load_balancer_ips.contains(&ip));
    let found = found
        .or_else(|| external().map(|service| (service, Entrance::External)))
        .or_else(|| balancer().map(|service| (service, Entrance::LoadBalancer)));
    if found.is_some() {
        return found;
    }
    let on_loopback = ip.is_loopback();
    if ip != node.address && !on_loopback {
        return None;
    }
    let service = of(&|service| service.node_port == Some(port))?;
    if on_loopback {
        let served = is_iptables(mode) && ip.is_ipv4() && node.localhost_node_ports;
        differences.push(Difference::NodePortsOnLoopback);
        return served.then_some((service, Entrance::NodePort));
    }
    Some((service, Entrance::NodePort))
}

/// A packet to no Service port.
fn stray(mode: Mode, set: &ServiceSet, packet: &FirstPacket, differences: &mut Vec<Difference>) -> Promise {
    let ip = packet.to.ip();
    let mut services = set.services().iter();
    // IPVS mode binds every address of a Service to the node; nftables mode knows the cluster IPs.
    let is_of_a_service = match mode.is_ipvs() {
        true => services.any(|service| {
            service.cluster.ip() == ip || service.external_addresses().any(|address| address.ip() == ip)
        }),
        false => services.any(|service| service.cluster.ip() == ip),
    };
    if !is_of_a_service {
        return Promise::Untouched;
    }
    differences.push(Difference::OtherPorts);
    match is_iptables(mode) {
        true => Promise::Untouched,
        false => Promise::Rejected,
    }
}

const fn is_iptables(mode: Mode) -> bool {
    matches!(mode, Mode::IptablesLegacy | Mode::IptablesNft)
}

struct Judge<'a> {
    mode: Mode,
    node: &'a Node,
    packet: &'a FirstPacket,
    service: &'a Service,
    routes: Routes<'a>,
}

impl Judge<'_> {
    /// To the cluster IP: masqueraded unless it comes from a pod.
    fn internal(&self, differences: &mut Vec<Difference>) -> Promise {
        let from_pod = self.node.cluster_cidr.is_none_or(|cidr| cidr.contains(&self.packet.from));
        let wanted = self.routes.internal(self.service);
        if !wanted.is_empty() {
            return self.delivered(wanted, !from_pod);
        }
        if self.routes.any && self.mode.is_ipvs() {
            differences.push(Difference::LocalWithoutLocal);
            return match self.routes.cluster.is_empty() {
                true => Promise::Rejected,
                false => self.delivered(&self.routes.cluster, !from_pod),
            };
        }
        self.nobody()
    }

    /// To an external or load-balancer IP or a node port.
    fn external(&self, entrance: Entrance, differences: &mut Vec<Difference>) -> Promise {
        let Judge { service, routes, packet, .. } = self;
        let wanted = routes.external(service);
        if service.external_policy == Policy::Cluster {
            return match wanted.is_empty() {
                true => self.nobody_outside(entrance, differences),
                false => self.delivered(wanted, true),
            };
        }
        if self.mode.is_ipvs() {
            if packet.origin != Origin::Outside {
                differences.push(Difference::NoShortCircuit);
            }
            if !wanted.is_empty() {
                return self.delivered(wanted, false);
            }
            if routes.any {
                differences.push(Difference::LocalWithoutLocal);
            }
            return match routes.cluster.is_empty() {
                true => Promise::Rejected,
                false => self.delivered(&routes.cluster, false),
            };
        }
        // What is inside already has no use for a local endpoint, and its address is to be kept only where it can be.
        let inside = match packet.origin {
            Origin::Pod => self.node.cluster_cidr.is_some_and(|cidr| cidr.contains(&packet.from)),
            Origin::Node => true,
            Origin::Outside => false,
        };
        let filters_first = self.mode == Mode::Nftables
            && self.node.kube_proxy == KubeProxy::V1_30
            && entrance != Entrance::NodePort;
        if filters_first && packet.origin == Origin::Node && wanted.is_empty() && routes.any {
            differences.push(Difference::OwnPacketsFilteredFirst);
            return Promise::Dropped;
        }
        if inside && !routes.cluster.is_empty() {
            return self.delivered(&routes.cluster, packet.origin == Origin::Node);
        }
        match wanted.is_empty() {
            true => self.nobody_outside(entrance, differences),
            false => self.delivered(wanted, false),
        }
    }

    /// Whether the source ranges of the load balancer keep the packet out.
    fn is_shut_out(&self, differences: &mut Vec<Difference>) -> bool {
        let Judge { service, packet, node, .. } = self;
        let ranges = &service.source_ranges;
        if ranges.is_empty() {
            return false;
        }
        // Since 1.34 such a range is as none.
        let is_open = ranges.iter().any(|range| range.prefix_len() == 0);
        if is_open && node.kube_proxy >= KubeProxy::V1_34 {
            return false;
        }
        let has_node = ranges.iter().any(|range| range.contains(&node.address));
        // What the node sends to an address of its own has that address for a source.
        let is_own = has_node && service.load_balancer_ips.contains(&packet.from);
        let admits = |range: &&ipnet::IpNet| range.contains(&packet.from);
        let promised = is_own || ranges.iter().any(|range| admits(&range));
        if self.mode.is_ipvs() && packet.origin == Origin::Node {
            // KUBE-IPVS-OUT-FILTER
            let is_shut_out = !has_node && packet.from == packet.to.ip();
            if !promised && !is_shut_out {
                differences.push(Difference::SourceRangesOfNode);
            }
            return is_shut_out;
        }
        let allowed = match self.mode.is_ipvs() {
            true => {
                is_own || ranges.iter().filter(|range| range.prefix_len() > 0).any(|range| admits(&range))
            }
            false => promised,
        };
        if allowed != promised {
            differences.push(Difference::SourceRangesOfEverybody);
        }
        if !allowed && !self.routes.any {
            differences.push(Difference::SourceRangesOfNobody);
            // 1.30 asks for endpoints first, in the chain that the node's own packets pass.
            let asked_first = self.node.kube_proxy == KubeProxy::V1_30 && packet.origin == Origin::Node;
            return !is_iptables(self.mode) && !asked_first;
        }
        !allowed
    }

    /// A packet from an endpoint to itself would be answered around the node, and is masqueraded always. It comes from an
    /// endpoint on this node: IPVS mode, and nftables mode since 1.36, know no other that could send it.
    fn delivered(&self, endpoints: &[Endpoint], masqueraded: bool) -> Promise {
        let choice = |endpoint: &Endpoint| Choice {
            endpoint: endpoint.address,
            masqueraded: masqueraded || endpoint.address.ip() == self.packet.from,
        };
        let mut choices: Vec<Choice> = endpoints.iter().map(choice).collect();
        choices.sort_unstable();
        Promise::Delivered(choices)
    }

    /// No endpoint at all: reject. None on this node, and some elsewhere: drop, so that the load balancer tries another node.
    fn nobody(&self) -> Promise {
        match self.routes.any {
            true => Promise::Dropped,
            false => Promise::Rejected,
        }
    }

    fn nobody_outside(&self, entrance: Entrance, differences: &mut Vec<Difference>) -> Promise {
        if self.packet.origin == Origin::Node && entrance != Entrance::NodePort {
            differences.push(Difference::OwnPacketsToNobody);
            if is_iptables(self.mode) {
                return Promise::Untouched;
            }
        }
        self.nobody()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "10.128.0.5";
    const STRANGER: &str = "192.0.2.9";

    /// One endpoint on this node and two elsewhere; a node port, an external and a load-balancer IP.
    fn service() -> Service {
        let endpoint = |last: u8, local| Endpoint::ready(([10, 200, 0, last], 8080).into(), local);
        let endpoints = vec![endpoint(1, true), endpoint(2, false), endpoint(3, false)];
        let cluster = "10.96.0.1:80".parse().unwrap();
        let mut service = Service::new("n", "s", "", Protocol::Tcp, cluster, endpoints);
        service.node_port = Some(30_000);
        service.external_ips = vec!["198.51.100.1".parse().unwrap()];
        service.load_balancer_ips = vec!["203.0.113.1".parse().unwrap()];
        service
    }

    fn ask(mode: Mode, service: &Service, from: &str, to: &str) -> (Promise, Vec<Difference>) {
        ask_of(KubeProxy::NEWEST, mode, service, from, to)
    }

    fn ask_of(
        version: KubeProxy,
        mode: Mode,
        service: &Service,
        from: &str,
        to: &str,
    ) -> (Promise, Vec<Difference>) {
        let node = Node::lab(version);
        let from: IpAddr = from.parse().unwrap();
        let origin = match from {
            _ if from == node.address || from.is_loopback() => Origin::Node,
            _ if node.cluster_cidr.unwrap().contains(&from) => Origin::Pod,
            _ => Origin::Outside,
        };
        let set = ServiceSet::from_iter([service.clone()]);
        let packet = FirstPacket { from, origin, to: to.parse().unwrap(), protocol: Protocol::Tcp };
        promise(mode, &node, &set, &packet)
    }

    fn delivered(lasts: &[u8], masqueraded: bool) -> Promise {
        let choice = |&last: &u8| Choice { endpoint: ([10, 200, 0, last], 8080).into(), masqueraded };
        Promise::Delivered(lasts.iter().map(choice).collect())
    }

    const PROXY: [Mode; 4] = [Mode::IptablesLegacy, Mode::IptablesNft, Mode::Nftables, Mode::Ipvs];

    #[test]
    fn a_cluster_ip_keeps_the_addresses_of_pods_and_no_others() {
        for mode in PROXY {
            assert_eq!(ask(mode, &service(), POD, "10.96.0.1:80").0, delivered(&[1, 2, 3], false));
            assert_eq!(ask(mode, &service(), STRANGER, "10.96.0.1:80").0, delivered(&[1, 2, 3], true));
            assert_eq!(ask(mode, &service(), "172.30.0.1", "10.96.0.1:80").0, delivered(&[1, 2, 3], true));
        }
    }

    #[test]
    fn an_endpoint_that_reaches_itself_is_masqueraded() {
        let (Promise::Delivered(choices), _) = ask(Mode::Nftables, &service(), "10.200.0.1", "10.96.0.1:80")
        else {
            panic!("not delivered");
        };
        let masqueraded: Vec<bool> = choices.iter().map(|choice| choice.masqueraded).collect();
        assert_eq!(masqueraded, [true, false, false]);
    }

    #[test]
    fn what_comes_from_outside_is_masqueraded_unless_the_policy_is_local() {
        let mut service = service();
        for to in ["198.51.100.1:80", "203.0.113.1:80", "172.30.0.1:30000"] {
            for mode in PROXY {
                service.external_policy = Policy::Cluster;
                assert_eq!(ask(mode, &service, STRANGER, to), (delivered(&[1, 2, 3], true), vec![]));
                assert_eq!(ask(mode, &service, POD, to), (delivered(&[1, 2, 3], true), vec![]));
                service.external_policy = Policy::Local;
                assert_eq!(ask(mode, &service, STRANGER, to), (delivered(&[1], false), vec![]));
            }
            assert_eq!(ask(Mode::Nftables, &service, POD, to).0, delivered(&[1, 2, 3], false));
            let (promise, differences) = ask(Mode::Ipvs, &service, POD, to);
            assert_eq!((promise, differences), (delivered(&[1], false), vec![Difference::NoShortCircuit]));
        }
    }

    #[test]
    fn nobody_is_rejected_and_nobody_here_is_dropped() {
        let mut service = service();
        let remote: Vec<_> = service.endpoints().iter().filter(|e| !e.local).copied().collect();
        service.set_endpoints(remote);
        (service.external_policy, service.internal_policy) = (Policy::Local, Policy::Local);
        let (cluster, node_port) = ("10.96.0.1:80", "172.30.0.1:30000");
        assert_eq!(ask(Mode::Nftables, &service, STRANGER, node_port).0, Promise::Dropped);
        assert_eq!(ask(Mode::IptablesNft, &service, POD, cluster).0, Promise::Dropped);
        let (promise, differences) = ask(Mode::Ipvs, &service, STRANGER, node_port);
        assert_eq!((promise, differences), (delivered(&[2, 3], false), vec![Difference::LocalWithoutLocal]));
        service.set_endpoints(vec![]);
        for mode in PROXY {
            assert_eq!(ask(mode, &service, STRANGER, node_port), (Promise::Rejected, vec![]), "{mode}");
            assert_eq!(ask(mode, &service, POD, cluster), (Promise::Rejected, vec![]), "{mode}");
        }
    }

    #[test]
    fn source_ranges_keep_strangers_out() {
        let mut service = service();
        service.source_ranges = vec!["10.128.0.0/9".parse().unwrap()];
        for mode in PROXY {
            assert_eq!(ask(mode, &service, STRANGER, "203.0.113.1:80").0, Promise::Dropped, "{mode}");
            assert_eq!(ask(mode, &service, POD, "203.0.113.1:80").0, delivered(&[1, 2, 3], true), "{mode}");
            // They are for load-balancer IPs only.
            assert_eq!(ask(mode, &service, STRANGER, "198.51.100.1:80").0, delivered(&[1, 2, 3], true));
        }
    }

    #[test]
    fn ipvs_mode_has_source_ranges_of_its_own() {
        let mut service = service();
        service.source_ranges = vec!["10.128.0.0/9".parse().unwrap()];
        let (node, balancer) = ("172.30.0.1", "203.0.113.1:80");
        assert_eq!(ask(Mode::Nftables, &service, node, balancer), (Promise::Dropped, vec![]));
        let (promise, differences) = ask(Mode::Ipvs, &service, node, balancer);
        assert_eq!(
            (promise, differences),
            (delivered(&[1, 2, 3], true), vec![Difference::SourceRangesOfNode])
        );
        service.source_ranges = vec!["0.0.0.0/0".parse().unwrap()];
        for (mode, version) in [
            (Mode::Nftables, KubeProxy::V1_30),
            (Mode::Nftables, KubeProxy::V1_37),
            (Mode::Ipvs, KubeProxy::V1_34),
        ] {
            let found = ask_of(version, mode, &service, STRANGER, balancer);
            assert_eq!(found, (delivered(&[1, 2, 3], true), vec![]), "{mode} {version:?}");
        }
        let (promise, differences) = ask_of(KubeProxy::V1_30, Mode::Ipvs, &service, STRANGER, balancer);
        assert_eq!((promise, differences), (Promise::Dropped, vec![Difference::SourceRangesOfEverybody]));
        assert_eq!(ask(Mode::Ipvs, &service, node, balancer), (delivered(&[1, 2, 3], true), vec![]));
    }

    #[test]
    fn what_no_service_has_is_left_alone_or_rejected() {
        for (mode, promise) in [
            (Mode::IptablesLegacy, Promise::Untouched),
            (Mode::Nftables, Promise::Rejected),
            (Mode::Ipvs, Promise::Rejected),
        ] {
            let found = ask(mode, &service(), POD, "10.96.0.1:81");
            assert_eq!(found, (promise, vec![Difference::OtherPorts]));
            assert_eq!(ask(mode, &service(), POD, "10.200.0.9:80"), (Promise::Untouched, vec![]));
        }
        let on_loopback = |mode| ask(mode, &service(), "127.0.0.1", "127.0.0.1:30000");
        assert_eq!(on_loopback(Mode::IptablesLegacy).0, delivered(&[1, 2, 3], true));
        assert_eq!(on_loopback(Mode::Nftables), (Promise::Untouched, vec![Difference::NodePortsOnLoopback]));
    }

    #[test]
    fn every_difference_has_a_reason() {
        for difference in Difference::ALL {
            assert!(difference.to_string().len() > 40, "{difference:?}");
        }
    }
}
