//! Changes of Services, each of one feature.

use std::net::{IpAddr, SocketAddr};

use services::service::{Condition, Endpoint, Family, Policy, Protocol, Service};
use services::service_set::ServiceSet;

struct Steps {
    family: Family,
    services: Vec<Service>,
    steps: Vec<(&'static str, ServiceSet)>,
}

/// The first Service: TCP, and what most changes are about.
const WEB: usize = 0;
/// Another.
const DNS: usize = 1;
/// A second port of the first.
const SIGNAL: usize = 2;
/// One with the port and protocol of the first.
const TWIN: usize = 3;

impl Steps {
    fn ip(&self, v4: &str, v6: &str) -> IpAddr {
        match self.family {
            Family::Ipv4 => v4,
            Family::Ipv6 => v6,
        }
        .parse()
        .unwrap()
    }

    /// Those with an even number run here.
    fn endpoints(&self, numbers: &[u8], port: u16) -> Vec<Endpoint> {
        let endpoint = |&number: &u8| {
            let address = self.ip(&format!("10.244.7.{number}"), &format!("fd00:244:0:7::{number:x}"));
            Endpoint::ready(SocketAddr::new(address, port), number.is_multiple_of(2))
        };
        numbers.iter().map(endpoint).collect()
    }

    fn add(&mut self, name: &str, port_name: &str, protocol: Protocol, cluster: IpAddr, port: u16) {
        let endpoints = self.endpoints(&[1, 2], port + 1000);
        let cluster = SocketAddr::new(cluster, port);
        self.services.push(Service::new("demo", name, port_name, protocol, cluster, endpoints));
    }

    fn step(&mut self, what: &'static str) {
        self.steps.push((what, self.services.iter().cloned().collect()));
    }

    fn change(&mut self, what: &'static str, index: usize, change: impl FnOnce(&mut Service)) {
        change(&mut self.services[index]);
        self.step(what);
    }

    fn web(&mut self, what: &'static str, change: impl FnOnce(&mut Service)) {
        self.change(what, WEB, change);
    }

    fn web_endpoints(&mut self, what: &'static str, numbers: &[u8]) {
        let endpoints = self.endpoints(numbers, 1080);
        self.web(what, |service| service.set_endpoints(endpoints));
    }
}

fn first(family: Family) -> Steps {
    let mut steps = Steps { family, services: Vec::new(), steps: Vec::new() };
    let [web, dns, twin] =
        [10, 11, 13].map(|last: u8| steps.ip(&format!("10.96.0.{last}"), &format!("fd00:10:96::{last:x}")));
    steps.add("web", "http", Protocol::Tcp, web, 80);
    // Unnamed, as the only port of a Service may be.
    steps.add("dns", "", Protocol::Udp, dns, 53);
    steps.add("web", "signal", Protocol::Sctp, web, 3868);
    steps.add("twin", "http", Protocol::Tcp, twin, 80);
    steps
}

/// Two sets that differ in one endpoint of a Service with session affinity.
pub(super) fn with_affinity(family: Family) -> [ServiceSet; 2] {
    let mut steps = first(family);
    steps.web("", |service| service.affinity_seconds = Some(3600));
    steps.web_endpoints("", &[1, 2, 3]);
    let sets: Vec<ServiceSet> = steps.steps.into_iter().map(|(_, set)| set).collect();
    sets.try_into().unwrap()
}

/// Sets one after the other, and what distinguishes each from the one before.
pub(super) fn steps(family: Family) -> Vec<(&'static str, ServiceSet)> {
    let mut steps = first(family);
    let external = steps.ip("198.51.100.1", "2001:db8:51:100::1");
    let balancers = [("203.0.113.1", "2001:db8:203:113::1"), ("203.0.113.2", "2001:db8:203:113::2")]
        .map(|(v4, v6)| steps.ip(v4, v6));
    let range = |v4: &str, v6: &str| match family {
        Family::Ipv4 => v4.parse().unwrap(),
        Family::Ipv6 => v6.parse().unwrap(),
    };
    steps.step("four ports, two of them of one Service");
    steps.web("a node port", |service| service.node_port = Some(30_080));
    steps.web("another node port", |service| service.node_port = Some(30_081));
    steps.change("the node port of another protocol", DNS, |service| service.node_port = Some(30_081));
    steps.web("an external IP", |service| service.external_ips = vec![external]);
    steps.services[WEB].external_ips.clear();
    steps.change("the external IP at another Service", TWIN, |service| service.external_ips = vec![external]);
    steps.services[TWIN].external_ips.clear();
    steps.web("the external IP back", |service| service.external_ips = vec![external]);
    steps.web("a load balancer", |service| service.load_balancer_ips = balancers[..1].to_vec());
    // They overlap.
    steps.web("source ranges", |service| {
        service.source_ranges = vec![
            range("198.18.0.0/15", "2001:db8:18::/48"),
            range("198.18.7.0/24", "2001:db8:18:7::/64"),
            range("10.0.0.0/8", "fd00::/8"),
        ];
    });
    steps.web("two addresses, and ranges with the node and an address in them", |service| {
        service.load_balancer_ips = balancers.to_vec();
        service.source_ranges =
            vec![range("192.0.2.0/24", "2001:db8::/64"), range("203.0.113.0/31", "2001:db8:203:113::/127")];
    });
    steps.web("everybody", |service| service.source_ranges = vec![range("0.0.0.0/0", "::/0")]);
    steps.web("no ranges", |service| service.source_ranges.clear());
    steps.web("external policy Local", |service| service.external_policy = Policy::Local);
    steps.web("ranges with it", |service| {
        service.source_ranges = vec![range("198.18.0.0/15", "2001:db8:18::/48")]
    });
    steps.web_endpoints("no local endpoints", &[1, 3]);
    steps.web("internal policy Local, too: drop", |service| service.internal_policy = Policy::Local);
    steps.web_endpoints("no endpoints: reject", &[]);
    steps.web("under other policies", |service| {
        (service.internal_policy, service.external_policy) = (Policy::Cluster, Policy::Cluster);
    });
    steps.web_endpoints("endpoints elsewhere", &[1, 3]);
    steps.web("internal policy Local: drop", |service| service.internal_policy = Policy::Local);
    steps.web_endpoints("a local endpoint", &[1, 2, 3]);
    steps.web("both policies Local", |service| service.external_policy = Policy::Local);
    steps.web("affinity", |service| service.affinity_seconds = Some(10_800));
    steps.web("its timeout", |service| service.affinity_seconds = Some(60));
    let mut terminating = steps.services[WEB].endpoints().to_vec();
    terminating
        .iter_mut()
        .filter(|endpoint| endpoint.local)
        .for_each(|e| e.condition = Condition::Terminating);
    steps.web("the local endpoint terminates", |service| service.set_endpoints(terminating));
    steps.web_endpoints("another is there", &[1, 3, 4]);
    steps.web_endpoints("no endpoints, with affinity", &[]);
    steps.web_endpoints("many, with affinity", &[1, 2, 3, 4, 5, 10, 11, 12]);
    steps.web("no affinity", |service| service.affinity_seconds = None);
    steps.web("nothing but a cluster IP", |service| {
        service.node_port = None;
        service.external_ips.clear();
        service.load_balancer_ips.clear();
    });
    let moved = steps.ip("10.96.0.12", "fd00:10:96::c");
    steps.web("another cluster IP", |service| service.cluster.set_ip(moved));
    let shared = steps.services[DNS].cluster.ip();
    steps.change("the second port gone elsewhere", SIGNAL, |service| service.cluster.set_ip(shared));
    let web = steps.services.remove(WEB);
    steps.step("a Service less");
    steps.services.push(web);
    steps.step("a Service more");
    steps.services.clear();
    steps.step("no Service");
    steps.steps
}
