//! Forwarding methods: what passes the director, and what it costs.

use experiments::forwarding::{Config, Forwarding, Method, measure};
use lab::cores::Cores;
use netns_setup::Volume;

const CONNECTIONS: u32 = 60;
const LARGE: u32 = 65_536;
/// In front of each IP packet (Ethernet).
const ETHERNET: u64 = 14;
/// A segment without data: Ethernet, IP and TCP with its timestamps.
const ACKNOWLEDGEMENT: u64 = ETHERNET + 20 + 32;

fn measured(method: Method, response_bytes: u32) -> Forwarding {
    let config = Config { connections: CONNECTIONS, response_bytes, seed: 1 };
    measure(method, &config, &Cores::choose().unwrap()).unwrap()
}

/// What most connections took.
fn usual(volumes: &[Volume]) -> Volume {
    let mut sorted = volumes.to_vec();
    sorted.sort_by_key(|volume| (volume.packets, volume.bytes));
    sorted[sorted.len() / 2]
}

/// The least and the most.
fn span(volumes: &[Volume]) -> [Volume; 2] {
    let by_packets = |volume: &&Volume| (volume.packets, volume.bytes);
    [*volumes.iter().min_by_key(by_packets).unwrap(), *volumes.iter().max_by_key(by_packets).unwrap()]
}

pub(crate) fn one(method: Method) {
    for response_bytes in [0, LARGE] {
        let found = measured(method, response_bytes);
        let received = span(&found.received);
        assert_eq!(found.received.len(), CONNECTIONS as usize);
        let usual = usual(&found.received);
        if response_bytes == 0 {
            // Nothing is left to chance but the number of acknowledgements: on a busy machine one stands for two.
            for one in &found.received {
                let apart = i128::from(one.packets) - i128::from(usual.packets);
                let bytes = i128::from(one.bytes) - i128::from(usual.bytes);
                assert_eq!(bytes, apart * i128::from(ACKNOWLEDGEMENT), "{one:?} against {usual:?}");
            }
        }
        for (received, sent) in found.received.iter().zip(&found.sent) {
            let outer = if method == Method::Tun { 20 * received.packets } else { 0 };
            assert_eq!(*sent, Volume { bytes: received.bytes + outer, ..*received });
        }
        // What is written packet by packet is what was counted, to the byte; long responses are acknowledged as the
        // scheduler has it.
        if response_bytes == 0 {
            let bytes = found.bytes + ETHERNET * found.packets;
            assert_eq!(usual, Volume { packets: found.packets, bytes });
        } else {
            let [least, most] = received.map(|volume| volume.packets);
            assert!((least * 3 / 4..=most * 5 / 4).contains(&found.packets), "{least} to {most}");
        }
        let counts = [&found.costs.connection, &found.costs.first].map(|times| times.count());
        assert_eq!(counts, [u64::from(CONNECTIONS); 2]);
        let [from_client, _] = found.exchange.packets();
        assert_eq!(found.costs.later.count(), u64::from((from_client - 1) * CONNECTIONS));
        assert!(found.costs.first.histogram().min() > 0);

        let way_back = found.packets > u64::from(from_client);
        assert_eq!(way_back, !method.wiring().spares_the_way_back());
        assert_eq!(usual.bytes > u64::from(response_bytes).max(600), way_back, "{received:?}");
    }
}

/// Direct routing and tunnels spare the director the way back, the more the longer the responses are.
pub(crate) fn claim() {
    let cost = |found: &Forwarding| found.costs.connection.histogram().value_at_quantile(0.5);
    for (response_bytes, least) in [(0, 1.3), (LARGE, 3.0)] {
        let nat = measured(Method::NatUntracked, response_bytes);
        for method in [Method::Dr, Method::Tun] {
            let found = measured(method, response_bytes);
            let [from_client, from_servers] = found.exchange.packets().map(u64::from);
            assert_eq!((found.packets, nat.packets), (from_client, from_client + from_servers));
            let ratio = cost(&nat) as f64 / cost(&found) as f64;
            assert!(ratio > least, "{}: {ratio}", method.mode());
        }
    }
}
