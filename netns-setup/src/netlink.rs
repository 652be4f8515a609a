//! One request, one answer, over any netlink family: for the few messages that have no crate.

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST};
use netlink_sys::{Socket, SocketAddr};

/// `struct nlmsghdr`: length, type, flags, sequence, port (include/uapi/linux/netlink.h).
const HEADER: usize = 16;
/// `NLMSG_ERROR`; an errno of 0 in it is an acknowledgement.
const ERROR: u16 = 2;

/// A socket in the network namespace of the thread that opened it, wherever it is used.
pub(crate) struct Requester {
    socket: Socket,
    sequence: u32,
    answer: Vec<u8>,
}

impl Requester {
    pub(crate) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Requester { socket, sequence: 0, answer: Vec::with_capacity(8192) })
    }

    /// Sends one message and waits until the kernel has carried it out, which it does within `send`.
    pub(crate) fn ask(&mut self, kind: u16, body: &[u8]) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        self.socket.send(&encode(kind, self.sequence, body), 0)?;
        loop {
            self.answer.clear();
            self.socket.recv(&mut &mut self.answer, 0)?;
            if let Some(outcome) = acknowledgement(&self.answer, self.sequence)? {
                return outcome;
            }
        }
    }
}

fn encode(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let flags = NLM_F_REQUEST | NLM_F_ACK;
    let length = (HEADER + body.len()) as u32;
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend(0u32.to_ne_bytes());
    message.extend(body);
    message
}

/// Looks for the acknowledgement of `sequence` among the messages of one datagram.
fn acknowledgement(mut datagram: &[u8], sequence: u32) -> io::Result<Option<io::Result<()>>> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "malformed netlink answer");
    while !datagram.is_empty() {
        let u32_at = |at: usize| {
            datagram
                .get(at..at + 4)
                .and_then(|b| b.try_into().ok())
                .map(u32::from_ne_bytes)
                .ok_or_else(malformed)
        };
        let length = u32_at(0)? as usize;
        let kind = u32_at(4)?.to_ne_bytes();
        if length < HEADER || length > datagram.len() {
            return Err(malformed());
        }
        if u16::from_ne_bytes([kind[0], kind[1]]) == ERROR && u32_at(8)? == sequence {
            return Ok(Some(match u32_at(HEADER)?.cast_signed() {
                0 => Ok(()),
                errno => Err(io::Error::from_raw_os_error(-errno)),
            }));
        }
        datagram = &datagram[length.next_multiple_of(4).min(datagram.len())..];
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(kind: u16, sequence: u32, errno: i32) -> Vec<u8> {
        encode(kind, sequence, &errno.to_ne_bytes())
    }

    #[test]
    fn acknowledgements_and_refusals_are_told_apart() {
        assert!(acknowledgement(&answer(2, 7, 0), 7).unwrap().unwrap().is_ok());
        let refused = acknowledgement(&answer(2, 7, -2), 7).unwrap().unwrap().unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(2));
        assert!(acknowledgement(&answer(2, 6, 0), 7).unwrap().is_none(), "another request's");
        let both = [answer(16, 7, 0), answer(2, 7, 0)].concat();
        assert!(acknowledgement(&both, 7).unwrap().unwrap().is_ok(), "after a data message");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, sequence: u32) {
            let _ = acknowledgement(&bytes, sequence);
        }
    }
}
