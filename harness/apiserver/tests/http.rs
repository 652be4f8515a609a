//! What a client is answered, over the loopback.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "http/away.rs"]
mod away;
#[path = "http/garbage.rs"]
mod garbage;
#[path = "http/lists.rs"]
mod lists;
#[path = "http/sets.rs"]
mod sets;
mod support;
#[path = "http/watches.rs"]
mod watches;

use apiserver::{Applied, Change, Server};
use k8s_openapi::api::core::v1::{Service, ServiceSpec};

/// A Service with a label `app`.
fn service(namespace: &str, name: &str, app: &str) -> Change {
    let mut service = Service::default();
    service.metadata.namespace = Some(namespace.into());
    service.metadata.name = Some(name.into());
    service.metadata.labels = Some([("app".to_owned(), app.to_owned())].into());
    let cluster_ip = if app == "headless" { "None" } else { "10.96.0.1" };
    service.spec = Some(ServiceSpec { cluster_ip: Some(cluster_ip.into()), ..ServiceSpec::default() });
    Change::Put(service.into())
}

fn put(server: &Server, namespace: &str, name: &str, app: &str) -> Applied {
    server.apply([service(namespace, name, app)]).unwrap()
}

fn delete(server: &Server, namespace: &str, name: &str) -> Applied {
    let resource = apiserver::Resource::Services;
    let key = apiserver::Key { resource, namespace: namespace.into(), name: name.into() };
    server.apply([Change::Delete(key)]).unwrap()
}
