//! Addresses of a link over plain rtnetlink(7): one by one, or thousands in a few system calls.
//!
//! [`Links`](crate::Links) drives a runtime for each request. That is no matter when a lab is built, but would be most
//! of the time when one address after another is added to a link.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST};
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::libc::{
    AF_INET, AF_INET6, AF_UNSPEC, ENODEV, IFA_ADDRESS, IFA_LOCAL, IFLA_IFNAME, IFLA_INFO_KIND, IFLA_LINKINFO,
    RTM_DELADDR, RTM_GETADDR, RTM_GETLINK, RTM_NEWADDR, RTM_NEWLINK,
};

use crate::error::SetupError;
use crate::link::check_name;
use crate::netlink::Requester;
use crate::netlink::message::{Content, Malformed, Writer, add_flags, attributes, messages};

/// Requests in one system call: should the kernel refuse every one, its answers - about 1 KiB of its memory each - still
/// fit the default receive buffer of 208 KiB (`net.core.rmem_default`).
const WINDOW: usize = 128;
/// Bytes of a request that adds or removes an IPv4 address: `nlmsghdr`, `ifaddrmsg` and two attributes. One of IPv6, which
/// has one attribute, is four bytes shorter.
const CHANGE: usize = 16 + 8 + 2 * 8;
/// `struct ifinfomsg`, all zero: any family, any link.
const ANY_LINK: [u8; 16] = [0; 16];

/// An rtnetlink socket in the network namespace of the thread that opened it.
pub struct Addresses {
    requester: Requester,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Add,
    Remove,
}

impl Change {
    fn describe(self, link: u32, address: IpAddr) -> String {
        let verb = match self {
            Change::Add => "add",
            Change::Remove => "remove",
        };
        format!("{verb} address {address}/{} of link {link}", bits(address))
    }

    /// Not acknowledged, unless a flag is added. No broadcast address: a /32 has none.
    fn write(self, buffer: &mut Vec<u8>, sequence: u32, link: u32, address: IpAddr) {
        let (kind, flags) = match self {
            Change::Add => (RTM_NEWADDR, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL),
            Change::Remove => (RTM_DELADDR, NLM_F_REQUEST),
        };
        let mut writer = Writer::start(buffer, kind, flags, sequence);
        // struct ifaddrmsg: family, prefix length, flags, scope (0: RT_SCOPE_UNIVERSE), index.
        let family = if address.is_ipv4() { AF_INET } else { AF_INET6 };
        writer.raw(&[family as u8, bits(address), 0, 0]);
        writer.raw(&link.to_ne_bytes());
        match address {
            IpAddr::V4(address) => {
                writer.attribute(IFA_LOCAL, &address.octets());
                writer.attribute(IFA_ADDRESS, &address.octets());
            }
            IpAddr::V6(address) => writer.attribute(IFA_ADDRESS, &address.octets()),
        }
        writer.finish();
    }
}

/// Prefix length of an address by itself.
const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

impl Addresses {
    /// Opens a socket in the *calling thread's* network namespace; use it inside
    /// [`Namespace::run`](crate::Namespace::run).
    ///
    /// # Errors
    /// If the operating system has no socket left.
    pub fn open() -> Result<Self, SetupError> {
        let requester = Requester::open(NETLINK_ROUTE)
            .map_err(|cause| SetupError::kernel("open an rtnetlink socket", cause))?;
        Ok(Addresses { requester })
    }

    /// Index of the link called `name`; `None` if there is none.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn index(&mut self, name: &str) -> Result<Option<u32>, SetupError> {
        let mut index = None;
        let asked = self.ask(RTM_GETLINK, 0, &link_named(name)?, |kind, body| {
            if kind == RTM_NEWLINK {
                index = Some(u32_at(body, 4)?);
            }
            Ok(())
        });
        match asked {
            Err(cause) if cause.raw_os_error() == Some(ENODEV) => Ok(None),
            Err(cause) => Err(SetupError::kernel(format!("look up link {name}"), cause)),
            Ok(()) => Ok(index),
        }
    }

    /// Indices of all links.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn links(&mut self) -> Result<Vec<u32>, SetupError> {
        let mut indices = Vec::new();
        self.ask(RTM_GETLINK, NLM_F_DUMP, &ANY_LINK, |kind, body| {
            if kind == RTM_NEWLINK {
                indices.push(u32_at(body, 4)?);
            }
            Ok(())
        })
        .map_err(|cause| SetupError::kernel("list links", cause))?;
        Ok(indices)
    }

    /// Creates a dummy link, down.
    ///
    /// # Errors
    /// `EEXIST` if the name is taken, `EOPNOTSUPP` without `CONFIG_DUMMY`.
    pub fn add_dummy(&mut self, name: &str) -> Result<(), SetupError> {
        let mut body = link_named(name)?;
        let mut info = Vec::new();
        put_attribute(&mut info, IFLA_INFO_KIND, b"dummy\0");
        put_attribute(&mut body, IFLA_LINKINFO, &info);
        self.ask(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &body, |_, _| Ok(()))
            .map_err(|cause| SetupError::kernel(format!("add dummy {name}"), cause))
    }

    /// Every address of the namespace, of both families, with the index of its link, in the kernel's order.
    ///
    /// # Errors
    /// If the kernel refuses, or the addresses change meanwhile.
    pub fn list(&mut self) -> Result<Vec<(u32, IpAddr)>, SetupError> {
        let mut addresses = Vec::new();
        self.ask(RTM_GETADDR, NLM_F_DUMP, &[AF_UNSPEC as u8, 0, 0, 0, 0, 0, 0, 0], |kind, body| {
            if kind == RTM_NEWADDR {
                addresses.extend(local_address(body)?);
            }
            Ok(())
        })
        .map_err(|cause| SetupError::kernel("list addresses", cause))?;
        Ok(addresses)
    }

    /// Adds an address as /32 or /128 to the link with this index, and reads the kernel's answer.
    ///
    /// # Errors
    /// `EEXIST` if it is there, `ENODEV` if there is no such link.
    pub fn add(&mut self, link: u32, address: IpAddr) -> Result<(), SetupError> {
        self.window(Change::Add, link, &[address])
    }

    /// Removes an address from the link with this index, and reads the kernel's answer.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` if it is not there, `ENODEV` if there is no such link.
    pub fn remove(&mut self, link: u32, address: IpAddr) -> Result<(), SetupError> {
        self.window(Change::Remove, link, &[address])
    }

    /// Adds many addresses, a hundred or so in each system call.
    ///
    /// # Errors
    /// The first that the kernel refused, as for [`add`](Addresses::add). Others around it may have been added.
    pub fn add_all(&mut self, link: u32, addresses: &[IpAddr]) -> Result<(), SetupError> {
        addresses.chunks(WINDOW).try_for_each(|window| self.window(Change::Add, link, window))
    }

    /// Removes many addresses, as [`add_all`](Addresses::add_all) adds them.
    ///
    /// # Errors
    /// The first that the kernel refused, as for [`remove`](Addresses::remove). Others around it may have been removed.
    pub fn remove_all(&mut self, link: u32, addresses: &[IpAddr]) -> Result<(), SetupError> {
        addresses.chunks(WINDOW).try_for_each(|window| self.window(Change::Remove, link, window))
    }

    /// Only the last request is acknowledged: the kernel takes them in order, so what it refused comes before.
    fn window(&mut self, change: Change, link: u32, addresses: &[IpAddr]) -> Result<(), SetupError> {
        let mut requests = Vec::with_capacity(addresses.len() * CHANGE);
        let (mut first, mut last, mut start) = (None, 0, 0);
        for &address in addresses {
            last = self.requester.sequence(1);
            first.get_or_insert(last);
            start = requests.len();
            change.write(&mut requests, last, link, address);
        }
        let Some(first) = first else { return Ok(()) };
        add_flags(&mut requests, start, NLM_F_ACK);
        let (sequence, cause) = match self.outcome(&requests, last) {
            Ok(None) => return Ok(()),
            Ok(Some(refused)) => refused,
            Err(cause) => (first, cause),
        };
        let index = sequence.wrapping_sub(first) as usize;
        let address = addresses.get(index).copied().unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        Err(SetupError::kernel(change.describe(link, address), cause))
    }

    /// Sends requests; the first refusal up to the answer to `last`, with its sequence number.
    fn outcome(&mut self, requests: &[u8], last: u32) -> io::Result<Option<(u32, io::Error)>> {
        self.requester.drain();
        self.requester.send(requests)?;
        let mut refusal = None;
        loop {
            for message in messages(self.requester.receive()?) {
                let message = message?;
                if let Content::Refused { errno, .. } = message.content()? {
                    refusal.get_or_insert((message.sequence, io::Error::from_raw_os_error(errno)));
                }
                if message.sequence == last {
                    return Ok(refusal);
                }
            }
        }
    }

    /// Sends one request; gives `each` the type and body of every message of the answer, which ends with an
    /// acknowledgement, the end of a dump, or the one message that answers a question.
    fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        body: &[u8],
        mut each: impl FnMut(u16, &[u8]) -> Result<(), Malformed>,
    ) -> io::Result<()> {
        self.requester.drain();
        let sequence = self.requester.sequence(1);
        let mut request = Vec::with_capacity(64);
        let mut writer = Writer::start(&mut request, kind, NLM_F_REQUEST | flags, sequence);
        writer.raw(body);
        writer.finish();
        self.requester.send(&request)?;
        let one_message = flags & (NLM_F_DUMP | NLM_F_ACK) == 0;
        self.requester.read_answer(sequence, |message| {
            if message.interrupted() {
                return Err(io::Error::other("they changed meanwhile; try again when nobody changes them"));
            }
            match message.content()? {
                Content::Acknowledged | Content::Done => return Ok(true),
                Content::Refused { errno, .. } => return Err(io::Error::from_raw_os_error(errno)),
                Content::Data { family: kind, body } => each(kind, body)?,
                Content::Nothing => {}
            }
            Ok(one_message)
        })
    }
}

/// `struct ifinfomsg` and the name of a link.
fn link_named(name: &str) -> Result<Vec<u8>, SetupError> {
    check_name(name, "this namespace")?;
    let mut body = ANY_LINK.to_vec();
    put_attribute(&mut body, IFLA_IFNAME, &[name.as_bytes(), b"\0"].concat());
    Ok(body)
}

/// An attribute outside a message. `value` must be shorter than 64 KiB.
fn put_attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend((4 + value.len() as u16).to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn u32_at(body: &[u8], at: usize) -> Result<u32, Malformed> {
    let bytes = body.get(at..).and_then(|rest| rest.first_chunk().copied());
    bytes.map(u32::from_ne_bytes).ok_or_else(|| Malformed(format!("{} bytes are too few", body.len())))
}

/// Link and address of an `RTM_NEWADDR`, if it has one.
fn local_address(body: &[u8]) -> Result<Option<(u32, IpAddr)>, Malformed> {
    let link = u32_at(body, 4)?;
    // In IPv4 IFA_ADDRESS is the far end of a point-to-point link (include/uapi/linux/if_addr.h).
    let wanted = match body.first().copied().map(i32::from) {
        Some(AF_INET) => IFA_LOCAL,
        Some(AF_INET6) => IFA_ADDRESS,
        _ => return Ok(None),
    };
    for attribute in attributes(body.get(8..).unwrap_or_default()) {
        let (kind, value) = attribute?;
        if kind != wanted {
            continue;
        }
        let length = |_| Malformed(format!("an address has {} bytes", value.len()));
        let address = match wanted {
            IFA_LOCAL => <[u8; 4]>::try_from(value).map(IpAddr::from).map_err(length)?,
            _ => <[u8; 16]>::try_from(value).map(IpAddr::from).map_err(length)?,
        };
        return Ok(Some((link, address)));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_change_is_laid_out_as_the_kernel_expects() {
        // The structures of rtnetlink(7), little-endian, as for `ip address add 10.96.0.10/32` on link 7.
        let mut buffer = Vec::new();
        Change::Add.write(&mut buffer, 9, 7, IpAddr::from([10, 96, 0, 10]));
        let expected: [u8; CHANGE] = [
            40, 0, 0, 0, 20, 0, 0x01, 0x06, 9, 0, 0, 0, 0, 0, 0,
            0, // nlmsghdr: RTM_NEWADDR, REQUEST|CREATE|EXCL
            2, 32, 0, 0, 7, 0, 0, 0, // ifaddrmsg
            8, 0, 2, 0, 10, 96, 0, 10, // IFA_LOCAL
            8, 0, 1, 0, 10, 96, 0, 10, // IFA_ADDRESS
        ];
        assert_eq!(buffer, expected);
    }

    /// Needs no privilege: every namespace lets anybody read, and this process's has `lo`.
    #[test]
    fn the_loopback_is_found_and_nothing_else_is() {
        let mut addresses = Addresses::open().unwrap();
        let lo = addresses.index("lo").unwrap().unwrap();
        assert!(addresses.links().unwrap().contains(&lo));
        assert!(addresses.list().unwrap().contains(&(lo, Ipv4Addr::LOCALHOST.into())));
        assert_eq!(addresses.index("svcbench-none").unwrap(), None);
        assert_eq!(addresses.index("lo").unwrap(), Some(lo), "and again after a refusal");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(link: u32, address: IpAddr) {
            let mut buffer = Vec::new();
            Change::Remove.write(&mut buffer, 1, link, address);
            let message = messages(&buffer).next().unwrap().unwrap();
            prop_assert_eq!(local_address(message.body).unwrap(), Some((link, address)));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = local_address(&bytes);
        }
    }
}
