//! Real servers that go as their connections allow.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dataplane::{Drain, Way};
use netns_setup::ipvs::{Dest, Ipvs, Key, Request};

use super::error::ApplyError;

/// Real servers at weight 0 that wait for the end of their last connection. A kube-proxy process remembers them between
/// its syncs (`graceTerminateRSList`); clones of this remember the same. A kube-proxy that is started anew finds them
/// again, since no Service has them.
#[derive(Clone, Debug, Default)]
pub struct Draining(Arc<Mutex<BTreeMap<Key, BTreeSet<SocketAddr>>>>);

impl Draining {
    /// All of them, by virtual server.
    pub fn all(&self) -> Vec<(Key, Vec<SocketAddr>)> {
        self.lock().iter().map(|(key, servers)| (*key, servers.iter().copied().collect())).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().values().map(BTreeSet::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, BTreeSet<SocketAddr>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, key: Key, server: SocketAddr, is_draining: bool) {
        let mut all = self.lock();
        if is_draining {
            all.entry(key).or_default().insert(server);
        } else if let Some(servers) = all.get_mut(&key) {
            servers.remove(&server);
            if servers.is_empty() {
                all.remove(&key);
            }
        }
    }

    /// The requests, with a real server that comes back before it has gone deleted first, as kube-proxy does it
    /// (`MoveRSOutofGracefulDeleteList`). Those that go with their virtual server are forgotten.
    pub fn readmit<'r>(&self, requests: &'r [Request]) -> Cow<'r, [Request]> {
        if self.is_empty() {
            return Cow::Borrowed(requests);
        }
        let mut changed = Vec::with_capacity(requests.len());
        for request in requests {
            match request {
                Request::NewDest(key, server) if self.has(*key, server.address) => {
                    changed.push(Request::DelDest(*key, server.address));
                    self.set(*key, server.address, false);
                }
                Request::DelService(key) => drop(self.lock().remove(key)),
                _ => {}
            }
            changed.push(*request);
        }
        Cow::Owned(changed)
    }

    fn has(&self, key: Key, server: SocketAddr) -> bool {
        self.lock().get(&key).is_some_and(|servers| servers.contains(&server))
    }
}

/// Looks at the connections of each and does what they allow; `over` tells when to give up.
pub(super) fn carry_out(
    ipvs: &mut Ipvs,
    drain: &Drain,
    draining: &Draining,
    over: &dyn Fn() -> Result<(), ApplyError>,
) -> Result<(), ApplyError> {
    let mut changes = Vec::new();
    for (key, endpoints) in &drain.servers {
        let at_once = match drain.way {
            Way::KubeProxy => 1,
            Way::Batched => endpoints.len().max(1),
        };
        for endpoints in endpoints.chunks(at_once) {
            over()?;
            let found = ipvs.dests(key).map_err(Box::new)?;
            for &endpoint in endpoints {
                let dest = found.iter().find(|dest| dest.server.address == endpoint);
                let change = decide(*key, endpoint, dest, drain.again);
                if let (Some(change), Way::KubeProxy) = (change, drain.way) {
                    ipvs.one(&change).map_err(Box::new)?;
                }
                changes.extend(change);
                let stays =
                    matches!(change, Some(Request::SetDest(..))) || (change.is_none() && dest.is_some());
                draining.set(*key, endpoint, stays);
            }
        }
    }
    match drain.way {
        Way::KubeProxy => Ok(()),
        Way::Batched => Ok(ipvs.batch(&changes).map_err(Box::new)?),
    }
}

/// What becomes of one; nothing, if it has been dealt with already.
fn decide(key: Key, endpoint: SocketAddr, found: Option<&Dest>, again: bool) -> Option<Request> {
    match found {
        Some(dest) if dest.active + dest.inactive > 0 => (!again).then(|| Drain::quiesced(key, endpoint)),
        None if again => None,
        // One that ought to be there and is not: the kernel says so.
        Some(_) | None => Some(Request::DelDest(key, endpoint)),
    }
}

#[cfg(test)]
mod tests {
    use netns_setup::ipvs::{Forwarding, IpvsProtocol, RealServer, Statistics};

    use super::*;

    fn key() -> Key {
        Key { address: "10.96.0.10:80".parse().unwrap(), protocol: IpvsProtocol::Tcp }
    }

    fn endpoint(last: u8) -> SocketAddr {
        ([10, 244, 0, last], 8080).into()
    }

    fn dest(active: u32, inactive: u32) -> Dest {
        let server = RealServer { address: endpoint(1), weight: 1, forwarding: Forwarding::Masquerade };
        Dest { server, active, inactive, persistent: 0, statistics: Statistics::default() }
    }

    #[test]
    fn connections_decide() {
        let line = |found: Option<Dest>, again| {
            decide(key(), endpoint(1), found.as_ref(), again).map(|request| request.to_string())
        };
        let delete = Some("-d -t 10.96.0.10:80 -r 10.244.0.1:8080".to_owned());
        let quiesce = Some("-e -t 10.96.0.10:80 -r 10.244.0.1:8080 -m -w 0".to_owned());
        for again in [false, true] {
            assert_eq!(line(Some(dest(0, 0)), again), delete);
        }
        for (active, inactive) in [(1, 0), (0, 1)] {
            assert_eq!(line(Some(dest(active, inactive)), false), quiesce);
            assert_eq!(line(Some(dest(active, inactive)), true), None);
        }
        assert_eq!((line(None, false), line(None, true)), (delete, None));
    }

    #[test]
    fn one_that_comes_back_is_deleted_first_and_forgotten() {
        let draining = Draining::default();
        let requests =
            |lines: &[&str]| -> Vec<Request> { lines.iter().map(|line| line.parse().unwrap()).collect() };
        let back = requests(&[
            "-a -t 10.96.0.10:80 -r 10.244.0.1:8080 -m -w 1",
            "-a -t 10.96.0.10:80 -r 10.244.0.2:8080 -m -w 1",
            "-a -t 10.96.0.11:80 -r 10.244.0.1:8080 -m -w 1",
        ]);
        assert!(matches!(draining.readmit(&back), Cow::Borrowed(_)));
        for last in [1, 3] {
            draining.clone().set(key(), endpoint(last), true);
        }
        let changed = requests(&["-d -t 10.96.0.10:80 -r 10.244.0.1:8080"]);
        assert_eq!(draining.readmit(&back).into_owned(), [changed, back.clone()].concat());
        assert_eq!(draining.all(), [(key(), vec![endpoint(3)])]);
        // With the virtual server goes what it had.
        let gone = requests(&["-D -t 10.96.0.10:80"]);
        assert_eq!(draining.readmit(&gone).into_owned(), gone);
        assert!(draining.is_empty());
    }
}
