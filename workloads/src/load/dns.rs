//! The DNS messages of `udp_rr` (RFC 1035): a TXT question, and an answer that holds the name of who gave it.
//!
//! Any DNS server can be asked, and `dig` can ask the server of this crate.

use std::io::Write;
use std::net::SocketAddr;

/// The question behind the header: `svcbench.` TXT IN.
const QUESTION: &[u8] = b"\x08svcbench\x00\x00\x10\x00\x01";
const HEADER: usize = 12;
/// How long a question is, bytes.
pub(super) const REQUEST_LENGTH: usize = HEADER + QUESTION.len();
/// Room for an answer, bytes: what a server may send without EDNS (RFC 1035, section 4.2.1).
pub(super) const ROOM: usize = 512;
/// An answer's record up to its text: the name (a pointer to the question), TXT IN, TTL 0.
const RECORD: &[u8] = b"\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x00";

/// A question with this identifier.
pub(super) fn question(id: u16) -> [u8; REQUEST_LENGTH] {
    let mut message = [0; REQUEST_LENGTH];
    message[..2].copy_from_slice(&id.to_be_bytes());
    // Recursion desired, as stub resolvers ask; one question.
    message[2] = 0x01;
    message[5] = 1;
    message[HEADER..].copy_from_slice(QUESTION);
    message
}

/// Writes the answer of `endpoint` to a question, or an error that says "not implemented" if it is another one; its
/// length. `None`: the packet is no question.
pub(super) fn answer(question: &[u8], endpoint: SocketAddr, into: &mut [u8; ROOM]) -> Option<usize> {
    let header: &[u8; HEADER] = question.first_chunk()?;
    // A response must not be answered.
    if header[2] & 0x80 != 0 {
        return None;
    }
    into[..HEADER].copy_from_slice(header);
    into[2] |= 0x80;
    // Everything but the question is left out of the answer.
    into[6..HEADER].fill(0);
    if !question[HEADER..].starts_with(QUESTION) {
        into[3] = 4;
        into[4..6].fill(0);
        return Some(HEADER);
    }
    into[3] = 0;
    into[7] = 1;
    let mut text = [0; 64];
    let mut rest = &mut text[..];
    write!(rest, "{endpoint}").ok()?;
    let length = 64 - rest.len();
    let mut rest = &mut into[HEADER..];
    let text_length = u8::try_from(length).ok()?;
    for part in [QUESTION, RECORD, &[0, text_length + 1, text_length], &text[..length]] {
        rest.write_all(part).ok()?;
    }
    Some(ROOM - rest.len())
}

/// The identifier of a response; `None`: it is no response.
pub(super) fn identifier(response: &[u8]) -> Option<u16> {
    let header: &[u8; HEADER] = response.first_chunk()?;
    (header[2] & 0x80 != 0).then(|| u16::from_be_bytes([header[0], header[1]]))
}

/// Who gave the answer, if it says so in the way of [`answer`].
pub(super) fn endpoint(response: &[u8]) -> Option<SocketAddr> {
    let record = response.get(HEADER..)?.strip_prefix(QUESTION)?.strip_prefix(RECORD)?;
    let text = record.get(3..3 + usize::from(*record.get(2)?))?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_answer_names_its_endpoint(id: u16, endpoint: SocketAddr) {
            let endpoint = SocketAddr::new(endpoint.ip(), endpoint.port());
            let mut room = [0; ROOM];
            let length = answer(&question(id), endpoint, &mut room).unwrap();
            prop_assert_eq!(identifier(&room[..length]), Some(id));
            prop_assert_eq!(super::endpoint(&room[..length]), Some(endpoint));
        }

        #[test]
        fn anything_may_come(bytes: Vec<u8>) {
            let _ = (identifier(&bytes), endpoint(&bytes));
            let _ = answer(&bytes, "[::1]:53".parse().unwrap(), &mut [0; ROOM]);
        }
    }

    #[test]
    fn other_questions_are_not_implemented_and_answers_not_answered() {
        let mut other = question(7);
        other[HEADER + 1] = b'x';
        let mut room = [0xff; ROOM];
        let length = answer(&other, "10.0.0.1:53".parse().unwrap(), &mut room).unwrap();
        assert_eq!(room[..length], [0, 7, 0x81, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!((identifier(&room[..length]), endpoint(&room[..length])), (Some(7), None));
        let answered = room;
        assert_eq!(answer(&answered[..length], "10.0.0.1:53".parse().unwrap(), &mut room), None);
    }
}
