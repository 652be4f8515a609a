//! What each field of a Service and of its endpoints means to kube-proxy.

use serde_json::{Value, json};
use services::cluster::ClusterInput;
use services::service::Family;

use crate::words::{line, lines, words};
use crate::{EVERYTHING_JSON, EXAMPLE, cluster, read, service, slice};

#[test]
fn everything_of_a_cluster() {
    let everything = read(EVERYTHING_JSON).unwrap();
    insta::assert_snapshot!("everything_ipv4", lines(everything.set(Family::Ipv4)));
    insta::assert_snapshot!("everything_ipv6", lines(everything.set(Family::Ipv6)));
    insta::assert_debug_snapshot!("everything_host_ports", everything.host_ports);
}

#[test]
fn the_example_of_the_real_kube_proxy() {
    let example = ClusterInput::read_from(EXAMPLE.as_bytes(), "FILE", Some("node1")).unwrap();
    let expected = "\
demo/web:http 10.96.0.10:80/tcp, node port 30080
    10.244.0.11:8080 local
    10.244.1.12:8080
demo/dns:dns 10.96.0.20:53/udp
    10.244.0.21:5353 local
";
    assert_eq!(lines(example.set(Family::Ipv4)), expected);
    assert_eq!(
        example.passed_over,
        services::cluster::PassedOver {
            services: [(
                services::cluster::Reason::NoIpv6,
                services::cluster::Listed { count: 2, names: vec!["demo/web".into(), "demo/dns".into()] },
            )]
            .into(),
            ..Default::default()
        }
    );
}

/// The one Service port of [`service`] with these fields, or what is wrong.
fn port(spec: Value) -> String {
    match cluster(&[service(spec)]) {
        Ok(cluster) => cluster
            .set(Family::Ipv4)
            .services()
            .iter()
            .map(|service| line(service))
            .collect::<Vec<_>>()
            .join("; "),
        Err(error) => error,
    }
}

#[test]
fn policies_count_where_kube_proxy_looks_at_them() {
    let plain = "a/s:http 10.96.0.1:80/tcp";
    for (spec, more) in [
        (json!({}), ""),
        (json!({ "externalTrafficPolicy": "Local" }), ""),
        (json!({ "externalTrafficPolicy": "Local", "type": "NodePort" }), ", external policy Local"),
        (json!({ "externalTrafficPolicy": "Cluster", "type": "NodePort" }), ""),
        (
            json!({ "externalTrafficPolicy": "Local", "externalIPs": ["192.0.2.1"] }),
            ", external 192.0.2.1, external policy Local",
        ),
        (json!({ "internalTrafficPolicy": "Local" }), ", internal policy Local"),
        (
            json!({ "healthCheckNodePort": 32000, "externalTrafficPolicy": "Local", "type": "NodePort" }),
            ", external policy Local",
        ),
        (json!({ "healthCheckNodePort": 32000, "type": "LoadBalancer" }), ""),
        (
            json!({ "healthCheckNodePort": 32000, "externalTrafficPolicy": "Local", "type": "LoadBalancer" }),
            ", external policy Local, health check 32000",
        ),
        (
            json!({ "healthCheckNodePort": 0, "externalTrafficPolicy": "Local", "type": "LoadBalancer" }),
            ", external policy Local",
        ),
    ] {
        assert_eq!(port(spec.clone()), format!("{plain}{more}"), "{spec}");
    }
}

#[test]
fn affinity_has_a_time() {
    let of = |config: Value| port(json!({ "sessionAffinity": "ClientIP", "sessionAffinityConfig": config }));
    assert!(of(Value::Null).ends_with("affinity 10800 s"));
    assert!(of(json!({ "clientIP": {} })).ends_with("affinity 10800 s"));
    assert!(of(json!({ "clientIP": { "timeoutSeconds": 7 } })).ends_with("affinity 7 s"));
    assert_eq!(port(json!({ "sessionAffinity": "None", "sessionAffinityConfig": null })), port(json!({})));
    for seconds in [0, -1, 86_401] {
        let expected = format!(
            "FILE: items[0] (Service a/s): spec.sessionAffinityConfig.clientIP.timeoutSeconds: {seconds} is out of range; \
             expected 1 to 86400"
        );
        assert_eq!(of(json!({ "clientIP": { "timeoutSeconds": seconds } })), expected);
    }
}

#[test]
fn addresses_are_taken_as_kube_proxy_takes_them() {
    let mut service = service(json!({
        "externalIPs": ["192.0.2.1", "2001:db8::1", "", "ten", "192.0.2.1", "::ffff:192.0.2.9", "192.0.02.3"],
        "loadBalancerSourceRanges": [" 198.51.100.7/24 ", "2001:db8::/32", "10.0.0.0/33", "198.51.100.0/24", "10.0.0.0/8"],
    }));
    service["status"]["loadBalancer"]["ingress"] = json!([
        { "hostname": "lb.example.com" },
        { "ip": "203.0.113.1" },
        { "ip": "203.0.113.2", "ipMode": "VIP" },
        { "ip": "203.0.113.3", "ipMode": "Proxy" },
        { "ip": "2001:db8::2" },
        { "ip": "" },
    ]);
    let cluster = cluster(&[service]).unwrap();
    let found = line(&cluster.set(Family::Ipv4).services()[0]);
    assert_eq!(
        found,
        "a/s:http 10.96.0.1:80/tcp, external 192.0.2.1 192.0.2.9 192.0.2.3, load balancer 203.0.113.1 203.0.113.2, \
         from 198.51.100.0/24 10.0.0.0/8"
    );
    assert_eq!(
        cluster.passed_over.entries.names,
        [
            "a/s: externalIPs \"ten\"",
            "a/s: externalIPs \"192.0.2.1\"",
            "a/s: loadBalancerSourceRanges \"10.0.0.0/33\"",
            "a/s: loadBalancerSourceRanges \"198.51.100.0/24\"",
        ]
    );
}

#[test]
fn a_dual_stack_service_is_two() {
    let of = |spec| {
        let cluster = cluster(&[service(spec)]).unwrap();
        Family::ALL.map(|family| lines(cluster.set(family)).trim().to_owned())
    };
    let (v4, v6) = ("a/s:http 10.96.0.1:80/tcp", "a/s:http [fd00::1]:80/tcp");
    let both = json!(["10.96.0.1", "fd00::1"]);
    assert_eq!(of(json!({ "clusterIPs": both, "ipFamilies": ["IPv4", "IPv6"] })), [v4, v6]);
    assert_eq!(
        of(json!({ "clusterIPs": ["fd00::1", "10.96.0.1"], "ipFamilies": ["IPv6", "IPv4"] })),
        [v4, v6]
    );
    // As written before there were families: the second list is not looked at.
    assert_eq!(of(json!({ "clusterIPs": both })), [v4, ""]);
    assert_eq!(of(json!({ "clusterIP": "fd00::1" })), ["", v6]);
    assert_eq!(of(json!({ "clusterIPs": ["10.96.0.1"], "ipFamilies": ["IPv4", "IPv6"] })), [v4, ""]);
    assert_eq!(of(json!({ "clusterIP": null, "clusterIPs": ["10.96.0.1"] })), [v4, ""]);
}

/// Endpoints of [`service`] with these slices, on node `n1`.
fn endpoints(slices: &[Value]) -> Vec<String> {
    let mut items = slices.to_vec();
    items.push(service(json!({})));
    let cluster = cluster(&items).unwrap();
    cluster.set(Family::Ipv4).services()[0].endpoints().iter().map(words).collect()
}

#[test]
fn conditions_left_out_are_true_but_for_terminating() {
    for (conditions, expected) in [
        (Value::Null, "10.0.0.1:8080"),
        (json!({}), "10.0.0.1:8080"),
        (json!({ "ready": true, "serving": false, "terminating": true }), "10.0.0.1:8080"),
        (json!({ "ready": false }), ""),
        (json!({ "ready": false, "serving": true }), ""),
        (json!({ "ready": false, "terminating": true }), "10.0.0.1:8080 terminating"),
        (json!({ "ready": false, "serving": false, "terminating": true }), ""),
    ] {
        let found =
            endpoints(&[slice("x", json!([{ "addresses": ["10.0.0.1"], "conditions": conditions }]))]);
        assert_eq!(found.join(" "), expected, "{conditions}");
    }
}

#[test]
fn an_endpoint_in_two_slices_is_one() {
    let at = |node: &str| json!({ "addresses": ["10.0.0.1", "10.0.0.9"], "nodeName": node });
    let leaving = json!({
        "addresses": ["10.0.0.1"], "nodeName": "n2", "conditions": { "ready": false, "terminating": true }
    });
    assert_eq!(
        endpoints(&[slice("x", json!([at("n2")])), slice("y", json!([at("n1")]))]),
        ["10.0.0.1:8080 local"]
    );
    assert_eq!(
        endpoints(&[slice("x", json!([at("n1")])), slice("y", json!([at("n2")]))]),
        ["10.0.0.1:8080 local"]
    );
    assert_eq!(endpoints(&[slice("x", json!([leaving])), slice("y", json!([at("n2")]))]), ["10.0.0.1:8080"]);
    assert_eq!(
        endpoints(&[slice("x", json!([{ "addresses": ["10.0.0.1"] }, { "addresses": [] }]))]),
        ["10.0.0.1:8080"]
    );
}

#[test]
fn ports_are_matched_by_name_and_protocol() {
    let with = |ports: Value| {
        let mut slice = slice("x", json!([{ "addresses": ["10.0.0.1"] }]));
        slice["ports"] = ports;
        endpoints(&[slice])
    };
    assert_eq!(
        with(json!([{ "name": "http", "port": 1 }, { "name": "http", "port": 2 }])),
        ["10.0.0.1:1", "10.0.0.1:2"]
    );
    assert_eq!(with(json!([{ "name": "http", "port": 1, "protocol": "TCP" }])), ["10.0.0.1:1"]);
    let none: [&str; 0] = [];
    for ports in [
        json!([{ "name": "http", "port": 1, "protocol": "UDP" }]),
        json!([{ "name": "https", "port": 1 }]),
        json!([{ "port": 1 }]),
        json!([{ "name": "http" }]),
        json!([{ "name": "http", "port": 0 }]),
        json!([]),
        Value::Null,
    ] {
        assert_eq!(with(ports.clone()), none, "{ports}");
    }
    // An unnamed port is called nothing in both.
    let mut unnamed = slice("x", json!([{ "addresses": ["10.0.0.1"] }]));
    unnamed["ports"] = json!([{ "name": "", "port": 1 }]);
    let cluster = cluster(&[service(json!({ "ports": [{ "port": 80 }] })), unnamed]).unwrap();
    assert_eq!(lines(cluster.set(Family::Ipv4)), "a/s 10.96.0.1:80/tcp\n    10.0.0.1:1\n");
}

#[test]
fn addresses_of_two_services_may_be_the_same_on_different_ports() {
    let with = |name: &str, ip: &str, port: Value| {
        let mut service = service(json!({ "clusterIP": ip, "externalIPs": ["192.0.2.1"], "ports": [port] }));
        service["metadata"]["name"] = json!(name);
        service["status"]["loadBalancer"]["ingress"] = json!([{ "ip": "192.0.2.1" }]);
        service
    };
    let port = |port: u16, protocol: &str| json!({ "port": port, "protocol": protocol, "nodePort": 30000 });
    let accepted = cluster(&[
        with("a", "10.96.0.1", port(80, "TCP")),
        with("b", "10.96.0.2", port(80, "UDP")),
        with("c", "10.96.0.2", json!({ "port": 443 })),
    ]);
    assert_eq!(accepted.unwrap().set(Family::Ipv4).len(), 3);
}

#[test]
fn a_node_tells_its_address_and_the_nodes_their_pods() {
    let everything = |node| ClusterInput::read_from(EVERYTHING_JSON.as_bytes(), "FILE", node).unwrap();
    let n2 = everything(Some("n2"));
    assert_eq!(
        Family::ALL.map(|family| n2.node_address(family).unwrap().to_string()),
        ["10.10.0.2", "fd00:10:10::2"]
    );
    assert_eq!(
        Family::ALL.map(|family| n2.cluster_cidr(family).unwrap().to_string()),
        ["10.244.0.0/22", "fd00:10:244::/62"]
    );
    assert_eq!(n2.host_ports.iter().map(|port| port.pod.as_str()).collect::<Vec<_>>(), ["statsd-x2v7k"]);
    let nobody = everything(None);
    assert_eq!((nobody.node.as_deref(), nobody.node_address(Family::Ipv4)), (None, None));
    assert!(nobody.host_ports.is_empty());
    let none_local = Family::ALL.iter().flat_map(|&family| nobody.set(family).services());
    assert!(none_local.flat_map(|service| service.endpoints()).all(|endpoint| !endpoint.local));

    let node = json!({ "kind": "Node", "metadata": { "name": "only" }, "status": { "addresses": [
        { "type": "ExternalIP", "address": "192.0.2.1" }, { "type": "InternalIP", "address": "10.0.0.1" }
    ] } });
    let text = json!({ "items": [node, service(json!({}))] }).to_string();
    let only = ClusterInput::read_from(text.as_bytes(), "FILE", None).unwrap();
    assert_eq!(only.node.as_deref(), Some("only"), "the only one there is");
    assert_eq!(only.node_address(Family::Ipv4), Some("10.0.0.1".parse().unwrap()));
    assert_eq!(only.cluster_cidr(Family::Ipv4), None);
}
