//! An API server in memory: serves Nodes, Services and EndpointSlices to a kube-proxy, kubectl or kube-router that has no
//! cluster.
//!
//! * [`Server`]: serves on a listener of the caller's; takes changes, tells when watchers were sent them
//! * [`objects`]: Kubernetes objects of a `ServiceSet`, and the fewest changes from one to the next
//!
//! Plain HTTP/1.1, JSON and protobuf. Each object is kept once in each, as the bytes that are sent. Watches are cursors into a bounded history,
//! so that a slow one costs nobody else anything.

mod accept;
mod client_events;
mod clock;
mod connection;
mod continue_token;
mod counters;
mod delivery;
mod discovery;
mod handler;
mod history;
mod list;
mod list_options;
mod lock;
mod object;
pub mod objects;
mod protobuf;
mod query;
mod resource;
mod response;
mod route;
mod selector;
mod server;
mod server_error;
mod serving;
mod shared;
mod status;
mod store;
mod table;
mod watch;

pub use self::client_events::{ClientEvent, ClientEvents};
pub use self::counters::{RequestKind, Stats};
pub use self::delivery::{Delivered, Listed, Watcher};
pub use self::object::{Change, Key, KubeObject};
pub use self::resource::Resource;
pub use self::server::Server;
pub use self::server_error::ServerError;
pub use self::shared::{Applied, Options};
pub use self::store::ApplyError;
