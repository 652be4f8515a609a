//! As much of an API server as a kube-proxy needs to start: lists that never change, and watches in which nothing happens.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use netns_setup::Namespace;

/// Where it listens, inside.
pub(crate) const ADDRESS: &str = "127.0.0.1:6443";
/// The node.
pub(crate) const NODE: &str = "node1";

/// Serves this many Services of two endpoints in `namespace`, as long as this process lives.
pub(crate) fn serve(namespace: &Namespace, services: u32) {
    serve_without(namespace, services, "");
}

/// The same, without a resource.
pub(crate) fn serve_without(namespace: &Namespace, services: u32, missing: &'static str) {
    let address: SocketAddr = ADDRESS.parse().unwrap();
    let listener = namespace.run(|| TcpListener::bind(address)).unwrap();
    let objects = Arc::new(Objects::new(services, missing));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let objects = Arc::clone(&objects);
            thread::spawn(move || answer(stream, &objects));
        }
    });
}

struct Objects {
    node: String,
    services: String,
    slices: String,
    /// End of a path that is not there.
    missing: &'static str,
}

impl Objects {
    fn new(services: u32, missing: &'static str) -> Self {
        let node = format!(
            r#"{{"kind":"Node","apiVersion":"v1","metadata":{{"name":"{NODE}","uid":"1","resourceVersion":"1"}},"status":{{"addresses":[{{"type":"InternalIP","address":"192.0.2.1"}}]}}}}"#
        );
        let service = |index: u32| {
            let [_, _, high, low] = index.to_be_bytes();
            format!(
                r#"{{"metadata":{{"name":"s{index}","namespace":"demo","uid":"s{index}","resourceVersion":"1"}},"spec":{{"type":"ClusterIP","clusterIP":"10.96.{high}.{low}","clusterIPs":["10.96.{high}.{low}"],"ipFamilies":["IPv4"],"ports":[{{"name":"http","protocol":"TCP","port":80,"targetPort":8080}}]}}}}"#
            )
        };
        let slice = |index: u32| {
            let [_, _, high, low] = index.to_be_bytes();
            format!(
                r#"{{"metadata":{{"name":"s{index}-1","namespace":"demo","uid":"e{index}","resourceVersion":"1","labels":{{"kubernetes.io/service-name":"s{index}"}}}},"addressType":"IPv4","endpoints":[{{"addresses":["10.244.{high}.{low}"],"conditions":{{"ready":true}}}},{{"addresses":["10.245.{high}.{low}"],"conditions":{{"ready":true}}}}],"ports":[{{"name":"http","protocol":"TCP","port":8080}}]}}"#
            )
        };
        let all = |one: &dyn Fn(u32) -> String| (1..=services).map(one).collect::<Vec<_>>().join(",");
        Self { node, services: all(&service), slices: all(&slice), missing }
    }

    /// Status and body.
    fn get(&self, path: &str) -> (&'static str, String) {
        let list = |kind: &str, version: &str, items: &str| {
            format!(
                r#"{{"kind":"{kind}","apiVersion":"{version}","metadata":{{"resourceVersion":"1"}},"items":[{items}]}}"#
            )
        };
        let body = match path {
            path if !self.missing.is_empty() && path.ends_with(self.missing) => {
                return ("404 Not Found", status(404, "NotFound"));
            }
            "/api/v1/nodes" => list("NodeList", "v1", &self.node),
            "/api/v1/services" => list("ServiceList", "v1", &self.services),
            "/apis/discovery.k8s.io/v1/endpointslices" => {
                list("EndpointSliceList", "discovery.k8s.io/v1", &self.slices)
            }
            "/apis/networking.k8s.io/v1/servicecidrs" => list("ServiceCIDRList", "networking.k8s.io/v1", ""),
            path if path == format!("/api/v1/nodes/{NODE}") => self.node.clone(),
            _ => return ("404 Not Found", status(404, "NotFound")),
        };
        ("200 OK", body)
    }
}

fn status(code: u16, reason: &str) -> String {
    format!(
        r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","reason":"{reason}","message":"{reason}","code":{code}}}"#
    )
}

/// One request.
fn answer(stream: TcpStream, objects: &Objects) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut request, mut length) = (String::new(), 0);
    reader.read_line(&mut request).ok()?;
    loop {
        let mut field = String::new();
        reader.read_line(&mut field).ok()?;
        let Some((name, value)) = field.trim().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;

    let mut words = request.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut stream = stream;
    if query.contains("sendInitialEvents=true") && objects.get(path).0 == "200 OK" {
        // A client that is refused lists first.
        return send(&mut stream, "422 Unprocessable Entity", &status(422, "Invalid"));
    }
    if query.contains("watch=true") && objects.get(path).0 == "200 OK" {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).ok()?;
        // Until the client goes.
        return reader.read_to_end(&mut Vec::new()).ok().map(drop);
    }
    match method {
        "GET" => {
            let (code, body) = objects.get(path);
            send(&mut stream, code, &body)
        }
        _ => send(&mut stream, "201 Created", &String::from_utf8_lossy(&body)),
    }
}

fn send(stream: &mut TcpStream, code: &str, body: &str) -> Option<()> {
    let head = format!(
        "HTTP/1.1 {code}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()
}
