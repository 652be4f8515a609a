//! What a mode amounts to in the kernel, counted.

use std::fmt;
use std::ops::Add;

use serde::{Deserialize, Serialize};

/// Kernel objects: what a ruleset amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rules in all tables.
    pub rules: u64,
    /// Chains in all tables, base and built-in ones included.
    pub chains: u64,
    /// Elements of named sets and maps, entries of ipsets included.
    pub elements: u64,
    /// IPVS virtual servers.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub virtual_servers: u64,
    /// IPVS real servers, over all virtual servers.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub real_servers: u64,
    /// Service addresses on the dummy link.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub addresses: u64,
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            rules: self.rules + other.rules,
            chains: self.chains + other.chains,
            elements: self.elements + other.elements,
            virtual_servers: self.virtual_servers + other.virtual_servers,
            real_servers: self.real_servers + other.real_servers,
            addresses: self.addresses + other.addresses,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl fmt::Display for Counts {
    /// `3 rules, 2 chains, 1 elements`; what IPVS alone has, where there is any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rules, {} chains, {} set elements", self.rules, self.chains, self.elements)?;
        for (count, what) in [
            (self.virtual_servers, "virtual servers"),
            (self.real_servers, "real servers"),
            (self.addresses, "addresses"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}
