//! What comes after the IP header: headers of UDP, TCP and SCTP, and the payload that carries a number.

use super::bytes::{get32, put};
use super::error::Malformed;
use super::packet::{Chunk, SYN, Segment};
use super::protocol::WireProtocol;

/// Bytes of a UDP header.
const UDP_HEADER: usize = 8;
/// Bytes of a TCP header without options.
pub(crate) const TCP_HEADER: usize = 20;
/// Bytes of SCTP's common header; chunks follow.
pub(super) const SCTP_HEADER: usize = 12;

/// The options of a Linux client's SYN: MSS 1460, SACK permitted, timestamps, window scale 7. Conntrack parses
/// them (`tcp_options`, net/netfilter/nf_conntrack_proto_tcp.c), so a bare SYN would look cheaper than real ones.
pub(crate) const SYN_OPTIONS: [u8; 20] = [2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];

const MAGIC: [u8; 8] = *b"svcbench";
/// Bytes of a payload that carries a number.
pub(super) const NUMBERED_PAYLOAD: usize = MAGIC.len() + size_of::<u64>();

/// Appends a TCP header with options; the place of its checksum is zero.
pub(crate) fn write_tcp(
    packet: &mut Vec<u8>,
    (from, to): (u16, u16),
    flags: u8,
    (sequence, acknowledgement): (u32, u32),
    options: &[u8],
) {
    packet.extend(from.to_be_bytes());
    packet.extend(to.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend(acknowledgement.to_be_bytes());
    packet.extend([((TCP_HEADER + options.len()) << 2) as u8, flags]); // words << 4
    packet.extend([0xff, 0xff, 0, 0, 0, 0]); // window, checksum, urgent pointer
    packet.extend(options);
}

/// Appends a segment with its payload; the place of its checksum is zero.
pub(super) fn write(bytes: &mut Vec<u8>, ports: (u16, u16), segment: &Segment) {
    match *segment {
        Segment::Udp { number } => {
            let start = bytes.len();
            bytes.extend(ports.0.to_be_bytes());
            bytes.extend(ports.1.to_be_bytes());
            bytes.extend([0; 4]);
            write_number(bytes, number);
            let length = (bytes.len() - start) as u16;
            put(bytes, start + 4, length);
        }
        Segment::Tcp { flags, sequence, acknowledgement, number } => {
            let options: &[u8] = if flags & SYN != 0 { &SYN_OPTIONS } else { &[] };
            write_tcp(bytes, ports, flags, (sequence, acknowledgement), options);
            write_number(bytes, number);
        }
        Segment::Sctp { tag, chunk } => {
            bytes.extend(ports.0.to_be_bytes());
            bytes.extend(ports.1.to_be_bytes());
            bytes.extend(tag.to_be_bytes());
            bytes.extend([0; 4]);
            bytes.extend(chunk_bytes(chunk));
        }
    }
}

fn write_number(bytes: &mut Vec<u8>, number: Option<u64>) {
    if let Some(number) = number {
        bytes.extend(MAGIC);
        bytes.extend(number.to_be_bytes());
    }
}

/// The number that a payload carries, if it is one of ours.
fn number(payload: &[u8]) -> Option<u64> {
    let payload: &[u8; NUMBERED_PAYLOAD] = payload.try_into().ok()?;
    let (magic, number) = payload.split_first_chunk()?;
    (*magic == MAGIC).then_some(u64::from_be_bytes(number.try_into().ok()?))
}

fn chunk_bytes(chunk: Chunk) -> Vec<u8> {
    /// Receive window, streams out and in, initial sequence number.
    const ASSOCIATION: [u8; 12] = [0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1];
    /// Parameter 7: a state cookie of four bytes.
    const COOKIE: [u8; 8] = [0, 7, 0, 8, 1, 2, 3, 4];
    let (kind, content): (u8, Vec<u8>) = match chunk {
        Chunk::Init { initiate } => (1, [&initiate.to_be_bytes()[..], &ASSOCIATION].concat()),
        Chunk::InitAck { initiate } => (2, [&initiate.to_be_bytes()[..], &ASSOCIATION, &COOKIE].concat()),
        Chunk::Abort => (6, Vec::new()),
        Chunk::Other(kind) => (kind, Vec::new()),
    };
    let length = (4 + content.len()) as u16;
    [&[kind, 0][..], &length.to_be_bytes(), &content].concat()
}

/// Reads headers and the number in the payload. Neither checksums nor UDP's length are looked at.
pub(super) fn segment(protocol: WireProtocol, payload: &[u8]) -> Result<Segment, Malformed> {
    let truncated = Malformed::Truncated(payload.len());
    match protocol {
        WireProtocol::Udp => {
            let data = payload.get(UDP_HEADER..).ok_or(truncated)?;
            Ok(Segment::Udp { number: number(data) })
        }
        WireProtocol::Tcp => {
            let tcp: &[u8; TCP_HEADER] = payload.first_chunk().ok_or(truncated)?;
            let header = usize::from(tcp[12] >> 4) * 4;
            if header < TCP_HEADER || header > payload.len() {
                return Err(Malformed::HeaderLength);
            }
            Ok(Segment::Tcp {
                flags: tcp[13],
                sequence: get32(tcp, 4),
                acknowledgement: get32(tcp, 8),
                number: number(&payload[header..]),
            })
        }
        WireProtocol::Sctp => {
            let chunk = payload.get(SCTP_HEADER..).ok_or(truncated)?;
            let &[kind, _, high, low, ..] = chunk else { return Err(truncated) };
            let length = usize::from(u16::from_be_bytes([high, low]));
            if length < 4 || length > chunk.len() {
                return Err(Malformed::HeaderLength);
            }
            // INIT and INIT ACK have 16 bytes after the chunk's header, and may have parameters.
            let initiate = || match length {
                20.. => Ok(get32(chunk, 4)),
                _ => Err(Malformed::HeaderLength),
            };
            let chunk = match kind {
                1 => Chunk::Init { initiate: initiate()? },
                2 => Chunk::InitAck { initiate: initiate()? },
                6 => Chunk::Abort,
                other => Chunk::Other(other),
            };
            Ok(Segment::Sctp { tag: get32(payload, 4), chunk })
        }
    }
}
