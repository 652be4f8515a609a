//! Many requests in one `sendmsg`.
//!
//! The kernel goes through all messages of one send in order, whatever becomes of them, and answers each that fails, and
//! each that asked for an acknowledgement (netlink_rcv_skb in net/netlink/af_netlink.c). So only the last asks for one:
//! with its answer, every refusal before it has come too, and they are matched by sequence number.

use netlink_packet_core::NLM_F_ACK;

use super::encode::encode;
use super::error::Cause;
use super::types::Request;
use crate::netlink::message::{Content, Malformed, add_flags, messages};

/// How much goes into one send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Bytes: a longer send is refused.
    pub bytes: usize,
    /// Messages: every one may be refused, and the refusals must fit the receive buffer.
    pub messages: usize,
}

/// Memory that one refusal takes up in a receive buffer, which counts whole allocations: 768 bytes on a 64-bit kernel
/// (`struct sk_buff` and the smallest slab for a message and `struct skb_shared_info`), more with words of the kernel.
const REFUSAL: usize = 2048;

impl Limits {
    pub(super) fn new(largest_send: usize, receive_buffer: usize) -> Self {
        Limits { bytes: largest_send, messages: (receive_buffer / REFUSAL).max(1) }
    }

    /// Writes as many messages as fit, at least one, and says how many. They are numbered from `sequence` on.
    pub(super) fn fill(
        self,
        buffer: &mut Vec<u8>,
        family: u16,
        sequence: u32,
        requests: &[Request],
    ) -> usize {
        buffer.clear();
        let (mut count, mut last) = (0, 0);
        for request in requests.iter().take(self.messages) {
            let start = buffer.len();
            encode(buffer, family, sequence.wrapping_add(count as u32), 0, request);
            if buffer.len() > self.bytes && count > 0 {
                buffer.truncate(start);
                break;
            }
            (count, last) = (count + 1, start);
        }
        if count > 0 {
            add_flags(buffer, last, NLM_F_ACK);
        }
        count
    }
}

/// The answers to one send.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tally {
    sequence: u32,
    count: usize,
    /// Requests refused.
    pub refused: usize,
    /// The first of them: its place, errno(3) and what the kernel adds in words.
    pub first: Option<(usize, i32, Option<String>)>,
}

impl Tally {
    /// For `count` messages numbered from `sequence` on.
    pub(super) fn new(sequence: u32, count: usize) -> Self {
        Tally { sequence, count, refused: 0, first: None }
    }

    /// Reads a datagram; true if it held the answer to the last message.
    pub(super) fn read(&mut self, datagram: &[u8]) -> Result<bool, Cause> {
        for message in messages(datagram) {
            let message = message?;
            let place = message.sequence.wrapping_sub(self.sequence) as usize;
            // Not ours: an answer that an earlier, failed send did not wait for.
            if place >= self.count {
                continue;
            }
            match message.content()? {
                Content::Acknowledged => {}
                Content::Refused { errno, message } => {
                    self.refused += 1;
                    self.first.get_or_insert((place, errno, message));
                }
                Content::Data { .. } | Content::Done => {
                    return Err(Malformed(format!("data in answer to change {}", place + 1)).into());
                }
                Content::Nothing => continue,
            }
            if place + 1 == self.count {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ipvs::arbitrary;
    use crate::netlink::message::Writer;

    fn answer(sequence: u32, errno: i32) -> Vec<u8> {
        let mut buffer = Vec::new();
        let mut writer = Writer::start(&mut buffer, 2, 0, sequence);
        writer.raw(&(-errno).to_ne_bytes());
        writer.finish();
        buffer
    }

    fn flags(buffer: &[u8]) -> Vec<(u32, u16)> {
        messages(buffer)
            .map(|message| message.unwrap())
            .map(|message| (message.sequence, message.flags))
            .collect()
    }

    #[test]
    fn only_the_last_message_asks_for_an_acknowledgement() {
        let requests = [Request::Flush; 3];
        let mut buffer = vec![9; 100];
        let limits = Limits { bytes: 1000, messages: 10 };
        assert_eq!(limits.fill(&mut buffer, 0x1c, u32::MAX, &requests), 3);
        assert_eq!(flags(&buffer), [(u32::MAX, 1), (0, 1), (1, 5)]);
        assert_eq!(limits.fill(&mut buffer, 0x1c, 7, &[]), 0);
    }

    #[test]
    fn windows_end_at_either_limit_and_hold_at_least_one() {
        let requests = [Request::Flush; 30];
        let size = 20;
        let mut buffer = Vec::new();
        let mut fill = |bytes, messages| {
            let count = Limits { bytes, messages }.fill(&mut buffer, 0x1c, 0, &requests);
            assert_eq!(buffer.len(), count * size);
            assert_eq!(flags(&buffer).last().unwrap().1, 5);
            count
        };
        assert_eq!(fill(5 * size, 10), 5);
        assert_eq!(fill(6 * size - 1, 10), 5);
        assert_eq!(fill(1000, 10), 10);
        assert_eq!(fill(1, 10), 1);
        // Room for all answers in the kernel's default buffers (net.core.rmem_default, wmem_default).
        assert_eq!(Limits::new(212_960, 212_992), Limits { bytes: 212_960, messages: 104 });
    }

    #[test]
    fn refusals_are_matched_by_sequence_and_the_first_is_kept() {
        let mut tally = Tally::new(u32::MAX - 1, 5);
        let stale = answer(u32::MAX - 2, 1);
        assert!(!tally.read(&[stale, answer(0, 17)].concat()).unwrap());
        assert!(!tally.read(&answer(1, 3)).unwrap());
        assert!(tally.read(&answer(2, 0)).unwrap());
        assert_eq!((tally.refused, tally.first), (2, Some((2, 17, None))));

        let mut tally = Tally::new(10, 2);
        assert!(tally.read(&answer(11, 2)).unwrap(), "a refusal of the last is its answer");
        assert_eq!(tally.first, Some((1, 2, None)));
    }

    proptest! {
        #[test]
        fn windows_cover_all_requests_in_order(
            requests in proptest::collection::vec(arbitrary::request(), 1..60),
            bytes in 1..2000usize,
            most in 1..20usize,
        ) {
            let limits = Limits { bytes, messages: most };
            let (mut buffer, mut done, mut all) = (Vec::new(), 0, Vec::new());
            while done < requests.len() {
                let count = limits.fill(&mut buffer, 0x1c, done as u32, &requests[done..]);
                prop_assert!((1..=most).contains(&count));
                prop_assert!(buffer.len() <= bytes || count == 1);
                all.extend(flags(&buffer).into_iter().map(|(sequence, _)| sequence));
                done += count;
            }
            prop_assert_eq!(all, (0..requests.len() as u32).collect::<Vec<_>>());
        }

        #[test]
        fn any_answer_is_read_without_panic(bytes: Vec<u8>, sequence: u32, count in 0..10usize) {
            let _ = Tally::new(sequence, count).read(&bytes);
        }
    }
}
