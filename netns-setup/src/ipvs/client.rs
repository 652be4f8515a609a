//! The generic netlink socket.

use std::io;

use netlink_packet_core::NLM_F_ACK;
use netlink_sys::protocols::NETLINK_GENERIC;
use nix::errno::Errno;

use super::decode::{Description, decode};
use super::encode::encode;
use super::error::{Cause, IpvsError};
use super::protocol;
use super::state::{Dest, Service, State};
use super::types::{Key, Request};
use super::window::{Limits, Tally};
use crate::error::SetupError;
use crate::netlink::message::{Content, Malformed};
use crate::netlink::{Requester, generic};

/// Room for the refusals of a whole send of the default size.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// A connection to the IPVS of one network namespace.
///
/// The kernel carries out one request at a time, whoever sends it: generic netlink takes a lock for each message, and
/// IPVS another for its tables (`genl_mutex` in net/netlink/genetlink.c, `__ip_vs_mutex` in
/// net/netfilter/ipvs/ip_vs_ctl.c). Several connections gain nothing.
pub struct Ipvs {
    requester: Requester,
    family: u16,
    limits: Limits,
    buffer: Vec<u8>,
}

/// What a request was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A change was made.
    Done,
    /// The virtual server asked for, if there is one.
    Service(Option<Service>),
    /// All virtual servers, in the order of the kernel's hash table.
    Services(Vec<Service>),
    /// The real servers of a virtual server in the kernel's order, the last added first; none if there is no such virtual
    /// server.
    Dests(Vec<Dest>),
}

impl Ipvs {
    /// Connects to the IPVS of the *calling thread's* network namespace; use it inside
    /// [`Namespace::run`](crate::Namespace::run).
    ///
    /// # Errors
    /// If the kernel has no generic netlink family `IPVS`: the module ip_vs is missing or not loaded.
    pub fn open() -> Result<Self, SetupError> {
        let failed = |cause| {
            let name = protocol::FAMILY;
            SetupError::kernel(format!("find generic netlink family {name} (modprobe ip_vs)"), cause)
        };
        Self::connect().map_err(failed)
    }

    fn connect() -> io::Result<Self> {
        let mut requester = Requester::open(NETLINK_GENERIC)?;
        let family = generic::family(&mut requester, protocol::FAMILY)?;
        requester.widen_receive_buffer(RECEIVE_BUFFER)?;
        let limits = Limits::new(requester.largest_send()?, requester.receive_buffer()?);
        Ok(Ipvs { requester, family, limits, buffer: Vec::new() })
    }

    /// Sends at most this many messages at once in a [`batch`](Ipvs::batch). Without it, as many as the socket's buffers
    /// allow, about 1,500 with the kernel's defaults.
    #[must_use]
    pub fn with_window(mut self, messages: usize) -> Self {
        self.limits.messages = self.limits.messages.min(messages).max(1);
        self
    }

    /// Sends one request and waits for its answer, as kube-proxy does: every change is acknowledged, and so is
    /// [`Request::GetService`] after its description.
    ///
    /// # Errors
    /// What the kernel refuses; see [`Request`]. That there is no such virtual server is no error to a read.
    pub fn one(&mut self, request: &Request) -> Result<Reply, IpvsError> {
        let mut descriptions = Vec::new();
        let outcome = self.exchange(request, &mut descriptions);
        let services = || {
            descriptions.iter().filter_map(|description| match description {
                Description::Service(service) => Some(*service),
                Description::Dest(_) => None,
            })
        };
        match (outcome, request) {
            (Err(Cause::Refused { errno, .. }), Request::GetService(_)) if errno == Errno::ESRCH as i32 => {
                Ok(Reply::Service(None))
            }
            (Err(cause), _) => Err(failure(request, 0, 1, 1, 1, cause)),
            (Ok(()), Request::GetService(_)) => match services().next() {
                Some(service) => Ok(Reply::Service(Some(service))),
                None => {
                    let cause = Malformed("no description of the virtual server".into()).into();
                    Err(failure(request, 0, 1, 1, 1, cause))
                }
            },
            (Ok(()), Request::ListServices) => Ok(Reply::Services(services().collect())),
            (Ok(()), Request::ListDests(_)) => Ok(Reply::Dests(dests(&descriptions))),
            (Ok(()), _) => Ok(Reply::Done),
        }
    }

    /// Makes many changes with few system calls: as many messages as the socket's buffers allow go into one `sendmsg`, a
    /// window, and only the last of a window is acknowledged.
    ///
    /// The kernel tries every message of a window, also those after one that it refused. So when this fails, all requests
    /// before [`IpvsError::sent`] were tried, and carried out if they were not refused themselves; those from there on
    /// were not sent. There is no rollback.
    ///
    /// # Errors
    /// The first request that the kernel refused. Reads are refused here, before anything is sent. If sending or
    /// receiving fails, what became of the last window is unknown.
    pub fn batch(&mut self, requests: &[Request]) -> Result<(), IpvsError> {
        let total = requests.len();
        if let Some(index) = requests.iter().position(Request::is_read) {
            return Err(failure(&requests[index], index, total, 0, 0, Cause::Read));
        }
        let mut done = 0;
        while done < total {
            let rest = &requests[done..];
            // More than the window may take: a gap does no harm.
            let sequence = self.requester.sequence(self.limits.messages as u32);
            let count = self.limits.fill(&mut self.buffer, self.family, sequence, rest);
            let sent = done + count;
            match self.window(sequence, count) {
                Ok(Tally { first: None, .. }) => done = sent,
                Ok(Tally { first: Some((place, errno, message)), refused, .. }) => {
                    let cause = refusal(&rest[place], errno, message);
                    return Err(failure(&rest[place], done + place, total, sent, refused, cause));
                }
                Err(cause) => {
                    self.requester.drain();
                    return Err(failure(&rest[0], done, total, sent, 0, cause));
                }
            }
        }
        Ok(())
    }

    /// All virtual servers, in the order of the kernel's hash table.
    ///
    /// # Errors
    /// [`Cause::Foreign`] if there is one that this module does not know.
    pub fn services(&mut self) -> Result<Vec<Service>, IpvsError> {
        match self.one(&Request::ListServices)? {
            Reply::Services(services) => Ok(services),
            _ => Ok(Vec::new()),
        }
    }

    /// The real servers of a virtual server in the kernel's order, the last added first; none if there is no such virtual
    /// server.
    ///
    /// # Errors
    /// As [`services`](Ipvs::services).
    pub fn dests(&mut self, key: &Key) -> Result<Vec<Dest>, IpvsError> {
        match self.one(&Request::ListDests(*key))? {
            Reply::Dests(dests) => Ok(dests),
            _ => Ok(Vec::new()),
        }
    }

    /// The set-up of the whole table: one list of the virtual servers, then one of the real servers of each. Not atomic.
    ///
    /// # Errors
    /// As [`services`](Ipvs::services).
    pub fn state(&mut self) -> Result<State, IpvsError> {
        let services = self.services()?;
        let pool = |service: Service| {
            let dests = self.dests(&service.server.key)?;
            Ok((service.server, dests.into_iter().map(|dest| dest.server).collect()))
        };
        services.into_iter().map(pool).collect()
    }

    /// Removes everything.
    ///
    /// What follows is slow: the kernel keeps removed real servers in a trash for two to three minutes, a list that it
    /// searches whenever one is added (ip_vs_trash_get_dest). With 100,000 there, that takes some 300,000 instructions. A
    /// new namespace has a trash of its own.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_ADMIN.
    pub fn flush(&mut self) -> Result<(), IpvsError> {
        self.one(&Request::Flush).map(drop)
    }

    fn window(&mut self, sequence: u32, count: usize) -> Result<Tally, Cause> {
        self.requester.send(&self.buffer)?;
        let mut tally = Tally::new(sequence, count);
        while !tally.read(self.requester.receive()?)? {}
        Ok(tally)
    }

    fn exchange(&mut self, request: &Request, found: &mut Vec<Description>) -> Result<(), Cause> {
        let sequence = self.requester.sequence(1);
        let flags =
            if matches!(request, Request::ListServices | Request::ListDests(_)) { 0 } else { NLM_F_ACK };
        self.buffer.clear();
        encode(&mut self.buffer, self.family, sequence, flags, request);
        let outcome = self.answer(sequence, request, found);
        match outcome {
            Ok(()) | Err(Cause::Refused { .. } | Cause::NoScheduler(_)) => {}
            // A list that is not read to its end stands in the way of the next (netlink_dump_start).
            Err(_) => self.requester.drain(),
        }
        outcome
    }

    fn answer(
        &mut self,
        sequence: u32,
        request: &Request,
        found: &mut Vec<Description>,
    ) -> Result<(), Cause> {
        let ipv6 = matches!(request, Request::ListDests(key) if key.address.is_ipv6());
        self.requester.send(&self.buffer)?;
        let own = self.family;
        self.requester.read_answer(sequence, |message| {
            if message.interrupted() {
                return Err(Cause::Interrupted);
            }
            match message.content()? {
                Content::Acknowledged | Content::Done => Ok(true),
                Content::Refused { errno, message } => Err(refusal(request, errno, message)),
                Content::Data { family, body } if family == own => {
                    found.push(decode(body, ipv6)?);
                    Ok(false)
                }
                Content::Data { family, .. } => {
                    Err(Malformed(format!("an answer of family {family}")).into())
                }
                Content::Nothing => Ok(false),
            }
        })
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Cause::Socket(error)
    }
}

fn dests(descriptions: &[Description]) -> Vec<Dest> {
    let dests = descriptions.iter().filter_map(|description| match description {
        Description::Dest(dest) => Some(*dest),
        Description::Service(_) => None,
    });
    dests.collect()
}

/// `ENOENT` says that the scheduler's module is missing where a scheduler is named (ip_vs_add_service,
/// ip_vs_edit_service).
fn refusal(request: &Request, errno: i32, message: Option<String>) -> Cause {
    match request {
        Request::NewService(server) | Request::SetService(server) if errno == Errno::ENOENT as i32 => {
            Cause::NoScheduler(server.scheduler)
        }
        _ => Cause::Refused { errno, message },
    }
}

fn failure(
    request: &Request,
    index: usize,
    total: usize,
    sent: usize,
    refused: usize,
    cause: Cause,
) -> IpvsError {
    IpvsError { request: request.to_string(), index, total, sent, refused, cause }
}
