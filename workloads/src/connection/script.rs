//! The packets of a TCP connection as `tcp_crr` makes it, in their order.

use crate::wire::{ACK, FIN, PSH, SYN};

/// The most payload in a segment: an MTU of 1,500 less the headers of IPv4 and TCP with timestamps (RFC 7323).
pub const SEGMENT: u32 = 1_448;

/// Who sends a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// It opened the connection.
    Client,
    /// It closes first, like a server of HTTP without keep-alive.
    Server,
}

/// One packet of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Who sends it.
    pub side: Side,
    /// TCP flags (RFC 9293, section 3.1).
    pub flags: u8,
    /// Bytes of payload.
    pub payload: u16,
}

/// What two programs say to each other over one connection: one request, one response, close.
///
/// Its packets are those that Linux sends when both programs are quick. Each SYN, request, segment of the response and FIN
/// is a packet of its own, save that the last segment carries the server's FIN. Besides, the server acknowledges the
/// request before it answers (a new connection acknowledges at once, `tcp_enter_quickack_mode`), and the client every
/// second segment (RFC 9293, section 3.8.6.3), the last with its FIN. Real clients send some acknowledgements more or
/// fewer, as the scheduler has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// Bytes; they fit one segment.
    pub request: u16,
    /// Bytes, in as many segments as they take.
    pub response: u32,
}

impl Exchange {
    fn segments(&self) -> u32 {
        self.response.div_ceil(SEGMENT).max(1)
    }

    /// How many packets client and server send.
    pub fn packets(&self) -> [u32; 2] {
        // SYN, ACK, request, FIN; SYN-ACK, ACK of the request, ACK of the FIN.
        [4 + (self.segments() - 1) / 2, 3 + self.segments()]
    }

    /// The packets.
    pub fn script(&self) -> Vec<Segment> {
        let client = |flags, payload| Segment { side: Side::Client, flags, payload };
        let server = |flags, payload| Segment { side: Side::Server, flags, payload };
        let mut script = vec![client(SYN, 0), server(SYN | ACK, 0), client(ACK, 0)];
        script.extend([client(PSH | ACK, self.request), server(ACK, 0)]);
        let (mut left, last) = (self.response, self.segments());
        for segment in 1..=last {
            let payload = left.min(SEGMENT);
            left -= payload;
            let flags = if segment == last { PSH | FIN | ACK } else { ACK };
            // At most SEGMENT.
            script.push(server(flags, payload as u16));
            if segment % 2 == 0 && segment < last {
                script.push(client(ACK, 0));
            }
        }
        script.extend([client(FIN | ACK, 0), server(ACK, 0)]);
        script
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(exchange: Exchange) -> String {
        let text = |segment: &Segment| {
            let side = if segment.side == Side::Client { ">" } else { "<" };
            format!("{side}{:02x}:{}", segment.flags, segment.payload)
        };
        exchange.script().iter().map(text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn exchanges_are_those_that_linux_makes() {
        let short = Exchange { request: 53, response: 71 };
        assert_eq!(text(short), ">02:0 <12:0 >10:0 >18:53 <10:0 <19:71 >11:0 <10:0");
        let longer = Exchange { request: 53, response: 2 * SEGMENT + 1 };
        assert_eq!(text(longer), ">02:0 <12:0 >10:0 >18:53 <10:0 <10:1448 <10:1448 >10:0 <19:1 >11:0 <10:0");
    }

    proptest! {
        #[test]
        fn a_script_has_the_packets_and_bytes_of_its_exchange(request in 1_u16..1_448, response in 0_u32..200_000) {
            let exchange = Exchange { request, response };
            let script = exchange.script();
            let of = |side| script.iter().filter(move |segment| segment.side == side);
            let packets = [of(Side::Client).count() as u32, of(Side::Server).count() as u32];
            prop_assert_eq!(packets, exchange.packets());
            let bytes = |side| of(side).map(|segment| u32::from(segment.payload)).sum::<u32>();
            prop_assert_eq!([bytes(Side::Client), bytes(Side::Server)], [request.into(), response]);
            for side in [Side::Client, Side::Server] {
                prop_assert_eq!(of(side).filter(|segment| segment.flags & SYN != 0).count(), 1);
                prop_assert_eq!(of(side).filter(|segment| segment.flags & FIN != 0).count(), 1);
            }
        }
    }
}
