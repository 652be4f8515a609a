//! What is to be built: the forwarding method, and who has which addresses.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::error::TopologyError;
use crate::ipvs;
use crate::lab::check_prefixes;

/// How packets get from the director to a real server, and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// NAT: the director rewrites addresses both ways.
    Masquerade,
    /// The director changes nothing but the link-layer address; director and real servers share a link.
    DirectRouting,
    /// The director puts each packet into another (IPIP); real servers may be anywhere.
    Tunnel,
}

impl Method {
    /// All of them.
    pub const ALL: [Method; 3] = [Method::Masquerade, Method::DirectRouting, Method::Tunnel];

    /// Whether the real servers' packets go to the client without passing the director.
    pub fn spares_the_way_back(self) -> bool {
        self != Method::Masquerade
    }
}

impl From<Method> for ipvs::Forwarding {
    fn from(method: Method) -> Self {
        match method {
            Method::Masquerade => ipvs::Forwarding::Masquerade,
            Method::DirectRouting => ipvs::Forwarding::DirectRouting,
            Method::Tunnel => ipvs::Forwarding::Tunnel,
        }
    }
}

/// Who has which addresses. Pure data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Name in messages and thread names.
    pub label: String,
    /// What is to work.
    pub method: Method,
    /// Sources of packets written into `probe-in`; the director routes them back to it.
    pub probe_prefix: Ipv4Net,
    /// The client has its first address, a router the second.
    pub client_prefix: Ipv4Net,
    /// The real servers have its first addresses.
    pub server_prefix: Ipv4Net,
    /// The director's own address, on all its links.
    pub director: Ipv4Addr,
    /// The address that clients connect to.
    pub virtual_address: Ipv4Addr,
    /// How many real servers.
    pub servers: u8,
}

/// Most real servers: their links need distinct addresses.
pub(super) const MOST_SERVERS: u8 = 100;

impl Topology {
    /// Checks that every address has one meaning and that there is room for all.
    ///
    /// # Errors
    /// The first fields that overlap, a field in a block that is not forwarded, or a prefix that is too small.
    pub fn validate(&self) -> Result<(), TopologyError> {
        check_prefixes(&[
            ("probe_prefix", self.probe_prefix),
            ("client_prefix", self.client_prefix),
            ("server_prefix", self.server_prefix),
            ("director", Ipv4Net::from(self.director)),
            ("virtual_address", Ipv4Net::from(self.virtual_address)),
        ])?;
        let room = |field, prefix: Ipv4Net, least: usize| match prefix.hosts().take(least).count() == least {
            true => Ok(()),
            false => Err(TopologyError::TooSmall { field, prefix, least }),
        };
        room("client_prefix", self.client_prefix, 2)?;
        match self.servers {
            1..=MOST_SERVERS => room("server_prefix", self.server_prefix, self.servers.into()),
            servers => Err(TopologyError::Servers { servers, most: MOST_SERVERS }),
        }
    }

    /// The client's address.
    pub fn client(&self) -> Ipv4Addr {
        host(self.client_prefix, 0)
    }

    /// The real servers' addresses.
    pub fn real_servers(&self) -> impl Iterator<Item = Ipv4Addr> {
        let prefix = self.server_prefix;
        (0..usize::from(self.servers)).map(move |index| host(prefix, index))
    }

    pub(super) fn router(&self) -> Ipv4Addr {
        host(self.client_prefix, 1)
    }
}

/// [`Topology::validate`] has seen to it that there is one.
fn host(prefix: Ipv4Net, index: usize) -> Ipv4Addr {
    prefix.hosts().nth(index).unwrap_or(prefix.network())
}
