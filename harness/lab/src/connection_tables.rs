//! Forgetting flows: the kernel's connection tables are emptied between batches of probes, outside anything that is timed.
//!
//! Connection tracking has a request for it. IPVS has none: its connections stay until their timers run out, for UDP
//! after 300 s, for a TCP handshake after 60 s, in a table that by default has 4,096 buckets for all namespaces together.
//! Shorter timeouts (`IPVS_CMD_SET_CONFIG`) do not exist for handshakes, and would mean a second's wait after each batch.
//! But since Linux 5.9 a real server that is deleted takes its connections along at once - one jiffy later, to be exact -
//! if `net.ipv4.vs.expire_nodest_conn` is set, which kube-proxy does (`ip_vs_expire_nodest_conn_flush`,
//! net/netfilter/ipvs/ip_vs_conn.c). So the real servers that have connections are deleted, and added again when the
//! table is empty. That takes some milliseconds by any clock, and leaves one trace: a real server that is new looks up
//! its route with its first packet (`__ip_vs_get_out_rt`), one packet in hundreds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use dataplane::Mode;
use netns_setup::ipvs::{Ipvs, IpvsError, IpvsProtocol, Key, Request};
use netns_setup::{Conntrack, Namespace, SetupError};
use nix::errno::Errno;

/// How long connections may take to go: one jiffy, and whatever keeps the kernel's worker from its work.
const TIMEOUT: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_micros(500);
/// Every connection of the reader's namespace (`ip_vs_conn_seq_show`).
const CONNECTIONS: &str = "/proc/thread-self/net/ip_vs_conn";

/// Why flows are still known.
#[derive(Debug, thiserror::Error)]
pub enum FlowsError {
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] SetupError),
    /// IPVS refused.
    #[error(transparent)]
    Ipvs(#[from] Box<IpvsError>),
    /// The table cannot be read.
    #[error("cannot read {CONNECTIONS}: {0}; is ip_vs in this kernel?")]
    Read(std::io::Error),
    /// Connections outlive their real servers.
    #[error(
        "IPVS keeps {left} connections whose real servers are gone: it takes Linux 5.9 or newer, and \
         net.ipv4.vs.expire_nodest_conn=1, for them to go"
    )]
    Kept {
        /// How many.
        left: usize,
    },
}

/// The tables of one node.
pub struct Flows {
    conntrack: Conntrack,
    ipvs: Option<Ipvs>,
}

/// Virtual servers with the real servers that have connections.
type Connected = BTreeMap<Key, BTreeSet<SocketAddr>>;

impl Flows {
    /// Opens what the mode needs, in the namespace of the calling thread.
    ///
    /// # Errors
    /// If the kernel has no nfnetlink, or for IPVS modes no IPVS.
    pub fn open(mode: Mode) -> Result<Self, SetupError> {
        Ok(Self { conntrack: Conntrack::open()?, ipvs: mode.is_ipvs().then(Ipvs::open).transpose()? })
    }

    /// Opens whatever this kernel has, in the namespace of the calling thread.
    ///
    /// # Errors
    /// If the kernel has no nfnetlink, or refuses.
    pub fn of_kernel() -> Result<Self, SetupError> {
        let ipvs = match Ipvs::open() {
            Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => None,
            opened => Some(opened?),
        };
        Ok(Self { conntrack: Conntrack::open()?, ipvs })
    }

    /// Empties the tables of `node`, in which this was opened.
    ///
    /// # Errors
    /// [`FlowsError`]. The real servers are as they were, unless IPVS refused them.
    pub fn forget(&mut self, node: &Namespace) -> Result<(), FlowsError> {
        if let Some(ipvs) = &mut self.ipvs {
            forget_connections(ipvs, node)?;
        }
        Ok(self.conntrack.flush()?)
    }
}

fn forget_connections(ipvs: &mut Ipvs, node: &Namespace) -> Result<(), FlowsError> {
    let (count, connected) = connections(node)?;
    if count == 0 {
        return Ok(());
    }
    let (mut delete, mut add) = (Vec::new(), Vec::new());
    for (key, addresses) in connected {
        let dests = ipvs.dests(&key).map_err(Box::new)?;
        for server in dests.into_iter().map(|dest| dest.server).filter(|s| addresses.contains(&s.address)) {
            delete.push(Request::DelDest(key, server.address));
            add.push(Request::NewDest(key, server));
        }
    }
    ipvs.batch(&delete).map_err(Box::new)?;
    let emptied = wait_until_empty(node);
    // The kernel puts a new real server before the others (`__ip_vs_update_dest`): added in reverse, they keep their
    // order among themselves.
    add.reverse();
    ipvs.batch(&add).map_err(Box::new)?;
    emptied
}

fn wait_until_empty(node: &Namespace) -> Result<(), FlowsError> {
    let begun = Instant::now();
    loop {
        std::thread::sleep(POLL_INTERVAL);
        match connections(node)? {
            (0, _) => return Ok(()),
            (left, _) if begun.elapsed() > TIMEOUT => return Err(FlowsError::Kept { left }),
            _ => {}
        }
    }
}

fn connections(node: &Namespace) -> Result<(usize, Connected), FlowsError> {
    let text = node.run(|| std::fs::read_to_string(CONNECTIONS)).map_err(FlowsError::Read)?;
    Ok(parse(&text))
}

/// Number of IPVS connections in the namespace `node`.
///
/// # Errors
/// If the table cannot be read: the kernel has no IPVS.
pub fn ipvs_connections(node: &Namespace) -> Result<u64, FlowsError> {
    connections(node).map(|(count, _)| count as u64)
}

/// Number of connections, and who has them. One heading, then lines of
/// `Pro FromIP FPrt ToIP TPrt DestIP DPrt State Expires`, ports and IPv4 addresses in hexadecimal, those of IPv6 in full
/// (`%pI6`).
fn parse(text: &str) -> (usize, Connected) {
    let (mut count, mut connected) = (0, Connected::new());
    for line in text.lines().skip(1) {
        count += 1;
        let mut words = line.split_ascii_whitespace();
        let protocol = match words.next() {
            Some("TCP") => IpvsProtocol::Tcp,
            Some("UDP") => IpvsProtocol::Udp,
            Some("SCTP") => IpvsProtocol::Sctp,
            _ => continue,
        };
        let mut address = || -> Option<SocketAddr> {
            let ip = address_of(words.next()?)?;
            let port = u16::from_str_radix(words.next()?, 16).ok()?;
            Some(SocketAddr::new(ip, port))
        };
        if let (Some(_client), Some(virtual_server), Some(real_server)) = (address(), address(), address()) {
            let key = Key { address: virtual_server, protocol };
            connected.entry(key).or_default().insert(real_server);
        }
    }
    (count, connected)
}

fn address_of(word: &str) -> Option<IpAddr> {
    if word.contains(':') {
        return word.parse().ok();
    }
    u32::from_str_radix(word, 16).ok().map(|bits| Ipv4Addr::from(bits).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_read_from_proc() {
        let text = "\
Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
UDP 0A800001 0400 0A600101 0035 0AD00000 14E9 UDP             299
UDP 0A800002 0400 0A600101 0035 0AD00000 14E9 UDP             299
TCP 0A800002 0400 0A600102 0050 0AD00001 1F90 SYN_RECV         59
";
        let (count, connected) = parse(text);
        assert_eq!(count, 3);
        let lines: Vec<String> = connected.iter().map(|(key, real)| format!("{key} {real:?}")).collect();
        assert_eq!(lines, ["-u 10.96.1.1:53 {10.208.0.0:5353}", "-t 10.96.1.2:80 {10.208.0.1:8080}"]);
        assert_eq!(parse(text.lines().next().unwrap()).0, 0);
    }

    #[test]
    fn connections_of_ipv6_are_read_too() {
        let text = "\
Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP 2001:0db8:0000:0000:0000:0000:0000:0009 4000 fd00:0096:0000:0000:0000:0000:0000:0010 0050 \
fd00:0244:0000:0001:0000:0000:0000:0005 1F90 SYN_RECV         59
UDP 0A800002 0400 0A600101 0035 0AD00000 14E9 UDP             299
";
        let (count, connected) = parse(text);
        assert_eq!(count, 2);
        let lines: Vec<String> = connected.iter().map(|(key, real)| format!("{key} {real:?}")).collect();
        assert_eq!(
            lines,
            ["-u 10.96.1.1:53 {10.208.0.0:5353}", "-t [fd00:96::10]:80 {[fd00:244:0:1::5]:8080}"]
        );
    }
}
