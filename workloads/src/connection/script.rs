//! The packets of a TCP connection as `tcp_crr` makes it, in their order.

use crate::packet::{ACK, FIN, PSH, SYN};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// Bytes; they fit one segment.
    pub request: u16,
    /// Bytes, in as many segments as they take. The last carries the server's FIN.
    pub response: u32,
    /// Packets of the client's that only acknowledge, save the one that ends the handshake. How many there are is up to
    /// the receiver: between one for each segment and one for every other, and fewer when it is busy.
    pub client_acknowledges: u32,
    /// Packets of the server's that only acknowledge, save the last of the connection.
    pub server_acknowledges: u32,
}

impl Exchange {
    /// The exchange that has so many packets: what is left beside those that must be are acknowledgements.
    pub fn counted(request: u16, response: u32, client_packets: u32, server_packets: u32) -> Exchange {
        let bare = Exchange { request, response, client_acknowledges: 0, server_acknowledges: 0 };
        let [client, server] = bare.packets();
        Exchange {
            client_acknowledges: client_packets.saturating_sub(client),
            server_acknowledges: server_packets.saturating_sub(server),
            ..bare
        }
    }

    /// How many packets client and server send.
    pub fn packets(&self) -> [u32; 2] {
        // SYN, ACK, request, FIN; SYN-ACK, ACK of the FIN.
        [4 + self.client_acknowledges, 2 + self.segments() + self.server_acknowledges]
    }

    fn segments(&self) -> u32 {
        self.response.div_ceil(SEGMENT).max(1)
    }

    /// The packets.
    pub fn script(&self) -> Vec<Segment> {
        let client = |flags, payload| Segment { side: Side::Client, flags, payload };
        let server = |flags, payload| Segment { side: Side::Server, flags, payload };
        let mut script = vec![client(SYN, 0), server(SYN | ACK, 0), client(ACK, 0)];
        script.push(client(PSH | ACK, self.request));
        script.extend((0..self.server_acknowledges).map(|_| server(ACK, 0)));
        let (mut left, last) = (self.response, self.segments());
        let mut acknowledged = 0;
        for segment in 1..=last {
            let payload = left.min(SEGMENT);
            left -= payload;
            let flags = if segment == last { PSH | FIN | ACK } else { ACK };
            // At most SEGMENT.
            script.push(server(flags, payload as u16));
            // Spread evenly.
            let due = u64::from(self.client_acknowledges) * u64::from(segment) / u64::from(last);
            script.extend((acknowledged..due).map(|_| client(ACK, 0)));
            acknowledged = due;
        }
        script.extend([client(FIN | ACK, 0), server(ACK, 0)]);
        script
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_exchange_is_the_one_that_linux_makes() {
        let exchange = Exchange::counted(52, 79, 5, 4);
        let text = |segment: &Segment| {
            let side = if segment.side == Side::Client { ">" } else { "<" };
            format!("{side}{:02x}:{}", segment.flags, segment.payload)
        };
        let script: Vec<_> = exchange.script().iter().map(text).collect();
        let expected = [">02:0", "<12:0", ">10:0", ">18:52", "<10:0", "<19:79", ">10:0", ">11:0", "<10:0"];
        assert_eq!(script, expected);
    }

    proptest! {
        #[test]
        fn a_script_has_the_packets_and_bytes_of_its_exchange(
            request in 1_u16..1_448, response in 0_u32..200_000, client in 0_u32..200, server in 0_u32..200,
        ) {
            let exchange = Exchange::counted(request, response, client, server);
            let [least_client, least_server] = Exchange::counted(request, response, 0, 0).packets();
            let script = exchange.script();
            let of = |side| script.iter().filter(move |segment| segment.side == side);
            let packets = [of(Side::Client).count() as u32, of(Side::Server).count() as u32];
            prop_assert_eq!(packets, [client.max(least_client), server.max(least_server)]);
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
