//! The workloads, by the names that network people use.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What one request is, and how many of them share a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// Connect, request, response, close (as netperf's `TCP_CRR`).
    TcpCrr,
    /// Request and response on a connection that stays (`TCP_RR`).
    TcpRr,
    /// Blocks of data on a connection that stays, each acknowledged by the server, without waiting for it (`TCP_STREAM`).
    TcpStream,
    /// A DNS question and its answer over UDP, by default from a new port each, as resolvers ask.
    UdpRr,
    /// HTTP/1.1, a connection for each request.
    Http,
    /// HTTP/1.1 on connections that stay.
    #[serde(rename = "http_keepalive")]
    HttpKeepAlive,
}

/// How bytes are to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MessageFormat {
    Frame,
    Dns,
    Http,
}

impl Workload {
    /// All of them.
    pub const ALL: [Workload; 6] = [
        Workload::TcpCrr,
        Workload::TcpRr,
        Workload::TcpStream,
        Workload::UdpRr,
        Workload::Http,
        Workload::HttpKeepAlive,
    ];

    /// Its name, as users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Workload::TcpCrr => "tcp_crr",
            Workload::TcpRr => "tcp_rr",
            Workload::TcpStream => "tcp_stream",
            Workload::UdpRr => "udp_rr",
            Workload::Http => "http",
            Workload::HttpKeepAlive => "http_keepalive",
        }
    }

    /// Whether it runs over UDP.
    pub const fn is_udp(self) -> bool {
        matches!(self, Workload::UdpRr)
    }

    /// Whether any server of its protocol can answer it, not only one of this crate.
    pub const fn is_public(self) -> bool {
        matches!(self, Workload::UdpRr | Workload::Http | Workload::HttpKeepAlive)
    }

    /// How many requests a flow has; `None`: as many as come.
    pub const fn requests_per_flow(self) -> Option<NonZeroU32> {
        match self {
            Workload::TcpCrr | Workload::UdpRr | Workload::Http => Some(NonZeroU32::MIN),
            Workload::TcpRr | Workload::TcpStream | Workload::HttpKeepAlive => None,
        }
    }

    /// How many requests of a flow may be under way at once.
    pub(super) const fn depth(self) -> usize {
        match self {
            // While one block is acknowledged the next is already being sent.
            Workload::TcpStream => 2,
            _ => 1,
        }
    }

    /// The default length of a request in bytes.
    pub(super) const fn default_request_bytes(self) -> u32 {
        match self {
            Workload::TcpStream => 1 << 20,
            _ => 64,
        }
    }

    pub(super) const fn format(self) -> MessageFormat {
        match self {
            Workload::TcpCrr | Workload::TcpRr | Workload::TcpStream => MessageFormat::Frame,
            Workload::UdpRr => MessageFormat::Dns,
            Workload::Http | Workload::HttpKeepAlive => MessageFormat::Http,
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Workload, String> {
        Workload::ALL.into_iter().find(|workload| workload.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Workload::ALL.iter().map(|workload| workload.name()).collect();
            format!("no workload is called {text:?}; there are {}", names.join(", "))
        })
    }
}
