//! A socket for the few netlink messages that have no crate.

pub(crate) mod generic;
pub(crate) mod message;

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST};
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::libc::{MSG_DONTWAIT, MSG_TRUNC};
use nix::sys::socket::{getsockopt, setsockopt, sockopt};

use message::{Content, Malformed, Message, Writer, messages};

/// The largest datagram: dumps come in pieces of at most 32 KiB (netlink_dump in net/netlink/af_netlink.c).
const LARGEST: usize = 64 * 1024;
/// What netlink_sendmsg keeps back of the send buffer.
const SEND_RESERVE: usize = 32;

/// A socket in the network namespace of the thread that opened it, wherever it is used.
///
/// The kernel carries out what is sent before `send` returns, and its answers are then there to be received.
pub(crate) struct Requester {
    socket: Socket,
    sequence: u32,
    answer: Vec<u8>,
}

impl Requester {
    /// Refusals come without the request's payload and with the kernel's words.
    pub(crate) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Requester { socket, sequence: 1, answer: Vec::with_capacity(LARGEST) })
    }

    /// The socket alone, for what the kernel sends on its own account.
    pub(crate) fn into_socket(self) -> Socket {
        self.socket
    }

    /// The first of `count` new sequence numbers.
    pub(crate) fn sequence(&mut self, count: u32) -> u32 {
        let first = self.sequence;
        self.sequence = self.sequence.wrapping_add(count);
        first
    }

    /// Makes room for `bytes` of answers, if this process may; see [`receive_buffer`](Requester::receive_buffer).
    pub(crate) fn widen_receive_buffer(&self, bytes: usize) -> io::Result<()> {
        // The kernel doubles what is asked for (sk_setsockopt in net/core/sock.c).
        match setsockopt(&self.socket, sockopt::RcvBufForce, &(bytes / 2)) {
            Err(Errno::EPERM) => Ok(()),
            outcome => Ok(outcome?),
        }
    }

    /// Bytes of memory that answers may take up before the kernel drops them.
    pub(crate) fn receive_buffer(&self) -> io::Result<usize> {
        Ok(getsockopt(&self.socket, sockopt::RcvBuf)?)
    }

    /// The most bytes that one `send` takes.
    pub(crate) fn largest_send(&self) -> io::Result<usize> {
        Ok(getsockopt(&self.socket, sockopt::SndBuf)?.saturating_sub(SEND_RESERVE))
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.socket.send(bytes, 0).map(drop)
    }

    /// The next datagram. Does not wait.
    ///
    /// # Errors
    /// If there is none; `ENOBUFS` if some were dropped as the receive buffer was full.
    pub(crate) fn receive(&mut self) -> io::Result<&[u8]> {
        self.answer.clear();
        let received = self.socket.recv(&mut &mut self.answer, MSG_DONTWAIT | MSG_TRUNC);
        let length = received.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::Error::new(error.kind(), "the kernel did not answer"),
            _ => error,
        })?;
        if length > self.answer.len() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a netlink answer of {length} bytes was cut to {}", self.answer.len()),
            ));
        }
        Ok(&self.answer)
    }

    /// Drops answers that nobody waits for any more.
    pub(crate) fn drain(&mut self) {
        loop {
            match self.receive() {
                Ok(_) => {}
                // A report of lost answers, or a cut one, is not the last.
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                Err(_) => return,
            }
        }
    }

    /// Sends one message and reads its outcome.
    pub(crate) fn ask(&mut self, kind: u16, body: &[u8]) -> io::Result<()> {
        self.exchange(kind, body, |_| Ok(()))
    }

    /// As [`ask`](Requester::ask); `data` is given the bodies of the answers.
    pub(crate) fn exchange(
        &mut self,
        kind: u16,
        body: &[u8],
        mut data: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let expected = self.sequence(1);
        let mut request = Vec::with_capacity(message::HEADER + body.len());
        let mut writer = Writer::start(&mut request, kind, NLM_F_REQUEST | NLM_F_ACK, expected);
        writer.raw(body);
        writer.finish();
        self.send(&request)?;
        self.read_answer(expected, |message| match message.content()? {
            Content::Acknowledged => Ok(true),
            Content::Refused { errno, .. } => Err(io::Error::from_raw_os_error(errno)),
            Content::Data { body, .. } => data(body).map(|()| false),
            Content::Done | Content::Nothing => Ok(false),
        })
    }

    /// Reads the answer to one request: gives `each` its messages until it says that one was the last. Those of others are
    /// passed over.
    pub(crate) fn read_answer<E: From<io::Error> + From<Malformed>>(
        &mut self,
        sequence: u32,
        mut each: impl FnMut(&Message<'_>) -> Result<bool, E>,
    ) -> Result<(), E> {
        loop {
            for message in messages(self.receive()?) {
                let message = message?;
                if message.sequence == sequence && each(&message)? {
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::NLM_F_DUMP;
    use netlink_sys::protocols::NETLINK_GENERIC;

    use super::*;

    /// Asks the controller of generic netlink for all families, which takes more than one datagram.
    fn list_families(requester: &mut Requester) {
        let mut request = Vec::new();
        let mut writer = Writer::start(&mut request, 0x10, NLM_F_REQUEST | NLM_F_DUMP, 1000);
        writer.raw(&[3, 1, 0, 0]);
        writer.finish();
        requester.send(&request).unwrap();
    }

    #[test]
    fn what_nobody_waits_for_is_dropped() {
        let mut requester = Requester::open(NETLINK_GENERIC).unwrap();
        list_families(&mut requester);
        requester.drain();
        let none = requester.receive().unwrap_err();
        assert_eq!(
            (none.kind(), none.to_string().as_str()),
            (io::ErrorKind::WouldBlock, "the kernel did not answer")
        );
        list_families(&mut requester);
        assert!(requester.receive().is_ok(), "no list stands in its way");
    }

    #[test]
    fn answers_to_others_are_passed_over() {
        let mut requester = Requester::open(NETLINK_GENERIC).unwrap();
        list_families(&mut requester);
        assert!(generic::family(&mut requester, "nlctrl").is_ok());
    }

    #[test]
    fn buffers_are_as_the_socket_says() {
        let requester = Requester::open(NETLINK_GENERIC).unwrap();
        assert!(requester.largest_send().unwrap() > 4000);
        let before = requester.receive_buffer().unwrap();
        requester.widen_receive_buffer(2 * before).unwrap();
        let after = requester.receive_buffer().unwrap();
        assert!(after == 2 * before || after == before, "as wide as asked for, or no right to: {after}");
    }
}
