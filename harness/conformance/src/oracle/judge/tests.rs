//! What is heard, and what that means.

use std::net::SocketAddr;

use workloads::wire::{ACK, Chunk, Quoted, RST, SYN, Segment};

use super::*;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn sent(protocol: Protocol, number: Number) -> Sent {
    let packet = SentPacket { protocol, from: at("203.0.113.9:4000"), to: at("10.96.0.10:80") };
    Sent { packet, origin: Location::Outside, number }
}

fn tcp() -> Sent {
    sent(Protocol::Tcp, Number::Given(7))
}

fn heard(at: Location, packet: Wire) -> Heard {
    Heard { at, message: Message::Packet(packet) }
}

/// The packet with this number as it comes out, masqueraded.
fn first(of: &Sent, number: u32) -> Wire {
    Wire::first(transport(of.packet.protocol), at("192.0.2.1:61000"), at("10.244.1.5:8080"), number)
}

/// What its sender gets if the kernel rejects it.
fn error(of: &Sent, number: u32) -> IcmpError {
    let SentPacket { protocol, from, to } = of.packet;
    let about = Quoted { protocol: transport(protocol), from, to, number: Some(number) };
    IcmpError { from: at("192.0.2.1:0").ip(), to: from.ip(), kind: 3, code: 3, about }
}

fn back(of: &Sent, segment: Segment) -> Wire {
    Wire { from: of.packet.to, to: of.packet.from, segment }
}

fn reset(number: u32) -> Segment {
    Segment::Tcp { flags: RST | ACK, sequence: 0, acknowledgement: number + 1, number: None }
}

fn syn_ack(number: u32) -> Segment {
    Segment::Tcp { flags: SYN | ACK, sequence: 99, acknowledgement: number + 1, number: None }
}

fn outcome(of: &Sent, heard: &[Heard]) -> PacketOutcome {
    of.judge(heard, &[]).unwrap()
}

fn unexplained(of: &Sent, heard: &[Heard]) -> &'static str {
    match of.judge(heard, &[]) {
        Err(OracleError::Unexplained { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn outcomes_read_as_sentences() {
    for protocol in Protocol::ALL {
        let sent = sent(protocol, Number::Given(7));
        let there = heard(Location::RemotePod, first(&sent, 7));
        assert_eq!(
            outcome(&sent, &[there]).to_string(),
            "delivered at a remote pod to 10.244.1.5:8080 from 192.0.2.1:61000"
        );
        assert_eq!(outcome(&sent, &[]).to_string(), "dropped");
        let reported = Heard { at: Location::Outside, message: Message::Error(error(&sent, 7)) };
        assert_eq!(
            outcome(&sent, &[reported]).to_string(),
            "rejected by 192.0.2.1 (ICMP 3/3, port unreachable)"
        );
    }
    let refused = heard(Location::Outside, back(&tcp(), reset(7)));
    assert_eq!(outcome(&tcp(), &[refused]).to_string(), "rejected by 10.96.0.10 (TCP RST)");
    let sctp = sent(Protocol::Sctp, Number::Given(7));
    let refused = heard(Location::Outside, back(&sctp, Segment::Sctp { tag: 7, chunk: Chunk::Abort }));
    assert_eq!(outcome(&sctp, &[refused]).to_string(), "rejected by 10.96.0.10 (SCTP ABORT)");
}

#[test]
fn what_is_not_its_own_is_passed_over() {
    let sent = tcp();
    let udp = super::tests::sent(Protocol::Udp, Number::Given(7));
    let others = [
        heard(Location::RemotePod, first(&sent, 6)),
        heard(Location::RemotePod, first(&udp, 7)),
        heard(Location::Outside, back(&sent, reset(6))),
        heard(Location::Outside, back(&sent, syn_ack(6))),
        // A segment of an open connection.
        heard(
            Location::Outside,
            back(&sent, Segment::Tcp { flags: ACK, sequence: 7, acknowledgement: 8, number: None }),
        ),
        Heard { at: Location::Outside, message: Message::Error(error(&sent, 6)) },
    ];
    assert_eq!(outcome(&sent, &others), PacketOutcome::Dropped);
}

#[test]
fn a_packet_comes_out_once() {
    let there = heard(Location::RemotePod, first(&tcp(), 7));
    assert_eq!(
        unexplained(&tcp(), &[there, Heard { at: Location::LocalPod, ..there }]),
        "it came out more than once"
    );
}

#[test]
fn an_error_must_be_one_that_the_sender_understands() {
    let sent = tcp();
    let right = error(&sent, 7);
    let endpoint = at("10.244.1.5:8080");
    let wrong = [
        IcmpError { to: endpoint.ip(), ..right },
        IcmpError { about: Quoted { from: at("192.0.2.1:61000"), ..right.about }, ..right },
        IcmpError { about: Quoted { to: endpoint, ..right.about }, ..right },
    ];
    for error in wrong {
        let reported = Heard { at: Location::Outside, message: Message::Error(error) };
        assert_eq!(unexplained(&sent, &[reported]), "an answer that its sender does not take for one");
    }
    let elsewhere = Heard { at: Location::RemotePod, message: Message::Error(right) };
    assert_eq!(unexplained(&sent, &[elsewhere]), "an answer that its sender does not take for one");
    let untranslated = Wire { from: endpoint, ..back(&sent, reset(7)) };
    let reported = heard(Location::Outside, untranslated);
    assert_eq!(unexplained(&sent, &[reported]), "an answer that its sender does not take for one");
}

#[test]
fn only_who_has_received_it_answers() {
    let sent = tcp();
    let answer = heard(Location::Outside, back(&sent, syn_ack(7)));
    assert_eq!(unexplained(&sent, &[answer]), "an answer to what has not come out");
    let there = heard(Location::RemotePod, first(&sent, 7));
    assert_eq!(unexplained(&sent, &[there, answer]), "an answer of nobody who has received it");

    // The node's own stack does both, in whichever order they are read.
    let here = Heard { at: Location::Node, ..there };
    for both in [[here, answer], [answer, here]] {
        let delivered = *outcome(&sent, &both).delivered().unwrap();
        let Some(Answer::SentPacket(Location::Outside, packet)) = delivered.answer else {
            panic!("{delivered:?}")
        };
        assert_eq!(packet, back(&sent, syn_ack(7)));
        assert!(delivered.is_translated());
        assert_eq!(delivered.masquerade(), Some(at("192.0.2.1:0").ip()));
    }
    let reported = Heard { at: Location::Outside, message: Message::Error(error(&sent, 7)) };
    let delivered = *outcome(&sent, &[reported, here]).delivered().unwrap();
    assert!(matches!(delivered.answer, Some(Answer::Rejected(_))), "{delivered:?}");
}

#[test]
fn the_syn_of_a_socket_is_the_one_that_is_new() {
    let sent = Sent { origin: Location::Node, ..sent(Protocol::Tcp, Number::Any) };
    let (old, new) =
        (heard(Location::RemotePod, first(&sent, 1_000)), heard(Location::RemotePod, first(&sent, 2_000)));
    let delivered = *sent.judge(&[old, new], &[1_000]).unwrap().delivered().unwrap();
    assert_eq!(delivered.received.number(), Some(2_000));
    assert_eq!(sent.judge(&[old], &[1_000]).unwrap(), PacketOutcome::Dropped);
    // Answers are known by their addresses.
    let refused = heard(Location::Node, back(&sent, reset(5)));
    assert!(outcome(&sent, &[refused]).rejected().is_some());
    let foreign = heard(Location::Node, Wire { to: at("203.0.113.9:4001"), ..back(&sent, reset(5)) });
    assert_eq!(outcome(&sent, &[foreign]), PacketOutcome::Dropped);
}

#[test]
fn an_answer_must_come_from_where_the_packet_was_sent() {
    let sent = sent(Protocol::Udp, Number::Given(7));
    let there = *outcome(&sent, &[heard(Location::RemotePod, first(&sent, 7))]).delivered().unwrap();
    let packet = SentPacket { protocol: Protocol::Udp, from: there.destination, to: there.source };
    let reply = Sent { packet, origin: Location::RemotePod, number: Number::Given(8) };
    let right = Wire::first(Transport::Udp, sent.packet.to, sent.packet.from, 8);
    let answered = |at, packet| there.is_answered_by(&outcome(&reply, &[heard(at, packet)]));
    assert!(answered(Location::Outside, right));
    assert!(!answered(Location::LocalPod, right));
    assert!(!answered(Location::Outside, Wire { from: there.destination, ..right }));
    assert!(!answered(Location::Outside, Wire { to: at("203.0.113.9:4001"), ..right }));
    assert!(!there.is_answered_by(&PacketOutcome::Dropped));
}
