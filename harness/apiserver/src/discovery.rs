//! What there is: versions, groups and resources, as clients ask for it before anything else.

use serde_json::{Value, json};

use crate::resource::{Resource, VERSION};
use crate::route::EVENTS_GROUP;

/// `/version`.
pub(crate) fn version((major, minor): (u32, u32)) -> Value {
    json!({
        "major": major.to_string(), "minor": minor.to_string(), "gitVersion": format!("v{major}.{minor}.0+svcbench"),
        "gitCommit": "", "gitTreeState": "", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc",
        "platform": "linux",
    })
}

/// `/api`.
pub(crate) fn core_versions() -> Value {
    json!({"kind": "APIVersions", "versions": [VERSION], "serverAddressByClientCIDRs": []})
}

/// `/apis`.
pub(crate) fn groups() -> Value {
    let mut names: Vec<&str> = Resource::ALL.iter().map(|resource| resource.facts().group).collect();
    names.push(EVENTS_GROUP);
    names.sort_unstable();
    names.dedup();
    let groups: Vec<Value> =
        names.into_iter().filter(|name| !name.is_empty()).map(group_without_kind).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`.
pub(crate) fn group(name: &str) -> Value {
    let mut group = group_without_kind(name);
    group["kind"] = "APIGroup".into();
    group["apiVersion"] = "v1".into();
    group
}

fn group_without_kind(name: &str) -> Value {
    let version = json!({"groupVersion": format!("{name}/{VERSION}"), "version": VERSION});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

/// `/api/v1`, or `/apis/GROUP/VERSION`.
pub(crate) fn resources(group: &str) -> Value {
    let of_group = Resource::ALL.iter().map(|resource| resource.facts()).filter(|facts| facts.group == group);
    let mut resources: Vec<Value> = of_group
        .map(|facts| {
            let mut resource = json!({
                "name": facts.plural, "singularName": facts.singular, "namespaced": facts.namespaced,
                "kind": facts.kind, "verbs": ["get", "list", "watch"],
            });
            if !facts.short.is_empty() {
                resource["shortNames"] = facts.short.into();
            }
            resource
        })
        .collect();
    if group.is_empty() || group == EVENTS_GROUP {
        resources.push(json!({
            "name": "events", "singularName": "event", "namespaced": true, "kind": "Event", "verbs": ["create"],
            "shortNames": ["ev"],
        }));
    }
    let version = if group.is_empty() { VERSION.to_owned() } else { format!("{group}/{VERSION}") };
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources,
    })
}
