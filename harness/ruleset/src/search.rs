//! The Services that a ruleset has: kube-proxy's own, of any version since 1.20.
//!
//! A Service's way is followed as a packet would go: from the entry in the list of Services through whatever chains it
//! has to the translations that may be made. A packet comes from a pod and goes to no address of the node; what else a rule
//! asks may hold or not, and then both ways are followed.

mod found;
mod iptables;
mod names;
mod nft;
mod walk;

pub use self::found::{FoundService, FoundServices, Frontend};
pub use self::walk::{LIMIT, Walked};

pub(crate) use self::iptables::find as find_iptables;
pub(crate) use self::names::of_chain as name_of_chain;
pub(crate) use self::nft::find as find_nft;

#[cfg(test)]
mod tests;
