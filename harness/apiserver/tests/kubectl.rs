//! kubectl gets, describes and watches what is in the server.
//!
//! Without kubectl these are shown as ignored; with `SVCBENCH_REQUIRE_PRIVILEGE=1`, as `scripts/test` has it, they fail.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use apiserver::objects::{NodeSpec, Published, node, service_cidr};
use apiserver::{Change, Options, Resource, Server};
use libtest_mimic::{Arguments, Trial};
use services::service_set::{Scale, ServiceSet};
use services::shape::Shape;

use crate::support::server;

const NODE: &str = "node1";

/// A server with 30 Services of all sorts.
struct Cluster {
    server: Server,
    published: Published,
    set: ServiceSet,
}

impl Cluster {
    fn new() -> Self {
        let shape = "node_ports = 0.3\nload_balancers = 0.2\nexternal_ips = 0.2\nexternal_local = 0.5\naffinity = 0.2";
        let shape: Shape = toml::from_str(shape).unwrap();
        let set = ServiceSet::shaped(Scale { services: 30, endpoints: 4 }, &shape, 1);
        let server = server(Options::default());
        let mut published = Published::new(NODE);
        let one = NodeSpec {
            name: NODE.into(),
            addresses: vec!["172.30.0.1".parse().unwrap()],
            pod_cidrs: vec!["10.128.0.0/9".parse().unwrap()],
            has_zone: true,
            version: "v1.37.2".into(),
        };
        let ranges = ["10.96.0.0/12".parse().unwrap()];
        server.apply([Change::Put(node(&one).into()), Change::Put(service_cidr(&ranges).into())]).unwrap();
        server.apply(published.change_to(&[&set], None).unwrap()).unwrap();
        Self { server, published, set }
    }

    /// kubectl with a home and a cache of its own.
    fn kubectl(&self, home: &tempfile::TempDir) -> Command {
        let mut command = Command::new("kubectl");
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home.path());
        command.arg(format!("--server=http://{}", self.server.address()));
        command
    }

    /// What it prints.
    #[track_caller]
    fn prints(&self, arguments: &str) -> String {
        let home = tempfile::tempdir().unwrap();
        let output = self.kubectl(&home).args(arguments.split_whitespace()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "kubectl {arguments}: {}", text(&output.stderr));
        text(&output.stdout)
    }
}

fn gets() {
    let cluster = Cluster::new();
    let services = cluster.prints("get svc -A");
    let (head, rows) = services.split_once('\n').unwrap();
    let head: Vec<&str> = head.split_whitespace().collect();
    assert_eq!(head, ["NAMESPACE", "NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]);
    assert_eq!(rows.lines().count(), cluster.set.len(), "{services}");
    for kind in ["ClusterIP", "NodePort", "LoadBalancer"] {
        assert!(rows.contains(kind), "{services}");
    }
    assert_eq!(cluster.prints("get svc -A -o name --chunk-size=7"), cluster.prints("get svc -A -o name"));
    assert!(cluster.prints("get nodes -o wide").contains("172.30.0.1"));
    assert!(cluster.prints("get nodes").contains("Ready"));
    assert!(cluster.prints("get ns").contains("svcbench"));
    assert!(cluster.prints("get servicecidrs").contains("10.96.0.0/12"));
    assert_eq!(cluster.prints("get endpointslices -A --no-headers").lines().count(), 30);
    let name = &cluster.set.services()[0].name;
    let selected = format!("get endpointslices -n svcbench -l kubernetes.io/service-name={name} -o name");
    assert_eq!(cluster.prints(&selected).trim(), format!("endpointslice.discovery.k8s.io/{name}-00001"));
    let typed = cluster.prints("get svc -A --field-selector spec.type=LoadBalancer --no-headers");
    assert_eq!(typed.lines().count(), 6, "{typed}");
    let yaml = cluster.prints(&format!("get svc {name} -n svcbench -o yaml"));
    assert!(yaml.contains("kind: Service") && yaml.contains("clusterIP: 10.9"), "{yaml}");
    let list = cluster.prints("get services,endpointslices -A -o json");
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 60);
}

fn describes() {
    let cluster = Cluster::new();
    let name = &cluster.set.services()[0].name;
    let service = cluster.prints(&format!("describe svc {name} -n svcbench"));
    for expected in ["Type:", "Endpoints:", "Session Affinity:"] {
        assert!(service.contains(expected), "{service}");
    }
    let endpoint = cluster.set.services()[0].endpoints()[0].address.ip().to_string();
    // kubectl 1.20, which Debian 12 has, describes those of v1beta1 only.
    let slice = cluster.prints(&format!("get endpointslice {name}-00001 -n svcbench -o yaml"));
    assert!(slice.contains(&endpoint), "{slice}");
    assert!(cluster.prints("describe node node1").contains("InternalIP:"));
}

fn discovers() {
    let cluster = Cluster::new();
    let resources = cluster.prints("api-resources --no-headers");
    assert_eq!(resources.lines().count(), Resource::ALL.len() + 2, "{resources}");
    assert!(cluster.prints("api-versions").contains("discovery.k8s.io/v1"));
    assert!(cluster.prints("version").contains("v1.37.0+svcbench"));
    assert_eq!(cluster.prints("get --raw /readyz"), "ok");
}

fn watches() {
    let mut cluster = Cluster::new();
    let home = tempfile::tempdir().unwrap();
    let name = cluster.set.services()[0].name.clone();
    let arguments = ["get", "endpointslices", "-n", "svcbench", "--watch", "--no-headers"];
    let selector = format!("kubernetes.io/service-name={name}");
    let mut child = cluster
        .kubectl(&home)
        .args(arguments)
        .args(["-l", &selector])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    assert!(first.starts_with(&format!("{name}-00001")), "{first}");
    support::until("kubectl watches", || cluster.server.stats().watchers == 1);
    let exchanged = cluster.set.with_endpoint_replaced(0, "1.2.3.4".parse().unwrap());
    cluster.server.apply(cluster.published.change_to(&[&exchanged], None).unwrap()).unwrap();
    let second = lines.next().unwrap();
    assert!(second.starts_with(&format!("{name}-00001")) && second != first, "{second}");
    let none = ServiceSet::default();
    cluster.server.apply(cluster.published.change_to(&[&none], None).unwrap()).unwrap();
    assert!(lines.next().is_some());
    child.kill().unwrap();
    child.wait().unwrap();
}

fn fails_well() {
    let cluster = Cluster::new();
    let home = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        ("get svc none -n svcbench", "services \"none\" not found"),
        ("get configmaps", "the server doesn't have a resource type \"configmaps\""),
        ("delete svc none -n svcbench", "the server does not allow this method"),
        ("get svc --field-selector spec.color=red", "field label not supported: spec.color"),
    ] {
        let output = cluster.kubectl(&home).args(arguments.split_whitespace()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "kubectl {arguments}: {said}");
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let is_there = Command::new("kubectl")
        .args(["version", "--client"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let is_there = is_there.is_ok_and(|status| status.success());
    let required = std::env::var("SVCBENCH_REQUIRE_PRIVILEGE").is_ok_and(|value| value == "1");
    let tests: [(&str, fn()); 5] = [
        ("kubectl_gets", gets),
        ("kubectl_describes", describes),
        ("kubectl_discovers", discovers),
        ("kubectl_watches", watches),
        ("kubectl_says_what_is_wrong", fails_well),
    ];
    let trial = |(name, body): (&str, fn())| {
        let run = move || match is_there {
            true => {
                body();
                Ok(())
            }
            false => Err("there is no kubectl: apt install kubernetes-client".into()),
        };
        Trial::test(name, run).with_ignored_flag(!is_there && !required)
    };
    libtest_mimic::run(&arguments, tests.into_iter().map(trial).collect()).exit_code()
}
