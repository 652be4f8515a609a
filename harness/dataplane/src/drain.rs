//! Taking real servers out of IPVS without breaking connections.

use std::net::SocketAddr;

use netns_setup::ipvs::{Forwarding, IpvsProtocol, Key, RealServer, Request};

use crate::way::Way;

/// The removal of real servers: of each the connections are counted, and one without any is deleted. One with some gets
/// weight 0, so that no new ones come, and stays for [another pass](super::ipvs::pass) to decide.
///
/// Only for TCP. With `net.ipv4.vs.expire_nodest_conn`, which kube-proxy sets, deleting a real server ends its connections,
/// and those of UDP and SCTP kube-proxy lets end (`GracefulDeleteRS`, `deleteRsFunc` and `IsRsGracefulTerminationNeeded`
/// in pkg/proxy/ipvs).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// One by one, each with a list of its virtual server's before it; or one list for each virtual server, and then all
    /// changes together.
    pub way: Way,
    /// Virtual servers, with the real servers that go.
    pub servers: Vec<(Key, Vec<SocketAddr>)>,
    /// Whether this is not the first time: they have weight 0, and may have gone with their virtual server.
    pub again: bool,
}

impl Drain {
    /// Whether real servers of this virtual server are kept for their connections.
    pub const fn is_for(key: Key) -> bool {
        matches!(key.protocol, IpvsProtocol::Tcp)
    }

    /// What it sends if there are no connections, which is as many requests as with them; only another pass may send fewer.
    pub fn requests(&self) -> Vec<Request> {
        let list = |key: &Key| Request::ListDests(*key);
        let delete = |key: &Key, endpoint: &SocketAddr| Request::DelDest(*key, *endpoint);
        let of_each = |(key, endpoints): &(Key, Vec<SocketAddr>)| -> Vec<Request> {
            endpoints.iter().map(|endpoint| delete(key, endpoint)).collect()
        };
        match self.way {
            Way::KubeProxy => {
                let deletions = self.servers.iter().flat_map(of_each);
                let key = |request| if let Request::DelDest(key, _) = request { Some(key) } else { None };
                deletions
                    .flat_map(|request| [key(request).map(|key| list(&key)), Some(request)])
                    .flatten()
                    .collect()
            }
            Way::Batched => {
                let lists = self.servers.iter().map(|(key, _)| list(key));
                lists.chain(self.servers.iter().flat_map(of_each)).collect()
            }
        }
    }

    /// What takes the place of a removal while there are connections.
    pub const fn quiesced(key: Key, address: SocketAddr) -> Request {
        Request::SetDest(key, RealServer { address, weight: 0, forwarding: Forwarding::Masquerade })
    }

    /// In words, what the requests depend on.
    pub(super) const fn condition(&self) -> &'static str {
        match self.again {
            false => "With connections, -e ... -w 0 in place of -d; looked at again once a minute:",
            true => "With connections, nothing in place of -d:",
        }
    }
}
