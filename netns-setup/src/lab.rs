//! Topology (data) to Lab: a client, a node and a server, each in a namespace of its own.
//!
//! ```text
//!   client                     node                                  server
//!   client_prefix = local      probe-in (TUN) <- probe_prefix        endpoint_prefix = local
//!   to-node ------------------ to-client        to-server ---------- to-node
//!                              probe-out (TUN)
//!                              endpoint_prefix -> probe-out | to-server   (steer)
//! ```

use std::net::{Ipv4Addr, Ipv6Addr};
use std::thread;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nix::libc::ENOENT;

use crate::error::{SetupError, TopologyError};
use crate::link::{Links, Mac, Route, VethEnd};
use crate::namespace::Namespace;
use crate::tun::{Tun, TunOptions};

/// Who has which addresses. Pure data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Name of the lab in messages and thread names.
    pub label: String,
    /// Sources of packets written into the ingress TUN; the node routes them back to it.
    pub probe_prefix: Ipv4Net,
    /// Sources of sockets in the client: each address is local there, so a socket can bind to any of them.
    pub client_prefix: Ipv4Net,
    /// Routed by the client to the node. The node has no route for it: what happens there is the dataplane's affair.
    pub service_prefix: Ipv4Net,
    /// Answered by the server, every address of it, through one local route.
    pub endpoint_prefix: Ipv4Net,
    /// The node's own address, on all its links; what masqueraded packets carry.
    pub node_address: Ipv4Addr,
}

/// Blocks that the kernel does not forward (ip_route_input_slow in net/ipv4/route.c, ip6_forward in
/// net/ipv6/ip6_output.c).
const RESERVED: [(IpNet, &str); 6] = [
    (ipv4(Ipv4Addr::UNSPECIFIED, 8), "\"this network\""),
    (ipv4(Ipv4Addr::new(127, 0, 0, 0), 8), "loopback"),
    (ipv4(Ipv4Addr::new(224, 0, 0, 0), 3), "multicast and reserved"),
    (ipv6(Ipv6Addr::UNSPECIFIED, 127), "unspecified and loopback"),
    (ipv6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10), "link-local"),
    (ipv6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8), "multicast"),
];

const fn ipv4(address: Ipv4Addr, length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(address, length))
}

const fn ipv6(address: Ipv6Addr, length: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(address, length))
}

impl Topology {
    /// Checks that every address has one meaning.
    ///
    /// # Errors
    /// The first two fields that overlap, or a field in a block that is not forwarded.
    pub fn validate(&self) -> Result<(), TopologyError> {
        let fields = [
            ("probe_prefix", self.probe_prefix),
            ("client_prefix", self.client_prefix),
            ("service_prefix", self.service_prefix),
            ("endpoint_prefix", self.endpoint_prefix),
            ("node_address", Ipv4Net::from(self.node_address)),
        ];
        check_prefixes(&fields)
    }
}

/// That every address has one meaning, and can be forwarded.
pub(crate) fn check_prefixes<P: Into<IpNet> + Copy>(
    fields: &[(&'static str, P)],
) -> Result<(), TopologyError> {
    let fields: Vec<(&str, IpNet)> = fields.iter().map(|&(field, prefix)| (field, prefix.into())).collect();
    for (index, &(field, prefix)) in fields.iter().enumerate() {
        let prefix = prefix.trunc();
        if let Some(&(reserved, why)) = RESERVED.iter().find(|(block, _)| overlap(*block, prefix)) {
            return Err(TopologyError::Reserved { field, prefix, reserved, why });
        }
        if let Some(&(first, first_prefix)) =
            fields[..index].iter().find(|(_, other)| overlap(*other, prefix))
        {
            return Err(TopologyError::Overlap {
                first,
                first_prefix: first_prefix.trunc(),
                second: field,
                second_prefix: prefix,
            });
        }
    }
    Ok(())
}

fn overlap(a: IpNet, b: IpNet) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// Where the node sends the endpoint prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Egress {
    /// To the egress TUN, where the packet probe reads.
    Tun,
    /// Over the veth pair to the server, where sockets answer.
    Server,
}

/// Three namespaces, wired. Dropping it removes all of it, and waits some tens of milliseconds for the kernel to
/// unregister the TUNs; the rest goes in the background.
pub struct Lab {
    /// Where sockets connect from.
    pub client: Namespace,
    /// Where the dataplane lives.
    pub node: Namespace,
    /// Where the endpoints answer.
    pub server: Namespace,
    ingress: Tun,
    egress: Tun,
    to_tun: Route,
    to_server: Route,
}

pub(crate) const INGRESS: &str = "probe-in";
const EGRESS: &str = "probe-out";
const TO_CLIENT: &str = "to-client";
const TO_SERVER: &str = "to-server";
const TO_NODE: &str = "to-node";

/// Locally administered (IEEE 802), and the same in every lab: links of different labs never meet.
pub(crate) const fn mac(last: u8) -> Mac {
    [0x02, 0, 0, 0, 0, last]
}
const NODE_TO_CLIENT: VethEnd<'_> = VethEnd { name: TO_CLIENT, mac: mac(1) };
const CLIENT_TO_NODE: VethEnd<'_> = VethEnd { name: TO_NODE, mac: mac(2) };
const NODE_TO_SERVER: VethEnd<'_> = VethEnd { name: TO_SERVER, mac: mac(3) };
const SERVER_TO_NODE: VethEnd<'_> = VethEnd { name: TO_NODE, mac: mac(4) };

impl Lab {
    /// Builds the three namespaces and wires them; the endpoint prefix is steered to [`Egress::Tun`].
    ///
    /// # Errors
    /// [`SetupError::Topology`] for addresses that cannot work, else what the kernel refused. Nothing is left behind.
    pub fn build(topology: &Topology) -> Result<Lab, SetupError> {
        topology.validate()?;
        let [client, node, server] = namespaces(&topology.label)?;

        let tun = |name| Tun::open(&node, name, TunOptions { nonblocking: true, ..TunOptions::default() });
        let (ingress, egress) = (tun(INGRESS)?, tun(EGRESS)?);

        let node_address = Ipv4Net::from(topology.node_address);
        let client_address = Ipv4Net::from(first_host(topology.client_prefix));
        let server_address = Ipv4Net::from(first_host(topology.endpoint_prefix));
        let to_tun = Route::device(topology.endpoint_prefix, EGRESS);
        let to_server = Route::via(topology.endpoint_prefix, server_address.addr(), TO_SERVER);

        node.links(|links| {
            links.add_veth(NODE_TO_CLIENT, CLIENT_TO_NODE, client.fd())?;
            links.add_veth(NODE_TO_SERVER, SERVER_TO_NODE, server.fd())
        })?;
        // The far ends first: a veth has a carrier when both ends are up.
        let far = |links: &Links, address: Ipv4Net, own: Ipv4Net, reached: &[Ipv4Net], near: VethEnd<'_>| {
            links.add_address(TO_NODE, address)?;
            links.set_up(TO_NODE)?;
            links.add_neighbour(TO_NODE, node_address.addr(), near.mac)?;
            links.add_route(&Route::local(own))?;
            reached
                .iter()
                .try_for_each(|&prefix| links.add_route(&Route::via(prefix, node_address.addr(), TO_NODE)))
        };
        let Topology { probe_prefix, client_prefix, service_prefix, endpoint_prefix, .. } = *topology;
        client.links(|links| {
            let reached = [node_address, service_prefix, endpoint_prefix];
            far(links, client_address, client_prefix, &reached, NODE_TO_CLIENT)
        })?;
        server.links(|links| {
            let reached = [node_address, probe_prefix, client_prefix, service_prefix];
            far(links, server_address, endpoint_prefix, &reached, NODE_TO_SERVER)
        })?;
        node.links(|links| {
            for link in [INGRESS, EGRESS, TO_CLIENT, TO_SERVER] {
                // MASQUERADE takes the address of the link that a packet leaves by, and drops the packet if there is
                // none (nf_nat_masquerade_ipv4).
                links.add_address(link, node_address)?;
                links.set_up(link)?;
            }
            links.add_neighbour(TO_CLIENT, client_address.addr(), CLIENT_TO_NODE.mac)?;
            links.add_neighbour(TO_SERVER, server_address.addr(), SERVER_TO_NODE.mac)?;
            links.add_route(&Route::device(probe_prefix, INGRESS))?;
            links.add_route(&Route::via(client_prefix, client_address.addr(), TO_CLIENT))?;
            links.add_route(&to_tun)?;
            links.wait_until_operational([TO_CLIENT, TO_SERVER])
        })?;
        for far in [&client, &server] {
            far.links(|links| links.wait_until_operational([TO_NODE]))?;
        }
        Ok(Lab { client, node, server, ingress, egress, to_tun, to_server })
    }

    /// Packets written here enter the node's forwarding path; answers to `probe_prefix` are read here. Non-blocking.
    pub fn ingress(&self) -> &Tun {
        &self.ingress
    }

    /// Packets to `endpoint_prefix` are read here while steered to [`Egress::Tun`]. Non-blocking.
    pub fn egress(&self) -> &Tun {
        &self.egress
    }

    /// Sends the endpoint prefix elsewhere; in force when it returns, for known flows too.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn steer(&self, egress: Egress) -> Result<(), SetupError> {
        let route = match egress {
            Egress::Tun => &self.to_tun,
            Egress::Server => &self.to_server,
        };
        self.node.links(|links| links.replace_route(route))
    }
}

impl Lab {
    /// Packets of the node to addresses that no prefix of its topology has are read at the egress TUN from now on, instead of
    /// being unroutable: for endpoints anywhere, as a real node has a default route.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn catch_all(&self) -> Result<(), SetupError> {
        self.node.links(|links| links.add_route(&Route::device(Ipv4Net::default(), EGRESS)))
    }
}

impl Lab {
    /// Packets of the node to these prefixes, too, are read at the egress TUN, wherever the endpoint prefix is steered: for
    /// endpoints that are not in one prefix.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn read_also(&self, prefixes: &[Ipv4Net]) -> Result<(), SetupError> {
        self.node.links(|links| {
            prefixes.iter().try_for_each(|&prefix| links.add_route(&Route::device(prefix, EGRESS)))
        })
    }

    /// Undoes [`read_also`](Lab::read_also) for these prefixes.
    ///
    /// # Errors
    /// What the kernel refused, as for one that is not read.
    pub fn read_no_longer(&self, prefixes: &[Ipv4Net]) -> Result<(), SetupError> {
        self.node.links(|links| {
            prefixes.iter().try_for_each(|&prefix| links.delete_route(&Route::device(prefix, EGRESS)))
        })
    }
}

/// The address that stands for a prefix on a link.
fn first_host(prefix: Ipv4Net) -> Ipv4Addr {
    prefix.hosts().next().unwrap_or(prefix.network())
}

/// A namespace with these sysctls, and quiet.
pub(crate) fn quiet_namespace(label: &str, settings: &[(&str, &str)]) -> Result<Namespace, SetupError> {
    tuned_namespace(label, &[settings, &ANY_WAY, &NO_IPV6].concat())
}

/// A namespace with these sysctls.
pub(crate) fn tuned_namespace(label: &str, settings: &[(&str, &str)]) -> Result<Namespace, SetupError> {
    let namespace = Namespace::create(label)?;
    settings.iter().try_for_each(|(key, value)| {
        match namespace.set_sysctl(key, value) {
            // A kernel without IPv6 has none to switch off.
            Err(error) if key.starts_with("net.ipv6") && error.raw_os_error() == Some(ENOENT) => Ok(()),
            result => result,
        }
    })?;
    Ok(namespace)
}

/// Client, node and server, side by side: creating a network namespace mostly waits for the kernel.
fn namespaces(label: &str) -> Result<[Namespace; 3], SetupError> {
    let make = |role: &str, settings| quiet_namespace(&format!("{label}/{role}"), settings);
    thread::scope(|scope| {
        let client = scope.spawn(|| make("client", &CLIENT));
        let server = scope.spawn(|| make("server", &[]));
        let node = make("node", &ROUTER);
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        Ok([join(client)?, node?, join(server)?])
    })
}

/// Before any link exists: a new link takes `default`, and `all` counts as well (ip-sysctl.rst). Set in every namespace
/// since a new one copies the host's IPv4 settings (net.core.devconf_inherit_init_net).
/// Replies leave by other links than requests came by, and any address may send.
pub(crate) const ANY_WAY: [(&str, &str); 2] =
    [("net.ipv4.conf.all.rp_filter", "0"), ("net.ipv4.conf.default.rp_filter", "0")];
/// Router solicitations and duplicate address detection would turn up among the packets on a TUN.
const NO_IPV6: [(&str, &str); 2] =
    [("net.ipv6.conf.all.disable_ipv6", "1"), ("net.ipv6.conf.default.disable_ipv6", "1")];
pub(crate) const ROUTER: [(&str, &str); 3] = [
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv4.conf.all.send_redirects", "0"),
    ("net.ipv4.conf.default.send_redirects", "0"),
];
/// Ports for outgoing connections: as many as there are beyond the privileged ones.
pub(crate) const CLIENT: [(&str, &str); 1] = [("net.ipv4.ip_local_port_range", "1024 65535")];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn topology() -> Topology {
        Topology {
            label: "test".into(),
            probe_prefix: "100.64.0.0/12".parse().unwrap(),
            client_prefix: "172.16.0.0/16".parse().unwrap(),
            service_prefix: "10.96.0.0/12".parse().unwrap(),
            endpoint_prefix: "10.128.0.0/9".parse().unwrap(),
            node_address: "192.0.2.1".parse().unwrap(),
        }
    }

    #[test]
    fn disjoint_prefixes_are_fine() {
        topology().validate().unwrap();
    }

    #[test]
    fn an_overlap_names_both_fields() {
        let mut wrong = topology();
        wrong.endpoint_prefix = "10.100.0.0/16".parse().unwrap();
        assert_eq!(
            wrong.validate().unwrap_err().to_string(),
            "service_prefix 10.96.0.0/12 overlaps endpoint_prefix 10.100.0.0/16: choose disjoint prefixes"
        );
        let mut wrong = topology();
        wrong.node_address = "172.16.9.9".parse().unwrap();
        assert_eq!(
            wrong.validate().unwrap_err().to_string(),
            "client_prefix 172.16.0.0/16 overlaps node_address 172.16.9.9/32: choose disjoint prefixes"
        );
    }

    #[test]
    fn host_bits_do_not_hide_an_overlap() {
        let mut wrong = topology();
        wrong.probe_prefix = "10.200.1.2/8".parse().unwrap();
        assert!(matches!(wrong.validate(), Err(TopologyError::Overlap { second: "service_prefix", .. })));
    }

    #[test]
    fn blocks_that_are_not_forwarded_are_refused() {
        let mut wrong = topology();
        wrong.client_prefix = "127.1.0.0/16".parse().unwrap();
        assert_eq!(
            wrong.validate().unwrap_err().to_string(),
            "client_prefix 127.1.0.0/16 overlaps 127.0.0.0/8, which is not forwarded (loopback): choose another prefix"
        );
        wrong.client_prefix = "0.0.0.0/0".parse().unwrap();
        assert!(matches!(wrong.validate(), Err(TopologyError::Reserved { .. })));
    }

    fn prefix() -> impl Strategy<Value = Ipv4Net> {
        (any::<u32>(), 1u8..=32).prop_map(|(bits, length)| Ipv4Net::new_assert(Ipv4Addr::from(bits), length))
    }

    proptest! {
        /// The definition, by the first and last address, against the shortcut.
        #[test]
        fn overlap_means_a_common_address(a in prefix(), b in prefix()) {
            let common = a.network() <= b.broadcast() && b.network() <= a.broadcast();
            prop_assert_eq!(overlap(a.into(), b.into()), common);
            prop_assert_eq!(overlap(b.into(), a.into()), common);
        }

        #[test]
        fn the_first_host_is_in_its_prefix(prefix in prefix()) {
            prop_assert!(prefix.contains(&first_host(prefix)));
        }
    }
}
