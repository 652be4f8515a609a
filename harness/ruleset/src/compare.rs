//! Whether two kernels hold the same rules: what `nft list ruleset` or `iptables-save` printed in each, in a normal form, and
//! compared Service by Service.
//!
//! What makes no difference to a packet is taken out: the order of tables, chains, sets and their elements, handles,
//! counters, spaces, and in the lists of Services that packets walk (`KUBE-SERVICES` and its like) the order of Services,
//! which is that of a Go map in kube-proxy and another at every sync. The rules of one Service stay in their order, and
//! so do rules of no Service before and behind those of Services. Elements that packets have put into a set are left out, and so
//! are built-in chains of iptables that let everything pass.
//!
//! Comments are compared: they say for whom a rule is.
//!
//! What programs were given to read has normal forms too: [`normal_restore`], [`normal_nft_input`].

mod difference;
mod iptables;
mod lists;
mod nft;
mod nft_input;
mod normal;
mod owner;
mod restore;

pub use self::difference::{Difference, Side, differences};
pub use self::iptables::normal as normal_iptables;
pub use self::nft::normal as normal_nft;
pub use self::nft_input::normal as normal_nft_input;
pub use self::normal::{Normal, Object};
pub use self::restore::normal as normal_restore;
use crate::error::Fault;
use crate::format::Format;

/// Compares two texts, of whichever of the two formats both are.
///
/// # Errors
/// The first line of one that is no line of a ruleset, or that they are of different formats.
pub fn compare(first: &str, second: &str) -> Result<Vec<Difference>, Fault> {
    // A kernel without a table prints nothing.
    let format = |text: &str| if text.trim().is_empty() { Ok(None) } else { Format::detect(text).map(Some) };
    let normal = match (format(first)?, format(second)?) {
        (None, None) => return Ok(Vec::new()),
        (Some(one), Some(other)) if one != other => {
            return Err(Fault::whole(format!("one is {one}, the other {other}: they cannot be compared")));
        }
        (Some(format), _) | (None, Some(format)) => match format {
            Format::Nft => normal_nft,
            Format::Iptables => normal_iptables,
            Format::Ipset | Format::Json => {
                return Err(Fault::whole(format!("{format} is not compared: give iptables-save or nft")));
            }
        },
    };
    Ok(differences(&normal(first)?, &normal(second)?))
}

#[cfg(test)]
mod tests;
