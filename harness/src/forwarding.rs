//! LVS forwarding methods: what passes the director for a connection, and what it costs the director's kernel.
//!
//! Two things are measured in the same wiring ([`netns_setup::director`]). First, real connections (`tcp_crr`) to servers
//! that each answer; the director's own links say how many packets and bytes passed it for each. Then the links to the
//! servers are swapped for TUNs, and the packets of a connection like the real ones are written into the director one by
//! one ([`workloads::connection`]): the sum of what its kernel spends on them is the director's processor time for a
//! connection, without that of clients and servers, which share the processor.

mod bench;

use netns_setup::{Need, Volume, director};
use serde::{Deserialize, Serialize};
use workloads::connection::{Costs, Exchange, Treatment};
use workloads::recorder::Times;

pub use self::bench::REAL_SERVERS;
use self::bench::{Bench, DIRECTOR};
use lab::cores::Cores;

/// What the director does with packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// It routes them, no more: clients address the real servers themselves. The control, wired as [`Method::Nat`].
    Direct,
    /// Masquerading as kube-proxy has it: with connection tracking, and `net.ipv4.vs.conntrack=1`.
    Nat,
    /// Masquerading as LVS has it by default: without connection tracking.
    NatUntracked,
    /// Direct routing; without connection tracking.
    Dr,
    /// Tunnels (IPIP); without connection tracking.
    Tun,
}

impl Method {
    /// All of them, the control first.
    pub const ALL: [Method; 5] = [Method::Direct, Method::Nat, Method::NatUntracked, Method::Dr, Method::Tun];

    /// The mode of its rows.
    pub const fn mode(self) -> &'static str {
        match self {
            Method::Direct => "direct",
            Method::Nat => "ipvs-nat",
            Method::NatUntracked => "ipvs-nat-untracked",
            Method::Dr => "ipvs-dr",
            Method::Tun => "ipvs-tun",
        }
    }

    /// What it takes beyond a lab.
    pub const fn needs(self) -> &'static [Need] {
        match self {
            Method::Direct => &[Need::Conntrack],
            Method::Nat | Method::NatUntracked => &[Need::Conntrack, Need::IpVs],
            Method::Dr => &[Need::Conntrack, Need::IpVs, Need::Bridge],
            Method::Tun => &[Need::Conntrack, Need::IpVs, Need::Ipip],
        }
    }

    /// How the machines are wired.
    pub const fn wiring(self) -> director::Method {
        match self {
            Method::Direct | Method::Nat | Method::NatUntracked => director::Method::Masquerade,
            Method::Dr => director::Method::DirectRouting,
            Method::Tun => director::Method::Tunnel,
        }
    }

    const fn treatment(self) -> Treatment {
        match self {
            Method::Direct => Treatment::Routed,
            Method::Nat | Method::NatUntracked => Treatment::Rewritten,
            Method::Dr => Treatment::Redirected,
            Method::Tun => Treatment::Encapsulated { from: DIRECTOR },
        }
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Connections of each kind: real ones, and those written packet by packet.
    pub connections: u32,
    /// Length of the response's body beyond the server's name, in bytes; 0 makes a response of one segment.
    pub response_bytes: u32,
    /// Decides where clients' addresses begin.
    pub seed: u64,
}

/// What one visit found, per connection.
#[derive(Clone)]
pub struct Forwarding {
    /// What reached the director, over all its links. One sample for each connection that was counted.
    pub received: Vec<Volume>,
    /// What left it.
    pub sent: Vec<Volume>,
    /// Connect to end of file at the client, nanoseconds.
    pub response: Times,
    /// What the director's kernel spent, in nanoseconds: on connections, on their first packets (the lookup) and on the
    /// client's later ones.
    pub costs: Costs,
    /// The connections that `costs` is of. The same for all methods, so that they can be compared.
    pub exchange: Exchange,
    /// Packets of such a connection that pass the director: as many as of a real one, save that those acknowledge some
    /// more or fewer times.
    pub packets: u64,
    /// Their bytes, with IP headers.
    pub bytes: u64,
}

/// Connections whose packets are counted one by one: they are all alike, or differ by an acknowledgement.
const COUNTED: u32 = 100;
/// Connections before the first that counts.
const WARM_UP: u32 = 20;
/// Connections written between two times that IPVS forgets them: few against the 4,096 buckets of its table.
const BATCH: u32 = 500;

/// Measures one method.
///
/// # Errors
/// If the wiring cannot be built, a connection or a packet goes wrong, real servers do not get equal shares, or the
/// director does not send on what it receives.
pub fn measure(method: Method, config: &Config, cores: &Cores) -> anyhow::Result<Forwarding> {
    let mut bench = Bench::build(method, config.seed)?;
    let traffic = bench.serve(config.response_bytes, cores, |client| {
        client.run(WARM_UP)?;
        let counted = client.count(COUNTED.min(config.connections))?;
        client.forget_times();
        client.run(config.connections)?;
        Ok(counted)
    })?;
    let (counted, response, response_length) = traffic;

    // Far below their limits.
    let exchange = Exchange { request: bench.request_length() as u16, response: response_length };
    let (costs, packets, bytes) = bench.probe(&exchange, config.connections, cores)?;
    let received = || counted.iter().map(|one| one.received.packets);
    let (least, most) = (received().min(), received().max());
    let alike = least.zip(most).is_some_and(|(least, most)| least / 2 <= packets && packets <= 2 * most);
    anyhow::ensure!(
        alike,
        "{packets} packets of a connection as it is timed pass the director, but {least:?} to {most:?} of real ones"
    );
    Ok(Forwarding {
        received: counted.iter().map(|one| one.received).collect(),
        sent: counted.iter().map(|one| one.sent).collect(),
        response,
        costs,
        exchange,
        packets,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_have_names_modes_and_needs() {
        #[derive(Deserialize)]
        struct Text {
            methods: Vec<Method>,
        }
        let text = "methods = [\"direct\", \"nat\", \"nat-untracked\", \"dr\", \"tun\"]";
        assert_eq!(toml::from_str::<Text>(text).unwrap().methods, Method::ALL);
        let modes = Method::ALL.map(Method::mode);
        let known = [&results::names::CONTROLS[..1], &results::names::FORWARDING_MODES].concat();
        assert!(known.iter().all(|mode| modes.contains(mode)), "{known:?}");
        for method in Method::ALL {
            assert_eq!(method.needs().contains(&Need::IpVs), method != Method::Direct);
            assert_eq!(method.treatment().both_ways(), !method.wiring().spares_the_way_back());
        }
    }
}
