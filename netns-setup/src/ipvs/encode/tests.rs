//! Golden bytes, and a reader of requests that follows the kernel's: ip_vs_genl_set_cmd, ip_vs_genl_get_cmd,
//! ip_vs_genl_parse_service and ip_vs_genl_parse_dest, with the lengths of their policies.

use std::collections::BTreeMap;

use netlink_packet_core::NLM_F_ACK;
use proptest::prelude::*;

use super::*;
use crate::ipvs::{MH_PORT, Scheduler, arbitrary};
use crate::netlink::message::{Content, attributes, messages, text};

fn bytes(request: &Request, flags: u16) -> Vec<u8> {
    let mut buffer = Vec::new();
    encode(&mut buffer, 0x1c, 7, flags, request);
    buffer
}

/// Hexadecimal digits, with comments.
fn golden(text: &str) -> Vec<u8> {
    let digits = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let digits = digits.flat_map(str::split_ascii_whitespace);
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// Derived by hand from include/uapi/linux/{netlink,genetlink,ip_vs}.h: `struct nlmsghdr` and `struct genlmsghdr`, then
/// attributes (`struct nlattr`: 16-bit length without padding, 16-bit type), all in host order but addresses and ports.
#[cfg(target_endian = "little")]
mod golden_bytes {
    use super::*;

    #[test]
    fn delete_a_virtual_server() {
        let expected = "
            44 00 00 00 1c 00 05 00 07 00 00 00 00 00 00 00  # 68 bytes, family 28, REQUEST|ACK, sequence 7
            03 01 00 00                                      # IPVS_CMD_DEL_SERVICE, version 1
            30 00 01 80                                      # IPVS_CMD_ATTR_SERVICE, nested
            06 00 01 00 02 00 00 00                          # IPVS_SVC_ATTR_AF: AF_INET
            06 00 02 00 06 00 00 00                          # IPVS_SVC_ATTR_PROTOCOL: IPPROTO_TCP
            14 00 03 00 0a 60 00 0a                          # IPVS_SVC_ATTR_ADDR: 10.96.0.10
            00 00 00 00 00 00 00 00 00 00 00 00              #   and the rest of the union
            06 00 04 00 00 50 00 00                          # IPVS_SVC_ATTR_PORT: 80";
        let request = "-D -t 10.96.0.10:80".parse().unwrap();
        assert_eq!(bytes(&request, NLM_F_ACK), golden(expected));
    }

    #[test]
    fn add_a_persistent_virtual_server_with_a_scheduler_flag() {
        let expected = "
            68 00 00 00 1c 00 05 00 07 00 00 00 00 00 00 00
            01 01 00 00                                      # IPVS_CMD_NEW_SERVICE
            54 00 01 80
            06 00 01 00 02 00 00 00
            06 00 02 00 06 00 00 00
            14 00 03 00 0a 60 00 0a 00 00 00 00 00 00 00 00 00 00 00 00
            06 00 04 00 00 50 00 00
            07 00 06 00 6d 68 00 00                          # IPVS_SVC_ATTR_SCHED_NAME: mh
            0c 00 07 00 11 00 00 00 ff ff ff ff              # IPVS_SVC_ATTR_FLAGS: PERSISTENT|SCHED2, mask
            08 00 08 00 30 2a 00 00                          # IPVS_SVC_ATTR_TIMEOUT: 10800
            08 00 09 00 ff ff ff ff                          # IPVS_SVC_ATTR_NETMASK: 255.255.255.255";
        let request = "-A -t 10.96.0.10:80 -s mh -p 10800 -b mh-port".parse().unwrap();
        assert_eq!(bytes(&request, NLM_F_ACK), golden(expected));
    }

    #[test]
    fn add_a_real_server_over_ipv6() {
        let expected = "
            8c 00 00 00 1c 00 01 00 07 00 00 00 00 00 00 00  # in a batch: REQUEST only
            05 01 00 00                                      # IPVS_CMD_NEW_DEST
            30 00 01 80
            06 00 01 00 0a 00 00 00                          # AF_INET6
            06 00 02 00 11 00 00 00                          # IPPROTO_UDP
            14 00 03 00 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01
            06 00 04 00 00 35 00 00
            48 00 02 80                                      # IPVS_CMD_ATTR_DEST, nested
            06 00 0b 00 0a 00 00 00                          # IPVS_DEST_ATTR_ADDR_FAMILY: AF_INET6
            14 00 01 00 20 01 0d b8 00 01 00 00 00 00 00 00 00 00 00 02  # IPVS_DEST_ATTR_ADDR
            06 00 02 00 14 e9 00 00                          # IPVS_DEST_ATTR_PORT: 5353
            08 00 03 00 03 00 00 00                          # IPVS_DEST_ATTR_FWD_METHOD: IP_VS_CONN_F_DROUTE
            08 00 04 00 01 00 00 00                          # IPVS_DEST_ATTR_WEIGHT: 1
            08 00 05 00 00 00 00 00                          # IPVS_DEST_ATTR_U_THRESH: 0
            08 00 06 00 00 00 00 00                          # IPVS_DEST_ATTR_L_THRESH: 0";
        let request = "-a -u [2001:db8::1]:53 -r [2001:db8:1::2]:5353 -g -w 1".parse().unwrap();
        assert_eq!(bytes(&request, 0), golden(expected));
    }

    #[test]
    fn list_and_flush() {
        let list = "14 00 00 00 1c 00 01 03 07 00 00 00 00 00 00 00  # REQUEST|DUMP
                    04 01 00 00                                      # IPVS_CMD_GET_SERVICE";
        assert_eq!(bytes(&Request::ListServices, 0), golden(list));
        let flush = "14 00 00 00 1c 00 05 00 07 00 00 00 00 00 00 00
                     11 01 00 00                                     # IPVS_CMD_FLUSH";
        assert_eq!(bytes(&Request::Flush, NLM_F_ACK), golden(flush));
    }
}

type Attributes = BTreeMap<u16, Vec<u8>>;

fn parse(bytes: &[u8]) -> Attributes {
    let found = attributes(bytes).map(|attribute| attribute.unwrap());
    found.map(|(kind, value)| (kind, value.to_vec())).collect()
}

fn number<const N: usize>(value: &[u8]) -> [u8; N] {
    value.try_into().unwrap()
}

fn u16_of(attributes: &Attributes, kind: u16) -> u16 {
    u16::from_ne_bytes(number(&attributes[&kind]))
}

fn u32_of(attributes: &Attributes, kind: u16) -> u32 {
    u32::from_ne_bytes(number(&attributes[&kind]))
}

fn address(attributes: &Attributes, family: u16, address: u16, port: u16) -> SocketAddr {
    let union = number::<16>(&attributes[&address]);
    let ip = match i32::from(u16_of(attributes, family)) {
        libc::AF_INET => {
            assert_eq!(union[4..], [0; 12]);
            IpAddr::from(*union.first_chunk::<4>().unwrap())
        }
        libc::AF_INET6 => IpAddr::from(union),
        other => panic!("EAFNOSUPPORT: {other}"),
    };
    SocketAddr::new(ip, u16::from_be_bytes(number(&attributes[&port])))
}

fn key(attributes: &Attributes) -> Key {
    let protocol = match i32::from(u16_of(attributes, service::PROTOCOL)) {
        libc::IPPROTO_TCP => IpvsProtocol::Tcp,
        libc::IPPROTO_UDP => IpvsProtocol::Udp,
        libc::IPPROTO_SCTP => IpvsProtocol::Sctp,
        other => panic!("protocol {other}"),
    };
    Key { address: address(attributes, service::AF, service::ADDR, service::PORT), protocol }
}

/// A full entry.
fn virtual_server(attributes: &Attributes) -> VirtualServer {
    let key = key(attributes);
    let flags = number::<8>(&attributes[&service::FLAGS]);
    let (flags, mask) = flags.split_at(4);
    assert_eq!(mask, [0xff; 4]);
    let flags = u32::from_ne_bytes(number(flags));
    let name = &attributes[&service::SCHED_NAME];
    assert!(name.ends_with(&[0]) && name.len() <= 16, "NLA_NUL_STRING of IP_VS_SCHEDNAME_MAXLEN");
    let netmask = attributes[&service::NETMASK].clone();
    if key.address.is_ipv6() {
        assert_eq!(u32::from_ne_bytes(number(&netmask)), 128, "a prefix length");
    } else {
        assert_eq!(netmask, [0xff; 4], "a mask");
    }
    let timeout = u32_of(attributes, service::TIMEOUT);
    if flags & 1 == 0 {
        assert_eq!(timeout, 0);
    }
    VirtualServer {
        key,
        scheduler: text(name).parse().unwrap(),
        persistence: (flags & 1 == 1).then_some(timeout),
        flags: flags & !1,
    }
}

/// A full entry.
fn real_server(attributes: &Attributes) -> RealServer {
    assert_eq!((u32_of(attributes, dest::U_THRESH), u32_of(attributes, dest::L_THRESH)), (0, 0));
    RealServer {
        address: address(attributes, dest::ADDR_FAMILY, dest::ADDR, dest::PORT),
        weight: u32_of(attributes, dest::WEIGHT),
        forwarding: match u32_of(attributes, dest::FWD_METHOD) {
            0 => Forwarding::Masquerade,
            1 => Forwarding::Local,
            2 => Forwarding::Tunnel,
            3 => Forwarding::DirectRouting,
            other => panic!("forwarding {other}"),
        },
    }
}

fn request(body: &[u8], dump: bool) -> Request {
    let (header, attributes) = body.split_at(4);
    assert_eq!(header[1..], [1, 0, 0], "version 1");
    let outer = parse(attributes);
    let service = outer.get(&1).map(|bytes| parse(bytes));
    let dest = outer.get(&2).map(|bytes| parse(bytes));
    match (header[0], dump, service, dest) {
        (1, false, Some(service), None) => Request::NewService(virtual_server(&service)),
        (2, false, Some(service), None) => Request::SetService(virtual_server(&service)),
        (3, false, Some(service), None) => Request::DelService(key(&service)),
        (4, false, Some(service), None) => Request::GetService(key(&service)),
        (4, true, None, None) => Request::ListServices,
        (5, false, Some(service), Some(dest)) => Request::NewDest(key(&service), real_server(&dest)),
        (6, false, Some(service), Some(dest)) => Request::SetDest(key(&service), real_server(&dest)),
        (7, false, Some(service), Some(values)) => {
            Request::DelDest(key(&service), address(&values, dest::ADDR_FAMILY, dest::ADDR, dest::PORT))
        }
        (8, true, Some(service), None) => Request::ListDests(key(&service)),
        (17, false, None, None) => Request::Flush,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn the_kernel_reads_what_was_meant(requests in proptest::collection::vec(arbitrary::request(), 1..5)) {
        let mut buffer = Vec::new();
        for (sequence, request) in requests.iter().enumerate() {
            encode(&mut buffer, 0x1c, sequence as u32, 0, request);
        }
        let read = messages(&buffer).enumerate().map(|(sequence, message)| {
            let message = message.unwrap();
            assert_eq!(message.sequence as usize, sequence);
            let dump = match message.flags {
                0x301 => true,
                1 => false,
                other => panic!("flags {other:#x}"),
            };
            match message.content().unwrap() {
                Content::Data { family: 0x1c, body } => request(body, dump),
                other => panic!("{other:?}"),
            }
        });
        prop_assert_eq!(read.collect::<Vec<_>>(), requests);
    }
}

/// What ipvsadm 1.31 sends (behind `struct nlmsghdr`; seen with strace on Linux 6.1) means the same, to the reader above.
#[cfg(target_endian = "little")]
#[test]
fn ipvsadm_says_the_same_with_more_words() {
    let add = "
        05 01 00 00 54 00 01 80 06 00 01 00 02 00 00 00 06 00 02 00 06 00 00 00 14 00 03 00 0a 60 00 0a 00 00 00 00
        00 00 00 00 00 00 00 00 06 00 04 00 00 50 00 00 05 00 06 00 00 00 00 00 0c 00 07 00 00 00 00 00 ff ff ff ff
        08 00 08 00 00 00 00 00 08 00 09 00 ff ff ff ff 60 00 02 80 06 00 0b 00 02 00 00 00 14 00 01 00 0a f4 00 0b
        00 00 00 00 00 00 00 00 00 00 00 00 06 00 02 00 1f 90 00 00 08 00 03 00 00 00 00 00 08 00 04 00 01 00 00 00
        05 00 0d 00 00 00 00 00 06 00 0e 00 00 00 00 00 06 00 0f 00 00 00 00 00 08 00 05 00 00 00 00 00 08 00 06 00
        00 00 00 00";
    let line = "-a -t 10.96.0.10:80 -r 10.244.0.11:8080 -m -w 1";
    assert_eq!(request(&golden(add), false), line.parse().unwrap());
    let delete = "
        07 01 00 00 54 00 01 80 06 00 01 00 0a 00 00 00 06 00 02 00 11 00 00 00 14 00 03 00 20 01 0d b8 00 00 00 00
        00 00 00 00 00 00 00 01 06 00 04 00 00 35 00 00 05 00 06 00 00 00 00 00 0c 00 07 00 00 00 00 00 ff ff ff ff
        08 00 08 00 00 00 00 00 08 00 09 00 80 00 00 00 60 00 02 80 06 00 0b 00 0a 00 00 00 14 00 01 00 20 01 0d b8
        00 01 00 00 00 00 00 00 00 00 00 02 06 00 02 00 00 35 00 00 08 00 03 00 03 00 00 00 08 00 04 00 01 00 00 00
        05 00 0d 00 00 00 00 00 06 00 0e 00 00 00 00 00 06 00 0f 00 00 00 00 00 08 00 05 00 00 00 00 00 08 00 06 00
        00 00 00 00";
    let line = "-d -u [2001:db8::1]:53 -r [2001:db8:1::2]:53";
    assert_eq!(request(&golden(delete), false), line.parse().unwrap());
    // A whole virtual server is the same to the byte.
    let service = "
        01 01 00 00 54 00 01 80 06 00 01 00 0a 00 00 00 06 00 02 00 11 00 00 00 14 00 03 00 20 01 0d b8 00 00 00 00
        00 00 00 00 00 00 00 01 06 00 04 00 00 35 00 00 07 00 06 00 72 72 00 00 0c 00 07 00 00 00 00 00 ff ff ff ff
        08 00 08 00 00 00 00 00 08 00 09 00 80 00 00 00";
    let ours = bytes(&"-A -u [2001:db8::1]:53 -s rr".parse().unwrap(), 0);
    assert_eq!(ours[16..], golden(service));
}

#[test]
fn flags_that_are_the_kernels_own_are_not_sent() {
    let request = |flags| {
        let key = Key { address: "10.0.0.1:80".parse().unwrap(), protocol: IpvsProtocol::Tcp };
        Request::NewService(VirtualServer { key, scheduler: Scheduler::Mh, persistence: None, flags })
    };
    assert_eq!(bytes(&request(MH_PORT | 0x8000_0003), 0), bytes(&request(MH_PORT), 0));
}
