//! One object: as the embedding program gives it, and as it is kept, which is the bytes that are sent.

use std::collections::BTreeMap;

use bytes::Bytes;
use k8s_openapi::api::core::v1::{Namespace, Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;

use crate::protobuf::{self, Unsupported};
use crate::resource::Resource;

/// An object that can be put into the server.
#[derive(Clone, Debug, PartialEq)]
pub enum KubeObject {
    /// A Node.
    Node(Box<Node>),
    /// A Namespace.
    Namespace(Box<Namespace>),
    /// A Service.
    Service(Box<Service>),
    /// An EndpointSlice.
    EndpointSlice(Box<EndpointSlice>),
    /// A ServiceCIDR.
    ServiceCidr(Box<ServiceCIDR>),
}

/// What tells an object from all others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What it is.
    pub resource: Resource,
    /// Its namespace; empty for what is in none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let separator = if self.namespace.is_empty() { "" } else { "/" };
        write!(f, "{} {}{separator}{}", self.resource.kind(), self.namespace, self.name)
    }
}

/// A change of one object.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Adds it, or replaces the one with its key. `uid`, `creationTimestamp` and `resourceVersion` are filled in.
    Put(KubeObject),
    /// Removes it.
    Delete(Key),
}

impl Change {
    /// Which object.
    pub fn key(&self) -> Key {
        match self {
            Change::Put(object) => object.key(),
            Change::Delete(key) => key.clone(),
        }
    }
}

impl KubeObject {
    /// Which object it is. Without a name or namespace in its metadata these are empty; [`crate::Server::apply`] refuses it then.
    pub fn key(&self) -> Key {
        let (resource, metadata) = self.parts();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Key { resource, namespace: text(&metadata.namespace), name: text(&metadata.name) }
    }

    fn parts(&self) -> (Resource, &ObjectMeta) {
        match self {
            KubeObject::Node(object) => (Resource::Nodes, &object.metadata),
            KubeObject::Namespace(object) => (Resource::Namespaces, &object.metadata),
            KubeObject::Service(object) => (Resource::Services, &object.metadata),
            KubeObject::EndpointSlice(object) => (Resource::EndpointSlices, &object.metadata),
            KubeObject::ServiceCidr(object) => (Resource::ServiceCidrs, &object.metadata),
        }
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        match self {
            KubeObject::Node(object) => &mut object.metadata,
            KubeObject::Namespace(object) => &mut object.metadata,
            KubeObject::Service(object) => &mut object.metadata,
            KubeObject::EndpointSlice(object) => &mut object.metadata,
            KubeObject::ServiceCidr(object) => &mut object.metadata,
        }
    }

    fn json(&self) -> serde_json::Result<Vec<u8>> {
        match self {
            KubeObject::Node(object) => serde_json::to_vec(object),
            KubeObject::Namespace(object) => serde_json::to_vec(object),
            KubeObject::Service(object) => serde_json::to_vec(object),
            KubeObject::EndpointSlice(object) => serde_json::to_vec(object),
            KubeObject::ServiceCidr(object) => serde_json::to_vec(object),
        }
    }

    fn protobuf(&self) -> Result<Vec<u8>, Unsupported> {
        match self {
            KubeObject::Node(object) => protobuf::node(object),
            KubeObject::Namespace(object) => protobuf::namespace(object),
            KubeObject::Service(object) => protobuf::service(object),
            KubeObject::EndpointSlice(object) => protobuf::endpoint_slice(object),
            KubeObject::ServiceCidr(object) => protobuf::service_cidr(object),
        }
    }

    /// Values of the fields that a selector may name, in the order of the resource's facts.
    fn fields(&self) -> Vec<Box<str>> {
        let text = |text: Option<&String>, default: &str| text.map_or(default, String::as_str).into();
        match self {
            KubeObject::Node(node) => {
                let unschedulable = node.spec.as_ref().and_then(|spec| spec.unschedulable);
                vec![unschedulable.unwrap_or_default().to_string().into()]
            }
            KubeObject::Namespace(namespace) => {
                vec![text(namespace.status.as_ref().and_then(|status| status.phase.as_ref()), "")]
            }
            KubeObject::Service(service) => {
                let spec = service.spec.as_ref();
                vec![
                    text(spec.and_then(|spec| spec.cluster_ip.as_ref()), ""),
                    text(spec.and_then(|spec| spec.type_.as_ref()), "ClusterIP"),
                ]
            }
            KubeObject::EndpointSlice(_) | KubeObject::ServiceCidr(_) => Vec::new(),
        }
    }

    /// As it is kept, under a resource version.
    pub(crate) fn stored(mut self, rv: u64, birth: Birth) -> Result<Stored, EncodeError> {
        let Key { resource, namespace, name } = self.key();
        let fields = self.fields().into();
        let metadata = self.metadata_mut();
        metadata.resource_version = Some(rv.to_string());
        metadata.uid = Some(format!("00000000-0000-4000-8000-{:012x}", birth.rv & 0xffff_ffff_ffff));
        metadata.creation_timestamp = Some(Time::from(birth.at));
        let labels = metadata.labels.clone().unwrap_or_default();
        Ok(Stored {
            resource,
            rv,
            birth,
            name: Name { namespace: namespace.into(), name: name.into() },
            labels: labels.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
            fields,
            // Without spare room: it stays for long.
            json: Bytes::from(self.json()?.into_boxed_slice()),
            protobuf: Bytes::from(self.protobuf()?.into_boxed_slice()),
        })
    }
}

macro_rules! from {
    ($($variant:ident: $kind:ty),*) => {$(
        impl From<$kind> for KubeObject {
            fn from(object: $kind) -> Self {
                KubeObject::$variant(Box::new(object))
            }
        }
    )*};
}

from!(
    Node: Node,
    Namespace: Namespace,
    Service: Service,
    EndpointSlice: EndpointSlice,
    ServiceCidr: ServiceCIDR
);

/// Why an object cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EncodeError {
    #[error("it cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it cannot be written as protobuf: there is no form for {0}")]
    Protobuf(&'static str),
}

impl From<Unsupported> for EncodeError {
    fn from(Unsupported(path): Unsupported) -> Self {
        EncodeError::Protobuf(path)
    }
}

/// When an object came into being: its `uid` follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Birth {
    pub rv: u64,
    pub at: Timestamp,
}

/// Where an object stands in lists, which are in this order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name {
    pub namespace: Box<str>,
    pub name: Box<str>,
}

/// An object as it is kept: its bytes, and what selectors need of it.
#[derive(Debug, PartialEq)]
pub(crate) struct Stored {
    pub resource: Resource,
    pub rv: u64,
    pub birth: Birth,
    pub name: Name,
    /// In the order of their keys.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    fields: Box<[Box<str>]>,
    pub json: Bytes,
    /// Without its kind.
    pub protobuf: Bytes,
}

impl Stored {
    /// The value of a label.
    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        let found = self.labels.binary_search_by(|(known, _)| known.as_ref().cmp(key)).ok()?;
        self.labels.get(found).map(|(_, value)| value.as_ref())
    }

    /// The value of a field that selectors may name; empty if it has none.
    pub(crate) fn field(&self, path: &str) -> &str {
        match path {
            "metadata.name" => &self.name.name,
            "metadata.namespace" => &self.name.namespace,
            _ => {
                let at = self.resource.facts().fields.iter().position(|known| *known == path);
                at.and_then(|at| self.fields.get(at)).map_or("", |value| value)
            }
        }
    }

    /// Its JSON under a resource version: another one when it goes.
    pub(crate) fn json_at(&self, rv: u64) -> Bytes {
        if rv == self.rv {
            return self.json.clone();
        }
        let Ok(mut object) = serde_json::from_slice::<BTreeMap<String, serde_json::Value>>(&self.json) else {
            return self.json.clone();
        };
        if let Some(metadata) = object.get_mut("metadata") {
            metadata["resourceVersion"] = rv.to_string().into();
        }
        serde_json::to_vec(&object).map_or_else(|_| self.json.clone(), Bytes::from)
    }

    /// Its protobuf, with its kind, under a resource version.
    pub(crate) fn protobuf_at(&self, rv: u64) -> Bytes {
        match rv == self.rv {
            true => protobuf::whole(self.resource, &self.protobuf),
            false => protobuf::whole(self.resource, &protobuf::at_version(&self.protobuf, rv)),
        }
    }
}
