//! Services of a real cluster, from what `kubectl get services,endpointslices -A -o json` (or `-o yaml`) prints.
//!
//! Objects are read one by one and reduced to what kube-proxy knows of them, so that memory follows the number of
//! endpoints and not the size of the file. What kube-proxy leaves out is left out, and reported: [`PassedOver`].

mod address;
mod check;
mod chosen;
mod contents;
mod endpoints;
mod error;
mod input;
mod json;
pub mod lab_addresses;
mod limits;
mod node;
mod objects;
mod passed;
mod placed;
mod pods;
mod service;
mod stream;
mod unique;
mod yaml;

use std::io::Read;
use std::path::Path;

pub use self::chosen::{Chosen, OtherFamily, Wanted};
pub use self::contents::ClusterInput;
pub use self::error::ClusterError;
pub use self::limits::{MAX_BYTES, MAX_OBJECT_BYTES};
pub use self::node::ClusterNode;
pub use self::passed::{Listed, PassedOver, Reason};
pub use self::pods::HostPort;
use crate::service::Family;
use crate::service_set::ServiceSet;

impl ClusterInput {
    /// Reads JSON or YAML, known by the first character; `-` is standard input. `node`: the node that kube-proxy runs
    /// on; its endpoints are local.
    ///
    /// # Errors
    /// [`ClusterError`] says where in the file, what is wrong and what is expected.
    pub fn read(path: &Path, node: Option<&str>) -> Result<Self, ClusterError> {
        input::read(path)?.finish(node)
    }

    /// The same, from anywhere; `file` stands for it in errors.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub fn read_from(reader: impl Read, file: &str, node: Option<&str>) -> Result<Self, ClusterError> {
        input::read_from(reader, file, limits::LIMITS)?.finish(node)
    }
}

/// The IPv4 Services that kube-proxy on node `node` would handle, in the order of the file.
///
/// # Errors
/// As [`ClusterInput::read`].
pub fn read(path: &Path, node: &str) -> Result<ServiceSet, ClusterError> {
    let node = (!node.is_empty()).then_some(node);
    Ok(ClusterInput::read(path, node)?.set(Family::Ipv4).clone())
}
