//! Keyed permutations: of words over an alphabet, and of addresses that keep what they have in common.

use std::net::{Ipv4Addr, Ipv6Addr};

use sha2::{Digest, Sha256};

/// Rounds of the Feistel network. Ten are what NIST SP 800-38G has for words.
const ROUNDS: u8 = 10;

/// SHA-256 of the key and a text, in parts that cannot be confused.
pub(super) fn digest(key: &[u8; 32], domain: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(key);
    for part in [domain.as_bytes()].iter().chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Replaces the digits of a number whose places have different bases, one to one: an unbalanced Feistel network, as in
/// FF1, with addition place by place. `shape` tells apart what must not be mapped alike.
pub(super) fn digits(key: &[u8; 32], shape: &[u8], bases: &[u8], digits: &mut [u8]) {
    let half = digits.len() / 2;
    for round in 0..ROUNDS {
        let (low, high) = digits.split_at_mut(half);
        let (low_bases, high_bases) = bases.split_at(half);
        let (changed, changed_bases, other) =
            if round % 2 == 0 { (high, high_bases, &*low) } else { (low, low_bases, &*high) };
        // Each digest makes sixteen places.
        for (block, places) in changed.chunks_mut(16).enumerate() {
            let random = digest(key, "round", &[&[round, block as u8], shape, other]);
            let bases = changed_bases.iter().skip(block * 16);
            for ((place, &base), two) in places.iter_mut().zip(bases).zip(random.chunks(2)) {
                let random = u32::from(two[0]) << 8 | u32::from(two[1]);
                *place = ((u32::from(*place) + random) % u32::from(base.max(1))) as u8;
            }
        }
    }
}

/// Blocks of addresses that stay what they are.
const STAY_V4: [(u32, u8); 4] = [
    (0x0000_0000, 8),  // this network
    (0x7f00_0000, 8),  // loopback
    (0xa9fe_0000, 16), // link-local
    (0xe000_0000, 3),  // multicast and reserved
];
/// Blocks whose addresses stay among themselves.
const CLOSED_V4: [(u32, u8); 4] = [
    (0x0a00_0000, 8),  // private
    (0xac10_0000, 12), // private
    (0xc0a8_0000, 16), // private
    (0x6440_0000, 10), // shared (RFC 6598)
];
const STAY_V6: [(u128, u8); 4] = [
    (0, 128),
    (1, 128),
    (0xfe80 << 112, 10), // link-local
    (0xff00 << 112, 8),  // multicast
];
const CLOSED_V6: [(u128, u8); 5] = [
    (0xffff << 32, 96),      // IPv4-mapped
    (0x0064_ff9b << 96, 96), // NAT64
    (0xfd00 << 112, 8),      // unique local
    (0xfc00 << 112, 8),      // unique local, without a meaning yet
    (0x2000 << 112, 3),      // global unicast
];

/// Replaces an address: two that share their first bits still do, and no others.
///
/// Each node of the tree of prefixes swaps its two halves or not (Fan et al., "Prefix-preserving IP address
/// anonymization", 2004), but for those above and inside the blocks that stay.
pub(super) fn ipv4(key: &[u8; 32], address: Ipv4Addr) -> Ipv4Addr {
    let bits = u128::from(u32::from(address)) << 96;
    let wide = |blocks: &[(u32, u8)]| {
        blocks.iter().map(|&(bits, length)| (u128::from(bits) << 96, length)).collect()
    };
    let (stay, closed): (Vec<_>, Vec<_>) = (wide(&STAY_V4), wide(&CLOSED_V4));
    Ipv4Addr::from((tree(key, "ipv4", bits, 4, &stay, &closed) >> 96) as u32)
}

/// The same of IPv6.
pub(super) fn ipv6(key: &[u8; 32], address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from(tree(key, "ipv6", u128::from(address), 16, &STAY_V6, &CLOSED_V6))
}

/// Whether an address stays what it is.
pub(super) fn stays(address: std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(address) => {
            let bits = u32::from(address);
            STAY_V4.iter().any(|&(block, length)| (bits ^ block) >> (32 - length) == 0)
        }
        std::net::IpAddr::V6(address) => {
            STAY_V6.iter().any(|&(block, length)| shares(u128::from(address), block, length))
        }
    }
}

/// Whether two addresses share their first bits.
fn shares(one: u128, other: u128, length: u8) -> bool {
    length == 0 || (one ^ other) >> (128 - u32::from(length)) == 0
}

/// An address is at the upper end of `bits`.
fn tree(
    key: &[u8; 32],
    domain: &str,
    bits: u128,
    bytes: u8,
    stay: &[(u128, u8)],
    closed: &[(u128, u8)],
) -> u128 {
    if stay.iter().any(|&(block, length)| shares(bits, block, length)) {
        return bits;
    }
    let mut result = 0;
    for byte in 0..bytes {
        // A digest has a bit for each of the 255 nodes below a byte, numbered as in a heap.
        let before = bits.checked_shr(128 - 8 * u32::from(byte)).unwrap_or(0);
        let swaps = digest(key, domain, &[&[byte], &before.to_be_bytes()]);
        let mut node = 1_usize;
        for bit in 0..8 {
            let depth = byte * 8 + bit;
            let is_set = bits >> (127 - depth) & 1 == 1;
            let is_above = |&(block, length): &(u128, u8)| depth < length && shares(bits, block, depth);
            let fixed = stay.iter().chain(closed).any(is_above);
            let swap = !fixed && swaps[node / 8] >> (node % 8) & 1 == 1;
            result |= u128::from(is_set != swap) << (127 - depth);
            node = node * 2 + usize::from(is_set);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn common(one: u128, other: u128) -> u32 {
        (one ^ other).leading_zeros()
    }

    #[test]
    fn short_words_are_permuted_without_a_clash() {
        for bases in [&[26][..], &[26, 36], &[5, 1, 7], &[10, 10, 10]] {
            let count = bases.iter().map(|&base| u32::from(base)).product::<u32>();
            let mut seen = HashSet::new();
            for number in 0..count {
                let mut rest = number;
                let mut places: Vec<u8> = bases
                    .iter()
                    .map(|&base| {
                        let place = rest % u32::from(base);
                        rest /= u32::from(base);
                        place as u8
                    })
                    .collect();
                digits(&KEY, b"x", bases, &mut places);
                assert!(places.iter().zip(bases).all(|(place, base)| place < base));
                seen.insert(places);
            }
            assert_eq!(seen.len(), count as usize, "{bases:?}");
        }
    }

    #[test]
    fn every_address_of_a_block_has_its_own() {
        let all: HashSet<Ipv4Addr> =
            (0..1 << 16).map(|low| ipv4(&KEY, Ipv4Addr::from(0x0a60_0000 | low))).collect();
        assert_eq!(all.len(), 1 << 16);
        assert!(all.iter().all(|address| address.octets()[0] == 10));
    }

    #[test]
    fn special_addresses_stay_and_private_ones_stay_private() {
        for text in ["0.0.0.0", "127.0.0.1", "169.254.20.10", "224.0.0.1", "255.255.255.255"] {
            let address: Ipv4Addr = text.parse().unwrap();
            assert_eq!(ipv4(&KEY, address), address);
            assert!(stays(address.into()));
        }
        for text in ["::", "::1", "fe80::1", "ff02::1"] {
            let address: Ipv6Addr = text.parse().unwrap();
            assert_eq!(ipv6(&KEY, address), address);
            assert!(stays(address.into()));
        }
        for (text, block) in [("192.168.7.8", 0xc0a8_u32), ("172.16.0.1", 0xac10 >> 4)] {
            let mapped = u32::from(ipv4(&KEY, text.parse().unwrap()));
            assert_eq!(if block > 0xffff >> 4 { mapped >> 16 } else { mapped >> 20 }, block);
        }
        assert_eq!(ipv6(&KEY, "fd00:10:96::1".parse().unwrap()).octets()[0], 0xfd);
        assert!(!stays("10.0.0.1".parse::<IpAddr>().unwrap()));
    }

    proptest! {
        #[test]
        fn what_addresses_have_in_common_they_keep(one: u32, other: u32, key: [u8; 32]) {
            let wide = |bits: u32| u128::from(bits) << 96;
            let mapped = |bits: u32| wide(u32::from(ipv4(&key, Ipv4Addr::from(bits))));
            prop_assert_eq!(common(mapped(one), mapped(other)), common(wide(one), wide(other)));
        }

        #[test]
        fn in_ipv6_too(one: u128, length in 0_u32..128, rest: u128, key: [u8; 32]) {
            let other = one ^ (rest >> length);
            let mapped = |bits: u128| u128::from(ipv6(&key, Ipv6Addr::from(bits)));
            prop_assert_eq!(common(mapped(one), mapped(other)), common(one, other));
        }
    }
}
