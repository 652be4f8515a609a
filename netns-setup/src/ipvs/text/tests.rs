use proptest::prelude::*;

use super::*;
use crate::ipvs::{MH_PORT, SH_FALLBACK, SH_PORT, arbitrary};

fn key(address: &str, protocol: IpvsProtocol) -> Key {
    Key { address: address.parse().unwrap(), protocol }
}

fn virtual_server(scheduler: Scheduler, flags: u32) -> VirtualServer {
    VirtualServer { key: key("10.96.0.10:80", IpvsProtocol::Tcp), scheduler, persistence: None, flags }
}

#[test]
fn lines_are_those_of_ipvsadm() {
    let plain = virtual_server(Scheduler::Rr, 0);
    let server =
        |forwarding| RealServer { address: "10.244.0.11:8080".parse().unwrap(), weight: 1, forwarding };
    let (masquerade, address) = (server(Forwarding::Masquerade), server(Forwarding::Tunnel).address);
    let sticky = VirtualServer { persistence: Some(10800), ..virtual_server(Scheduler::Mh, MH_PORT) };
    let udp = key("[2001:db8::1]:53", IpvsProtocol::Udp);
    let six = VirtualServer { key: udp, ..virtual_server(Scheduler::Sh, ONE_PACKET | SH_FALLBACK | SH_PORT) };
    let sctp = VirtualServer { key: key("192.0.2.1:5000", IpvsProtocol::Sctp), ..plain };
    let odd = virtual_server(Scheduler::Wlc, SCHED_1 | SCHED_2 | SCHED_3 | 0x8000_0003);
    let lines = [
        (Request::NewService(plain), "-A -t 10.96.0.10:80 -s rr"),
        (Request::SetService(sticky), "-E -t 10.96.0.10:80 -s mh -p 10800 -b mh-port"),
        (Request::NewService(six), "-A -u [2001:db8::1]:53 -s sh -o -b sh-fallback,sh-port"),
        (Request::NewService(sctp), "-A --sctp-service 192.0.2.1:5000 -s rr"),
        (Request::NewService(odd), "-A -t 10.96.0.10:80 -s wlc -b flag-1,flag-2,flag-3"),
        (Request::DelService(plain.key), "-D -t 10.96.0.10:80"),
        (Request::GetService(plain.key), "-L -n -t 10.96.0.10:80"),
        (Request::ListServices, "-S -n"),
        (Request::NewDest(plain.key, masquerade), "-a -t 10.96.0.10:80 -r 10.244.0.11:8080 -m -w 1"),
        (
            Request::NewDest(plain.key, server(Forwarding::Local)),
            "-a -t 10.96.0.10:80 -r 10.244.0.11:8080 -g -w 1",
        ),
        (
            Request::SetDest(plain.key, RealServer { weight: 0, ..server(Forwarding::DirectRouting) }),
            "-e -t 10.96.0.10:80 -r 10.244.0.11:8080 -g -w 0",
        ),
        (
            Request::NewDest(plain.key, server(Forwarding::Tunnel)),
            "-a -t 10.96.0.10:80 -r 10.244.0.11:8080 -i -w 1 --tun-type ipip",
        ),
        (Request::DelDest(plain.key, address), "-d -t 10.96.0.10:80 -r 10.244.0.11:8080"),
        (Request::ListDests(udp), "-l -n -u [2001:db8::1]:53"),
        (Request::Flush, "-C"),
    ];
    for (request, line) in lines {
        assert_eq!(request.to_string(), line);
    }
}

#[test]
fn what_is_read_is_strict_and_errors_say_what_was_expected() {
    let errors = [
        ("", "it ends where a command was expected"),
        ("-Z -t 10.0.0.1:80", "unknown command \"-Z\""),
        ("-A -f 7 -s rr", "\"-f\" in place of -t, -u or --sctp-service"),
        ("-A -t 10.0.0.1 -s rr", "\"10.0.0.1\" is no ADDRESS:PORT (IPv6: [ADDRESS]:PORT)"),
        ("-A -t [fe80::1%2]:80 -s rr", "\"[fe80::1%2]:80\" is no ADDRESS:PORT (IPv6: [ADDRESS]:PORT)"),
        ("-A -t 10.0.0.1:80", "it ends where -s was expected"),
        ("-A -t 10.0.0.1:80 -s rr -p", "it ends where the argument of -p was expected"),
        ("-A -t 10.0.0.1:80 -s rr -p 0", "\"0\" is no number from 1 to 2678400"),
        ("-A -t 10.0.0.1:80 -s rr -M 255.0.0.0", "unexpected \"-M\""),
        (
            "-A -t 10.0.0.1:80 -s rr -b sh-port",
            "scheduler rr has no flag \"sh-port\": expected flag-1, flag-2, flag-3",
        ),
        ("-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m -w +1", "\"+1\" is no number from 0 to 2147483647"),
        ("-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m -w 1 -x 5", "unexpected \"-x\""),
        (
            "-a -t 10.0.0.1:80 -r 10.0.0.2:80 -i -w 1 --tun-type gue --tun-port 6080",
            "tunnel type \"gue\": only ipip is known",
        ),
        ("-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m -w 1 --tun-type ipip", "unexpected \"--tun-type\""),
        ("-L -t 10.0.0.1:80", "\"-t\" in place of -n"),
        ("-C -n", "unexpected \"-n\""),
    ];
    for (line, error) in errors {
        assert_eq!(line.parse::<Request>().unwrap_err().to_string(), format!("`{line}`: {error}"));
    }
    let unknown = "-A -t 10.0.0.1:80 -s twos".parse::<Request>().unwrap_err().to_string();
    assert!(unknown.contains("no scheduler \"twos\": expected one of rr, wrr,"), "{unknown}");
}

/// Before 1.30.
#[test]
fn tunnels_of_an_older_ipvsadm_are_read() {
    let line = "-a -t 10.0.0.1:80 -r 10.0.0.2:80 -i -w 1";
    let request = line.parse::<Request>().unwrap();
    assert_eq!(request.to_string(), format!("{line} --tun-type ipip"));
}

#[test]
fn schedulers_and_their_modules_share_names() {
    for scheduler in Scheduler::ALL {
        assert_eq!(scheduler.module(), format!("ip_vs_{}", scheduler.name()));
        assert_eq!(scheduler.name().parse(), Ok(scheduler));
        assert_eq!(format!("{scheduler:?}").to_lowercase(), scheduler.name());
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(request in arbitrary::request()) {
        prop_assert_eq!(request.to_string().parse::<Request>(), Ok(request));
    }

    #[test]
    fn any_line_is_read_without_panic(
        line in "(-[AEDLlSaedC]|-t|-s|-p|-b|-r|-m|-w|-n|rr|mh|10\\.0\\.0\\.1:80|\\[::\\]:0|[0-9]{0,11}|.| ){0,12}"
    ) {
        if let Ok(request) = line.parse::<Request>() {
            prop_assert_eq!(request.to_string().parse::<Request>(), Ok(request));
        }
    }
}
