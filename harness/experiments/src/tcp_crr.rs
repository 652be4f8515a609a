//! New connections: `tcp_crr` from client through node to server, in a closed loop.

mod rows;
mod section;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use lab::cores::Cores;
use lab::testbed::Testbed;
use netns_setup::Egress;
use services::addresses::{self, TCP_PORTS};
use services::service::Protocol;
use services::service_set::Position;
use workloads::load::{self, Destination, Load, LoadOutcome, Pace, Server, Workload};

pub use self::section::Section;

/// Client addresses, used in turn: with them ports do not run out.
const CLIENTS: usize = 200;
/// Transactions before the first that counts.
const WARM_UP: usize = 20;

/// The longest that a visit takes: it ends with its transactions.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Runs `transactions` one after another at a position. Each answer says which endpoint gave it, and is checked.
///
/// # Errors
/// The first transaction that failed.
pub fn measure(
    testbed: &mut Testbed,
    position: Position,
    transactions: u32,
    cores: &Cores,
) -> anyhow::Result<LoadOutcome> {
    let Cores { measuring, serving, .. } = *cores;
    let (targets, picks) =
        testbed.service_targets(position, Protocol::Tcp, WARM_UP + transactions as usize)?;
    anyhow::ensure!(!targets.is_empty(), "there is no TCP Service at position {}", position.name());
    testbed.steer(Egress::Server)?;
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, TCP_PORTS.1));
    let (server, stopper) = testbed.lab.server.run(|| Server::bind(any))?;
    let server = testbed.lab.server.thread("endpoints", move || {
        workloads::clock::pin_to_core(serving)?;
        Ok::<_, anyhow::Error>(server.run()?)
    })?;
    let client = testbed.lab.client.thread("tcp_crr", move || -> anyhow::Result<LoadOutcome> {
        workloads::clock::pin_to_core(measuring)?;
        let targets: Vec<Destination> = targets.iter().map(lab::testbed::ServiceTarget::for_load).collect();
        let first = u32::from(addresses::CLIENTS.network()) + 16;
        let sources = (0..CLIENTS as u32).map(|index| IpAddr::from(Ipv4Addr::from(first + index)));
        let (warm_up, picks) = picks.split_at(WARM_UP);
        let load = |picks: &[u32]| Load {
            picks: picks.into(),
            pace: Pace::Closed { requests: Some(picks.len() as u64) },
            duration: LONGEST,
            // On a core of its own the client polls: its wake-up from idle is not the dataplane's cost, and varies more
            // than what is measured.
            busy_poll: measuring != serving,
            ..Load::new(Workload::TcpCrr, targets.clone())
        };
        let warm_up = Load { sources: sources.clone().collect(), ..load(warm_up) };
        let halt = AtomicBool::new(false);
        load::run(&warm_up, 0, Instant::now(), &halt)?.all_answered()?;
        let load = Load { sources: sources.collect(), ..load(picks) };
        let outcome = load::run(&load, 0, Instant::now(), &halt)?;
        outcome.all_answered()?;
        Ok(outcome)
    })?;
    let connect = client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    drop(stopper);
    let served = server.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let connect = connect?;
    served?;
    testbed.forget_flows()?;
    Ok(connect)
}
