//! A Service of our own, last in every set, whose addresses are others with every change: when they are in what kube-proxy has
//! sent, so is all else that the API server has told it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use services::service::{Endpoint, Family, Protocol, Service};
use services::service_set::ServiceSet;

/// Behind all others that people would choose: the API server tells changes in the order of their names.
const NAMESPACE: &str = "zz-svcbench";
const PORT: u16 = 9;
/// Numbers that are used in turn.
const NUMBERS: u8 = 100;

/// The mark at some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    service: u8,
    endpoint: u8,
}

impl Mark {
    /// With another cluster IP and another endpoint: one change of a Service, and one of its endpoints.
    pub(crate) const fn next(self) -> Self {
        Self { service: (self.service + 1) % NUMBERS, endpoint: (self.endpoint + 1) % NUMBERS }
    }

    /// With another endpoint only: a single event for a kube-proxy.
    pub(crate) const fn next_endpoint(self) -> Self {
        Self { endpoint: (self.endpoint + 1) % NUMBERS, ..self }
    }

    /// What is to be found in the rules for it.
    pub(crate) fn addresses(self, family: Family) -> [String; 2] {
        [self.cluster_ip(family).to_string(), self.endpoint_ip(family).to_string()]
    }

    /// The set with the mark at its end.
    pub(crate) fn added(self, family: Family, set: &ServiceSet) -> ServiceSet {
        let cluster = SocketAddr::new(self.cluster_ip(family), PORT);
        // On the node, where IPVS mode writes most about it.
        let endpoint = Endpoint::ready(SocketAddr::new(self.endpoint_ip(family), PORT), true);
        set.with_added(Service::new(NAMESPACE, "mark", "", Protocol::Tcp, cluster, vec![endpoint]))
    }

    fn cluster_ip(self, family: Family) -> IpAddr {
        address(family, 254, self.service)
    }

    fn endpoint_ip(self, family: Family) -> IpAddr {
        address(family, 253, self.endpoint)
    }
}

/// For benchmarks (RFC 2544) and documentation (RFC 3849). All texts of a kind are of one length, so that none begins another.
fn address(family: Family, kind: u8, number: u8) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(198, 19, kind, 100 + number).into(),
        Family::Ipv6 => {
            Ipv6Addr::new(0x2001, 0xdb8, 0xff00 + u16::from(kind), 0, 0, 0, 0, 0x1000 + u16::from(number))
                .into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_marks_in_a_row_share_an_address_and_none_contains_another() {
        let mut mark = Mark::default();
        let mut all = BTreeSet::new();
        for _ in 0..NUMBERS {
            let next = mark.next();
            for family in Family::ALL {
                let (old, new) = (mark.addresses(family), next.addresses(family));
                assert!(old.iter().zip(&new).all(|(old, new)| old != new));
                all.extend(new);
                let set = next.added(family, &ServiceSet::default());
                assert_eq!(set.services()[0].cluster.ip().to_string(), next.addresses(family)[0]);
            }
            mark = next;
        }
        assert_eq!(all.len(), 4 * usize::from(NUMBERS));
        assert!(all.iter().all(|one| all.iter().filter(|other| other.contains(one.as_str())).count() == 1));
        let other = mark.next_endpoint();
        assert_eq!(other.addresses(Family::Ipv4)[0], mark.addresses(Family::Ipv4)[0]);
        assert_ne!(other.addresses(Family::Ipv4)[1], mark.addresses(Family::Ipv4)[1]);
    }
}
