//! Rulesets of real nodes: what `iptables-save`, `ip6tables-save`, `nft list ruleset` and `ipset save` print, read line
//! by line, checked, counted, and searched for Services.
//!
//! Nothing here runs a program or trusts its input: whatever a file holds, the answer is an [`Inspection`] or an error
//! that names the line.
//!
//! * [`input`]: files and standard input, with limits
//! * [`format`](mod@format), [`header`], [`variant`]: what a text is, and which program wrote it
//! * [`iptables`], [`nft`], [`ipset`]: the three languages
//! * [`chains`]: jumps: that each has a target, and none leads back
//! * [`inspect`](mod@inspect): all of it, counted
//! * [`search`]: which Services a ruleset has, and who may answer for them
//! * [`compare`]: whether two kernels hold the same rules, Service by Service
//! * [`anonymise`]: the same without the names and addresses of its owner

pub mod anonymise;
pub mod chains;
pub mod compare;
pub mod error;
pub mod format;
pub mod header;
pub mod input;
pub mod inspect;
pub mod ipset;
pub mod iptables;
pub mod nft;
pub mod search;
pub mod variant;

pub use self::error::{Fault, RulesetError};
pub use self::format::Format;
pub use self::header::Header;
pub use self::inspect::{Inspection, TableCounts, inspect, inspect_text};
pub use self::variant::Variant;

#[cfg(test)]
mod tests;
