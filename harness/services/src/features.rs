//! Services with every feature that kube-proxy knows, and changes of them, step by step: what was recorded of real
//! kube-proxies (`dataplane/tests/golden`) was recorded with these.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Deserialize;
use serde_json::Value;

use crate::cluster::{ClusterError, ClusterInput};
use crate::service::Family;
use crate::service_set::ServiceSet;

const STEPS: &str = include_str!("features.json");
/// The node that endpoints are local to.
const NODE: &str = "node1";

/// The Services after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureStep {
    /// What has changed, in words. `cold` and `restart`: a kube-proxy starts.
    pub name: String,
    /// Of each family, IPv4 first.
    pub sets: [ServiceSet; 2],
}

/// Objects that a step adds or changes, and those that it deletes.
#[derive(Deserialize)]
struct Change {
    name: String,
    items: Vec<Value>,
    gone: Vec<String>,
}

/// All steps, one after another.
///
/// # Errors
/// None that would not be one of the file itself, which tests read.
pub fn steps() -> Result<Vec<FeatureStep>, ClusterError> {
    let failed = |message: String| ClusterError::Syntax {
        file: "features.json".into(),
        place: String::new(),
        format: "JSON",
        message,
    };
    let changes: Vec<Change> = serde_json::from_str(STEPS).map_err(|error| failed(error.to_string()))?;
    let mut objects: BTreeMap<String, Value> = BTreeMap::new();
    let each = changes.into_iter().map(|change| {
        for object in change.items {
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            objects
                .insert(format!("{}/{}", word(&object["kind"]), word(&object["metadata"]["name"])), object);
        }
        for gone in &change.gone {
            objects.remove(gone).ok_or_else(|| failed(format!("{gone} is not there")))?;
        }
        let items: Vec<&Value> = objects.values().collect();
        let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string();
        let input = ClusterInput::read_from(list.as_bytes(), "features.json", Some(NODE))?;
        Ok::<_, ClusterError>(FeatureStep {
            name: change.name,
            sets: Family::ALL.map(|family| input.set(family).clone()),
        })
    });
    each.collect()
}

/// Address of the node.
pub const fn node(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::V4(Ipv4Addr::new(10, 10, 0, 1)),
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 0, 1)),
    }
}

/// All pods.
pub const fn cluster_cidr(family: Family) -> IpNet {
    match family {
        Family::Ipv4 => IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 244, 0, 0), 16)),
        Family::Ipv6 => IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, 0), 56)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_and_begins_cold() {
        let steps = steps().unwrap();
        assert_eq!(steps[0].name, "cold");
        assert!(steps.iter().any(|step| step.name == "restart"));
        assert!(steps.iter().all(|step| step.sets.iter().all(|set| set.len() > 10)));
    }
}
