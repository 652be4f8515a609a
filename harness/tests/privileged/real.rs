//! A real kube-proxy in a namespace, with an API server of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::SystemTime;

use apiserver::objects::{NodeSpec, Published, node};
use apiserver::{Change, Options, Server};
use dataplane::{Mode, Node};
use kube_proxy::{Binary, Config, Process, proxy_mode};
use lab::stop::Stop;
use lab::tools::Tools;
use netns_setup::{Namespace, find_kube_proxy};
use services::service::{Endpoint, Family, Protocol, Service};
use services::service_set::ServiceSet;

use crate::testbeds::TIMEOUT;

/// The version that tests have.
pub(crate) const MINOR: u8 = 37;
const API_SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6443);
const NODE: &str = "test";

/// A Service that comes last of all that kube-proxy is told: once packets to it arrive, everything before is in force, since
/// each kind of objects is told in its order, and one sync takes all that there is.
#[derive(Clone, Copy)]
pub(crate) struct Marker {
    /// A pod of another node.
    pub sender: IpAddr,
    pub service: SocketAddr,
    pub endpoint: SocketAddr,
}

/// Dropping it ends the process first.
pub(crate) struct Real {
    process: Process,
    server: Server,
    published: Published,
    family: Family,
    told: u8,
}

impl Real {
    pub(crate) fn start(namespace: &Namespace, mode: Mode, of: Node) -> Self {
        let (stop, binary) = (Stop::new(), Binary::open(find_kube_proxy(MINOR).unwrap()).unwrap());
        let version = binary.version(&stop, TIMEOUT).unwrap();
        let listener = namespace.run(|| TcpListener::bind(API_SERVER)).unwrap();
        let options = Options { kubernetes: version.minor(), ..Options::default() };
        let server = Server::start(listener, options).unwrap();
        // Some processes miss a zone that their Node has from the beginning (see "A plan against the real kube-proxy" in METHODOLOGY.md).
        let mut own = NodeSpec {
            name: NODE.into(),
            addresses: vec![of.address],
            pod_cidrs: of.cluster_cidr.into_iter().collect(),
            has_zone: false,
            version: version.to_string(),
        };
        server.apply([Change::Put(node(&own).into())]).unwrap();
        let mut config = Config::new(proxy_mode(mode).unwrap(), format!("http://{API_SERVER}"), NODE);
        config.cluster_cidrs = of.cluster_cidr.into_iter().collect();
        config.localhost_node_ports = of.localhost_node_ports;
        let mut process = Process::start(namespace, &binary, &version, &config, Tools::of(mode)).unwrap();
        process.wait_until_ready(&stop, TIMEOUT).unwrap();
        own.has_zone = true;
        server.apply([Change::Put(node(&own).into())]).unwrap();
        Self { process, server, published: Published::new(NODE), family: of.family(), told: 0 }
    }

    /// Has the API server serve these, and what shows when they are in force.
    pub(crate) fn tell(&mut self, set: &ServiceSet) -> Marker {
        self.told += 1;
        let number = self.told;
        let ip = |text: String| text.parse::<IpAddr>().unwrap();
        let [service, endpoint, sender] = match self.family {
            Family::Ipv4 => {
                [format!("10.96.200.{number}"), format!("10.244.1.{number}"), "10.244.1.250".into()]
            }
            Family::Ipv6 => {
                let hex = format!("{number:x}");
                [format!("fd00:10:96::c8{hex}"), format!("fd00:244:0:1::c8{hex}"), "fd00:244:0:1::250".into()]
            }
        }
        .map(ip);
        let marker = Marker {
            sender,
            service: SocketAddr::new(service, 7_999),
            endpoint: SocketAddr::new(endpoint, 17_999),
        };
        let ready = vec![Endpoint::ready(marker.endpoint, false)];
        // Objects are told by the order of their names.
        let last = Service::new("zzz", format!("marker-{number}"), "", Protocol::Tcp, marker.service, ready);
        let set = set.with_added(last);
        let changes = self.published.change_to(&[&set], Some(SystemTime::now())).unwrap();
        self.server.apply(changes).unwrap();
        marker
    }

    /// Panics with its last lines if it has ended.
    pub(crate) fn check(&mut self) {
        self.process.check().unwrap();
    }
}
