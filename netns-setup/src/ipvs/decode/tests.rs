//! Descriptions are written here as the kernel writes them: ip_vs_genl_fill_service, ip_vs_genl_fill_dest and
//! ip_vs_genl_fill_stats64, with the padding that aligns 64-bit values.

use proptest::prelude::*;

use super::*;
use crate::ipvs::arbitrary;
use crate::ipvs::encode::{family, union};
use crate::netlink::message::{Content, Writer, messages};

const STATS_PAD: u16 = 11;

fn message(command: u8, nest: u16, fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buffer = Vec::new();
    let mut writer = Writer::start(&mut buffer, 0x1c, 2, 7);
    writer.raw(&[command, 1, 0, 0]);
    writer.nest(nest, fill);
    writer.finish();
    buffer
}

fn body(message: &[u8]) -> &[u8] {
    match messages(message).next().unwrap().unwrap().content().unwrap() {
        Content::Data { family: 0x1c, body } => body,
        other => panic!("{other:?}"),
    }
}

fn u64_attribute(writer: &mut Writer<'_>, kind: u16, value: u64) {
    writer.attribute(STATS_PAD, &[]);
    writer.attribute(kind, &value.to_ne_bytes());
}

/// `wide` has only what fits 32 bits where `narrow` is asked for.
fn statistics(writer: &mut Writer<'_>, (narrow, wide): (u16, Option<u16>), statistics: &Statistics) {
    let counters = [
        (stats::CONNS, statistics.connections),
        (stats::INPKTS, statistics.packets_in),
        (stats::OUTPKTS, statistics.packets_out),
    ];
    let octets = [(stats::INBYTES, statistics.bytes_in), (stats::OUTBYTES, statistics.bytes_out)];
    writer.nest(narrow, |writer| {
        counters.iter().for_each(|(kind, value)| writer.attribute(*kind, &(*value as u32).to_ne_bytes()));
        octets.iter().for_each(|(kind, value)| u64_attribute(writer, *kind, *value));
        // Rates.
        (6..=8).for_each(|kind| writer.attribute(kind, &0u32.to_ne_bytes()));
    });
    if let Some(wide) = wide {
        writer.nest(wide, |writer| {
            counters.iter().chain(&octets).for_each(|(kind, value)| u64_attribute(writer, *kind, *value));
            (6..=10).for_each(|kind| u64_attribute(writer, kind, 5));
        });
    }
}

fn service_message(service: &Service, wide: bool, change: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let Service { server, statistics: counters } = service;
    let address = server.key.address;
    message(command::NEW_SERVICE, protocol::SERVICE, |writer| {
        let protocol: u16 = match server.key.protocol {
            IpvsProtocol::Tcp => 6,
            IpvsProtocol::Udp => 17,
            IpvsProtocol::Sctp => 132,
        };
        let persistent = u32::from(server.persistence.is_some());
        let netmask = if address.is_ipv6() { 128u32.to_ne_bytes() } else { [0xff; 4] };
        writer.attribute(service::AF, &family(address).to_ne_bytes());
        writer.attribute(service::PROTOCOL, &protocol.to_ne_bytes());
        writer.attribute(service::ADDR, &union(address));
        writer.attribute(service::PORT, &address.port().to_be_bytes());
        writer.attribute(service::SCHED_NAME, &[server.scheduler.name().as_bytes(), &[0]].concat());
        // IP_VS_SVC_F_HASHED is always set.
        let flags = [(server.flags | persistent | 2).to_ne_bytes(), [0xff; 4]].concat();
        writer.attribute(service::FLAGS, &flags);
        writer.attribute(service::TIMEOUT, &server.persistence.unwrap_or(0).to_ne_bytes());
        writer.attribute(service::NETMASK, &netmask);
        statistics(writer, (service::STATS, wide.then_some(service::STATS64)), counters);
        // A later attribute overrides an earlier one of its type.
        change(writer);
    })
}

fn dest_message(dest: &Dest, wide: bool, change: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let address = dest.server.address;
    message(command::NEW_DEST, protocol::DEST, |writer| {
        let number = |writer: &mut Writer<'_>, kind, value: u32| writer.attribute(kind, &value.to_ne_bytes());
        writer.attribute(dest::ADDR, &union(address));
        writer.attribute(dest::PORT, &address.port().to_be_bytes());
        number(writer, dest::FWD_METHOD, forwarding(dest.server.forwarding));
        number(writer, dest::WEIGHT, dest.server.weight);
        number(writer, dest::U_THRESH, 0);
        number(writer, dest::L_THRESH, 0);
        number(writer, dest::ACTIVE_CONNS, dest.active);
        number(writer, dest::INACT_CONNS, dest.inactive);
        number(writer, dest::PERSIST_CONNS, dest.persistent);
        // The order in which IPVS_DEST_ATTR_* came to be: the kernel's policy skips nothing.
        if wide {
            writer.attribute(dest::ADDR_FAMILY, &family(address).to_ne_bytes());
            writer.attribute(dest::TUN_TYPE, &[0]);
            writer.attribute(14, &0u16.to_be_bytes());
            writer.attribute(15, &0u16.to_ne_bytes());
        }
        statistics(writer, (dest::STATS, wide.then_some(dest::STATS64)), &dest.statistics);
        change(writer);
    })
}

fn counters(most: u64) -> impl Strategy<Value = Statistics> {
    ([0..=most, 0..=most, 0..=most], any::<u64>(), any::<u64>()).prop_map(
        |(counters, bytes_in, bytes_out)| {
            let [connections, packets_in, packets_out] = counters;
            Statistics { connections, packets_in, packets_out, bytes_in, bytes_out }
        },
    )
}

fn service(most: u64) -> impl Strategy<Value = Service> {
    let parts = (arbitrary::virtual_server(), counters(most));
    parts.prop_map(|(server, statistics)| Service { server, statistics })
}

fn dest(most: u64) -> impl Strategy<Value = Dest> {
    let parts = (arbitrary::real_server(), any::<[u32; 3]>(), counters(most));
    parts.prop_map(|(server, [active, inactive, persistent], statistics)| Dest {
        server,
        active,
        inactive,
        persistent,
        statistics,
    })
}

fn plain_service() -> Service {
    let server = match "-A -t 10.96.0.10:80 -s rr".parse().unwrap() {
        crate::ipvs::Request::NewService(server) => server,
        other => panic!("{other}"),
    };
    Service { server, statistics: Statistics::default() }
}

fn plain_dest() -> Dest {
    let server =
        RealServer { address: "10.0.0.2:80".parse().unwrap(), weight: 1, forwarding: Forwarding::Masquerade };
    Dest { server, active: 0, inactive: 0, persistent: 0, statistics: Statistics::default() }
}

fn error(message: &[u8]) -> String {
    decode(body(message), false).map(drop).unwrap_err().to_string()
}

#[test]
fn what_this_module_does_not_know_is_named() {
    let service = |change: fn(&mut Writer<'_>)| error(&service_message(&plain_service(), true, change));
    let there_is = |what: &str| {
        format!("there is {what}, which this program does not know; remove what other programs set up")
    };
    let with = |what: &str| there_is(&format!("virtual server -t 10.96.0.10:80 with {what}"));
    assert_eq!(
        service(|writer| writer.attribute(service::FWMARK, &7u32.to_ne_bytes())),
        there_is("a virtual server by firewall mark 7")
    );
    assert_eq!(
        service(|writer| writer.attribute(service::SCHED_NAME, b"none\0")),
        with("scheduler \"none\"")
    );
    assert_eq!(
        service(|writer| writer.attribute(service::PE_NAME, b"sip\0")),
        with("persistence engine \"sip\"")
    );
    assert_eq!(
        service(|writer| writer.attribute(service::NETMASK, &[255, 255, 255, 0])),
        with("persistence netmask 255.255.255.0")
    );
    let flags =
        |writer: &mut Writer<'_>| writer.attribute(service::FLAGS, &[0x42, 0, 0, 0, 255, 255, 255, 255]);
    assert_eq!(service(flags), with("flags 0x42"));

    let dest = |change: fn(&mut Writer<'_>)| error(&dest_message(&plain_dest(), true, change));
    let with = |what: &str| there_is(&format!("real server 10.0.0.2:80 with {what}"));
    assert_eq!(
        dest(|writer| writer.attribute(dest::FWD_METHOD, &4u32.to_ne_bytes())),
        with("forwarding method 4")
    );
    assert_eq!(
        dest(|writer| writer.attribute(dest::U_THRESH, &9u32.to_ne_bytes())),
        with("connection thresholds 9 and 0")
    );
    assert_eq!(dest(|writer| writer.attribute(dest::TUN_TYPE, &[1])), with("tunnel type [1]"));
}

#[test]
fn a_local_real_server_is_read_as_such() {
    let local = RealServer { forwarding: Forwarding::Local, ..plain_dest().server };
    let local = Dest { server: local, ..plain_dest() };
    assert_eq!(decode(body(&dest_message(&local, true, |_| {})), false).unwrap(), Description::Dest(local));
}

#[test]
fn malformed_descriptions_say_where() {
    let wrong = |kind, value: &'static [u8]| {
        error(&service_message(&plain_service(), true, |writer| writer.attribute(kind, value)))
    };
    let malformed = |what: &str| format!("malformed netlink answer: {what}");
    assert_eq!(
        wrong(service::ADDR, &[10, 0, 0, 1]),
        malformed("a virtual server: attribute 3 has 4 bytes, not 16")
    );
    assert_eq!(wrong(service::AF, &[1, 0]), malformed("a virtual server: address family 1"));
    assert_eq!(wrong(service::STATS64, &[]), malformed("counters without attribute 1"));
    assert_eq!(
        wrong(service::STATS64, &[9, 0, 1, 0]),
        malformed("counters: attribute 1 claims 9 bytes of 4")
    );
    let empty = message(command::NEW_DEST, protocol::DEST, |_| {});
    assert_eq!(error(&empty), malformed("a real server without attribute 1"));
    let other = message(command::NEW_SERVICE, protocol::DEST, |_| {});
    assert_eq!(error(&other), malformed("a message without attribute 1"));
    let daemon = message(9, 3, |_| {});
    assert_eq!(error(&daemon), malformed("unexpected IPVS command 9"));
    assert_eq!(decode(&[], false).unwrap_err().to_string(), malformed("a message without a command"));
}

proptest! {
    #[test]
    fn virtual_servers_are_read_as_the_kernel_writes_them(service in service(u64::MAX)) {
        let message = service_message(&service, true, |_| {});
        prop_assert_eq!(decode(body(&message), false).unwrap(), Description::Service(service));
    }

    #[test]
    fn real_servers_are_read_as_the_kernel_writes_them(dest in dest(u64::MAX), ipv6: bool) {
        let message = dest_message(&dest, true, |_| {});
        prop_assert_eq!(decode(body(&message), ipv6).unwrap(), Description::Dest(dest));
    }

    /// Before Linux 3.18 no address family, before 4.1 32-bit counters only.
    #[test]
    fn old_kernels_are_understood(service in service(u64::from(u32::MAX)), dest in dest(u64::from(u32::MAX))) {
        let message = service_message(&service, false, |_| {});
        prop_assert_eq!(decode(body(&message), false).unwrap(), Description::Service(service));
        let message = dest_message(&dest, false, |_| {});
        let read = decode(body(&message), dest.server.address.is_ipv6());
        prop_assert_eq!(read.unwrap(), Description::Dest(dest));
    }

    /// Cut anywhere, or with any byte changed: an answer or an error, not a panic.
    #[test]
    fn damage_is_survived(service in service(u64::MAX), dest in dest(u64::MAX), at: usize, byte: u8, cut: bool) {
        for mut message in [service_message(&service, true, |_| {}), dest_message(&dest, true, |_| {})] {
            let at = at % message.len();
            if cut { message.truncate(at) } else { message[at] = byte }
            for message in messages(&message) {
                if let Ok(Ok(Content::Data { body, .. })) = message.map(|message| message.content()) {
                    let _ = decode(body, false);
                }
            }
        }
    }

    #[test]
    fn a_description_that_is_cut_is_an_error(service in service(u64::MAX), cut: usize) {
        let message = service_message(&service, true, |_| {});
        let whole = body(&message);
        prop_assert!(matches!(decode(&whole[..cut % whole.len()], false), Err(Cause::Malformed(_))));
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>, ipv6: bool) {
        let _ = decode(&bytes, ipv6);
    }
}
