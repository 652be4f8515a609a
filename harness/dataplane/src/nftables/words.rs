//! The words of commands that differ between the families, joined beforehand.

use services::service::Family;

/// Beginnings of commands and matches of one family.
pub(crate) struct Words {
    /// `ip` or `ip6`: the family of the table, and of matches.
    pub(crate) ip: &'static str,
    /// Type of addresses in sets.
    pub(crate) address_type: &'static str,
    /// Up to the name of the chain.
    pub(crate) add_chain: &'static str,
    /// Up to the name of the chain.
    pub(crate) flush_chain: &'static str,
    /// Up to the name of the chain.
    pub(crate) delete_chain: &'static str,
    /// Up to the name of the chain.
    pub(crate) add_rule: &'static str,
    /// Up to the name of the set.
    pub(crate) add_set: &'static str,
    /// Up to the name of the set.
    pub(crate) delete_set: &'static str,
    /// Up to the name of the set or map.
    pub(crate) add_element: &'static str,
    /// Up to the name of the set or map.
    pub(crate) delete_element: &'static str,
    /// Up to what the source is compared with.
    pub(crate) saddr: &'static str,
    /// Up to what the destination is compared with.
    pub(crate) daddr: &'static str,
}

macro_rules! words {
    ($ip:literal, $address_type:literal) => {
        Words {
            ip: $ip,
            address_type: $address_type,
            add_chain: concat!("add chain ", $ip, " kube-proxy "),
            flush_chain: concat!("flush chain ", $ip, " kube-proxy "),
            delete_chain: concat!("delete chain ", $ip, " kube-proxy "),
            add_rule: concat!("add rule ", $ip, " kube-proxy "),
            add_set: concat!("add set ", $ip, " kube-proxy "),
            delete_set: concat!("delete set ", $ip, " kube-proxy "),
            add_element: concat!("add element ", $ip, " kube-proxy "),
            delete_element: concat!("delete element ", $ip, " kube-proxy "),
            saddr: concat!(" ", $ip, " saddr "),
            daddr: concat!(" ", $ip, " daddr "),
        }
    };
}

static IPV4: Words = words!("ip", "ipv4_addr");
static IPV6: Words = words!("ip6", "ipv6_addr");

impl Words {
    /// Those of a family.
    pub(crate) const fn of(family: Family) -> &'static Self {
        match family {
            Family::Ipv4 => &IPV4,
            Family::Ipv6 => &IPV6,
        }
    }
}
