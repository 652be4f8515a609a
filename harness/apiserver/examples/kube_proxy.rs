//! A real kube-proxy in a namespace of its own, served by this crate:
//! `cargo run --release -p apiserver --example kube_proxy -- PATH [SERVICES ENDPOINTS [MODE [CONTENT-TYPE [GATE]]]]`.
//!
//! Prints how long it takes to list, to sync and to see a change, and the server's share of it. Needs root and nft.

#![expect(clippy::print_stdout, reason = "examples talk to whoever runs them")]
#![expect(clippy::unwrap_used, reason = "an example that fails has failed")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use apiserver::objects::{NodeSpec, Published, node, service_cidr};
use apiserver::{Change, Options, Resource, Server};
use netns_setup::Namespace;
use services::addresses;
use services::service_set::{Scale, ServiceSet};

const NODE: &str = "node1";
const API_PORT: u16 = 8001;
const METRICS_PORT: u16 = 10_249;
const LIMIT: Duration = Duration::from_secs(900);

/// Writes the two files that kube-proxy reads.
fn configure(folder: &Path, mode: &str, content_type: &str, gate: &str) {
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{API_PORT}'}}}}]\n\
         users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\ncurrent-context: x\n"
    );
    fs::write(folder.join("kubeconfig"), kubeconfig).unwrap();
    let client = match content_type {
        "default" => String::new(),
        given => format!(", contentType: {given}, acceptContentTypes: {given}"),
    };
    let config = format!(
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nbindAddress: 0.0.0.0\n\
         hostnameOverride: {NODE}\nhealthzBindAddress: 127.0.0.1:10256\nmetricsBindAddress: 127.0.0.1:{METRICS_PORT}\n\
         featureGates: {{{gate}}}\nclusterCIDR: {}\ndetectLocalMode: ClusterCIDR\nmode: {mode}\n\
         clientConnection: {{kubeconfig: {}/kubeconfig, qps: 50, burst: 100{client}}}\n\
         conntrack: {{maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}}\n",
        addresses::PODS,
        folder.display()
    );
    fs::write(folder.join("config"), config).unwrap();
}

/// Syncs so far, by kube-proxy's metrics; `None` while it does not answer.
fn syncs(namespace: &Namespace) -> Option<f64> {
    let text = namespace.run(|| {
        let mut stream = TcpStream::connect(("127.0.0.1", METRICS_PORT)).ok()?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    })?;
    let counts =
        text.lines().filter(|line| line.starts_with("kubeproxy_sync_proxy_rules_duration_seconds_count"));
    Some(counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

fn until(what: &str, log: &Path, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        if begin.elapsed() > LIMIT {
            panic!("waited in vain until {what}:\n{}", fs::read_to_string(log).unwrap());
        }
        sleep(Duration::from_millis(5));
    }
}

/// Processor time of a program so far, in hundredths of a second (proc(5), USER_HZ).
fn processor(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// What the kernel has.
fn ruleset(namespace: &Namespace) -> String {
    let mut nft = Command::new("nft");
    nft.args(["list", "ruleset"]).stdout(Stdio::piped());
    let output = namespace.spawn(&mut nft).unwrap().wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |at: usize, default: &str| arguments.get(at).cloned().unwrap_or_else(|| default.to_owned());
    let (program, mode, content_type) = (text(0, "kube-proxy"), text(3, "nftables"), text(4, "default"));
    let scale =
        Scale { services: text(1, "1000").parse().unwrap(), endpoints: text(2, "10").parse().unwrap() };
    let namespace = Namespace::create("kube-proxy").unwrap();
    namespace.links(|links| links.add_address("lo", ipnet::Ipv4Net::from(addresses::NODE))).unwrap();
    let listener = namespace.run(|| TcpListener::bind(("127.0.0.1", API_PORT))).unwrap();
    let server = Server::start(listener, Options::default()).unwrap();

    let set = ServiceSet::synthetic(scale, 1);
    let mut published = Published::new(NODE);
    let one = NodeSpec {
        name: NODE.into(),
        addresses: vec![addresses::NODE.into()],
        pod_cidrs: vec![addresses::PODS.into()],
        has_zone: true,
        version: "v1.37.2".into(),
    };
    let ranges = [addresses::SERVICES.into()];
    server.apply([Change::Put(node(&one).into()), Change::Put(service_cidr(&ranges).into())]).unwrap();
    let objects = server.apply(published.change_to(&[&set], None).unwrap()).unwrap().changes;
    println!("{} Services x {} endpoints: {objects} objects", scale.services, scale.endpoints);

    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &mode, &content_type, &text(5, ""));
    let log = folder.path().join("log");
    let begin = Instant::now();
    let mut command = Command::new(&program);
    command.arg("--config").arg(folder.path().join("config")).arg("-v=2");
    command.stdout(Stdio::null()).stderr(File::create(&log).unwrap());
    let mut child = namespace.spawn(&mut command).unwrap();
    let has = |resource| server.watchers().iter().any(|watcher| watcher.open && watcher.resource == resource);
    until("it watches", &log, || has(Resource::Services) && has(Resource::EndpointSlices));
    let listed = |resource| {
        let of = server.watchers().into_iter().find(|watcher| watcher.resource == resource);
        of.and_then(|watcher| watcher.initial).map(|at| at - begin)
    };
    let listing = processor(child.id());
    // Only what watches with `sendInitialEvents` has one.
    let both = || listed(Resource::Services).is_some() && listed(Resource::EndpointSlices).is_some();
    until("it has listed", &log, || both() || server.stats().requests.keys().any(|kind| kind.verb == "list"));
    println!(
        "watches; initial state of Services was sent after {:.2?}, of EndpointSlices after {:.2?}",
        listed(Resource::Services),
        listed(Resource::EndpointSlices)
    );
    println!(
        "kube-proxy had used {listing:.2?} of a processor when it began to watch, {:.2?} when all was sent",
        processor(child.id())
    );
    until("the first sync has ended", &log, || syncs(&namespace).is_some_and(|count| count >= 1.0));
    let synced = begin.elapsed();
    println!(
        "first sync ended {synced:.2?} after the start, of which the server computed {:.2?}",
        server.stats().processor
    );
    println!("kube-proxy had used {:.2?} then", processor(child.id()));
    let log_text = fs::read_to_string(&log).unwrap();
    let caches = log_text
        .lines()
        .filter(|line| line.contains("Waiting for caches") || line.contains("Caches populated"));
    caches.for_each(|line| println!("  {}", line.get(6..200).unwrap_or(line)));
    let address = set.services()[set.len() - 1].cluster.ip().to_string();
    if mode == "nftables" {
        until("the last Service is in the kernel", &log, || ruleset(&namespace).contains(&address));
    }

    let before = syncs(&namespace).unwrap();
    let exchanged = set.with_endpoint_replaced(0, "10.200.0.1".parse().unwrap());
    let applied = server.apply(published.change_to(&[&exchanged], Some(SystemTime::now())).unwrap()).unwrap();
    let delivered = server.wait_delivered(applied.rv, 1, LIMIT);
    until("a change is synced", &log, || syncs(&namespace).is_some_and(|count| count > before));
    println!(
        "a change of {} object: in the socket after {:.2?}, synced after {:.2?}",
        applied.changes,
        delivered[0].at - applied.at,
        applied.at.elapsed()
    );
    if mode == "nftables" {
        assert!(ruleset(&namespace).contains("10.200.0.1"), "the kernel has not heard of it");
    }
    for (number, what) in ["its watches end with 410", "the server is away for 2 s"].into_iter().enumerate() {
        let before = syncs(&namespace).unwrap();
        match number {
            0 => server.expire_watches(),
            _ => server.away().unwrap(),
        }
        let ip = std::net::IpAddr::from([10, 200, 1, number as u8 + 1]);
        let set = exchanged.with_endpoint_replaced(1, ip);
        server.apply(published.change_to(&[&set], Some(SystemTime::now())).unwrap()).unwrap();
        if number == 1 {
            sleep(Duration::from_secs(2));
            server.back().unwrap();
        }
        let begin = Instant::now();
        until("it has caught up", &log, || syncs(&namespace).is_some_and(|count| count > before));
        until("the kernel has", &log, || mode != "nftables" || ruleset(&namespace).contains(&ip.to_string()));
        println!("{what}, and an endpoint changes meanwhile: caught up after {:.2?}", begin.elapsed());
    }
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    println!("kube-proxy: {}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
    let stats = server.stats();
    println!("client events: {}", server.client_events().count);
    println!("{stats:#?}");
    child.kill().unwrap();
    child.wait().unwrap();
    if std::env::var_os("LOG").is_some() {
        println!("{}", fs::read_to_string(&log).unwrap());
    }
}
