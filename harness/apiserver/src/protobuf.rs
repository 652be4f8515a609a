//! Objects as protobuf, which is what kube-proxy asks for unless it is told otherwise: reading JSON costs it more.
//!
//! Field numbers are those of `generated.proto` in k8s.io/api and k8s.io/apimachinery. Structures are taken apart field by
//! field: what has no form here refuses the object, so that nothing is left out in silence.

mod cluster;
mod meta;
mod service;
mod slice;
mod wire;

use bytes::{Bytes, BytesMut};

pub(crate) use self::cluster::{namespace, node, service_cidr};
pub(crate) use self::service::service;
pub(crate) use self::slice::endpoint_slice;
use self::wire::Message;
use crate::resource::Resource;

/// A field that has no form here: its path in the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsupported(pub &'static str);

/// What every whole message begins with (apimachinery, runtime/serializer/protobuf).
const MAGIC: &[u8] = b"k8s\0";
/// `metadata` in every object.
const METADATA: u32 = 1;
/// `items` in every list.
const ITEMS: u32 = 2;

/// `runtime.Unknown`, up to the bytes of its `raw`, of which there are so many.
fn envelope(api_version: &str, kind: &str, length: usize) -> Vec<u8> {
    let mut kind_and_version = Message::default();
    kind_and_version.text(1, api_version);
    kind_and_version.text(2, kind);
    let mut unknown = Message::starting(MAGIC);
    unknown.message(1, &kind_and_version);
    unknown.header(2, length);
    unknown.bytes()
}

/// An object as a whole answer.
pub(crate) fn whole(resource: Resource, object: &[u8]) -> Bytes {
    with_kind(resource.api_version(), resource.kind(), object)
}

fn with_kind(api_version: &str, kind: &str, object: &[u8]) -> Bytes {
    let mut bytes = envelope(api_version, kind, object.len());
    bytes.extend_from_slice(object);
    bytes.into()
}

/// What stands before an item of a list.
pub(crate) fn item_header(length: usize) -> Vec<u8> {
    let mut header = Message::default();
    header.header(ITEMS, length);
    header.bytes()
}

/// What stands before the items of a list, which take so many bytes with their headers.
pub(crate) fn list_head(
    resource: Resource,
    (rv, token, remaining): (u64, Option<&str>, Option<usize>),
    items: usize,
) -> Bytes {
    let mut metadata = Message::default();
    metadata.text(2, &rv.to_string());
    metadata.texts(3, token);
    metadata.number(4, remaining.and_then(|remaining| i64::try_from(remaining).ok()));
    let mut start = Message::default();
    start.message(METADATA, &metadata);
    let start = start.bytes();
    let kind = format!("{}List", resource.kind());
    let mut head = envelope(resource.api_version(), &kind, start.len() + items);
    head.extend_from_slice(&start);
    head.into()
}

/// An object under another resource version: a field that comes twice is merged, and the last value counts.
pub(crate) fn at_version(object: &[u8], rv: u64) -> Bytes {
    let mut metadata = Message::default();
    metadata.text(meta::RESOURCE_VERSION, &rv.to_string());
    let mut later = Message::default();
    later.message(METADATA, &metadata);
    [object, &later.bytes()].concat().into()
}

/// A bookmark's object.
pub(crate) fn bookmark(resource: Resource, rv: u64, ends_initial_state: bool) -> Bytes {
    let mut metadata = Message::default();
    metadata.text(meta::RESOURCE_VERSION, &rv.to_string());
    if ends_initial_state {
        metadata.entry(meta::ANNOTATIONS, "k8s.io/initial-events-end", "true");
    }
    let mut object = Message::default();
    object.message(METADATA, &metadata);
    whole(resource, &object.bytes())
}

/// A `Status` in a watch.
pub(crate) fn status(message: &str, reason: &str, code: u16) -> Bytes {
    let mut status = Message::default();
    status.message(METADATA, &Message::default());
    status.text(2, "Failure");
    status.text(3, message);
    status.text(4, reason);
    status.number(6, Some(code.into()));
    with_kind("v1", "Status", &status.bytes())
}

/// An event of a watch: a `WatchEvent` behind its length (apimachinery, util/framer).
pub(crate) fn frame(into: &mut BytesMut, kind: &str, whole: &[u8]) {
    let mut raw = Message::default();
    raw.header(1, whole.len());
    let raw = raw.bytes();
    let mut event = Message::default();
    event.text(1, kind);
    event.header(2, raw.len() + whole.len());
    let event = event.bytes();
    let length = event.len() + raw.len() + whole.len();
    // Objects are bounded by what the embedding program makes: far below 4 GiB.
    into.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    for part in [&event[..], &raw[..], whole] {
        into.extend_from_slice(part);
    }
}
