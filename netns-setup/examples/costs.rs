//! What this crate's own operations cost on this machine: `cargo run --release -p netns-setup --example costs`, as root.
//!
//! Prints median and 90th percentile in microseconds. The process holds 200 MB, as a harness with its histograms might,
//! because the cost of starting a program depends on it.

#![expect(clippy::disallowed_methods, reason = "examples talk to whoever runs them")]

use std::error::Error;
use std::hint::black_box;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use netns_setup::{Conntrack, Egress, Lab, Topology, find_program};

const RESIDENT: usize = 200 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let ballast = black_box(vec![1u8; RESIDENT]);
    let topology = Topology {
        label: "costs".into(),
        probe_prefix: "100.64.0.0/12".parse()?,
        client_prefix: "172.16.0.0/16".parse()?,
        service_prefix: "10.96.0.0/12".parse()?,
        endpoint_prefix: "10.128.0.0/9".parse()?,
        node_address: "192.0.2.1".parse()?,
    };
    let mut drops = Vec::new();
    show("build a lab", 20, || {
        let start = Instant::now();
        let lab = Lab::build(&topology)?;
        let built = start.elapsed();
        drop(lab);
        drops.push(start.elapsed() - built);
        Ok(built)
    })?;
    let mut drops = drops.into_iter();
    show("drop a lab", 20, || drops.next().ok_or_else(|| "one for each".into()))?;

    let lab = Lab::build(&topology)?;
    show(
        "run an empty closure",
        2000,
        timed(|| {
            lab.node.run(|| ());
            Ok(())
        }),
    )?;
    show("steer", 200, timed(|| Ok(lab.steer(Egress::Tun)?)))?;

    let program = || Command::new("/bin/true");
    // In turns, so that a drift of the machine hits both alike.
    let mut inside = Vec::new();
    show("/bin/true by Command", 500, || {
        inside.push(timed(|| wait(lab.node.spawn(&mut program())))()?);
        timed(|| wait(program().spawn()))()
    })?;
    let mut inside = inside.into_iter();
    show("/bin/true in the node", 500, || inside.next().ok_or_else(|| "one for each".into()))?;
    show("/bin/true by fork", 100, || {
        let mut command = program();
        #[expect(unsafe_code, reason = "an empty pre_exec makes std fork: what PR_SET_PDEATHSIG would cost")]
        unsafe {
            command.pre_exec(|| Ok(()));
        }
        timed(|| wait(command.spawn()))()
    })?;
    drop(ballast);

    let Some(nft) = find_program("nft") else { return Ok(()) };
    let rule = "add table ip t; add chain ip t c { type filter hook forward priority 0; }; add rule ip t c ct state new";
    if !lab.node.spawn(Command::new(nft).arg(rule))?.wait()?.success() {
        return Err("nft failed".into());
    }
    let mut conntrack = lab.node.run(Conntrack::open)?;
    for entries in [0u16, 4000] {
        let name = format!("flush {entries} conntrack entries");
        show(&name, 50, || {
            (0..entries).try_for_each(|flow| lab.ingress().send(&probe(flow)))?;
            while lab.egress().receive(&mut [0; 64]).is_ok() {}
            let tracked = lab.node.run(Conntrack::count)?;
            if tracked != u64::from(entries) {
                return Err(format!("{tracked} entries, not {entries}").into());
            }
            timed(|| Ok(conntrack.flush()?))()
        })?;
    }
    Ok(())
}

fn wait(child: io::Result<Child>) -> Result<(), Box<dyn Error>> {
    child?.wait()?;
    Ok(())
}

/// An IPv4 UDP packet of a flow of its own, without a UDP checksum (RFC 768 allows that).
fn probe(flow: u16) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend(Ipv4Addr::new(100, 64, 0, 1).octets());
    packet.extend(Ipv4Addr::new(10, 128, 0, 1).octets());
    let sum: u32 = packet.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend((1024 + flow).to_be_bytes());
    packet.extend([0, 53, 0, 8, 0, 0]);
    packet
}

type Timed = Result<Duration, Box<dyn Error>>;

fn timed(mut f: impl FnMut() -> Result<(), Box<dyn Error>>) -> impl FnMut() -> Timed {
    move || {
        let start = Instant::now();
        f()?;
        Ok(start.elapsed())
    }
}

fn show(name: &str, times: usize, f: impl FnMut() -> Timed) -> Result<(), Box<dyn Error>> {
    let mut all = std::iter::repeat_with(f).take(times).collect::<Result<Vec<_>, _>>()?;
    all.sort();
    let micros = |share: usize| all[(times * share / 100).min(times - 1)].as_nanos() as f64 / 1000.0;
    let line = format!("{name:32} {:10.1} {:10.1}\n", micros(50), micros(90));
    Ok(io::Write::write_all(&mut io::stdout(), line.as_bytes())?)
}
