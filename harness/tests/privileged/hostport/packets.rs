//! What packets to host ports meet, from all sides, in both families.

use std::net::{IpAddr, SocketAddr};

use conformance::oracle::{Delivered, Location, Oracle, PacketOutcome, SentPacket};
use dataplane::background::backend;
use dataplane::hostport::{Backend, HostPort, HostPorts, Sandbox};
use dataplane::{Mode, Plan};
use lab::apply::Runner;
use lab::stop::Stop;
use lab::tools::Tools;
use netns_setup::single_node::Topology;
use services::service::{Family, Protocol};

/// Addresses of one family.
struct Addresses {
    node: IpAddr,
    /// The node's, too.
    second: IpAddr,
    /// With the prefix that all pods of the node share.
    pod: &'static str,
    other_pod: IpAddr,
    remote: IpAddr,
    stranger: IpAddr,
    /// Nobody's.
    elsewhere: IpAddr,
}

fn addresses(family: Family) -> Addresses {
    let ip = |text: &str| text.parse().unwrap();
    match family {
        Family::Ipv4 => Addresses {
            node: ip("192.0.2.1"),
            second: ip("192.0.2.2"),
            pod: "10.244.0.10/24",
            other_pod: ip("10.244.0.20"),
            remote: ip("10.244.1.7"),
            stranger: ip("198.51.100.9"),
            elsewhere: ip("203.0.113.5"),
        },
        Family::Ipv6 => Addresses {
            node: ip("2001:db8::1"),
            second: ip("2001:db8::2"),
            pod: "fd00:244::a/64",
            other_pod: ip("fd00:244::14"),
            remote: ip("fd00:244:0:1::7"),
            stranger: ip("2001:db8:9::9"),
            elsewhere: ip("2001:db8:5::5"),
        },
    }
}

/// A node with host ports.
struct Bench {
    oracle: Oracle,
    runner: Runner,
    host_ports: HostPorts,
}

impl Bench {
    fn new(mode: Mode) -> Self {
        let parse = |list: [&str; 2]| list.map(|prefix| prefix.parse().unwrap()).to_vec();
        let node = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"];
        let oracle = Oracle::build(&Topology {
            label: format!("test/{mode}"),
            node: node.map(|address| address.parse().unwrap()).to_vec(),
            local_pods: parse(["10.244.0.0/24", "fd00:244::/64"]),
            remote_pods: parse(["10.244.1.0/24", "fd00:244:0:1::/64"]),
        })
        .unwrap();
        let runner = Runner::new(Tools::of(mode), oracle.node().process_group(), Stop::new());
        Self { oracle, runner, host_ports: HostPorts::new(backend(mode), true) }
    }

    fn apply(&self, steps: Vec<dataplane::Step>) {
        let plan = Plan { steps, ..Plan::default() };
        self.oracle.node().run(|| self.runner.apply(&plan, None)).unwrap();
    }

    fn add(&mut self, id: &str, address: &str, ports: Vec<HostPort>) {
        let steps = self.host_ports.add(Sandbox {
            network: "cbr0".into(),
            container_id: id.into(),
            addresses: vec![address.parse().unwrap()],
            ports,
            route_localnet: Some("net.ipv4.conf.local-pods.route_localnet"),
        });
        self.apply(steps);
    }

    fn remove(&mut self, id: &str) {
        let steps = self.host_ports.remove(id);
        self.apply(steps);
    }

    fn send(&mut self, protocol: Protocol, from: IpAddr, to: SocketAddr, origin: Location) -> PacketOutcome {
        let packet = SentPacket::new(protocol, from, to);
        self.oracle.send(packet, origin).unwrap_or_else(|error| panic!("{packet} from {origin}: {error}"))
    }

    /// A packet that arrives and whose answer comes back as it must.
    fn delivered(&mut self, protocol: Protocol, from: IpAddr, to: SocketAddr, origin: Location) -> Delivered {
        let outcome = self.send(protocol, from, to, origin);
        let Some(delivered) = outcome.delivered().copied() else {
            panic!("{} from {from} ({origin}) to {to}: {outcome}", protocol.name())
        };
        if delivered.at == Location::LocalPod {
            let reply = self.oracle.reply(&delivered).unwrap();
            assert!(delivered.is_answered_by(&reply), "{delivered}: {reply}");
        }
        delivered
    }
}

const fn port(host_ip: Option<IpAddr>, host_port: u16, protocol: Protocol, container_port: u16) -> HostPort {
    HostPort { host_ip, host_port, protocol, container_port }
}

pub(super) fn reach_pods(mode: Mode, family: Family) {
    let at = addresses(family);
    let pod: IpAddr = at.pod.split('/').next().unwrap().parse().unwrap();
    let mut bench = Bench::new(mode);
    let ports = vec![
        port(None, 8080, Protocol::Tcp, 80),
        port(None, 5353, Protocol::Udp, 53),
        port(None, 3868, Protocol::Sctp, 3868),
        port(Some(at.second), 8443, Protocol::Tcp, 443),
    ];
    bench.add("first", at.pod, ports.clone());

    for &HostPort { host_ip, host_port, protocol, container_port } in &ports {
        let to = SocketAddr::new(host_ip.unwrap_or(at.node), host_port);
        let target = SocketAddr::new(pod, container_port);
        // A pod of the same prefix is taken for the pod itself by the iptables backend, which knows the prefix only.
        let of_prefix = (backend(mode) == Backend::Iptables).then_some(at.node);
        let origins = [
            (Location::Outside, at.stranger, None),
            (Location::RemotePod, at.remote, None),
            (Location::LocalPod, at.other_pod, of_prefix),
            (Location::LocalPod, pod, Some(at.node)),
            (Location::Node, at.node, None),
        ];
        for (origin, from, masquerade) in origins {
            let delivered = bench.delivered(protocol, from, to, origin);
            assert_eq!((delivered.at, delivered.destination), (Location::LocalPod, target), "{delivered}");
            assert_eq!(delivered.masquerade(), masquerade, "{delivered}");
        }
        // From 127.0.0.1, whose answers would have no way back. The plugin does so for IPv4 only.
        if family == Family::Ipv4 && host_ip.is_none() {
            let loopback: IpAddr = "127.0.0.1".parse().unwrap();
            let to = SocketAddr::new(loopback, host_port);
            let delivered = bench.delivered(protocol, loopback, to, Location::Node);
            assert_eq!((delivered.at, delivered.destination), (Location::LocalPod, target), "{delivered}");
            assert_eq!(delivered.masquerade(), Some(at.node), "{delivered}");
        }
        // What passes through the node is not its own.
        let to = SocketAddr::new(at.elsewhere, host_port);
        let delivered = bench.delivered(protocol, at.remote, to, Location::RemotePod);
        assert_eq!((delivered.at, delivered.destination), (Location::Outside, to), "{delivered}");
    }
    // Another address of the node, another protocol.
    let to = SocketAddr::new(at.node, 8443);
    assert_eq!(bench.delivered(Protocol::Tcp, at.stranger, to, Location::Outside).at, Location::Node);
    let to = SocketAddr::new(at.node, 8080);
    assert_eq!(bench.delivered(Protocol::Udp, at.stranger, to, Location::Outside).at, Location::Node);

    // Of two pods that claim a port the first has it, until it goes.
    let second = at.pod.replace("10/24", "30/24").replace("::a/", "::1e/");
    bench.add("second", &second, vec![port(None, 8080, Protocol::Tcp, 8000)]);
    let who = |bench: &mut Bench| {
        let delivered = bench.delivered(Protocol::Tcp, at.stranger, to, Location::Outside);
        (delivered.at, delivered.destination.port())
    };
    assert_eq!(who(&mut bench), (Location::LocalPod, 80));
    bench.remove("first");
    assert_eq!(who(&mut bench), (Location::LocalPod, 8000));
    bench.remove("second");
    assert_eq!(who(&mut bench), (Location::Node, 8080));
}
