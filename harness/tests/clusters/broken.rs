//! Each sort of bad input and what is said about it.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;
use serde_json::{Value, json};

use crate::{EVERYTHING_YAML, EXAMPLE, cluster, read, service, slice};

/// What is said of texts, by what is wrong with them.
fn errors(variants: Vec<(&str, String)>) -> String {
    let mut all = String::new();
    for (what, text) in variants {
        let error = read(&text).expect_err(what);
        all.push_str(&format!("# {what}\n{error}\n"));
    }
    all
}

#[test]
fn texts_that_are_no_cluster() {
    let half = |text: &str| text[..text.len() / 2].to_owned();
    let deep = |open: &str, count: usize| format!("{{\"kind\": {}", open.repeat(count));
    let variants = vec![
        ("only spaces", " \n\t\n".to_owned()),
        ("truncated JSON", half(EXAMPLE)),
        ("truncated YAML", "kind: List\nitems:\n- kind: Service\n  metadata: {name: \"we".to_owned()),
        (
            "a YAML key cut off",
            EVERYTHING_YAML[..EVERYTHING_YAML.find("clusterIP: ").unwrap() + 7].to_owned(),
        ),
        ("no language", "hello\n".to_owned()),
        ("a number", "17".to_owned()),
        ("gzip", "\u{1f}\u{fffd}\u{8}\0\0\0\0\0".to_owned()),
        ("a comma too much", EXAMPLE.replacen("],", "],,", 1)),
        ("a tab for indentation", "kind: List\nitems:\n\t- kind: Service\n".to_owned()),
        ("something behind it", format!("{EXAMPLE}}}")),
        ("the second of two documents", format!("{EXAMPLE}\n{{\"items\": [{{]}}")),
        ("the second of two YAML documents", "kind: ConfigMap\n---\nkind: [\n".to_owned()),
        ("NUL in JSON", EXAMPLE.replacen("\"web\"", "\"we\0b\"", 1)),
        ("NUL in YAML", "kind: List\nitems:\n- kind: Ser\0vice\n".to_owned()),
        ("JSON nested deeply", deep("[", 10_000)),
        ("YAML nested deeply in flow style", format!("kind: {}", "[".repeat(10_000))),
        (
            "YAML nested deeply in blocks",
            (0..1000).map(|depth| format!("{}k:\n", " ".repeat(depth))).collect(),
        ),
        ("an anchor", "items:\n- &a\n  kind: ConfigMap\n- *a\n".to_owned()),
        ("an alias of nothing", "items:\n- *a\n".to_owned()),
        ("an unknown tag", "items:\n- !secret x\n".to_owned()),
        ("a key twice", "kind: List\nkind: List\n".to_owned()),
        ("items twice", "{\"items\": [], \"items\": []}".to_owned()),
        ("items is an object", json!({ "items": {} }).to_string()),
        ("items is a string in YAML", "items: none\n".to_owned()),
        ("an item is null", "{\"items\": [null]}".to_owned()),
        ("no items", json!({ "kind": "List" }).to_string()),
        ("no Service", json!({ "kind": "List", "items": [] }).to_string()),
        ("other objects only", "kind: ConfigMap\n---\nkind: Secret\n".to_owned()),
        ("a Service by itself, without anything", json!({ "kind": "Service" }).to_string()),
        ("no kind", json!({ "items": [{ "metadata": { "name": "x", "namespace": "y" } }] }).to_string()),
        ("a kind that is none", json!({ "items": [{ "kind": "a\u{1b}[31m" }] }).to_string()),
        (
            "the list's kind too late",
            json!({ "items": [{ "metadata": { "name": "x" } }], "kind": "ServiceList" }).to_string(),
        ),
    ];
    insta::assert_snapshot!("no_cluster", errors(variants));
}

#[test]
fn bytes_that_are_no_text() {
    let mut all = String::new();
    for (what, bytes) in [
        ("invalid UTF-8 in JSON", b"{\"items\": [{\"kind\": \"\xff\xfe\"}]}".to_vec()),
        ("invalid UTF-8 in YAML", b"kind: List\nitems:\n- kind: \xff\xfe\n".to_vec()),
        ("UTF-16", b"\xff\xfe{\0\"\0".to_vec()),
        ("nothing", Vec::new()),
    ] {
        let error = services::cluster::ClusterInput::read_from(&*bytes, "FILE", None).expect_err(what);
        all.push_str(&format!("# {what}\n{error}\n"));
    }
    insta::assert_snapshot!("no_text", all);
}

#[test]
fn objects_that_no_api_server_lets_in() {
    let with = |pointer: &str, value: Value| {
        let mut list = json!({ "kind": "List", "items": [
            service(json!({ "ports": [{ "name": "http", "port": 80, "nodePort": 30080 }] })),
            slice("x", json!([{ "addresses": ["10.0.0.1"], "nodeName": "n1" }])),
        ] });
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let parent = list.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}"));
        match parent {
            Value::Array(items) => items[field.parse::<usize>().unwrap()] = value,
            object => object[field] = value,
        }
        list.to_string()
    };
    let pod = |field: &str, value: Value| {
        let mut pod = json!({
            "kind": "Pod", "metadata": { "name": "p", "namespace": "a" },
            "spec": { "nodeName": "n1", "containers": [{ "name": "c", "ports": [{ "hostPort": 80, "containerPort": 8080 }] }] },
            "status": { "podIP": "10.0.0.1" },
        });
        pod["spec"]["containers"][0]["ports"][0][field] = value;
        pod.to_string()
    };
    let node = |field: &str, value: Value| {
        let mut node = json!({ "kind": "Node", "metadata": { "name": "n1" }, "spec": {}, "status": {} });
        node[field] = value;
        node.to_string()
    };
    let variants = vec![
        ("a string for a list", with("/items/0/spec/ports", json!("80"))),
        ("a string for a number", with("/items/0/spec/ports/0/port", json!("80"))),
        ("a list for an object", with("/items/0/spec", json!([]))),
        ("port 0", with("/items/0/spec/ports/0/port", json!(0))),
        ("port 70000", with("/items/0/spec/ports/0/port", json!(70_000))),
        ("a port beyond any integer", with("/items/0/spec/ports/0/port", json!(99_999_999_999_u64))),
        ("half a port", with("/items/0/spec/ports/0/port", json!(80.5))),
        ("node port -1", with("/items/0/spec/ports/0/nodePort", json!(-1))),
        ("endpoint port 65536", with("/items/1/ports/0/port", json!(65_536))),
        ("an unknown protocol", with("/items/0/spec/ports/0/protocol", json!("QUIC"))),
        ("an unknown protocol of an endpoint", with("/items/1/ports/0/protocol", json!("tcp"))),
        ("cluster IP is no address", with("/items/0/spec/clusterIP", json!("ten"))),
        ("cluster IP for the loopback", with("/items/0/spec/clusterIP", json!("127.0.0.1"))),
        ("unknown family", with("/items/0/spec/ipFamilies", json!(["IPv5"]))),
        ("families in the wrong order", {
            with(
                "/items/0/spec",
                json!({ "clusterIPs": ["fd00::1"], "clusterIP": "fd00::1", "ipFamilies": ["IPv4"] }),
            )
        }),
        ("endpoint is no address", with("/items/1/endpoints/0/addresses/0", json!("10.0.0.256"))),
        ("endpoint with leading zeros", with("/items/1/endpoints/0/addresses/0", json!("010.0.0.1"))),
        ("endpoint of the other family", with("/items/1/endpoints/0/addresses/0", json!("fd00::1"))),
        (
            "endpoint is IPv4 written as IPv6",
            with("/items/1/endpoints/0/addresses/0", json!("::ffff:10.0.0.1")),
        ),
        ("endpoint at a multicast address", with("/items/1/endpoints/0/addresses/0", json!("224.0.0.1"))),
        ("unknown address type", with("/items/1/addressType", json!("ipv4"))),
        ("unknown type", with("/items/0/spec/type", json!("Loadbalancer"))),
        ("unknown policy", with("/items/0/spec/internalTrafficPolicy", json!("PreferLocal"))),
        ("unknown affinity", with("/items/0/spec/sessionAffinity", json!("clientip"))),
        ("unknown mode of an ingress IP", {
            with(
                "/items/0/status",
                json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.1", "ipMode": "Vip" }] } }),
            )
        }),
        ("health check port beyond 65535", {
            with(
                "/items/0/spec",
                json!({
                    "clusterIP": "10.96.0.1", "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 70_000
                }),
            )
        }),
        ("no name", with("/items/0/metadata/name", Value::Null)),
        ("no namespace", with("/items/0/metadata/namespace", Value::Null)),
        ("a name that is none", with("/items/0/metadata/name", json!("web\"\n-A INPUT -j DROP"))),
        ("a name that is too long", with("/items/0/metadata/name", json!("x".repeat(100_000)))),
        ("a namespace that is none", with("/items/0/metadata/namespace", json!("Default"))),
        ("a port name that is none", with("/items/0/spec/ports/0/name", json!("d n s"))),
        ("a slice without a name", with("/items/1/metadata/name", Value::Null)),
        ("a slice in no namespace", with("/items/1/metadata/namespace", json!(""))),
        ("host port beyond 65535", pod("hostPort", json!(65_536))),
        ("host port on no address", pod("hostIP", json!("localhost"))),
        ("host port of an unknown protocol", pod("protocol", json!("ICMP"))),
        (
            "a Node at no address",
            node("status", json!({ "addresses": [{ "type": "InternalIP", "address": "n1" }] })),
        ),
        ("a Node with no CIDR", node("spec", json!({ "podCIDRs": ["10.0.0.0"] }))),
    ];
    insta::assert_snapshot!("no_objects", errors(variants));
}

#[test]
fn two_that_want_the_same() {
    let other = |spec: Value| {
        let mut other = service(json!({ "clusterIP": "10.96.0.2" }));
        other["metadata"]["name"] = json!("t");
        spec.as_object().unwrap().iter().for_each(|(field, value)| other["spec"][field] = value.clone());
        other
    };
    let balanced = |mut service: Value| {
        service["status"]["loadBalancer"]["ingress"] = json!([{ "ip": "192.0.2.1" }]);
        service
    };
    let node_port = json!({ "ports": [{ "port": 80, "nodePort": 30000 }] });
    let external = json!({ "externalIPs": ["192.0.2.1"] });
    let dual = json!({ "clusterIPs": ["10.96.0.2", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"] });
    let node = json!({ "kind": "Node", "metadata": { "name": "n1" } });
    let ports = |ports: Value| json!({ "ports": ports });
    let variants = [
        ("Service twice", vec![service(json!({})), service(json!({}))]),
        ("a cluster IP", vec![service(json!({})), other(json!({ "clusterIP": "10.96.0.1" }))]),
        ("an IPv6 cluster IP", vec![service(json!({ "clusterIP": "fd00::1" })), other(dual)]),
        ("a node port", vec![service(node_port.clone()), other(node_port)]),
        ("an external IP", vec![service(external.clone()), other(external.clone())]),
        ("a load balancer's IP", vec![balanced(service(json!({}))), balanced(other(json!({})))]),
        ("an external and a load balancer's IP", vec![service(external), balanced(other(json!({})))]),
        (
            "an external and a cluster IP",
            vec![service(json!({})), other(json!({ "externalIPs": ["10.96.0.1"] }))],
        ),
        ("a port name", vec![service(ports(json!([{ "port": 80 }, { "port": 81 }])))]),
        ("a port", vec![service(ports(json!([{ "port": 80, "name": "a" }, { "port": 80, "name": "b" }])))]),
        ("slice twice", vec![service(json!({})), slice("x", json!([])), slice("x", json!([]))]),
        ("Node twice", vec![node.clone(), node, service(json!({}))]),
    ];
    let mut all = String::new();
    for (what, items) in variants {
        all.push_str(&format!("# {what}\n{}\n", cluster(&items).expect_err(what)));
    }
    insta::assert_snapshot!("the_same", all);
}

/// What `svcbench plan --from FILE` says and how it ends, with so many KiB of address space.
fn refused(file: &Path, input: &[u8], kibibytes: u32) -> String {
    let script = format!("ulimit -v {kibibytes}; exec \"$0\" plan -m nftables --from \"$1\"");
    let output = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_svcbench")])
        .arg(file)
        .write_stdin(input)
        .timeout(Duration::from_secs(600))
        .output()
        .unwrap();
    assert!(output.stdout.is_empty(), "nothing is planned");
    let folder = file.parent().unwrap_or(file).to_string_lossy().into_owned();
    let text = String::from_utf8(output.stderr).unwrap();
    let text = if folder.starts_with("/tmp") { text.replace(&folder, "DIR") } else { text };
    format!("{text}--- exit code {:?}\n", output.status.code())
}

/// What nothing that is read may need: the program itself takes a tenth of it.
const LITTLE: u32 = 400_000;

#[test]
fn files_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let sparse = File::create(path("sparse.json")).unwrap();
    sparse.set_len(10_000_000_000).unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    std::fs::write(path("empty.json"), "").unwrap();
    std::fs::write(path("cut.json"), &EXAMPLE[..1000]).unwrap();
    let strange = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff.json"));
    let mut all = String::new();
    for (what, file) in [
        ("10 GB", path("sparse.json")),
        ("a folder", path("folder")),
        ("no file", path("none.json")),
        ("empty", path("empty.json")),
        ("truncated", path("cut.json")),
        ("a name that is no text", strange),
        ("a file that cannot be read", "/proc/self/mem".into()),
        ("standard input, empty", "-".into()),
    ] {
        all.push_str(&format!("# {what}\n{}\n", refused(&file, b"", LITTLE)));
    }
    insta::assert_snapshot!("no_files", all);
}

#[test]
fn little_memory_is_enough_to_refuse_a_bomb() {
    let mut laughs = String::from("a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for (name, before) in "bcdefghi".chars().zip("abcdefgh".chars()) {
        let nine = vec![format!("*{before}"); 9].join(", ");
        laughs.push_str(&format!("{name}: &{name} [{nine}]\n"));
    }
    let repeated =
        |start: &str, text: &str, count: usize| [start.as_bytes(), text.repeat(count).as_bytes()].concat();
    let mebibyte = "x".repeat(1 << 20);
    let variants = [
        ("a billion laughs", laughs.into_bytes()),
        ("a string without an end", repeated("{\"items\": [{\"kind\": \"", &mebibyte, 17)),
        ("a key without an end", repeated("{\"items\": [], \"", &mebibyte, 17)),
        ("a YAML string without an end", repeated("items:\n- kind: \"", &mebibyte, 17)),
        ("a list without an end", repeated("{\"items\": [{\"kind\": [", "0,", 9 << 20)),
        ("brackets without an end", repeated("", "[", 17 << 20)),
        ("braces without an end", repeated("", "{\"a\":", 4 << 20)),
    ];
    let mut all = String::new();
    for (what, text) in variants {
        let error = refused(Path::new("-"), &text, LITTLE);
        all.push_str(&format!("# {what}\n{error}\n"));
    }
    insta::assert_snapshot!("bombs", all);
}
