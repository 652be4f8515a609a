//! Address blocks that nothing uses: for a lab among addresses that are somebody's.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// Where probes come from if nobody tells where pods are: shared address space (RFC 6598).
pub const ELSEWHERE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 12);
/// Lengths of the prefix of probes: the shortest that is wanted and the longest that will do. 14 addresses with all their
/// ports are 900,000 flows, of which 4,000 are in use at a time.
pub const PROBES: (u8, u8) = (18, 28);
/// Where the lab's own addresses are from: the block for benchmarks (RFC 2544), else private ones.
const OWN: [Ipv4Net; 4] = [
    Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 80, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
];

/// What a lab is built on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabBlocks {
    /// Where probes come from.
    pub probes: Ipv4Net,
    /// The node's own address.
    pub node: Ipv4Addr,
    /// Blocks of clients, Services and endpoints that the lab needs and nothing uses.
    pub own: [Ipv4Net; 3],
}

/// Free blocks for a lab's own addresses, one of each range for private use at most, that meet none of `taken`.
pub fn own<'a>(
    lengths: (u8, u8),
    used: &'a BTreeSet<u32>,
    taken: &'a [Ipv4Net],
) -> impl Iterator<Item = Ipv4Net> + 'a {
    let meets = |block: &Ipv4Net| taken.iter().any(|other| other.contains(block) || block.contains(other));
    OWN.iter().filter_map(move |&within| free(within, lengths, used)).filter(move |block| !meets(block))
}

/// The first address of a block that a machine may have.
pub fn host(block: Ipv4Net) -> Ipv4Addr {
    block.hosts().next().unwrap_or(block.addr())
}

/// The largest block within another of which no address is used, from the end: pods are given addresses from the start.
pub fn free(within: Ipv4Net, (shortest, longest): (u8, u8), used: &BTreeSet<u32>) -> Option<Ipv4Net> {
    let shortest = shortest.max((within.prefix_len() + 1).min(longest));
    (shortest..=longest).filter(|&length| length >= within.prefix_len()).find_map(|length| {
        let blocks = 1_u64 << (length - within.prefix_len());
        let size = 1_u64 << (32 - length);
        let start = u64::from(u32::from(within.network()));
        // As many blocks are looked at as there are used addresses, at most, and one more.
        (0..blocks).rev().find_map(|index| {
            let first = start + index * size;
            let (first, last) = (u32::try_from(first).ok()?, u32::try_from(first + size - 1).ok()?);
            let is_free = used.range(first..=last).next().is_none();
            is_free.then(|| Ipv4Net::new(first.into(), length).ok()).flatten()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_free_block_is_found_from_the_end() {
        let within: Ipv4Net = "10.0.0.0/24".parse().unwrap();
        let found = |used: &[u32], lengths| {
            free(within, lengths, &used.iter().map(|last| 0x0a00_0000 + last).collect())
                .map(|b| b.to_string())
        };
        assert_eq!(found(&[], (18, 28)).as_deref(), Some("10.0.0.128/25"), "never the whole");
        assert_eq!(found(&[200], (18, 28)).as_deref(), Some("10.0.0.0/25"));
        assert_eq!(found(&[0, 200], (18, 28)).as_deref(), Some("10.0.0.128/26"));
        assert_eq!(found(&[0, 200], (25, 25)), None);
        assert_eq!(found(&[], (8, 20)), None, "larger than what there is");
    }

    #[test]
    fn own_blocks_keep_clear_of_what_is_taken() {
        let nothing = BTreeSet::new();
        let first = |taken: &[&str]| {
            let taken: Vec<Ipv4Net> = taken.iter().map(|net| net.parse().unwrap()).collect();
            own((22, 22), &nothing, &taken).next().map(|block| block.to_string())
        };
        assert_eq!(first(&[]).as_deref(), Some("198.19.252.0/22"));
        assert_eq!(first(&["198.19.254.0/24"]).as_deref(), Some("100.95.252.0/22"));
        assert_eq!(first(&["0.0.0.0/0"]), None);
    }
}
