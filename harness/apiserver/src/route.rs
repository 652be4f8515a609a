//! Paths: which of the server's things a request is about.

use crate::query::decoded;
use crate::resource::{Resource, VERSION};

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Objects of a resource, in one namespace or (empty) in all.
    Collection { resource: Resource, namespace: String },
    /// One object.
    Object { resource: Resource, namespace: String, name: String },
    /// Where events are sent to.
    Events,
    /// `/version`.
    Version,
    /// `/healthz` and the like.
    Health,
    /// `/api`.
    CoreVersions,
    /// `/apis`.
    Groups,
    /// `/apis/GROUP`.
    Group(String),
    /// `/api/v1` (an empty group) or `/apis/GROUP/VERSION`.
    Resources(String),
}

/// The group that events are of besides the core.
pub(crate) const EVENTS_GROUP: &str = "events.k8s.io";

/// Reads a path. `None`: there is nothing.
///
/// # Errors
/// In words, if it cannot be decoded.
pub(crate) fn route(path: &str) -> Result<Option<Route>, String> {
    let parts = path.split('/').skip(1).map(decoded).collect::<Result<Vec<_>, _>>()?;
    let mut parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    // `/api/` is `/api`.
    if parts.last() == Some(&"") {
        parts.pop();
    }
    Ok(match *parts.as_slice() {
        ["version"] => Some(Route::Version),
        ["healthz" | "livez" | "readyz", ..] => Some(Route::Health),
        ["api"] => Some(Route::CoreVersions),
        ["apis"] => Some(Route::Groups),
        ["apis", group] if is_group(group) => Some(Route::Group(group.to_owned())),
        ["api", VERSION] => Some(Route::Resources(String::new())),
        ["apis", group, VERSION] if is_group(group) => Some(Route::Resources(group.to_owned())),
        ["api", VERSION, ref rest @ ..] => resource("", rest),
        ["apis", group, VERSION, ref rest @ ..] if is_group(group) => resource(group, rest),
        _ => None,
    })
}

fn is_group(group: &str) -> bool {
    group == EVENTS_GROUP
        || !group.is_empty() && Resource::ALL.iter().any(|resource| resource.facts().group == group)
}

fn resource(group: &str, rest: &[&str]) -> Option<Route> {
    let find = |plural: &str| Resource::find(group, plural);
    let is_events = |plural: &str| plural == "events" && (group.is_empty() || group == EVENTS_GROUP);
    match *rest {
        ["events"] | ["namespaces", _, "events"] if rest.last().is_some_and(|plural| is_events(plural)) => {
            Some(Route::Events)
        }
        [plural] => Some(Route::Collection { resource: find(plural)?, namespace: String::new() }),
        ["namespaces", namespace, plural] if !namespace.is_empty() => {
            let resource = find(plural).filter(|resource| resource.facts().namespaced)?;
            Some(Route::Collection { resource, namespace: namespace.to_owned() })
        }
        ["namespaces", namespace, plural, name] if !namespace.is_empty() => {
            let resource = find(plural).filter(|resource| resource.facts().namespaced)?;
            Some(Route::Object { resource, namespace: namespace.to_owned(), name: name.to_owned() })
        }
        [plural, name] => {
            let resource = find(plural).filter(|resource| !resource.facts().namespaced)?;
            Some(Route::Object { resource, namespace: String::new(), name: name.to_owned() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_they_should() {
        let collection =
            |resource, namespace: &str| Some(Route::Collection { resource, namespace: namespace.into() });
        let object = |resource, namespace: &str, name: &str| {
            Some(Route::Object { resource, namespace: namespace.into(), name: name.into() })
        };
        let slices = Resource::EndpointSlices;
        for (path, expected) in [
            ("/api/v1/nodes", collection(Resource::Nodes, "")),
            ("/api/v1/nodes/n1", object(Resource::Nodes, "", "n1")),
            ("/api/v1/namespaces", collection(Resource::Namespaces, "")),
            ("/api/v1/namespaces/demo", object(Resource::Namespaces, "", "demo")),
            ("/api/v1/namespaces/demo/services", collection(Resource::Services, "demo")),
            ("/api/v1/namespaces/demo/services/we%62", object(Resource::Services, "demo", "web")),
            ("/apis/discovery.k8s.io/v1/endpointslices", collection(slices, "")),
            ("/apis/discovery.k8s.io/v1/namespaces/a/endpointslices/b", object(slices, "a", "b")),
            ("/apis/events.k8s.io/v1/namespaces/default/events", Some(Route::Events)),
            ("/api/v1/namespaces/default/events", Some(Route::Events)),
            ("/apis/events.k8s.io/v1", Some(Route::Resources("events.k8s.io".into()))),
            ("/api", Some(Route::CoreVersions)),
            ("/apis/", Some(Route::Groups)),
            ("/readyz/ping", Some(Route::Health)),
            ("/", None),
            ("", None),
            ("/api/v1/services/web", None),
            ("/api/v1/namespaces/demo/nodes", None),
            ("/api/v1/endpointslices", None),
            ("/apis/discovery.k8s.io/v1beta1/endpointslices", None),
            ("/apis/apps/v1/deployments", None),
            ("/api/v1/watch/services", None),
            ("/openapi/v3", None),
            ("/apis//v1/nodes", None),
        ] {
            assert_eq!(route(path), Ok(expected), "{path}");
        }
        assert!(route("/api/v1/nodes/%zz").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_path_leads_somewhere_or_nowhere(path in ".*|(/(api|apis|v1|namespaces|services|%41|)){0,8}") {
            let _ = route(&path);
        }
    }
}
