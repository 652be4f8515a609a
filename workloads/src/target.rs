//! What a probe is aimed at, which endpoints may receive it, and which did. Loads have destinations of their own, see
//! [`load::Destination`](crate::load::Destination): of both families, without a protocol, and of any number of endpoints.

use std::net::{Ipv4Addr, SocketAddrV4};

/// The transport protocols that a probe sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProbeProtocol {
    /// UDP, with a payload.
    Udp,
    /// TCP; a probe's first packet is a SYN.
    Tcp,
}

/// Why a target cannot be verified.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum TargetError {
    /// Nothing could answer, so no answer could be right.
    #[error("{address} has no endpoint, so nothing may answer for it; count it as a miss, do not probe it")]
    NoEndpoint {
        /// The target's address.
        address: SocketAddrV4,
    },
    /// The endpoints are searched by bisection.
    #[error("the endpoints of {address} must be sorted and distinct; sort() and dedup() them")]
    Unsorted {
        /// The target's address.
        address: SocketAddrV4,
    },
}

/// An address to send to, and the endpoints that may receive what was sent.
#[derive(Debug, Clone, Copy)]
pub struct ProbeTarget<'a> {
    address: SocketAddrV4,
    protocol: ProbeProtocol,
    endpoints: &'a [SocketAddrV4],
    masquerade: Option<Ipv4Addr>,
    any_source: bool,
}

impl<'a> ProbeTarget<'a> {
    /// A Service: what is sent to `address` must arrive at one of `endpoints`, from its true source.
    ///
    /// # Errors
    /// [`TargetError`] unless `endpoints` is non-empty, sorted and free of duplicates.
    pub fn new(
        address: SocketAddrV4,
        protocol: ProbeProtocol,
        endpoints: &'a [SocketAddrV4],
    ) -> Result<ProbeTarget<'a>, TargetError> {
        if endpoints.is_empty() {
            return Err(TargetError::NoEndpoint { address });
        }
        if !endpoints.is_sorted_by(|one, next| one < next) {
            return Err(TargetError::Unsorted { address });
        }
        Ok(ProbeTarget { address, protocol, endpoints, masquerade: None, any_source: false })
    }

    /// A control: what is sent to `address` must arrive there, untranslated.
    pub fn untranslated(address: &'a SocketAddrV4, protocol: ProbeProtocol) -> ProbeTarget<'a> {
        let endpoints = std::slice::from_ref(address);
        ProbeTarget { address: *address, protocol, endpoints, masquerade: None, any_source: false }
    }

    /// The same target, but what is sent must arrive from `address` at any port: it must be masqueraded.
    pub fn masqueraded_as(self, address: Ipv4Addr) -> ProbeTarget<'a> {
        ProbeTarget { masquerade: Some(address), ..self }
    }

    /// The same target, but it is of no account which source is seen: whether and as what packets are masqueraded is for
    /// rules to say that nobody has planned.
    pub fn from_anywhere(self) -> ProbeTarget<'a> {
        ProbeTarget { any_source: true, ..self }
    }

    /// Where to send.
    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// The transport protocol to send with.
    pub fn protocol(&self) -> ProbeProtocol {
        self.protocol
    }

    /// Who may receive, sorted.
    pub fn endpoints(&self) -> &'a [SocketAddrV4] {
        self.endpoints
    }

    /// Whether any source may be seen.
    pub fn any_source(&self) -> bool {
        self.any_source
    }

    /// The source address that must be seen in place of the client's, if any.
    pub fn masquerade(&self) -> Option<Ipv4Addr> {
        self.masquerade
    }
}

/// How often each endpoint of each target was chosen, for a test of fairness (chi-square).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    /// All targets' counts in a row; target *t* has those from `starts[t]` to `starts[t + 1]`.
    counts: Vec<u64>,
    starts: Vec<usize>,
}

impl Shares {
    /// All counts zero. Allocates everything that counting will need.
    pub fn new(targets: &[ProbeTarget]) -> Shares {
        let mut starts = vec![0];
        starts.extend(targets.iter().scan(0, |end, target| {
            *end += target.endpoints.len();
            Some(*end)
        }));
        Shares { counts: vec![0; starts.last().copied().unwrap_or(0)], starts }
    }

    /// The counts of one target, in the order of its endpoints; empty if there is no such target.
    pub fn of(&self, target: usize) -> &[u64] {
        let Some(&[start, end]) = self.starts.get(target..).and_then(|rest| rest.first_chunk()) else {
            return &[];
        };
        &self.counts[start..end]
    }

    /// Counts one more for an endpoint of a target. Shares made for other targets do not count it.
    pub(crate) fn count(&mut self, target: usize, endpoint: usize) {
        let start = self.starts.get(target).copied();
        if let Some(count) = start.and_then(|start| self.counts.get_mut(start + endpoint)) {
            *count += 1;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn at(text: &str) -> SocketAddrV4 {
        text.parse().unwrap()
    }

    #[test]
    fn endpoints_must_be_sorted_distinct_and_there() {
        let address = at("10.96.0.1:80");
        let new =
            |endpoints: &[SocketAddrV4]| ProbeTarget::new(address, ProbeProtocol::Udp, endpoints).map(|_| ());
        let [a, b] = [at("10.0.0.1:8080"), at("10.0.0.2:8080")];
        assert_eq!(new(&[]), Err(TargetError::NoEndpoint { address }));
        for bad in [[b, a], [a, a]] {
            assert_eq!(new(&bad), Err(TargetError::Unsorted { address }));
        }
        assert_eq!(new(&[a, b]), Ok(()));
    }

    #[test]
    fn shares_are_counted_per_target_and_endpoint() {
        let address = at("10.96.0.1:80");
        let endpoints = [at("10.0.0.1:8080"), at("10.0.0.2:8080")];
        let service = ProbeTarget::new(address, ProbeProtocol::Udp, &endpoints).unwrap();
        let mut shares =
            Shares::new(&[service, ProbeTarget::untranslated(&address, ProbeProtocol::Udp), service]);
        for (target, endpoint) in [(0, 1), (1, 0), (2, 0), (2, 1), (2, 1)] {
            shares.count(target, endpoint);
        }
        assert_eq!(
            [shares.of(0), shares.of(1), shares.of(2), shares.of(3)],
            [&[0, 1][..], &[1], &[1, 2], &[]]
        );
    }
}
