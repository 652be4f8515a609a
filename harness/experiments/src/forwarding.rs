//! LVS forwarding methods: what passes the director for a connection, and what it costs the director's kernel.
//!
//! Two things are measured in the same wiring ([`netns_setup::director`]). First, real connections (`tcp_crr`) to servers
//! that each answer; the director's own links say how many packets and bytes passed it for each. Then the links to the
//! servers are swapped for TUNs, and the packets of a connection like the real ones are written into the director one by
//! one ([`workloads::connection`]): the sum of what its kernel spends on them is the director's processor time for a
//! connection, without that of clients and servers, which share the processor.

mod bench;
mod method;
mod rows;
mod section;

use lab::cores::Cores;
use netns_setup::Volume;
use workloads::connection::{Costs, Exchange};
use workloads::recorder::Times;

pub use self::bench::REAL_SERVERS;
use self::bench::{Bench, WARM_UP};
pub use self::method::Method;
pub use self::section::{Response, Section};

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
