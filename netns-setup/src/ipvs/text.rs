//! Requests as lines of `ipvsadm`'s own syntax.
//!
//! What is written is what `ipvsadm -S -n` writes for the same object. Options come in one fixed order, and only that
//! order is read.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::{FromStr, SplitAsciiWhitespace};

use super::types::{
    Forwarding, Key, ONE_PACKET, Protocol, RealServer, Request, SCHED_1, SCHED_2, SCHED_3, Scheduler,
    VirtualServer,
};

/// The longest persistence that `ipvsadm` takes, in seconds: 31 days.
const LONGEST_PERSISTENCE: u32 = 31 * 24 * 60 * 60;

const TUNNEL_TYPE: &str = "--tun-type";
const IPIP: &str = "ipip";

/// A line that is not one of a request, with what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SyntaxError(pub(super) String);

impl fmt::Display for Key {
    /// `-t 10.96.0.10:80`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let option = match self.protocol {
            Protocol::Tcp => "-t",
            Protocol::Udp => "-u",
            Protocol::Sctp => "--sctp-service",
        };
        write!(f, "{option} {}", Endpoint(self.address))
    }
}

impl fmt::Display for VirtualServer {
    /// `-t 10.96.0.10:80 -s mh -p 10800 -b mh-port`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -s {}", self.key, self.scheduler)?;
        if let Some(seconds) = self.persistence {
            write!(f, " -p {seconds}")?;
        }
        if self.flags & ONE_PACKET != 0 {
            f.write_str(" -o")?;
        }
        let names = scheduler_flags(self.scheduler).into_iter().filter(|(bit, _)| self.flags & bit != 0);
        let names = names.map(|(_, name)| name).collect::<Vec<_>>();
        if !names.is_empty() {
            write!(f, " -b {}", names.join(","))?;
        }
        Ok(())
    }
}

impl fmt::Display for RealServer {
    /// `-r 10.244.0.11:8080 -m -w 1`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let option = match self.forwarding {
            Forwarding::Masquerade => "-m",
            Forwarding::Tunnel => "-i",
            Forwarding::DirectRouting | Forwarding::Local => "-g",
        };
        write!(f, "-r {} {option} -w {}", Endpoint(self.address), self.weight)?;
        // Written by ipvsadm since 1.30, which knows other tunnels.
        if self.forwarding == Forwarding::Tunnel { write!(f, " {TUNNEL_TYPE} {IPIP}") } else { Ok(()) }
    }
}

impl fmt::Display for Request {
    /// A line for `ipvsadm -R`. Mind that `ipvsadm`, unlike the kernel, gives a real server with `-g` or `-i` the port of
    /// the virtual server.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::NewService(server) => write!(f, "-A {server}"),
            Request::SetService(server) => write!(f, "-E {server}"),
            Request::DelService(key) => write!(f, "-D {key}"),
            Request::GetService(key) => write!(f, "-L -n {key}"),
            Request::ListServices => f.write_str("-S -n"),
            Request::NewDest(key, server) => write!(f, "-a {key} {server}"),
            Request::SetDest(key, server) => write!(f, "-e {key} {server}"),
            Request::DelDest(key, address) => write!(f, "-d {key} -r {}", Endpoint(*address)),
            // -l is -L to ipvsadm; as with -a and -A, the small letter is about real servers.
            Request::ListDests(key) => write!(f, "-l -n {key}"),
            Request::Flush => f.write_str("-C"),
        }
    }
}

/// Address and port, without the scope that [`SocketAddr`] would print.
struct Endpoint(SocketAddr);

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.ip() {
            IpAddr::V4(address) => write!(f, "{address}:{}", self.0.port()),
            IpAddr::V6(address) => write!(f, "[{address}]:{}", self.0.port()),
        }
    }
}

/// Names of the flags: those of the scheduler where it gives them a meaning.
fn scheduler_flags(scheduler: Scheduler) -> [(u32, &'static str); 3] {
    let (first, second) = match scheduler {
        Scheduler::Sh => ("sh-fallback", "sh-port"),
        Scheduler::Mh => ("mh-fallback", "mh-port"),
        _ => ("flag-1", "flag-2"),
    };
    [(SCHED_1, first), (SCHED_2, second), (SCHED_3, "flag-3")]
}

impl FromStr for Request {
    type Err = SyntaxError;

    /// Reads a line that was displayed, or written by `ipvsadm -S -n`.
    fn from_str(line: &str) -> Result<Self, SyntaxError> {
        let mut words = Words { rest: line.split_ascii_whitespace() };
        let request = words.request().map_err(|error| SyntaxError(format!("`{line}`: {error}")))?;
        Ok(request)
    }
}

struct Words<'l> {
    rest: SplitAsciiWhitespace<'l>,
}

impl<'l> Words<'l> {
    fn request(&mut self) -> Result<Request, SyntaxError> {
        let command = self.next("a command")?;
        let request = match command {
            "-A" => Request::NewService(self.virtual_server()?),
            "-E" => Request::SetService(self.virtual_server()?),
            "-D" => Request::DelService(self.key()?),
            "-L" => self.numeric().and_then(|()| self.key()).map(Request::GetService)?,
            "-l" => self.numeric().and_then(|()| self.key()).map(Request::ListDests)?,
            "-S" => self.numeric().map(|()| Request::ListServices)?,
            "-a" => Request::NewDest(self.key()?, self.real_server()?),
            "-e" => Request::SetDest(self.key()?, self.real_server()?),
            "-d" => Request::DelDest(self.key()?, self.real_address()?),
            "-C" => Request::Flush,
            other => return Err(SyntaxError(format!("unknown command {other:?}"))),
        };
        match self.rest.next() {
            None => Ok(request),
            Some(word) => Err(SyntaxError(format!("unexpected {word:?}"))),
        }
    }

    fn next(&mut self, expected: &str) -> Result<&'l str, SyntaxError> {
        self.rest.next().ok_or_else(|| SyntaxError(format!("it ends where {expected} was expected")))
    }

    fn expect(&mut self, word: &str) -> Result<(), SyntaxError> {
        let found = self.next(word)?;
        if found == word { Ok(()) } else { Err(SyntaxError(format!("{found:?} in place of {word}"))) }
    }

    /// The argument, if the next word is this option.
    fn option(&mut self, option: &str) -> Result<Option<&'l str>, SyntaxError> {
        if !self.flag(option) {
            return Ok(None);
        }
        self.next(&format!("the argument of {option}")).map(Some)
    }

    fn flag(&mut self, option: &str) -> bool {
        let found = self.rest.clone().next() == Some(option);
        if found {
            self.rest.next();
        }
        found
    }

    fn numeric(&mut self) -> Result<(), SyntaxError> {
        self.expect("-n")
    }

    fn key(&mut self) -> Result<Key, SyntaxError> {
        let protocol = match self.next("a virtual server")? {
            "-t" => Protocol::Tcp,
            "-u" => Protocol::Udp,
            "--sctp-service" => Protocol::Sctp,
            other => return Err(SyntaxError(format!("{other:?} in place of -t, -u or --sctp-service"))),
        };
        Ok(Key { address: self.endpoint()?, protocol })
    }

    fn endpoint(&mut self) -> Result<SocketAddr, SyntaxError> {
        let word = self.next("an address")?;
        match word.parse::<SocketAddr>() {
            // A scope cannot be said to IPVS.
            Ok(address) if !word.contains('%') => Ok(address),
            _ => Err(SyntaxError(format!("{word:?} is no ADDRESS:PORT (IPv6: [ADDRESS]:PORT)"))),
        }
    }

    fn virtual_server(&mut self) -> Result<VirtualServer, SyntaxError> {
        let key = self.key()?;
        self.expect("-s")?;
        let scheduler = self.next("a scheduler")?.parse::<Scheduler>()?;
        let persistence = match self.option("-p")? {
            Some(seconds) => Some(number(seconds, 1, LONGEST_PERSISTENCE)?),
            None => None,
        };
        let mut flags = if self.flag("-o") { ONE_PACKET } else { 0 };
        if let Some(names) = self.option("-b")? {
            for name in names.split(',') {
                flags |= scheduler_flag(scheduler, name)?;
            }
        }
        Ok(VirtualServer { key, scheduler, persistence, flags })
    }

    fn real_server(&mut self) -> Result<RealServer, SyntaxError> {
        let address = self.real_address()?;
        let forwarding = match self.next("a forwarding method")? {
            "-m" => Forwarding::Masquerade,
            "-i" => Forwarding::Tunnel,
            "-g" => Forwarding::DirectRouting,
            other => return Err(SyntaxError(format!("{other:?} in place of -m, -i or -g"))),
        };
        self.expect("-w")?;
        let weight = number(self.next("a weight")?, 0, i32::MAX.cast_unsigned())?;
        if forwarding == Forwarding::Tunnel
            && let Some(kind) = self.option(TUNNEL_TYPE)?
            && kind != IPIP
        {
            return Err(SyntaxError(format!("tunnel type {kind:?}: only {IPIP} is known")));
        }
        Ok(RealServer { address, weight, forwarding })
    }

    fn real_address(&mut self) -> Result<SocketAddr, SyntaxError> {
        self.expect("-r")?;
        self.endpoint()
    }
}

fn scheduler_flag(scheduler: Scheduler, name: &str) -> Result<u32, SyntaxError> {
    let flags = scheduler_flags(scheduler);
    let found = flags.into_iter().find(|(_, known)| *known == name).map(|(bit, _)| bit);
    found.ok_or_else(|| {
        let names = flags.map(|(_, name)| name).join(", ");
        SyntaxError(format!("scheduler {scheduler} has no flag {name:?}: expected {names}"))
    })
}

fn number(word: &str, least: u32, most: u32) -> Result<u32, SyntaxError> {
    // No sign: u32::from_str takes a plus.
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    let number = word.parse().ok().filter(|number| digits && (least..=most).contains(number));
    number.ok_or_else(|| SyntaxError(format!("{word:?} is no number from {least} to {most}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ipvs::{MH_PORT, SH_FALLBACK, SH_PORT, arbitrary};

    fn key(address: &str, protocol: Protocol) -> Key {
        Key { address: address.parse().unwrap(), protocol }
    }

    fn virtual_server(scheduler: Scheduler, flags: u32) -> VirtualServer {
        VirtualServer { key: key("10.96.0.10:80", Protocol::Tcp), scheduler, persistence: None, flags }
    }

    #[test]
    fn lines_are_those_of_ipvsadm() {
        let plain = virtual_server(Scheduler::Rr, 0);
        let server =
            |forwarding| RealServer { address: "10.244.0.11:8080".parse().unwrap(), weight: 1, forwarding };
        let (masquerade, address) = (server(Forwarding::Masquerade), server(Forwarding::Tunnel).address);
        let sticky = VirtualServer { persistence: Some(10800), ..virtual_server(Scheduler::Mh, MH_PORT) };
        let udp = key("[2001:db8::1]:53", Protocol::Udp);
        let six =
            VirtualServer { key: udp, ..virtual_server(Scheduler::Sh, ONE_PACKET | SH_FALLBACK | SH_PORT) };
        let sctp = VirtualServer { key: key("192.0.2.1:5000", Protocol::Sctp), ..plain };
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
}
