//! IP Virtual Server over generic netlink: virtual servers and their real servers, as `ipvsadm` and kube-proxy program
//! them, without a program in between.
//!
//! A [`Request`] is one message. Its text is `ipvsadm`'s own syntax, so that a list of them can be read by people and by
//! `ipvsadm -R` alike. Services by firewall mark, connection thresholds, persistence engines and netmasks, and tunnels
//! other than IPIP are left out.
//!
//! Facts: include/uapi/linux/ip_vs.h and net/netfilter/ipvs/ip_vs_ctl.c of the kernel.

#[cfg(test)]
mod arbitrary;
mod client;
mod decode;
mod encode;
mod error;
mod protocol;
mod state;
mod text;
mod types;
mod window;

pub use client::{Ipvs, Reply};
pub use error::{Cause, IpvsError};
pub use state::{Dest, Service, State, Statistics};
pub use types::{
    Forwarding, IpvsProtocol, Key, MH_FALLBACK, MH_PORT, ONE_PACKET, RealServer, Request, SCHED_1, SCHED_2,
    SCHED_3, SH_FALLBACK, SH_PORT, Scheduler, SyntaxError, VirtualServer,
};
