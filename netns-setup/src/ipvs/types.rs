//! What is sent to IPVS.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The transport protocol of a virtual server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpvsProtocol {
    /// `IPPROTO_TCP`.
    Tcp,
    /// `IPPROTO_UDP`.
    Udp,
    /// `IPPROTO_SCTP`.
    Sctp,
}

impl IpvsProtocol {
    /// All that IPVS balances by address and port.
    pub const ALL: [IpvsProtocol; 3] = [IpvsProtocol::Tcp, IpvsProtocol::Udp, IpvsProtocol::Sctp];
}

/// Which real server gets a new connection. Each is a kernel module of its own, [`Scheduler::module`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheduler {
    /// Round robin.
    Rr,
    /// Weighted round robin.
    Wrr,
    /// Least connection.
    Lc,
    /// Weighted least connection.
    Wlc,
    /// Locality-based least connection.
    Lblc,
    /// Locality-based least connection with replication.
    Lblcr,
    /// Source hashing.
    Sh,
    /// Destination hashing.
    Dh,
    /// Maglev hashing.
    Mh,
    /// Shortest expected delay.
    Sed,
    /// Never queue.
    Nq,
    /// Weighted failover.
    Fo,
    /// Weighted overflow.
    Ovf,
}

impl Scheduler {
    /// All of them.
    pub const ALL: [Scheduler; 13] = [
        Scheduler::Rr,
        Scheduler::Wrr,
        Scheduler::Lc,
        Scheduler::Wlc,
        Scheduler::Lblc,
        Scheduler::Lblcr,
        Scheduler::Sh,
        Scheduler::Dh,
        Scheduler::Mh,
        Scheduler::Sed,
        Scheduler::Nq,
        Scheduler::Fo,
        Scheduler::Ovf,
    ];

    /// The kernel's name for it: `rr`.
    pub fn name(self) -> &'static str {
        // Both names from one literal.
        &self.module()["ip_vs_".len()..]
    }

    /// The kernel module that brings it: `ip_vs_rr`.
    pub fn module(self) -> &'static str {
        match self {
            Scheduler::Rr => "ip_vs_rr",
            Scheduler::Wrr => "ip_vs_wrr",
            Scheduler::Lc => "ip_vs_lc",
            Scheduler::Wlc => "ip_vs_wlc",
            Scheduler::Lblc => "ip_vs_lblc",
            Scheduler::Lblcr => "ip_vs_lblcr",
            Scheduler::Sh => "ip_vs_sh",
            Scheduler::Dh => "ip_vs_dh",
            Scheduler::Mh => "ip_vs_mh",
            Scheduler::Sed => "ip_vs_sed",
            Scheduler::Nq => "ip_vs_nq",
            Scheduler::Fo => "ip_vs_fo",
            Scheduler::Ovf => "ip_vs_ovf",
        }
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Scheduler {
    type Err = SyntaxError;

    fn from_str(name: &str) -> Result<Self, SyntaxError> {
        let found = Scheduler::ALL.into_iter().find(|scheduler| scheduler.name() == name);
        found.ok_or_else(|| {
            let names = Scheduler::ALL.map(Scheduler::name).join(", ");
            SyntaxError(format!("no scheduler {name:?}: expected one of {names}"))
        })
    }
}

/// A line that is not one of a request, with what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SyntaxError(pub(super) String);

/// How packets get to a real server: `IP_VS_CONN_F_FWD_MASK`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Forwarding {
    /// NAT (`IP_VS_CONN_F_MASQ`); answers pass the director too.
    Masquerade,
    /// To a socket of the director itself (`IP_VS_CONN_F_LOCALNODE`). `ipvsadm` cannot ask for it and prints it as direct
    /// routing, so its text is not read back as what it was.
    Local,
    /// IPIP (`IP_VS_CONN_F_TUNNEL`).
    Tunnel,
    /// A new link-layer address only (`IP_VS_CONN_F_DROUTE`).
    DirectRouting,
}

/// What identifies a virtual server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Address and port. Port 0 means every port, with persistence only.
    pub address: SocketAddr,
    /// Transport protocol.
    pub protocol: IpvsProtocol,
}

/// One-packet scheduling, UDP only: `IP_VS_SVC_F_ONEPACKET`.
pub const ONE_PACKET: u32 = 0x04;
/// `IP_VS_SVC_F_SCHED1`; what it means is the scheduler's affair.
pub const SCHED_1: u32 = 0x08;
/// `IP_VS_SVC_F_SCHED2`.
pub const SCHED_2: u32 = 0x10;
/// `IP_VS_SVC_F_SCHED3`; no scheduler uses it.
pub const SCHED_3: u32 = 0x20;
/// Source hashing goes on to another server if the chosen one is unavailable.
pub const SH_FALLBACK: u32 = SCHED_1;
/// Source hashing hashes the source port too.
pub const SH_PORT: u32 = SCHED_2;
/// Maglev hashing goes on to another server if the chosen one is unavailable.
pub const MH_FALLBACK: u32 = SCHED_1;
/// Maglev hashing hashes the source port too; kube-proxy always sets it.
pub const MH_PORT: u32 = SCHED_2;

/// A virtual server, without its real servers and counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtualServer {
    /// What identifies it.
    pub key: Key,
    /// Which real server gets a new connection.
    pub scheduler: Scheduler,
    /// How long a client address keeps its real server, in seconds (`ipvsadm`: 1 to 2,678,400, which is 31 days); `None`
    /// for not at all.
    pub persistence: Option<u32>,
    /// [`ONE_PACKET`], [`SCHED_1`], [`SCHED_2`], [`SCHED_3`]. Other bits are neither sent nor printed.
    pub flags: u32,
}

/// A real server (the kernel says destination), without its counters. No connection thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RealServer {
    /// Address and port. Only masquerading can change the port.
    pub address: SocketAddr,
    /// Its share; 0 keeps its connections and gives it no new ones. At most `i32::MAX` (else `ERANGE`).
    pub weight: u32,
    /// How packets get there.
    pub forwarding: Forwarding,
}

/// One message to IPVS. Displays as a line that `ipvsadm -R` reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Request {
    /// `-A`: `EEXIST` if there is one with this key, `ENOENT` without the scheduler's module.
    NewService(VirtualServer),
    /// `-E`: scheduler, persistence and flags anew; `ESRCH` if there is none with this key.
    SetService(VirtualServer),
    /// `-D`: with its real servers. `ESRCH` if there is none.
    DelService(Key),
    /// `-L`, of one virtual server.
    GetService(Key),
    /// `-S`: all virtual servers.
    ListServices,
    /// `-a`: `ESRCH` without the virtual server, `EEXIST` if it has this real server.
    NewDest(Key, RealServer),
    /// `-e`: weight and forwarding anew; `ESRCH` without the virtual server, `ENOENT` without the real server.
    SetDest(Key, RealServer),
    /// `-d`: errors as `-e`. What it removes stays in the kernel's trash for a while, see
    /// [`Ipvs::flush`](super::Ipvs::flush).
    DelDest(Key, SocketAddr),
    /// `-l`: the real servers of a virtual server; none if there is no such virtual server.
    ListDests(Key),
    /// `-C`: removes everything.
    Flush,
}

impl Request {
    /// Whether it asks and changes nothing.
    pub fn is_read(&self) -> bool {
        matches!(self, Request::GetService(_) | Request::ListServices | Request::ListDests(_))
    }
}
