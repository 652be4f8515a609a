//! Names of chains and sets: `hashAndTruncate` in pkg/proxy/nftables/proxier.go.

use services::service::{Endpoint, Service};

use crate::names::hash;
use crate::text::{AddressText, put};

/// Longest name without its prefix (`chainNameBaseLengthMax`).
const LONGEST: usize = 240;

/// Names of one Service and its endpoints, each without a prefix and made once. Reused for one Service after another.
#[derive(Default)]
pub(crate) struct Names {
    /// What stands behind the prefix in the Service's own chains.
    base: Vec<u8>,
    /// The same of its endpoints, one behind the other.
    endpoints: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    addresses: Vec<AddressText>,
    path: Vec<u8>,
}

impl Names {
    /// Makes the names of a Service and of some of its endpoints.
    pub(crate) fn make<'a>(&mut self, service: &Service, endpoints: impl IntoIterator<Item = &'a Endpoint>) {
        self.base.clear();
        self.endpoints.clear();
        self.ends.clear();
        self.addresses.clear();
        self.path.clear();
        put!(self.path, service.namespace, "/", service.name, "/", service.protocol.name(), "/");
        put!(self.path, service.port_name);
        put_hashed(&self.path, &mut self.base);
        put!(self.path, "__");
        let prefix = self.path.len();
        for endpoint in endpoints {
            let address = AddressText::new(endpoint.address);
            self.path.truncate(prefix);
            put!(self.path, address.ip());
            if endpoint.address.is_ipv6() {
                // Colons are not allowed in names.
                self.path[prefix..].iter_mut().filter(|byte| **byte == b':').for_each(|byte| *byte = b'.');
            }
            put!(self.path, "/", address.port());
            put_hashed(&self.path, &mut self.endpoints);
            self.ends.push(self.endpoints.len());
            self.addresses.push(address);
        }
    }

    /// Of the Service.
    pub(crate) fn base(&self) -> &[u8] {
        &self.base
    }

    /// Of the endpoint at `index` of those that it was made for.
    pub(crate) fn endpoint(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.endpoints[start..self.ends[index]]
    }

    /// Address of the endpoint at `index`.
    pub(crate) fn address(&self, index: usize) -> &AddressText {
        &self.addresses[index]
    }

    /// How many endpoints it was made for.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }
}

/// Appends the name of a path: a hash before it, cut if it is too long.
fn put_hashed(path: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    put!(out, hash::<8>(path), "-", path);
    if out.len() - start > LONGEST {
        out.truncate(start + LONGEST - 3);
        put!(out, "...");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use services::service::Protocol;

    fn names(service: &Service) -> (String, Vec<String>) {
        let mut names = Names::default();
        // Whatever was in it before is gone.
        names.make(
            &Service::new("x", "y", "z", Protocol::Sctp, service.cluster, Vec::new()),
            service.endpoints(),
        );
        names.make(service, service.endpoints());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(names.base()), (0..names.len()).map(|index| text(names.endpoint(index))).collect())
    }

    fn service(name: &str, endpoint: &str) -> Service {
        let endpoint = Endpoint::ready(endpoint.parse().unwrap(), false);
        Service::new("demo", name, "http", Protocol::Tcp, "10.96.0.1:80".parse().unwrap(), vec![endpoint])
    }

    #[test]
    fn names_are_those_of_the_real_kube_proxy() {
        // Observed on kube-proxy 1.30.5 (shared/golden).
        let (base, endpoints) = names(&service("web", "10.244.0.11:8080"));
        assert_eq!(base, "AXK6CI2C-demo/web/tcp/http");
        assert_eq!(endpoints, ["JXY4WP3I-demo/web/tcp/http__10.244.0.11/8080"]);
    }

    #[test]
    fn colons_become_dots() {
        let (_, endpoints) = names(&service("web", "[fd00:10::b]:8080"));
        assert_eq!(endpoints[0].split_once('-').unwrap().1, "demo/web/tcp/http__fd00.10..b/8080");
    }

    #[test]
    fn a_long_name_is_cut_and_keeps_its_hash() {
        let endpoint = "[fd00:1111:2222:3333:4444:5555:6666:7777]:65535";
        let mut long = service(&"n".repeat(63), endpoint);
        (long.namespace, long.port_name) = ("s".repeat(63), "p".repeat(63));
        let (base, endpoints) = names(&long);
        assert!(base.len() < LONGEST && base.ends_with('p'), "{base}");
        assert_eq!(endpoints[0].len(), LONGEST);
        assert!(endpoints[0].ends_with("5555.6..."), "{}", endpoints[0]);
        let mut other = long.clone();
        other.set_endpoints(vec![Endpoint::ready(endpoint.replace("7777", "7778").parse().unwrap(), false)]);
        let others = names(&other).1;
        assert_ne!(endpoints[0], others[0]);
        assert_eq!(endpoints[0][9..], others[0][9..]);
    }
}
