//! Bridges, tunnels, and what is set on links of any kind.

use std::net::Ipv4Addr;

use rtnetlink::packet_route::link::{InfoBridge, InfoData, InfoKind, LinkAttribute};
use rtnetlink::{LinkBridge, LinkIpIp, LinkMessageBuilder};

use super::Links;
use crate::error::SetupError;

impl Links {
    /// Creates a bridge, down. It learns addresses, does not speak the spanning tree protocol, and does not snoop on
    /// multicast: else it would announce itself to all ports (`br_multicast_join_snoopers` in net/bridge/br_multicast.c).
    ///
    /// # Errors
    /// `EEXIST` if the name is taken, `EOPNOTSUPP` without `CONFIG_BRIDGE`.
    pub fn add_bridge(&self, name: &str) -> Result<(), SetupError> {
        self.check_name(name)?;
        let bridge = LinkMessageBuilder::<LinkBridge>::new_with_info_kind(InfoKind::Bridge)
            .name(name)
            .set_info_data(InfoData::Bridge(vec![InfoBridge::MulticastSnooping(false)]))
            .build();
        self.carry_out(|| format!("add bridge {name}"), self.handle.link().add(bridge).execute())
    }

    /// Makes a link a port of a bridge.
    ///
    /// # Errors
    /// `ENODEV` if there is no such link or bridge, `EBUSY` if it is a port of another.
    pub fn set_bridge(&self, name: &str, bridge: &str) -> Result<(), SetupError> {
        let index = self.link(bridge)?.index;
        self.set(name, &format!("master {bridge}"), |link| link.controller(index))
    }

    /// Creates the receiving end of IPIP tunnels (RFC 2003), down: it takes packets for `local` from any sender out of
    /// their outer header.
    ///
    /// # Errors
    /// `EEXIST` if the name is taken or there is a tunnel with these ends, `EOPNOTSUPP` without `CONFIG_NET_IPIP`.
    pub fn add_ipip(&self, name: &str, local: Ipv4Addr) -> Result<(), SetupError> {
        self.check_name(name)?;
        let tunnel = LinkIpIp::new(name).local(local).build();
        self.carry_out(|| format!("add ipip {name} local {local}"), self.handle.link().add(tunnel).execute())
    }

    /// Says whether a link takes part in multicast. Without, the kernel joins no group on it and reports none.
    ///
    /// # Errors
    /// `ENODEV` if there is no such link.
    pub fn set_multicast(&self, name: &str, on: bool) -> Result<(), SetupError> {
        self.set(name, if on { "multicast on" } else { "multicast off" }, |link| link.multicast(on))
    }

    /// Sets how many segments a sender may leave to the link to cut. With 1, TCP hands packets over as they would be on
    /// a wire, and a virtual link counts them so (`sk_setup_caps` in net/core/sock.c, `tcp_tso_segs`).
    ///
    /// # Errors
    /// `ENODEV` if there is no such link, `EINVAL` beyond what it can do.
    pub fn set_gso_segments(&self, name: &str, segments: u32) -> Result<(), SetupError> {
        self.set(name, &format!("gso_max_segs {segments}"), |link| {
            link.append_extra_attribute(LinkAttribute::GsoMaxSegs(segments))
        })
    }
}
