//! What IPVS holds.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;

use nix::errno::Errno;

use super::types::{Key, RealServer, Request, VirtualServer};

/// Counters since an object was made: `IPVS_STATS_ATTR_*`. Connections are counted when they are scheduled, bytes with
/// the IP header.
///
/// Going out means from real server to client: with direct routing and tunnels those packets do not pass here.
///
/// They lag: the kernel sums up its per-CPU counters every two seconds (ip_vs_est.c).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Connections given to a real server.
    pub connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Packets to clients.
    pub packets_out: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
}

/// A virtual server as the kernel describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// How it is set up.
    pub server: VirtualServer,
    /// Its counters.
    pub statistics: Statistics,
}

/// A real server as the kernel describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dest {
    /// How it is set up.
    pub server: RealServer,
    /// Connections in a state that counts as active (TCP: established).
    pub active: u32,
    /// Other connections, those waiting to be forgotten included.
    pub inactive: u32,
    /// Persistence templates.
    pub persistent: u32,
    /// Its counters.
    pub statistics: Statistics,
}

/// The set-up of a whole table, without counters and in a fixed order, so that two can be compared.
///
/// It also says what requests do, without a kernel: [`apply`](State::apply).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    services: BTreeMap<Key, Pool>,
}

type Pool = (VirtualServer, BTreeMap<SocketAddr, RealServer>);

const NO_SERVICE: i32 = Errno::ESRCH as i32;
const NO_DEST: i32 = Errno::ENOENT as i32;

impl State {
    /// Virtual servers with their real servers, both sorted by address.
    pub fn services(&self) -> impl Iterator<Item = (&VirtualServer, impl Iterator<Item = &RealServer>)> {
        self.services.values().map(|(server, dests)| (server, dests.values()))
    }

    /// Number of virtual servers.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether there is no virtual server.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// Number of real servers of all virtual servers together.
    pub fn real_servers(&self) -> usize {
        self.services.values().map(|(_, dests)| dests.len()).sum()
    }

    /// Requests that make this of an empty table: what `ipvsadm -S -n` prints, sorted.
    pub fn requests(&self) -> impl Iterator<Item = Request> {
        self.services.values().flat_map(|(server, dests)| {
            let dests = dests.values().map(|dest| Request::NewDest(server.key, *dest));
            std::iter::once(Request::NewService(*server)).chain(dests)
        })
    }

    /// Does what the kernel would; reads do nothing.
    ///
    /// # Errors
    /// The kernel's error number (errno(3)) for objects that exist already (`EEXIST`), virtual servers that do not
    /// (`ESRCH`), real servers that do not (`ENOENT`) and weights beyond an `int` (`ERANGE`); the state is then as before.
    /// The kernel has more objections, which are not modelled: to schedulers that it lacks, and to addresses of real
    /// servers that are not unicast or of the other IP version without a tunnel.
    pub fn apply(&mut self, request: &Request) -> Result<(), i32> {
        match request {
            Request::NewService(server) => match self.services.entry(server.key) {
                Entry::Occupied(_) => return Err(Errno::EEXIST as i32),
                Entry::Vacant(place) => {
                    place.insert((*server, BTreeMap::new()));
                }
            },
            Request::SetService(server) => self.service(&server.key)?.0 = *server,
            Request::DelService(key) => {
                self.services.remove(key).ok_or(NO_SERVICE)?;
            }
            Request::NewDest(key, server) => {
                let (_, dests) = self.service(key)?;
                check_weight(server)?;
                match dests.entry(server.address) {
                    Entry::Occupied(_) => return Err(Errno::EEXIST as i32),
                    Entry::Vacant(place) => place.insert(*server),
                };
            }
            Request::SetDest(key, server) => {
                let (_, dests) = self.service(key)?;
                check_weight(server)?;
                *dests.get_mut(&server.address).ok_or(NO_DEST)? = *server;
            }
            Request::DelDest(key, address) => {
                self.service(key)?.1.remove(address).ok_or(NO_DEST)?;
            }
            Request::Flush => self.services.clear(),
            Request::GetService(_) | Request::ListServices | Request::ListDests(_) => {}
        }
        Ok(())
    }

    fn service(&mut self, key: &Key) -> Result<&mut Pool, i32> {
        self.services.get_mut(key).ok_or(NO_SERVICE)
    }
}

impl FromIterator<(VirtualServer, Vec<RealServer>)> for State {
    fn from_iter<I: IntoIterator<Item = (VirtualServer, Vec<RealServer>)>>(services: I) -> Self {
        let pool = |(server, dests): (VirtualServer, Vec<RealServer>)| {
            let dests = dests.into_iter().map(|dest| (dest.address, dest));
            (server.key, (server, dests.collect()))
        };
        State { services: services.into_iter().map(pool).collect() }
    }
}

fn check_weight(server: &RealServer) -> Result<(), i32> {
    if server.weight > i32::MAX.cast_unsigned() { Err(Errno::ERANGE as i32) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::ipvs::arbitrary;

    /// Applies lines in turn; those that fail are listed with their errno.
    fn apply(state: &mut State, lines: &[&str]) -> Vec<(usize, i32)> {
        let outcomes = lines.iter().map(|line| state.apply(&line.parse().unwrap())).enumerate();
        outcomes.filter_map(|(index, outcome)| Some((index, outcome.err()?))).collect()
    }

    fn lines(state: &State) -> Vec<String> {
        state.requests().map(|request| request.to_string()).collect()
    }

    #[test]
    fn objects_come_change_and_go() {
        let mut state = State::default();
        let failed = apply(
            &mut state,
            &[
                "-A -t 10.96.0.10:80 -s rr",
                "-A -u 10.96.0.10:80 -s rr",
                "-a -t 10.96.0.10:80 -r 10.244.0.12:80 -m -w 1",
                "-a -t 10.96.0.10:80 -r 10.244.0.11:80 -m -w 1",
                "-A -t 10.96.0.9:80 -s wrr -p 60",
            ],
        );
        assert_eq!(failed, []);
        assert_eq!(
            lines(&state),
            [
                "-A -t 10.96.0.9:80 -s wrr -p 60",
                "-A -t 10.96.0.10:80 -s rr",
                "-a -t 10.96.0.10:80 -r 10.244.0.11:80 -m -w 1",
                "-a -t 10.96.0.10:80 -r 10.244.0.12:80 -m -w 1",
                "-A -u 10.96.0.10:80 -s rr",
            ]
        );
        assert_eq!((state.len(), state.real_servers()), (3, 2));
        let failed = apply(
            &mut state,
            &[
                "-E -t 10.96.0.10:80 -s mh -b mh-port",
                "-e -t 10.96.0.10:80 -r 10.244.0.11:80 -g -w 0",
                "-d -t 10.96.0.10:80 -r 10.244.0.12:80",
                "-D -t 10.96.0.9:80",
                "-L -n -t 10.96.0.9:80",
            ],
        );
        assert_eq!(failed, []);
        assert_eq!(
            lines(&state),
            [
                "-A -t 10.96.0.10:80 -s mh -b mh-port",
                "-a -t 10.96.0.10:80 -r 10.244.0.11:80 -g -w 0",
                "-A -u 10.96.0.10:80 -s rr",
            ]
        );
        assert_eq!(apply(&mut state, &["-C"]), []);
        assert!(state.is_empty());
    }

    #[test]
    fn refusals_change_nothing() {
        const ENOENT: i32 = 2;
        const ESRCH: i32 = 3;
        const EEXIST: i32 = 17;
        let mut state = State::default();
        apply(&mut state, &["-A -t 10.0.0.1:80 -s rr", "-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m -w 1"]);
        let before = state.clone();
        let failed = apply(
            &mut state,
            &[
                "-A -t 10.0.0.1:80 -s wlc",
                "-E -t 10.0.0.1:81 -s wlc",
                "-D -u 10.0.0.1:80",
                "-a -t 10.0.0.1:81 -r 10.0.0.2:80 -m -w 1",
                "-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m -w 9",
                "-e -t 10.0.0.1:80 -r 10.0.0.2:81 -m -w 9",
                "-d -t 10.0.0.1:80 -r 10.0.0.2:81",
                "-d -t 10.0.0.1:81 -r 10.0.0.2:80",
            ],
        );
        let numbers = [EEXIST, ESRCH, ESRCH, ESRCH, EEXIST, ENOENT, ENOENT, ESRCH];
        assert_eq!(failed, numbers.into_iter().enumerate().collect::<Vec<_>>());
        assert_eq!(state, before);
    }

    proptest! {
        #[test]
        fn a_state_is_what_its_requests_make(requests in vec(arbitrary::request(), 0..50)) {
            let mut state = State::default();
            for request in &requests {
                let _ = state.apply(request);
            }
            let mut again = State::default();
            for request in state.requests() {
                prop_assert_eq!(again.apply(&request), Ok(()));
            }
            prop_assert_eq!(&again, &state);
            let collected = state.services().map(|(server, dests)| (*server, dests.copied().collect()));
            prop_assert_eq!(collected.collect::<State>(), state);
        }
    }
}
