//! What is heard: at the devices, and by raw sockets on the node itself.
//!
//! Raw sockets get a copy of every packet that the node's own stack receives, after all rules of the input path and whether
//! or not anybody listens (raw(7); `ip_protocol_deliver_rcu` in net/ipv4/ip_input.c, `ip6_protocol_deliver_rcu` in
//! net/ipv6/ip6_input.c). So they tell what is delivered locally from what is rejected on the way there, though to the
//! sender both may look the same.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};

use netns_setup::single_node::SingleNode;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, recv,
    recvmsg, setsockopt, socket, sockopt,
};
use services::service::Family;
use workloads::wire::{self, Checksums, Malformed, Message};

use super::{Location, OracleError};

/// Longer than any link's packets: whoever else talks over the loopback fills its MTU.
const BUFFER: usize = 1 << 16;

/// Something that came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub at: Location,
    pub message: Message,
}

/// Raw sockets, of both families.
pub(super) struct Capture {
    ipv4: Vec<OwnedFd>,
    /// With the protocol's number: these give no headers.
    ipv6: Vec<(OwnedFd, u8)>,
    buffer: Vec<u8>,
}

impl Capture {
    /// Opens them in the network namespace of the calling thread.
    pub(super) fn open() -> nix::Result<Capture> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let open = |family, protocol| socket(family, SockType::Raw, flags, protocol);
        let transports = [SockProtocol::Tcp, SockProtocol::Udp, SockProtocol::Sctp];
        let of = |icmp| transports.into_iter().chain([icmp]);
        let ipv4 = of(SockProtocol::Icmp).map(|protocol| open(AddressFamily::Inet, protocol));
        let ipv6 = of(SockProtocol::IcmpV6).map(|protocol| {
            let ear = open(AddressFamily::Inet6, protocol)?;
            setsockopt(&ear, sockopt::Ipv6RecvPacketInfo, &true)?;
            Ok((ear, protocol as i32 as u8))
        });
        Ok(Capture {
            ipv4: ipv4.collect::<nix::Result<_>>()?,
            ipv6: ipv6.collect::<nix::Result<_>>()?,
            buffer: vec![0; BUFFER],
        })
    }

    /// Everything of a family that has come out since it was last asked. Does not wait.
    pub(super) fn hear(
        &mut self,
        single_node: &SingleNode,
        family: Family,
    ) -> Result<Vec<Heard>, OracleError> {
        let mut heard = Vec::new();
        for (at, device) in [
            (Location::Outside, &single_node.outside),
            (Location::LocalPod, &single_node.local_pods),
            (Location::RemotePod, &single_node.remote_pods),
        ] {
            loop {
                match device.receive(&mut self.buffer) {
                    Ok(length) => {
                        let packet = wire::parse(&self.buffer[..length], Checksums::Verify);
                        keep(&mut heard, at, packet)?;
                    }
                    Err(why) if why.kind() == io::ErrorKind::WouldBlock => break,
                    Err(why) => return Err(OracleError::Device { call: "read", place: at, why }),
                }
            }
        }
        let buffer = &mut self.buffer[..];
        match family {
            Family::Ipv4 => {
                for ear in &self.ipv4 {
                    while let Some(length) = some(recv(ear.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT))? {
                        // What came over lo has no checksums.
                        keep(&mut heard, Location::Node, wire::parse(&buffer[..length], Checksums::Skip))?;
                    }
                }
            }
            Family::Ipv6 => {
                for (ear, protocol) in &self.ipv6 {
                    while let Some((from, to, length)) = some(receive_ipv6(ear, buffer))? {
                        let payload = &buffer[..length];
                        let packet = wire::parse_payload(from, to, *protocol, payload, Checksums::Skip);
                        keep(&mut heard, Location::Node, packet)?;
                    }
                }
            }
        }
        Ok(heard)
    }
}

/// What a socket has received, if anything.
fn some<T>(received: nix::Result<T>) -> Result<Option<T>, OracleError> {
    match received {
        Ok(value) => Ok(Some(value)),
        Err(Errno::EAGAIN) => Ok(None),
        Err(why) => Err(OracleError::Device { call: "read", place: Location::Node, why: why.into() }),
    }
}

/// Puts what is not somebody else's to the rest.
fn keep(heard: &mut Vec<Heard>, at: Location, read: Result<Message, Malformed>) -> Result<(), OracleError> {
    match read {
        Ok(message) => heard.push(Heard { at, message }),
        Err(defect) if defect.is_foreign() => {}
        Err(defect) => return Err(OracleError::Damaged { place: at, defect }),
    }
    Ok(())
}

/// Source, destination, and length of the payload.
fn receive_ipv6(ear: &OwnedFd, buffer: &mut [u8]) -> nix::Result<(IpAddr, IpAddr, usize)> {
    let mut space = nix::cmsg_space!(nix::libc::in6_pktinfo);
    let mut parts = [IoSliceMut::new(buffer)];
    let message =
        recvmsg::<SockaddrIn6>(ear.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_DONTWAIT)?;
    let from = message.address.map(|address| *SocketAddrV6::from(address).ip());
    let to = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(info.ipi6_addr.s6_addr.into()),
        _ => None,
    });
    let (from, to) = from.zip(to).ok_or(Errno::EBADMSG)?;
    Ok((IpAddr::V6(from), IpAddr::V6(to), message.bytes))
}
