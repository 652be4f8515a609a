//! Client addresses and ports: a new one for every flow.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::RangeInclusive;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

/// Why a range of client addresses cannot be used.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum SourcesError {
    /// The prefix holds no host address.
    #[error("{prefix}/{length} is no IPv4 prefix with room for clients; use a length of 1 to 30, or 32")]
    Prefix {
        /// The prefix asked for.
        prefix: Ipv4Addr,
        /// Its length in bits.
        length: u8,
    },
    /// The port range is empty or begins with 0, which is no port (RFC 768, RFC 9293).
    #[error("ports {first} to {last} hold no port to use; begin at 1 or above and end no lower")]
    Ports {
        /// First port asked for.
        first: u16,
        /// Last port asked for.
        last: u16,
    },
}

/// Walks every (address, port) of a prefix once, from a place that a seed decides.
///
/// A flow must not come back while conntrack or IPVS still knows it, or an established flow is measured in
/// place of a lookup. So the walk ends after [`Sources::flows`] flows, until [`Sources::restart`] says that
/// those tables have forgotten (by flush or by time). The address changes with every step, the port once per
/// round of addresses.
#[derive(Debug, Clone)]
pub struct Sources {
    first_address: u32,
    addresses: u64,
    first_port: u16,
    ports: u64,
    next: u64,
    left: u64,
}

impl Sources {
    /// The hosts of `prefix`/`length` with these ports. The first and last address of a prefix shorter than 32
    /// bits are left out: as network and broadcast addresses of a connected route they would be dropped as
    /// martian sources (`fib_validate_source`, net/ipv4/fib_frontend.c). So would be any address of the receiving
    /// machine itself: keep those out of the prefix.
    ///
    /// # Errors
    /// [`SourcesError`] if there is no address or no port to use.
    pub fn new(
        prefix: Ipv4Addr,
        length: u8,
        ports: RangeInclusive<u16>,
        seed: u64,
    ) -> Result<Sources, SourcesError> {
        let (first_port, last_port) = (*ports.start(), *ports.end());
        if first_port == 0 || ports.is_empty() {
            return Err(SourcesError::Ports { first: first_port, last: last_port });
        }
        let network = |mask: u32| u32::from(prefix) & mask;
        let (first_address, addresses) = match length {
            32 => (u32::from(prefix), 1),
            1..=30 => (network(u32::MAX << (32 - length)) + 1, (1_u64 << (32 - length)) - 2),
            _ => return Err(SourcesError::Prefix { prefix, length }),
        };
        let ports = u64::from(last_port - first_port) + 1;
        let flows = addresses * ports;
        let next = ChaCha12Rng::seed_from_u64(seed).random_range(0..flows);
        Ok(Sources { first_address, addresses, first_port, ports, next, left: flows })
    }

    /// How many different flows there are to walk.
    pub fn flows(&self) -> u64 {
        self.addresses * self.ports
    }

    /// How many of them have not been used since the start, or since the last [`Sources::restart`].
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Allows all flows again; the walk goes on from where it is. Call it when the connection tables under test
    /// have been flushed or have timed out.
    pub fn restart(&mut self) {
        self.left = self.flows();
    }
}

impl Iterator for Sources {
    type Item = SocketAddrV4;

    fn next(&mut self) -> Option<SocketAddrV4> {
        self.left = self.left.checked_sub(1)?;
        // Both fit by construction: neither offset leaves its range.
        let address = self.first_address + (self.next % self.addresses) as u32;
        let port = self.first_port + (self.next / self.addresses) as u16;
        self.next = (self.next + 1) % self.flows();
        Some(SocketAddrV4::new(address.into(), port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    const PREFIX: Ipv4Addr = Ipv4Addr::new(10, 1, 2, 128);

    proptest! {
        #[test]
        fn every_flow_comes_once_and_from_the_prefix(length in 24_u8..=30, ports in 1_u16..40, seed: u64) {
            let mut sources = Sources::new(PREFIX, length, 65_536_u32.saturating_sub(ports.into()) as u16..=65_535, seed).unwrap();
            let seen: Vec<SocketAddrV4> = sources.by_ref().collect();
            prop_assert_eq!(seen.len() as u64, sources.flows());
            prop_assert_eq!(seen.iter().collect::<HashSet<_>>().len(), seen.len());
            prop_assert_eq!(seen.len() as u64, ((1 << (32 - length)) - 2) * u64::from(ports));
            let shift = 32 - u32::from(length);
            for flow in &seen {
                prop_assert_eq!(u32::from(*flow.ip()) >> shift, u32::from(PREFIX) >> shift);
                let host = u32::from(*flow.ip()) & ((1 << shift) - 1);
                prop_assert!(host != 0 && host != (1 << shift) - 1, "{} is a network or broadcast address", flow);
            }
            prop_assert_eq!(sources.next(), None);
            sources.restart();
            prop_assert_eq!(sources.next(), Some(seen[0]));
        }
    }

    #[test]
    fn a_seed_decides_where_the_walk_begins() {
        let first = |seed| Sources::new(PREFIX, 16, 1_024..=65_535, seed).unwrap().next();
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
    }

    #[test]
    fn prefixes_and_ports_without_room_are_refused() {
        for length in [0, 31, 33, 255] {
            let refused = Sources::new(PREFIX, length, 1..=2, 0).unwrap_err();
            assert_eq!(refused, SourcesError::Prefix { prefix: PREFIX, length });
        }
        #[expect(clippy::reversed_empty_ranges, reason = "it is what must be refused")]
        for (first, last, ports) in [(0, 5, 0..=5), (9, 8, 9..=8)] {
            let refused = Sources::new(PREFIX, 24, ports, 0).unwrap_err();
            assert_eq!(refused, SourcesError::Ports { first, last });
        }
        assert_eq!(Sources::new(PREFIX, 32, 7..=7, 0).unwrap().collect::<Vec<_>>().len(), 1);
    }
}
