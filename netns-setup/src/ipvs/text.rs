//! Requests as lines of `ipvsadm`'s own syntax.
//!
//! What is written is what `ipvsadm -S -n` writes for the same object. Options come in one fixed order, and only that
//! order is read.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::{FromStr, SplitAsciiWhitespace};

use super::types::{
    Forwarding, IpvsProtocol, Key, ONE_PACKET, RealServer, Request, SCHED_1, SCHED_2, SCHED_3, Scheduler,
    SyntaxError, VirtualServer,
};

/// The longest persistence that `ipvsadm` takes, in seconds: 31 days.
const LONGEST_PERSISTENCE: u32 = 31 * 24 * 60 * 60;

const TUNNEL_TYPE: &str = "--tun-type";
const IPIP: &str = "ipip";

impl fmt::Display for Key {
    /// `-t 10.96.0.10:80`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let option = match self.protocol {
            IpvsProtocol::Tcp => "-t",
            IpvsProtocol::Udp => "-u",
            IpvsProtocol::Sctp => "--sctp-service",
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
            "-t" => IpvsProtocol::Tcp,
            "-u" => IpvsProtocol::Udp,
            "--sctp-service" => IpvsProtocol::Sctp,
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
mod tests;
