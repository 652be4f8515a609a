//! Words that are addresses, alone or with a length, a mask, a port, or as a range.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::names::Names;

impl Names {
    /// An address. One of IPv4 in IPv6's clothing keeps them.
    pub(super) fn ip(&mut self, address: IpAddr) -> IpAddr {
        let mapped = match address {
            IpAddr::V4(address) => super::permute::ipv4(self.key(), address).into(),
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(inner) => super::permute::ipv4(self.key(), inner).to_ipv6_mapped().into(),
                None => super::permute::ipv6(self.key(), address).into(),
            },
        };
        if !super::permute::stays(address) {
            self.note_address(address, mapped);
        }
        mapped
    }

    /// A network; its host bits are cleared if they were clear before.
    pub(super) fn network(&mut self, network: IpNet) -> IpNet {
        if network.prefix_len() == 0 {
            return network;
        }
        let has_host_bits = network.addr() != network.network();
        let address = self.ip(network.addr());
        let mapped = IpNet::new(address, network.prefix_len()).unwrap_or(network);
        if has_host_bits { mapped } else { mapped.trunc() }
    }

    /// A word that is an address in one of its forms; `None`: it is none.
    pub(super) fn address_word(&mut self, word: &str) -> Option<String> {
        if !word.bytes().any(|byte| byte.is_ascii_hexdigit() || byte == b':') {
            return None;
        }
        if let Ok(address) = word.parse::<IpAddr>() {
            return Some(self.ip(address).to_string());
        }
        if let Ok(network) = word.parse::<IpNet>() {
            return Some(self.network(network).to_string());
        }
        self.masked(word)
            .or_else(|| self.with_port(word))
            .or_else(|| self.range(word))
            .or_else(|| mac(self, word))
    }

    /// `10.0.0.0/255.0.255.0`: a mask stays what it is.
    fn masked(&mut self, word: &str) -> Option<String> {
        let (address, mask) = word.split_once('/')?;
        let (address, bits): (IpAddr, IpAddr) = (address.parse().ok()?, mask.parse().ok()?);
        let mapped = match (address, self.ip(address), bits) {
            (IpAddr::V4(before), IpAddr::V4(mapped), IpAddr::V4(mask)) => {
                IpAddr::from(clear_as_before(u32::from(before), u32::from(mapped), u32::from(mask)))
            }
            (IpAddr::V6(before), IpAddr::V6(mapped), IpAddr::V6(mask)) => {
                IpAddr::from(Ipv6Addr::from(if u128::from(before) & !u128::from(mask) == 0 {
                    u128::from(mapped) & u128::from(mask)
                } else {
                    u128::from(mapped)
                }))
            }
            _ => return None,
        };
        Some(format!("{mapped}/{mask}"))
    }

    /// `10.0.0.1:80`, `10.0.0.1-10.0.0.9:80-90`, `[fd00::1]:80`, `[fd00::1]-[fd00::9]:80`.
    fn with_port(&mut self, word: &str) -> Option<String> {
        let (address, port) = match word.rsplit_once("]:") {
            Some((address, port)) => (format!("{address}]"), port),
            None if word.ends_with(']') => return self.bracketed(word),
            None => {
                let (address, port) = word.rsplit_once(':')?;
                // Of IPv6 without brackets nobody could tell the port.
                if address.contains(':') {
                    return None;
                }
                (address.to_owned(), port)
            }
        };
        if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'/')) {
            return None;
        }
        let mapped = match address.parse::<Ipv4Addr>() {
            Ok(address) => self.ip(address.into()).to_string(),
            Err(_) => self.bracketed(&address).or_else(|| self.range(&address))?,
        };
        Some(format!("{mapped}:{port}"))
    }

    fn bracketed(&mut self, word: &str) -> Option<String> {
        if let Some((first, last)) = word.split_once("]-[") {
            let (first, last) =
                (first.strip_prefix('[')?.parse().ok()?, last.strip_suffix(']')?.parse().ok()?);
            let (first, last) = self.ends(first, last)?;
            return Some(format!("[{first}]-[{last}]"));
        }
        let inner: Ipv6Addr = word.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?;
        Some(format!("[{}]", self.ip(inner.into())))
    }

    /// `10.0.0.1-10.0.0.9`.
    fn range(&mut self, word: &str) -> Option<String> {
        let (first, last) = word.split_once('-')?;
        let (first, last) = self.ends(first.parse().ok()?, last.parse().ok()?)?;
        Some(format!("{first}-{last}"))
    }

    /// A range keeps its length: what its ends have in common is mapped, the rest stays.
    fn ends(&mut self, first: IpAddr, last: IpAddr) -> Option<(IpAddr, IpAddr)> {
        let mapped = self.ip(first);
        self.ip(last);
        Some(match (first, last, mapped) {
            (IpAddr::V4(first), IpAddr::V4(last), IpAddr::V4(mapped)) => {
                let (first, last, mapped) = (u32::from(first), u32::from(last), u32::from(mapped));
                let rest = u32::MAX.checked_shr((first ^ last).leading_zeros()).unwrap_or(0);
                let join = |end: u32| IpAddr::from(Ipv4Addr::from(mapped & !rest | end & rest));
                (join(first), join(last))
            }
            (IpAddr::V6(first), IpAddr::V6(last), IpAddr::V6(mapped)) => {
                let (first, last, mapped) = (u128::from(first), u128::from(last), u128::from(mapped));
                let rest = u128::MAX.checked_shr((first ^ last).leading_zeros()).unwrap_or(0);
                let join = |end: u128| IpAddr::from(Ipv6Addr::from(mapped & !rest | end & rest));
                (join(first), join(last))
            }
            _ => return None,
        })
    }
}

fn clear_as_before(before: u32, mapped: u32, mask: u32) -> Ipv4Addr {
    Ipv4Addr::from(if before & !mask == 0 { mapped & mask } else { mapped })
}

/// Six pairs of hexadecimal digits. The first pair stays, as it tells groups from cards; so do masks and what everybody
/// has.
fn mac(names: &mut Names, word: &str) -> Option<String> {
    let (address, mask) = word.split_once('/').map_or((word, None), |(address, mask)| (address, Some(mask)));
    let pairs: Vec<&str> = address.split(':').collect();
    let is_pair = |pair: &&str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    if pairs.len() != 6 || !pairs.iter().all(is_pair) {
        return None;
    }
    let digits = address.replace(':', "").to_ascii_lowercase();
    let is_special = digits.bytes().all(|byte| byte == b'f') || digits.bytes().all(|byte| byte == b'0');
    if is_special || mask.is_some() {
        return Some(word.to_owned());
    }
    let hidden = names.hex(&digits[2..]);
    let mut text = digits[..2].to_owned();
    for pair in hidden.as_bytes().chunks(2) {
        text.push(':');
        text.extend(pair.iter().map(|&byte| char::from(byte)));
    }
    Some(if address.bytes().any(|byte| byte.is_ascii_uppercase()) { text.to_ascii_uppercase() } else { text })
}
