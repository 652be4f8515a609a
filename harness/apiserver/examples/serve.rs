//! Serves synthetic Services until it is ended, to look at with kubectl:
//! `cargo run -p apiserver --example serve -- 127.0.0.1:8001 [SERVICES ENDPOINTS [SHAPE]]`, and `kubectl -s http://127.0.0.1:8001 get svc -A`.
//!
//! SHAPE is a section `shape` of a sweep: `node_ports = 0.1`.

#![expect(clippy::print_stdout, reason = "examples talk to whoever runs them")]
#![expect(clippy::unwrap_used, reason = "an example that fails has failed")]

use std::net::TcpListener;

use apiserver::objects::{NodeSpec, Published, node, service_cidr, with_agreeing_ports};
use apiserver::{Change, Options, Server};
use services::addresses;
use services::service_set::{Scale, ServiceSet};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |at: usize, default: &str| arguments.get(at).cloned().unwrap_or_else(|| default.to_owned());
    let scale = Scale { services: text(1, "100").parse().unwrap(), endpoints: text(2, "3").parse().unwrap() };
    let set = ServiceSet::shaped(scale, &toml::from_str(&text(3, "")).unwrap(), 1);
    let server =
        Server::start(TcpListener::bind(text(0, "127.0.0.1:8001")).unwrap(), Options::default()).unwrap();
    let one = NodeSpec {
        name: "node1".into(),
        addresses: vec![addresses::NODE.into()],
        pod_cidrs: vec![addresses::PODS.into()],
        has_zone: true,
        version: "v1.37.2".into(),
    };
    let cidr = service_cidr(&[addresses::SERVICES.into()]);
    server.apply([Change::Put(node(&one).into()), Change::Put(cidr.into())]).unwrap();
    let mut published = Published::new("node1");
    server.apply(published.change_to(&[&with_agreeing_ports(&set)], None).unwrap()).unwrap();
    println!("http://{}", server.address());
    loop {
        std::thread::park();
    }
}
