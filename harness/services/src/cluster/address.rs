//! Addresses and ranges in the spellings that kube-proxy takes (k8s.io/utils/net, `ParseIPSloppy` and `ParseCIDRSloppy`).

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

/// An address. Numbers of an IPv4 address may have leading zeros, and an IPv4 address may be written as an IPv6 one
/// (`::ffff:10.0.0.1`): Go makes no difference between the two.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    match text.parse() {
        Ok(address) => Some(unmapped(address)),
        Err(_) => without_zeros(text)?.parse().ok(),
    }
}

/// A range; bits after its prefix are cleared. Spaces around it are passed over, since the API server lets them in.
pub(super) fn range(text: &str) -> Option<IpNet> {
    let (network, length) = text.trim().split_once('/')?;
    let plain = !length.is_empty() && length.len() <= 3 && length.bytes().all(|byte| byte.is_ascii_digit());
    let length: u8 = if plain { length.parse().ok()? } else { return None };
    let written = network.parse::<IpAddr>();
    let (network, length) = match (address(network)?, written) {
        // Written as IPv6: the length counts its bits.
        (IpAddr::V4(v4), Ok(IpAddr::V6(_))) if length >= 96 => (v4.into(), length - 96),
        (IpAddr::V4(_), Ok(IpAddr::V6(v6))) => (v6.into(), length),
        (network, _) => (network, length),
    };
    Some(IpNet::new(network, length).ok()?.trunc())
}

fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// `010.0.00.1` as `10.0.0.1`; `None` if it is no such address.
fn without_zeros(text: &str) -> Option<String> {
    let mut octets = [0_u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        let digits = part.trim_start_matches('0');
        let plain = !part.is_empty() && digits.len() <= 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !plain {
            return None;
        }
        *octet = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_read_as_go_reads_them() {
        let read = |text| address(text).map(|address| address.to_string());
        for (text, expected) in [
            ("10.0.0.1", "10.0.0.1"),
            ("010.000.0.01", "10.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("FD00::0:1", "fd00::1"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "10.0.0",
            "10.0.0.256",
            "10.0.0.1.2",
            "10.0.0.",
            "10.0.0.1 ",
            "fe80::1%eth0",
            "+1.0.0.1",
            "ten",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn ranges_are_read_as_kube_proxy_reads_them() {
        let read = |text| range(text).map(|range| range.to_string());
        for (text, expected) in [
            ("10.0.0.1/8", "10.0.0.0/8"),
            (" 192.0.2.0/24\n", "192.0.2.0/24"),
            ("010.0.0.0/008", "10.0.0.0/8"),
            ("fd00::1/64", "fd00::/64"),
            ("::ffff:192.0.2.1/120", "192.0.2.0/24"),
            ("::ffff:192.0.2.1/0", "::/0"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
        for text in
            ["", "10.0.0.1", "10.0.0.0/33", "fd00::/129", "10.0.0.0/+8", "10.0.0.0/", "/8", "10.0.0.0/8/8"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(address: IpAddr, length in 0_u8..=128) {
            prop_assert_eq!(super::address(&address.to_string()), Some(unmapped(address)));
            if let (Ok(net), false) = (IpNet::new(address, length), unmapped(address) != address) {
                prop_assert_eq!(range(&net.to_string()), Some(net.trunc()));
            }
        }

        #[test]
        fn any_text_is_read_without_panic(text in "[0-9a-f:./ ]{0,24}|.*") {
            let _ = (address(&text), range(&text));
        }
    }
}
