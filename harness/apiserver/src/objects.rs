//! Kubernetes objects of a [`ServiceSet`](services::service_set::ServiceSet): what a cluster's API server would hold if its
//! Services were these.
//!
//! [`Published`] knows what was published last and gives the fewest changes to the next set: an endpoint that is exchanged
//! changes one EndpointSlice, as with the real EndpointSlice controller.

mod agreeing;
mod error;
mod node;
mod packing;
mod published;
mod rows;
mod service;
mod slice;

pub use self::agreeing::with_agreeing_ports;
pub use self::error::ObjectsError;
pub use self::node::{NodeSpec, namespace, node, service_cidr};
pub use self::published::Published;
