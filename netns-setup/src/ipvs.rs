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
mod error;
mod text;
mod types;

pub use error::{Cause, IpvsError};
pub use text::SyntaxError;
pub use types::{
    Forwarding, Key, MH_FALLBACK, MH_PORT, ONE_PACKET, Protocol, RealServer, Request, SCHED_1, SCHED_2,
    SCHED_3, SH_FALLBACK, SH_PORT, Scheduler, VirtualServer,
};
