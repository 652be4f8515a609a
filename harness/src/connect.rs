//! New connections: `tcp_crr` from client through node to server, in a closed loop.

use std::net::{Ipv4Addr, SocketAddrV4};

use netns_setup::Egress;
use workloads::recorder::Recorder;
use workloads::target::Target;
use workloads::tcp::{CrrLoad, CrrSummary, Server, TcpCrr};

use crate::cores::Cores;
use crate::scale::Position;
use crate::service::Protocol;
use crate::synthetic::{TCP_PORTS, addresses};
use crate::world::World;

/// Client addresses, used in turn: with them ports do not run out.
const CLIENTS: usize = 200;
/// Transactions before the first that counts.
const WARM_UP: usize = 20;

/// What one visit found.
pub struct Connect {
    /// Connect to end of file, nanoseconds.
    pub times: Recorder,
    /// Counts and rate.
    pub summary: CrrSummary,
}

/// Runs `transactions` one after another at a position. Each answer says which endpoint gave it, and is checked.
///
/// # Errors
/// The first transaction that failed.
pub fn measure(
    world: &mut World,
    position: Position,
    transactions: u32,
    cores: &Cores,
) -> anyhow::Result<Connect> {
    let Cores { measuring, serving, .. } = *cores;
    let (aims, picks) = world.aims(position, Protocol::Tcp, WARM_UP + transactions as usize)?;
    anyhow::ensure!(!aims.is_empty(), "there is no TCP Service at position {}", position.name());
    world.steer(Egress::Server)?;
    let (server, stopper) =
        world.lab.server.run(|| Server::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, TCP_PORTS.1)))?;
    let server = world.lab.server.thread("endpoints", move || {
        workloads::clock::pin_to_core(serving)?;
        Ok::<_, anyhow::Error>(server.run()?)
    })?;
    let client = world.lab.client.thread("tcp_crr", move || -> anyhow::Result<Connect> {
        workloads::clock::pin_to_core(measuring)?;
        let targets = aims.iter().map(|aim| aim.target()).collect::<Result<Vec<Target>, _>>()?;
        let first = u32::from(addresses::CLIENTS.network()) + 16;
        let sources: Vec<Ipv4Addr> = (0..CLIENTS as u32).map(|index| Ipv4Addr::from(first + index)).collect();
        let client = TcpCrr::new()?;
        let (warm_up, picks) = picks.split_at(WARM_UP);
        // On a core of its own the client polls: its wake-up from idle is not the dataplane's cost, and varies
        // more than what is measured.
        let busy_poll = measuring != serving;
        let load = CrrLoad { sources: &sources, busy_poll, ..CrrLoad::new(&targets, warm_up) };
        client.closed_loop(&load, &mut Recorder::new(), None)?.all_answered()?;
        let mut times = Recorder::new();
        let summary = client.closed_loop(&CrrLoad { picks, ..load }, &mut times, None)?;
        summary.all_answered()?;
        Ok(Connect { times, summary })
    })?;
    let connect = client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    drop(stopper);
    let served = server.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let connect = connect?;
    served?;
    world.forget_flows()?;
    Ok(connect)
}
