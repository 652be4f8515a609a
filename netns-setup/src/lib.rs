//! Network namespaces, links and labs, and what this machine must have for them.
//!
//! Knows Linux and nothing of what is measured in it. Everything built here is anonymous: it hangs on threads and file
//! descriptors of this process, so dropping a value, or `kill -9`, removes it. Nothing is ever added to the namespaces
//! that the process was started in.
//!
//! ```no_run
//! use netns_setup::{Egress, Lab, Topology};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let lab = Lab::build(&Topology {
//!     label: "example".into(),
//!     probe_prefix: "100.64.0.0/12".parse()?,
//!     client_prefix: "172.16.0.0/16".parse()?,
//!     service_prefix: "10.96.0.0/12".parse()?,
//!     endpoint_prefix: "10.128.0.0/9".parse()?,
//!     node_address: "192.0.2.1".parse()?,
//! })?;
//! lab.steer(Egress::Server)?;
//! let socket = lab.client.run(|| std::net::UdpSocket::bind("172.16.0.7:0"))?;
//! # Ok(())
//! # }
//! ```

mod address;
mod conntrack;
pub mod director;
mod enclosure;
mod error;
pub mod guest;
mod host;
pub mod ipvs;
mod lab;
mod link;
mod loopback;
mod namespace;
mod needs;
mod netlink;
pub mod nf_tables;
pub mod nfacct;
mod process_group;
pub mod processes;
pub mod single_node;
mod tun;
mod worker;

pub use address::Addresses;
pub use conntrack::{Conntrack, UdpFlow, flush, flush_here};
pub use enclosure::{Enclosed, Enclosure};
pub use error::{SetupError, TopologyError};
pub use host::Fingerprint;
pub use lab::{Egress, Lab, Topology};
pub use link::counters::{Counters, Volume};
pub use link::{Link, Links, Mac, Route, VethEnd};
pub use loopback::Loopback;
pub use namespace::{Identity, Namespace};
pub use needs::kube_proxy::find as find_kube_proxy;
pub use needs::{Found, Missing, Need, check, find_program};
pub use process_group::ProcessGroup;
pub use tun::{Tun, TunOptions};
