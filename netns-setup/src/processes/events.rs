//! Forks, execs and exits, as the process connector tells them (include/uapi/linux/cn_proc.h).

use std::io;
use std::os::fd::BorrowedFd;

use netlink_sys::protocols::NETLINK_CONNECTOR;
use netlink_sys::{Socket, SocketAddr};

use super::inbox::{Inbox, is_loss};
use crate::netlink::message::{HEADER, Malformed, Writer, messages};

/// `CN_IDX_PROC` and `CN_VAL_PROC`.
const PROCESSES: u32 = 1;
/// `NLMSG_DONE`: what connector messages are sent as.
const NLMSG_DONE: u16 = 3;
/// `PROC_CN_MCAST_LISTEN`.
const LISTEN: u32 = 1;
/// `struct cn_msg`: index, value, sequence, acknowledgement, length, flags.
const CONNECTOR_HEADER: usize = 20;
/// `struct proc_event` before what differs: kind, processor, time.
const EVENT_HEADER: usize = 16;

const NONE: u32 = 0;
const FORK: u32 = 1;
const EXEC: u32 = 2;
const EXIT: u32 = 0x8000_0000;

/// Something that happened to a process. Threads of a process are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, as `CLOCK_MONOTONIC` has it, nanoseconds.
    pub monotonic_ns: u64,
    /// What.
    pub happening: Happening,
}

/// What happened. Processes are numbered as the initial pid namespace has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A process started another, which is its copy until it executes a program.
    Fork {
        /// The one.
        parent: u32,
        /// The other.
        child: u32,
    },
    /// A process executes a program.
    Exec {
        /// Which.
        pid: u32,
    },
    /// A process ended: its first thread, of several.
    Exit {
        /// Which.
        pid: u32,
        /// As wait(2) has it: the exit code in bits 8 to 15, or the signal in bits 0 to 6.
        status: u32,
    },
}

/// The process connector, listened to.
pub struct Events {
    inbox: Inbox,
}

impl Events {
    /// Listens from now on. Call it on a thread in the initial network namespace.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_ADMIN, `ECONNREFUSED` in another network namespace, `EPROTONOSUPPORT` in a kernel without
    /// `CONFIG_PROC_EVENTS`; in another user or pid namespace the kernel keeps silent: `Unsupported`.
    pub fn listen() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_CONNECTOR)?;
        // The group has the connector's index as its bit.
        socket.bind(&SocketAddr::new(0, PROCESSES))?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let mut inbox = Inbox::new(socket);
        inbox.send(&request())?;
        // The kernel answers before `send` returns; events of others may come first.
        while let Some(datagram) = inbox.next()? {
            let mut answer = None;
            for message in decode(datagram) {
                if let Message::Answer(errno) = message? {
                    answer = Some(errno);
                }
            }
            match answer {
                Some(0) => return Ok(Self { inbox }),
                Some(errno) => return Err(io::Error::from_raw_os_error(errno)),
                None => {}
            }
        }
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the process connector does not answer: it serves the initial user and pid namespaces only",
        ))
    }

    /// Hands over all events until now, in order for each processor, and says whether some were lost.
    ///
    /// # Errors
    /// If the socket breaks or the kernel sends what is no event.
    pub fn read(&mut self, mut take: impl FnMut(Event)) -> io::Result<bool> {
        let mut lost = false;
        loop {
            match self.inbox.next() {
                Ok(None) => return Ok(lost),
                Ok(Some(datagram)) => {
                    for message in decode(datagram) {
                        if let Message::Event(event) = message? {
                            take(event);
                        }
                    }
                }
                Err(error) if is_loss(&error) => lost = true,
                Err(error) => return Err(error),
            }
        }
    }

    /// For poll(2): readable when there are events.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.inbox.fd()
    }
}

fn request() -> Vec<u8> {
    let mut buffer = Vec::new();
    let mut writer = Writer::start(&mut buffer, NLMSG_DONE, 0, 0);
    let words = [PROCESSES, PROCESSES, 0, 0].map(u32::to_ne_bytes).concat();
    let lengths = [size_of::<u32>() as u16, 0].map(u16::to_ne_bytes).concat();
    writer.raw(&[&words[..], &lengths, &LISTEN.to_ne_bytes()].concat());
    writer.finish();
    buffer
}

#[derive(Debug, PartialEq, Eq)]
enum Message {
    /// Whether the request is granted: an error number, 0 for yes.
    Answer(i32),
    Event(Event),
    /// Threads, and what has no meaning here.
    Other,
}

fn decode(datagram: &[u8]) -> impl Iterator<Item = Result<Message, Malformed>> {
    messages(datagram).map(|message| one(message?.body))
}

/// What follows the netlink header.
fn one(body: &[u8]) -> Result<Message, Malformed> {
    let short = || Malformed(format!("an event of {} bytes", HEADER + body.len()));
    let event = body.get(CONNECTOR_HEADER..).ok_or_else(short)?;
    let word = |at: usize| event.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes);
    let kind = word(0).ok_or_else(short)?;
    let time = event.get(8..).and_then(|rest| rest.first_chunk().copied()).ok_or_else(short)?;
    let field = |index: usize| word(EVENT_HEADER + 4 * index).ok_or_else(short);
    // Numbers of threads and of processes alternate; the first thread has its process's.
    let happening = match kind {
        NONE => return Ok(Message::Answer(field(0)?.cast_signed())),
        FORK if field(2)? == field(3)? => Happening::Fork { parent: field(1)?, child: field(3)? },
        EXEC => Happening::Exec { pid: field(1)? },
        EXIT if field(0)? == field(1)? => Happening::Exit { pid: field(1)?, status: field(2)? },
        _ => return Ok(Message::Other),
    };
    Ok(Message::Event(Event { monotonic_ns: u64::from_ne_bytes(time), happening }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(kind: u32, time: u64, fields: &[u32]) -> Vec<u8> {
        let mut body = vec![0; CONNECTOR_HEADER];
        body.extend([kind, 0].map(u32::to_ne_bytes).concat());
        body.extend(time.to_ne_bytes());
        body.extend(fields.iter().flat_map(|field| field.to_ne_bytes()));
        body
    }

    fn event(happening: Happening) -> Result<Message, Malformed> {
        Ok(Message::Event(Event { monotonic_ns: 7, happening }))
    }

    #[test]
    fn processes_are_read_and_threads_are_not() {
        assert_eq!(one(&body(FORK, 7, &[11, 10, 20, 20])), event(Happening::Fork { parent: 10, child: 20 }));
        assert_eq!(one(&body(FORK, 7, &[10, 10, 12, 10])), Ok(Message::Other));
        assert_eq!(one(&body(EXEC, 7, &[20, 20])), event(Happening::Exec { pid: 20 }));
        assert_eq!(
            one(&body(EXIT, 7, &[20, 20, 256, 17, 10, 10])),
            event(Happening::Exit { pid: 20, status: 256 })
        );
        assert_eq!(one(&body(EXIT, 7, &[12, 10, 0, 0, 1, 1])), Ok(Message::Other));
        assert_eq!(one(&body(NONE, 7, &[1])), Ok(Message::Answer(1)));
        assert_eq!(one(&body(0x200, 7, &[1, 1])), Ok(Message::Other), "a changed name");
        assert!(one(&body(EXIT, 7, &[20, 20])).is_err());
    }

    #[test]
    fn the_request_is_as_the_header_has_it() {
        let request = request();
        assert_eq!(request.len(), HEADER + CONNECTOR_HEADER + 4);
        assert_eq!(messages(&request).next().unwrap().unwrap().body[16..18], 4_u16.to_ne_bytes());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, kind: u32, fields in prop::collection::vec(any::<u32>(), 0..8)) {
            decode(&bytes).for_each(drop);
            let _ = one(&body(kind, 0, &fields));
        }
    }
}
