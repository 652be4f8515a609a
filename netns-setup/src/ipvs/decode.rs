//! The kernel's descriptions of virtual servers and real servers (ip_vs_genl_fill_service and ip_vs_genl_fill_dest in
//! net/netfilter/ipvs/ip_vs_ctl.c).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::libc;

use super::encode::{FLAGS, forwarding};
use super::error::Cause;
use super::protocol::{self, command, dest, service, stats};
use super::state::{Dest, Service, Statistics};
use super::types::{Forwarding, IpvsProtocol, Key, RealServer, Scheduler, VirtualServer};
use crate::netlink::generic::GENERIC_HEADER;
use crate::netlink::message::{Malformed, attributes, text};

/// What a message describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Description {
    Service(Service),
    Dest(Dest),
}

/// Reads the body of a message of the family; `ipv6` is the IP version of a real server whose description does not say
/// (kernels before 3.18: that of its virtual server).
pub(super) fn decode(body: &[u8], ipv6: bool) -> Result<Description, Cause> {
    let command = *body.first().ok_or_else(|| Malformed("a message without a command".into()))?;
    let attributes = body.get(GENERIC_HEADER..).unwrap_or_default();
    match command {
        command::NEW_SERVICE => nested(attributes, protocol::SERVICE).and_then(virtual_server),
        command::NEW_DEST => nested(attributes, protocol::DEST).and_then(|values| real_server(values, ipv6)),
        other => Err(Malformed(format!("unexpected IPVS command {other}")).into()),
    }
}

impl From<Malformed> for Cause {
    fn from(malformed: Malformed) -> Self {
        Cause::Malformed(malformed.to_string())
    }
}

/// Values by attribute type, with names for errors.
struct Values<'b> {
    what: &'static str,
    values: [Option<&'b [u8]>; 16],
}

impl<'b> Values<'b> {
    /// Types beyond those known here are new to the kernel, and passed over.
    fn read(what: &'static str, bytes: &'b [u8]) -> Result<Self, Malformed> {
        let mut values = [None; 16];
        for attribute in attributes(bytes) {
            let (kind, value) = attribute.map_err(|Malformed(why)| Malformed(format!("{what}: {why}")))?;
            if let Some(place) = values.get_mut(usize::from(kind)) {
                *place = Some(value);
            }
        }
        Ok(Values { what, values })
    }

    fn find(&self, kind: u16) -> Option<&'b [u8]> {
        self.values.get(usize::from(kind)).copied().flatten()
    }

    fn get(&self, kind: u16) -> Result<&'b [u8], Malformed> {
        self.find(kind).ok_or_else(|| Malformed(format!("{} without attribute {kind}", self.what)))
    }

    fn array<const N: usize>(&self, kind: u16) -> Result<[u8; N], Malformed> {
        let value = self.get(kind)?;
        value.try_into().map_err(|_| {
            Malformed(format!("{}: attribute {kind} has {} bytes, not {N}", self.what, value.len()))
        })
    }

    fn u16(&self, kind: u16) -> Result<u16, Malformed> {
        self.array(kind).map(u16::from_ne_bytes)
    }

    fn u32(&self, kind: u16) -> Result<u32, Malformed> {
        self.array(kind).map(u32::from_ne_bytes)
    }

    fn u64(&self, kind: u16) -> Result<u64, Malformed> {
        self.array(kind).map(u64::from_ne_bytes)
    }

    /// `union nf_inet_addr` and a port.
    fn address(&self, family: u16, address: u16, port: u16) -> Result<SocketAddr, Cause> {
        let octets = self.array::<{ protocol::ADDRESS }>(address)?;
        let ip = match i32::from(family) {
            libc::AF_INET => IpAddr::V4(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3])),
            libc::AF_INET6 => IpAddr::V6(Ipv6Addr::from(octets)),
            _ => return Err(Malformed(format!("{}: address family {family}", self.what)).into()),
        };
        Ok(SocketAddr::new(ip, u16::from_be_bytes(self.array(port)?)))
    }

    /// The 64-bit counters (since Linux 4.1), else those with 32 bits for what is not bytes.
    fn statistics(&self, wide: u16, narrow: u16) -> Result<Statistics, Malformed> {
        let (bytes, wide) = match self.find(wide) {
            Some(bytes) => (bytes, true),
            None => (self.get(narrow)?, false),
        };
        let counters = Values::read("counters", bytes)?;
        let counter = |kind| if wide { counters.u64(kind) } else { counters.u32(kind).map(u64::from) };
        Ok(Statistics {
            connections: counter(stats::CONNS)?,
            packets_in: counter(stats::INPKTS)?,
            packets_out: counter(stats::OUTPKTS)?,
            bytes_in: counters.u64(stats::INBYTES)?,
            bytes_out: counters.u64(stats::OUTBYTES)?,
        })
    }
}

fn nested(attributes: &[u8], kind: u16) -> Result<Values<'_>, Cause> {
    let what = if kind == protocol::SERVICE { "a virtual server" } else { "a real server" };
    Ok(Values::read(what, Values::read("a message", attributes)?.get(kind)?)?)
}

fn foreign(what: impl Into<String>) -> Cause {
    Cause::Foreign(what.into())
}

fn virtual_server(values: Values<'_>) -> Result<Description, Cause> {
    if values.find(service::FWMARK).is_some() {
        return Err(foreign(format!("a virtual server by firewall mark {}", values.u32(service::FWMARK)?)));
    }
    let protocol = match i32::from(values.u16(service::PROTOCOL)?) {
        libc::IPPROTO_TCP => IpvsProtocol::Tcp,
        libc::IPPROTO_UDP => IpvsProtocol::Udp,
        libc::IPPROTO_SCTP => IpvsProtocol::Sctp,
        other => return Err(foreign(format!("a virtual server for IP protocol {other}"))),
    };
    let address = values.address(values.u16(service::AF)?, service::ADDR, service::PORT)?;
    let key = Key { address, protocol };
    let with = |what: String| foreign(format!("virtual server {key} with {what}"));

    let name = text(values.get(service::SCHED_NAME)?);
    let scheduler = name.parse::<Scheduler>().map_err(|_| with(format!("scheduler {name:?}")))?;
    if let Some(engine) = values.find(service::PE_NAME) {
        return Err(with(format!("persistence engine {:?}", text(engine))));
    }
    let netmask = values.u32(service::NETMASK)?;
    if netmask != protocol::netmask(address.is_ipv6()) {
        return Err(with(match address {
            SocketAddr::V4(_) => format!("persistence netmask {}", Ipv4Addr::from(netmask.to_ne_bytes())),
            SocketAddr::V6(_) => format!("persistence prefix length {netmask}"),
        }));
    }
    // struct ip_vs_flags: the flags, then a mask.
    let [a, b, c, d, ..] = values.array::<8>(service::FLAGS)?;
    let flags = u32::from_ne_bytes([a, b, c, d]);
    if flags & !(FLAGS | protocol::PERSISTENT | protocol::HASHED) != 0 {
        return Err(with(format!("flags {flags:#x}")));
    }
    let timeout = values.u32(service::TIMEOUT)?;
    Ok(Description::Service(Service {
        server: VirtualServer {
            key,
            scheduler,
            persistence: (flags & protocol::PERSISTENT != 0).then_some(timeout),
            flags: flags & FLAGS,
        },
        statistics: values.statistics(service::STATS64, service::STATS)?,
    }))
}

fn real_server(values: Values<'_>, ipv6: bool) -> Result<Description, Cause> {
    let family = match values.find(dest::ADDR_FAMILY) {
        Some(_) => values.u16(dest::ADDR_FAMILY)?,
        None if ipv6 => libc::AF_INET6 as u16,
        None => libc::AF_INET as u16,
    };
    let address = values.address(family, dest::ADDR, dest::PORT)?;
    let with = |what: String| foreign(format!("real server {address} with {what}"));

    let method = values.u32(dest::FWD_METHOD)?;
    let methods = [Forwarding::Masquerade, Forwarding::Local, Forwarding::Tunnel, Forwarding::DirectRouting];
    let known = methods.into_iter().find(|known| forwarding(*known) == method);
    let forwarding = known.ok_or_else(|| with(format!("forwarding method {method}")))?;
    let (upper, lower) = (values.u32(dest::U_THRESH)?, values.u32(dest::L_THRESH)?);
    if (upper, lower) != (0, 0) {
        return Err(with(format!("connection thresholds {upper} and {lower}")));
    }
    // Since Linux 5.2; 0 is IPIP, and all that there was before.
    match values.find(dest::TUN_TYPE) {
        None | Some([0]) => {}
        Some(kind) => return Err(with(format!("tunnel type {kind:?}"))),
    }
    Ok(Description::Dest(Dest {
        server: RealServer { address, weight: values.u32(dest::WEIGHT)?, forwarding },
        active: values.u32(dest::ACTIVE_CONNS)?,
        inactive: values.u32(dest::INACT_CONNS)?,
        persistent: values.u32(dest::PERSIST_CONNS)?,
        statistics: values.statistics(dest::STATS64, dest::STATS)?,
    }))
}

#[cfg(test)]
mod tests;
