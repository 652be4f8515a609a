//! Requests as netlink messages.
//!
//! Attributes and their order are those of `ipvsadm` over generic netlink, which also sends, and the kernel skips, empty
//! options where a virtual server is only identified, and the kind of tunnel. The kernel wants addresses as whole
//! `union nf_inet_addr`, ports in network order and, for a new or changed object, every attribute of it
//! (ip_vs_genl_parse_service and ip_vs_genl_parse_dest in net/netfilter/ipvs/ip_vs_ctl.c).

use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use nix::libc;

use super::protocol::{self, command, dest, service};
use super::types::{
    Forwarding, IpvsProtocol, Key, ONE_PACKET, RealServer, Request, SCHED_1, SCHED_2, SCHED_3, VirtualServer,
};
use crate::netlink::message::Writer;

/// Flags that the caller may set.
pub(super) const FLAGS: u32 = ONE_PACKET | SCHED_1 | SCHED_2 | SCHED_3;

/// Appends the message for `request`: to family number `family`, with `flags` besides `NLM_F_REQUEST` and, for lists,
/// `NLM_F_DUMP`.
pub(super) fn encode(buffer: &mut Vec<u8>, family: u16, sequence: u32, flags: u16, request: &Request) {
    let (command, dump) = match request {
        Request::NewService(_) => (command::NEW_SERVICE, 0),
        Request::SetService(_) => (command::SET_SERVICE, 0),
        Request::DelService(_) => (command::DEL_SERVICE, 0),
        Request::GetService(_) => (command::GET_SERVICE, 0),
        Request::ListServices => (command::GET_SERVICE, NLM_F_DUMP),
        Request::NewDest(..) => (command::NEW_DEST, 0),
        Request::SetDest(..) => (command::SET_DEST, 0),
        Request::DelDest(..) => (command::DEL_DEST, 0),
        Request::ListDests(_) => (command::GET_DEST, NLM_F_DUMP),
        Request::Flush => (command::FLUSH, 0),
    };
    let mut writer = Writer::start(buffer, family, NLM_F_REQUEST | dump | flags, sequence);
    writer.raw(&[command, protocol::VERSION, 0, 0]);
    match request {
        Request::NewService(server) | Request::SetService(server) => {
            writer.nest(protocol::SERVICE, |writer| virtual_server(writer, server));
        }
        Request::DelService(key) | Request::GetService(key) | Request::ListDests(key) => {
            writer.nest(protocol::SERVICE, |writer| identity(writer, key));
        }
        Request::NewDest(key, server) | Request::SetDest(key, server) => {
            writer.nest(protocol::SERVICE, |writer| identity(writer, key));
            writer.nest(protocol::DEST, |writer| real_server(writer, server));
        }
        Request::DelDest(key, address) => {
            writer.nest(protocol::SERVICE, |writer| identity(writer, key));
            writer.nest(protocol::DEST, |writer| real_address(writer, *address));
        }
        Request::ListServices | Request::Flush => {}
    }
    writer.finish();
}

fn identity(writer: &mut Writer<'_>, key: &Key) {
    let protocol = match key.protocol {
        IpvsProtocol::Tcp => libc::IPPROTO_TCP,
        IpvsProtocol::Udp => libc::IPPROTO_UDP,
        IpvsProtocol::Sctp => libc::IPPROTO_SCTP,
    };
    writer.attribute(service::AF, &family(key.address).to_ne_bytes());
    writer.attribute(service::PROTOCOL, &(protocol as u16).to_ne_bytes());
    writer.attribute(service::ADDR, &union(key.address));
    writer.attribute(service::PORT, &key.address.port().to_be_bytes());
}

fn virtual_server(writer: &mut Writer<'_>, server: &VirtualServer) {
    identity(writer, &server.key);
    let persistent = if server.persistence.is_some() { protocol::PERSISTENT } else { 0 };
    let flags = server.flags & FLAGS | persistent;
    // struct ip_vs_flags: the flags, and which of them to change.
    let flags = [flags.to_ne_bytes(), u32::MAX.to_ne_bytes()].concat();
    writer.attribute(service::SCHED_NAME, &[server.scheduler.name().as_bytes(), &[0]].concat());
    writer.attribute(service::FLAGS, &flags);
    writer.attribute(service::TIMEOUT, &server.persistence.unwrap_or(0).to_ne_bytes());
    writer.attribute(service::NETMASK, &protocol::netmask(server.key.address.is_ipv6()).to_ne_bytes());
}

fn real_address(writer: &mut Writer<'_>, address: SocketAddr) {
    writer.attribute(dest::ADDR_FAMILY, &family(address).to_ne_bytes());
    writer.attribute(dest::ADDR, &union(address));
    writer.attribute(dest::PORT, &address.port().to_be_bytes());
}

fn real_server(writer: &mut Writer<'_>, server: &RealServer) {
    real_address(writer, server.address);
    writer.attribute(dest::FWD_METHOD, &forwarding(server.forwarding).to_ne_bytes());
    writer.attribute(dest::WEIGHT, &server.weight.to_ne_bytes());
    writer.attribute(dest::U_THRESH, &0u32.to_ne_bytes());
    writer.attribute(dest::L_THRESH, &0u32.to_ne_bytes());
}

/// `IP_VS_CONN_F_FWD_MASK`.
pub(super) fn forwarding(method: Forwarding) -> u32 {
    match method {
        Forwarding::Masquerade => 0,
        Forwarding::Local => 1,
        Forwarding::Tunnel => 2,
        Forwarding::DirectRouting => 3,
    }
}

/// `AF_INET` or `AF_INET6`.
pub(super) fn family(address: SocketAddr) -> u16 {
    let family = if address.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET };
    family as u16
}

/// `union nf_inet_addr`.
pub(super) fn union(address: SocketAddr) -> [u8; protocol::ADDRESS] {
    match address.ip() {
        IpAddr::V6(address) => address.octets(),
        IpAddr::V4(address) => {
            let mut union = [0; protocol::ADDRESS];
            union[..4].copy_from_slice(&address.octets());
            union
        }
    }
}

#[cfg(test)]
mod tests;
