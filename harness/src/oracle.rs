//! The packet oracle: what a node's dataplane does with one packet, seen from all sides.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use harness::oracle::{Oracle, Outcome, Packet, Place};
//! use harness::service::Protocol;
//!
//! let mut oracle = Oracle::build(&netns_setup::yard::Topology {
//!     label: "example".into(),
//!     node: vec!["192.0.2.1".parse()?, "2001:db8::1".parse()?],
//!     local_pods: vec!["10.244.0.0/24".parse()?, "fd00:244::/64".parse()?],
//!     remote_pods: vec!["10.244.1.0/24".parse()?, "fd00:244:0:1::/64".parse()?],
//! })?;
//! // Put rules into `oracle.node()`. Then:
//! let packet = Packet::new(Protocol::Tcp, "10.244.0.7".parse()?, "10.96.0.10:80".parse()?);
//! match oracle.send(packet, Place::LocalPod)? {
//!     Outcome::Delivered(delivered) => {
//!         println!("{delivered}, masqueraded as {:?}", delivered.masquerade());
//!         let reply = oracle.reply(&delivered)?;
//!         assert!(delivered.is_answered_by(&reply));
//!     }
//!     Outcome::Rejected(rejected) => println!("{rejected}"),
//!     Outcome::Dropped => println!("dropped"),
//! }
//! oracle.forget_flows()?;
//! # Ok(())
//! # }
//! ```

mod outcome;

pub use self::outcome::{Delivered, Outcome, Packet, Place, Refusal, Rejected};
pub use workloads::wire::Reason;
