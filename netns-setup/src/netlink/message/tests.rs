use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut buffer = Vec::new();
    let mut writer = Writer::start(&mut buffer, kind, flags, sequence);
    writer.raw(body);
    writer.finish();
    buffer
}

fn content(datagram: &[u8]) -> Content<'_> {
    messages(datagram).next().unwrap().unwrap().content().unwrap()
}

#[test]
fn acknowledgements_refusals_and_data_are_distinct() {
    assert_eq!(content(&message(2, 0, 7, &0i32.to_ne_bytes())), Content::Acknowledged);
    let refused = message(2, 0, 7, &(-17i32).to_ne_bytes());
    assert_eq!(content(&refused), Content::Refused { errno: 17, message: None });
    assert_eq!(content(&message(3, 2, 7, &0i32.to_ne_bytes())), Content::Done);
    assert_eq!(content(&message(3, 2, 7, &[])), Content::Done);
    let failed = message(3, 2, 7, &(-105i32).to_ne_bytes());
    assert_eq!(content(&failed), Content::Refused { errno: 105, message: None });
    assert_eq!(content(&message(1, 0, 7, &[])), Content::Nothing);
    assert_eq!(
        content(&message(0x1c, 2, 7, &[1, 2, 3, 4])),
        Content::Data { family: 0x1c, body: &[1, 2, 3, 4] }
    );
    let lost = message(4, 0, 7, &[]);
    assert!(messages(&lost).next().unwrap().unwrap().content().is_err());
}

/// netlink_ack in net/netlink/af_netlink.c: errno, the request's header, its payload unless capped, attributes.
#[test]
fn the_kernels_words_follow_the_header_or_the_payload_of_the_request() {
    let mut words = Vec::new();
    let mut writer = Writer::start(&mut words, 0, 0, 0);
    writer.attribute(2, &24u32.to_ne_bytes());
    writer.attribute(1, b"Invalid attribute\0");
    writer.finish();
    let words = &words[HEADER..];
    // 5 bytes of payload, padded to 8.
    let request = message(0x1c, 5, 7, &[9, 9, 9, 9, 9]);
    let expected = Content::Refused { errno: 22, message: Some("Invalid attribute".into()) };

    let errno = (-22i32).to_ne_bytes();
    let capped = message(2, NLM_F_CAPPED | NLM_F_ACK_TLVS, 7, &[&errno, &request[..HEADER], words].concat());
    assert_eq!(content(&capped), expected);
    let whole = message(2, NLM_F_ACK_TLVS, 7, &[&errno, &request[..], words].concat());
    assert_eq!(content(&whole), expected);
    let none = message(2, NLM_F_CAPPED, 7, &[&errno, &request[..HEADER], words].concat());
    assert_eq!(content(&none), Content::Refused { errno: 22, message: None }, "no flag, no attributes");
}

#[test]
fn lengths_that_lie_are_errors_with_the_numbers() {
    let mut long = message(0x1c, 0, 7, &[0; 4]);
    long[0] = 21;
    let mut short = message(0x1c, 0, 7, &[0; 4]);
    short[0] = 15;
    let error = |bytes: &[u8]| messages(bytes).next().unwrap().unwrap_err().to_string();
    assert_eq!(error(&long), "malformed netlink answer: a message of type 28 claims 21 bytes of 20");
    assert_eq!(error(&short), "malformed netlink answer: a message of type 28 claims 15 bytes of 20");
    assert_eq!(error(&short[..11]), "malformed netlink answer: 11 bytes left, too few for a message");

    let error = |bytes: &[u8]| attributes(bytes).next().unwrap().unwrap_err().to_string();
    assert_eq!(error(&[3, 0, 1, 0]), "malformed netlink answer: attribute 1 claims 3 bytes of 4");
    assert_eq!(error(&[9, 0, 1, 0, 0, 0, 0, 0]), "malformed netlink answer: attribute 1 claims 9 bytes of 8");
    assert_eq!(error(&[8, 0, 1]), "malformed netlink answer: 3 bytes left, too few for an attribute");
}

#[test]
fn a_message_without_padding_is_the_last() {
    let datagram = [message(0x10, 0, 1, &[1]), message(0x10, 0, 2, &[2])].concat();
    let sequences = messages(&datagram).map(|message| message.unwrap().sequence).collect::<Vec<_>>();
    assert_eq!(sequences, [1, 2]);
    let mut odd = message(0x10, 0, 1, &[]);
    odd[0] = 17;
    odd.push(5);
    let found = messages(&odd).collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(found, [Message { kind: 0x10, flags: 0, sequence: 1, body: &[5] }]);
}

#[test]
fn flags_are_added_to_one_message_only() {
    let mut buffer = [message(0x10, 1, 1, &[0; 4]), message(0x10, 1, 2, &[0; 4])].concat();
    add_flags(&mut buffer, 20, 4);
    let flags = messages(&buffer).map(|message| message.unwrap().flags).collect::<Vec<_>>();
    assert_eq!(flags, [1, 5]);
}

proptest! {
    #[test]
    fn attributes_are_read_as_written(values in vec((0..0x4000u16, vec(any::<u8>(), 0..40)), 0..8), nest in 0..0x4000u16) {
        let mut buffer = Vec::new();
        let mut writer = Writer::start(&mut buffer, 0x10, 1, 3);
        writer.nest(nest, |writer| values.iter().for_each(|(kind, value)| writer.attribute(*kind, value)));
        writer.finish();
        prop_assert_eq!(buffer.len() % 4, 0);
        let message = messages(&buffer).next().unwrap().unwrap();
        let outer = attributes(message.body).collect::<Result<Vec<_>, _>>().unwrap();
        prop_assert_eq!(outer.len(), 1);
        prop_assert_eq!(outer[0].0, nest);
        let inner = attributes(outer[0].1).collect::<Result<Vec<_>, _>>().unwrap();
        let inner = inner.into_iter().map(|(kind, value)| (kind, value.to_vec())).collect::<Vec<_>>();
        prop_assert_eq!(inner, values);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
        for message in messages(&bytes) {
            if let Ok(Ok(Content::Data { body, .. })) = message.map(|message| message.content()) {
                attributes(body).for_each(drop);
            }
        }
        attributes(&bytes).for_each(drop);
    }

    /// Mostly well-formed: the depths are reached.
    #[test]
    fn any_refusal_is_read_without_panic(body: Vec<u8>, capped: bool, kind in 1..5u16) {
        let flags = NLM_F_ACK_TLVS | if capped { NLM_F_CAPPED } else { 0 };
        let body = [&(-1i32).to_ne_bytes()[..], &body].concat();
        let datagram = message(kind, flags, 7, &body);
        let _ = messages(&datagram).next().unwrap().unwrap().content();
    }
}
