//! Links, addresses, routes and neighbours over rtnetlink(7); no `ip` process.

pub(crate) mod counters;
mod kinds;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use ipnet::IpNet;
use nix::errno::Errno;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkMessage, State,
};
use rtnetlink::packet_route::route::{RouteFlags, RouteMessage, RouteScope, RouteType};
use rtnetlink::{Handle, LinkDummy, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};
use tokio::runtime::Runtime;

use crate::error::SetupError;

/// include/uapi/linux/rtnetlink.h
const RT_TABLE_LOCAL: u8 = 255;
/// How long the kernel may take to notice a carrier.
const CARRIER_TIMEOUT: Duration = Duration::from_secs(60);
/// How often it is asked whether it has.
const CARRIER_INTERVAL: Duration = Duration::from_millis(1);

/// A link-layer (Ethernet) address.
pub type Mac = [u8; 6];

/// A network interface as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Interface index.
    pub index: u32,
    /// Interface name.
    pub name: String,
    /// Bytes.
    pub mtu: u32,
    /// Packets (`txqueuelen`).
    pub queue: u32,
    /// `IFF_UP`: switched on by the administrator.
    pub up: bool,
    /// `IF_OPER_UP`: the kernel has noticed its carrier. A TUN never says so.
    pub operational: bool,
    /// None for a link without such addresses, as a TUN.
    pub mac: Option<Mac>,
}

/// One end of a veth pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VethEnd<'a> {
    /// Interface name, at most 15 bytes.
    pub name: &'a str,
    /// Its address; chosen by us so that neighbour entries can be written before any packet.
    pub mac: Mac,
}

/// An entry of the routing table. Displays as `ip route` arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    prefix: IpNet,
    gateway: Option<IpAddr>,
    device: String,
    local: bool,
}

impl Route {
    /// Every address of `prefix` is this host's own, as by `ip route add local PREFIX dev lo`: sockets can bind to
    /// each and answer for each.
    pub fn local(prefix: impl Into<IpNet>) -> Self {
        Route { prefix: prefix.into().trunc(), gateway: None, device: "lo".into(), local: true }
    }

    /// `prefix` is reached through `device` directly.
    pub fn device(prefix: impl Into<IpNet>, device: &str) -> Self {
        Route { prefix: prefix.into().trunc(), gateway: None, device: device.into(), local: false }
    }

    /// `prefix` is reached through `gateway` behind `device`; the gateway need not be in a subnet of the device
    /// (`onlink`).
    pub fn via(prefix: impl Into<IpNet>, gateway: impl Into<IpAddr>, device: &str) -> Self {
        let gateway = Some(gateway.into());
        Route { prefix: prefix.into().trunc(), gateway, device: device.into(), local: false }
    }

    /// Table and scope as iproute2 chooses them (ip/iproute.c, iproute_modify).
    fn message(&self, device_index: u32) -> Result<RouteMessage, SetupError> {
        let invalid = |cause| SetupError::kernel(format!("write route {self}"), io::Error::other(cause));
        let mut builder = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(self.prefix.addr(), self.prefix.prefix_len())
            .map_err(invalid)?
            .output_interface(device_index);
        if self.local {
            builder = builder.kind(RouteType::Local).scope(RouteScope::Host).table_id(RT_TABLE_LOCAL.into());
        }
        match self.gateway {
            Some(gateway) => builder = builder.gateway(gateway).map_err(invalid)?,
            None if !self.local => builder = builder.scope(RouteScope::Link),
            None => {}
        }
        let mut message = builder.build();
        if self.gateway.is_some() {
            message.header.flags |= RouteFlags::Onlink;
        }
        Ok(message)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Route { prefix, gateway, device, local } = self;
        if *local {
            f.write_str("local ")?;
        }
        write!(f, "{prefix}")?;
        if let Some(gateway) = gateway {
            write!(f, " via {gateway}")?;
        }
        write!(f, " dev {device}")?;
        if gateway.is_some() {
            f.write_str(" onlink")?;
        }
        Ok(())
    }
}

/// An rtnetlink connection. It belongs to the network namespace of the thread that opened it.
///
/// Each method returns when the kernel has acknowledged; what it set is then in force.
pub struct Links {
    runtime: Runtime,
    handle: Handle,
    place: String,
}

impl Links {
    /// `place` names the namespace in errors.
    pub(crate) fn open(place: &str) -> Result<Self, SetupError> {
        let failed = |cause| SetupError::kernel(format!("open an rtnetlink socket in {place}"), cause);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
        let (connection, handle, _) = {
            let _entered = runtime.enter();
            rtnetlink::new_connection().map_err(failed)?
        };
        runtime.spawn(connection);
        Ok(Links { runtime, handle, place: place.to_owned() })
    }

    /// Every link of the namespace.
    ///
    /// # Errors
    /// If the kernel refuses the dump.
    pub fn list(&self) -> Result<Vec<Link>, SetupError> {
        let links = self.handle.link().get().execute().map_ok(describe).try_collect();
        self.carry_out(|| "list links".into(), links)
    }

    /// The link called `name`.
    ///
    /// # Errors
    /// `ENODEV` if there is none.
    pub fn link(&self, name: &str) -> Result<Link, SetupError> {
        self.check_name(name)?;
        let request = self.handle.link().get().match_name(name).execute();
        let first = async move { std::pin::pin!(request).try_next().await };
        let found = self.carry_out(|| format!("look up link {name}"), first)?;
        found.map(describe).ok_or_else(|| {
            SetupError::kernel(
                format!("look up link {name} in {}", self.place),
                io::Error::from(Errno::ENODEV),
            )
        })
    }

    /// Creates a veth pair: `near` here, `far` in the namespace behind `far_namespace`
    /// (see [`Namespace::fd`](crate::Namespace::fd)). Both are down.
    ///
    /// # Errors
    /// `EEXIST` if a name is taken, `EOPNOTSUPP` without `CONFIG_VETH`.
    pub fn add_veth(
        &self,
        near: VethEnd<'_>,
        far: VethEnd<'_>,
        far_namespace: BorrowedFd<'_>,
    ) -> Result<(), SetupError> {
        self.check_name(near.name)?;
        self.check_name(far.name)?;
        let peer = LinkMessageBuilder::<LinkUnspec>::default()
            .name(far.name)
            .address(far.mac.to_vec())
            .setns_by_fd(far_namespace.as_raw_fd())
            .build();
        let pair = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
            .name(near.name)
            .address(near.mac.to_vec())
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .build();
        self.carry_out(
            || format!("add veth {} with peer {}", near.name, far.name),
            self.handle.link().add(pair).execute(),
        )
    }

    /// Creates a dummy link, down.
    ///
    /// # Errors
    /// `EEXIST` if the name is taken, `EOPNOTSUPP` without `CONFIG_DUMMY`.
    pub fn add_dummy(&self, name: &str) -> Result<(), SetupError> {
        self.check_name(name)?;
        let request = self.handle.link().add(LinkDummy::new(name).build()).execute();
        self.carry_out(|| format!("add dummy {name}"), request)
    }

    /// Removes a link; a veth takes its peer along.
    ///
    /// # Errors
    /// `ENODEV` if there is none.
    pub fn delete(&self, name: &str) -> Result<(), SetupError> {
        let index = self.link(name)?.index;
        self.carry_out(|| format!("delete link {name}"), self.handle.link().del(index).execute())
    }

    /// Switches a link on.
    ///
    /// # Errors
    /// `ENODEV` if there is none.
    pub fn set_up(&self, name: &str) -> Result<(), SetupError> {
        self.set(name, "up", LinkMessageBuilder::up)
    }

    /// Switches a link off.
    ///
    /// # Errors
    /// `ENODEV` if there is none.
    pub fn set_down(&self, name: &str) -> Result<(), SetupError> {
        self.set(name, "down", LinkMessageBuilder::down)
    }

    /// Waits until links whose both ends are up send packets. A carrier is noticed by a work queue, and until then packets
    /// are dropped without a word (`linkwatch_do_dev` in net/core/link_watch.c, `noop_qdisc` in net/sched/sch_generic.c):
    /// on a busy machine the first ones.
    ///
    /// # Errors
    /// `ENODEV` if there is no such link, `ETIMEDOUT` if there is no carrier after 60 s.
    pub fn wait_until_operational<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<(), SetupError> {
        let begun = Instant::now();
        for name in names {
            while !self.link(name)?.operational {
                if begun.elapsed() > CARRIER_TIMEOUT {
                    let action = format!("wait for the carrier of link {name} in {}", self.place);
                    return Err(SetupError::kernel(action, io::Error::from(Errno::ETIMEDOUT)));
                }
                thread::sleep(CARRIER_INTERVAL);
            }
        }
        Ok(())
    }

    /// Sets the largest packet, in bytes.
    ///
    /// # Errors
    /// `ENODEV` if there is no such link, `EINVAL` if it cannot have that size.
    pub fn set_mtu(&self, name: &str, bytes: u32) -> Result<(), SetupError> {
        self.set(name, &format!("mtu {bytes}"), |link| link.mtu(bytes))
    }

    /// Sets the length of the transmit queue, in packets.
    ///
    /// # Errors
    /// `ENODEV` if there is no such link.
    pub fn set_queue(&self, name: &str, packets: u32) -> Result<(), SetupError> {
        self.set(name, &format!("txqueuelen {packets}"), |link| link.txqueuelen(packets))
    }

    /// Adds an address to a link. The kernel routes the rest of its prefix to the link. In IPv6 nobody is asked whether the
    /// address is taken (DAD), and it is of use at once.
    ///
    /// # Errors
    /// `EEXIST` if it has that address, `ENODEV` if there is no such link.
    pub fn add_address(&self, name: &str, address: impl Into<IpNet>) -> Result<(), SetupError> {
        let address = address.into();
        let index = self.link(name)?.index;
        let mut request = self.handle.address().add(index, address.addr(), address.prefix_len());
        if address.addr().is_ipv6() {
            request.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        self.carry_out(|| format!("add address {address} dev {name}"), request.execute())
    }

    /// Adds a route.
    ///
    /// # Errors
    /// `EEXIST` if there is one for the same prefix, `ENETUNREACH` if the gateway cannot be reached, `ENETDOWN` or
    /// `ENODEV` for the device's sake.
    pub fn add_route(&self, route: &Route) -> Result<(), SetupError> {
        let message = self.route_message("add", route)?;
        self.carry_out(|| format!("add route {route}"), self.handle.route().add(message).execute())
    }

    /// Adds a route in place of one for the same prefix, if there is one. No packet meets the gap between: there is
    /// none (fib_table_insert in net/ipv4/fib_trie.c swaps the entry).
    ///
    /// # Errors
    /// As [`add_route`](Links::add_route), save `EEXIST`.
    pub fn replace_route(&self, route: &Route) -> Result<(), SetupError> {
        let message = self.route_message("replace", route)?;
        let request = self.handle.route().add(message).replace().execute();
        self.carry_out(|| format!("replace route {route}"), request)
    }

    /// Removes a route.
    ///
    /// # Errors
    /// `ESRCH` if there is none such.
    pub fn delete_route(&self, route: &Route) -> Result<(), SetupError> {
        let message = self.route_message("delete", route)?;
        self.carry_out(|| format!("delete route {route}"), self.handle.route().del(message).execute())
    }

    /// Writes down the link-layer address of a neighbour for good, so that nothing is asked by ARP.
    ///
    /// # Errors
    /// `EEXIST` if there is an entry, `ENODEV` if there is no such link.
    pub fn add_neighbour(&self, name: &str, address: impl Into<IpAddr>, mac: Mac) -> Result<(), SetupError> {
        let address = address.into();
        let index = self.link(name)?.index;
        let request = self.handle.neighbours().add(index, address).link_layer_address(&mac).execute();
        self.carry_out(|| format!("add neighbour {address} dev {name}"), request)
    }

    fn set(
        &self,
        name: &str,
        what: &str,
        change: impl FnOnce(LinkMessageBuilder<LinkUnspec>) -> LinkMessageBuilder<LinkUnspec>,
    ) -> Result<(), SetupError> {
        self.check_name(name)?;
        let message = change(LinkUnspec::new_with_name(name)).build();
        self.carry_out(|| format!("set link {name} {what}"), self.handle.link().set(message).execute())
    }

    fn route_message(&self, verb: &str, route: &Route) -> Result<RouteMessage, SetupError> {
        let device = self.link(&route.device).map_err(|error| match error {
            SetupError::Kernel { cause, .. } => {
                SetupError::kernel(format!("{verb} route {route} in {}", self.place), cause)
            }
            other => other,
        })?;
        route.message(device.index)
    }

    fn check_name(&self, name: &str) -> Result<(), SetupError> {
        check_name(name, &self.place)
    }

    /// Drives `request` to its end on this thread; `action` completes "... in PLACE: reason".
    fn carry_out<T>(
        &self,
        action: impl FnOnce() -> String,
        request: impl Future<Output = Result<T, rtnetlink::Error>>,
    ) -> Result<T, SetupError> {
        self.runtime.block_on(request).map_err(|error| {
            let cause = match error {
                rtnetlink::Error::NetlinkError(refusal) => refusal.to_io(),
                other => io::Error::other(other),
            };
            SetupError::kernel(format!("{} in {}", action(), self.place), cause)
        })
    }
}

/// The kernel's own rule; netlink would cut longer names silently or answer with a bare `ERANGE`.
pub(crate) fn check_name(name: &str, place: &str) -> Result<(), SetupError> {
    // IFNAMSIZ is 16 with the closing NUL.
    let valid = matches!(name.len(), 1..=15)
        && !matches!(name, "." | "..")
        && !name.contains(|c: char| c == '/' || c == ':' || c == '\0' || c.is_whitespace());
    if valid { Ok(()) } else { Err(SetupError::LinkName { name: name.into(), label: place.into() }) }
}

fn describe(message: LinkMessage) -> Link {
    let up = message.header.flags.contains(LinkFlags::Up);
    let (index, name) = (message.header.index, String::new());
    let mut link = Link { index, name, mtu: 0, queue: 0, up, operational: false, mac: None };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(bytes) => link.mtu = bytes,
            LinkAttribute::TxQueueLen(packets) => link.queue = packets,
            LinkAttribute::OperState(state) => link.operational = state == State::Up,
            LinkAttribute::Address(address) => link.mac = address.try_into().ok(),
            _ => {}
        }
    }
    link
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtnetlink::packet_route::route::RouteAttribute;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn routes_read_like_iproute2() {
        let gateway: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(Route::local(net("10.128.0.0/9")).to_string(), "local 10.128.0.0/9 dev lo");
        assert_eq!(Route::device(net("10.1.2.3/8"), "tun0").to_string(), "10.0.0.0/8 dev tun0");
        let via = Route::via(net("2001:db8::/32"), gateway, "veth0");
        assert_eq!(via.to_string(), "2001:db8::/32 via 192.0.2.1 dev veth0 onlink");
    }

    #[test]
    fn local_routes_go_to_the_local_table() {
        let message = Route::local(net("10.128.0.0/9")).message(1).unwrap();
        assert_eq!(message.header.table, RT_TABLE_LOCAL);
        assert_eq!(message.header.kind, RouteType::Local);
        assert_eq!(message.header.scope, RouteScope::Host);
        assert!(message.attributes.contains(&RouteAttribute::Oif(1)));
    }

    #[test]
    fn names_follow_the_kernels_rule() {
        for good in ["a", "eth0.100", "fifteen-letters"] {
            assert!(check_name(good, "here").is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "a:1", "sixteen-letters-"] {
            let error = check_name(bad, "here").unwrap_err().to_string();
            assert!(error.contains("in here: 1 to 15 bytes"), "{error}");
        }
    }
}
