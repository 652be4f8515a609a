//! Dumps over nfnetlink.

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use services::service::Family;

/// Attributes of a netlink message: (type without flags, value).
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (&[l0, l1, t0, t1], _) = bytes.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([t0, t1]) & 0x3fff, value))
    })
}

/// The first attribute of a type.
pub fn attribute(message: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(message).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// A nfnetlink socket of the namespace in which it was opened.
pub struct Netfilter {
    socket: Socket,
    buffer: Vec<u8>,
    subsystem: u16,
    family: u8,
}

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const DUMP_REQUEST: u16 = 0x301;
const DUMP_INTERRUPTED: u16 = 0x10;

impl Netfilter {
    /// For one of the subsystems in include/uapi/linux/netfilter/nfnetlink.h, and what one family has in it.
    pub fn open(subsystem: u8, family: Family) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let family = match family {
            Family::Ipv4 => nix::libc::AF_INET,
            Family::Ipv6 => nix::libc::AF_INET6,
        };
        // The kernel fills at most 32 KiB at once (netlink_dump, net/netlink/af_netlink.c).
        let buffer = Vec::with_capacity(1 << 16);
        Ok(Self { socket, buffer, subsystem: u16::from(subsystem) << 8, family: family as u8 })
    }

    /// Calls `each` with the attributes of every object.
    pub fn dump(&mut self, get: u16, which: &[(u16, &[u8])], mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut request = vec![0; 16];
        request.extend([self.family, 0, 0, 0]);
        for (kind, value) in which {
            request.extend((value.len() as u16 + 4).to_ne_bytes());
            request.extend(kind.to_ne_bytes());
            request.extend(*value);
            request.resize(request.len().next_multiple_of(4), 0);
        }
        let length = request.len() as u32;
        request[..4].copy_from_slice(&length.to_ne_bytes());
        request[4..6].copy_from_slice(&(self.subsystem | get).to_ne_bytes());
        request[6..8].copy_from_slice(&DUMP_REQUEST.to_ne_bytes());
        self.socket.send(&request, 0)?;

        loop {
            self.buffer.clear();
            self.socket.recv(&mut self.buffer, 0)?;
            let mut rest = self.buffer.as_slice();
            while let Some((header, _)) = rest.split_first_chunk::<16>() {
                let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
                let kind = u16::from_ne_bytes([header[4], header[5]]);
                if u16::from_ne_bytes([header[6], header[7]]) & DUMP_INTERRUPTED != 0 {
                    return Err(io::Error::other("it changed while it was read"));
                }
                let Some(body) = rest.get(16..length) else {
                    return Err(io::Error::other("a message was cut off"));
                };
                match kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => {
                        let code = body.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                        return Err(io::Error::from_raw_os_error(-code));
                    }
                    _ => each(body.get(4..).unwrap_or_default()),
                }
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}
