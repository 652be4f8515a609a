//! Service ports as lines that people can read.

use std::fmt::Display;

use services::service::{Condition, Endpoint, Policy, Service};
use services::service_set::ServiceSet;

/// One line for each Service port, and one for each endpoint.
pub(crate) fn lines(set: &ServiceSet) -> String {
    let mut text = String::new();
    for service in set.services() {
        text.push_str(&line(service));
        text.push('\n');
        for endpoint in service.endpoints() {
            text.push_str(&format!("    {}\n", words(endpoint)));
        }
    }
    text
}

/// What a Service port has beyond its cluster IP.
pub(crate) fn line(service: &Service) -> String {
    let Service { protocol, cluster, .. } = service;
    let mut words = vec![format!("{} {cluster}/{}", service.display_name(), protocol.name())];
    let mut add =
        |what: &str, value: Option<String>| words.extend(value.map(|value| format!("{what} {value}")));
    add("node port", service.node_port.map(|port| port.to_string()));
    add("external", list(&service.external_ips));
    add("load balancer", list(&service.load_balancer_ips));
    add("from", list(&service.source_ranges));
    add("external policy", local(service.external_policy));
    add("internal policy", local(service.internal_policy));
    add("health check", service.health_check_node_port.map(|port| port.to_string()));
    add("affinity", service.affinity_seconds.map(|seconds| format!("{seconds} s")));
    words.join(", ")
}

/// An endpoint.
pub(crate) fn words(endpoint: &Endpoint) -> String {
    let local = if endpoint.local { " local" } else { "" };
    let terminating = if endpoint.condition == Condition::Terminating { " terminating" } else { "" };
    format!("{}{local}{terminating}", endpoint.address)
}

fn local(policy: Policy) -> Option<String> {
    (policy == Policy::Local).then(|| "Local".to_owned())
}

fn list(values: &[impl Display]) -> Option<String> {
    let list: Vec<String> = values.iter().map(ToString::to_string).collect();
    (!list.is_empty()).then(|| list.join(" "))
}
