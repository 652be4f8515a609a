//! The server's UDP socket: DNS questions, answered from the address that they were sent to.

use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmsg, sendmmsg,
    setsockopt, sockopt,
};

use crate::load::dns::{self, ROOM};

/// Questions answered before other sockets have their turn.
const BURST: usize = 64;
/// Room for queued questions, bytes; the kernel may give less (net.core.rmem_max).
const QUEUE: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct Datagrams {
    socket: UdpSocket,
    port: u16,
}

/// Memory for one message at a time: `sendmsg` of nix would allocate some for each. It stays with its thread.
pub(super) struct Room {
    headers: MultiHeaders<SockaddrStorage>,
    control: Vec<u8>,
}

impl Room {
    pub(super) fn new() -> Room {
        let room = || nix::cmsg_space!(libc::in6_pktinfo);
        Room { headers: MultiHeaders::preallocate(1, Some(room())), control: room() }
    }
}

/// Which address a question was sent to, in the form in which the answer's source is asked for.
enum Local {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Datagrams {
    pub(super) fn new(socket: UdpSocket, address: SocketAddr) -> Result<Datagrams, Errno> {
        match address {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
        // More is better, and less is no error.
        let _ = setsockopt(&socket, sockopt::RcvBuf, &QUEUE);
        Ok(Datagrams { socket, port: address.port() })
    }

    pub(super) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Answers the questions that wait, as `name` or as the address that each was sent to; how many.
    pub(super) fn answer(&self, name: Option<SocketAddr>, room: &mut Room) -> u64 {
        let (mut question, mut answer) = ([0; ROOM], [0; ROOM]);
        let mut answered = 0;
        for _ in 0..BURST {
            let Some((length, from, local)) = self.receive(&mut question, &mut room.control) else { break };
            let endpoint = name.unwrap_or_else(|| SocketAddr::new(local.address(), self.port));
            let Some(length) = dns::answer(&question[..length], endpoint, &mut answer) else { continue };
            answered += u64::from(self.send(&answer[..length], from, &local, &mut room.headers));
        }
        answered
    }

    fn receive(
        &self,
        question: &mut [u8; ROOM],
        control: &mut [u8],
    ) -> Option<(usize, SockaddrStorage, Local)> {
        let mut parts = [IoSliceMut::new(question)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut parts, Some(control), flags)
            // That an answer before found nobody is reported here, too (udp(7)).
            .ok()?;
        let local = message.cmsgs().ok()?.find_map(|control| match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(Local::V4(info)),
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(Local::V6(info)),
            _ => None,
        });
        Some((message.bytes, message.address?, local?))
    }

    fn send(
        &self,
        answer: &[u8],
        to: SockaddrStorage,
        local: &Local,
        headers: &mut MultiHeaders<SockaddrStorage>,
    ) -> bool {
        let (mut v4, mut v6);
        let control = match local {
            Local::V4(info) => {
                v4 = *info;
                // The source is what the question's header had; the kernel finds the way itself.
                (v4.ipi_spec_dst, v4.ipi_ifindex) = (info.ipi_addr, 0);
                [ControlMessage::Ipv4PacketInfo(&v4)]
            }
            Local::V6(info) => {
                v6 = *info;
                v6.ipi6_ifindex = 0;
                [ControlMessage::Ipv6PacketInfo(&v6)]
            }
        };
        let parts = [[IoSlice::new(answer)]];
        let flags = MsgFlags::MSG_DONTWAIT;
        sendmmsg(self.socket.as_raw_fd(), headers, &parts, [Some(to)], control, flags).is_ok()
    }
}

impl Local {
    fn address(&self) -> IpAddr {
        match self {
            Local::V4(info) => Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into(),
            Local::V6(info) => Ipv6Addr::from(info.ipi6_addr.s6_addr).into(),
        }
    }
}
