//! What has passed a link.

use std::ops::{Add, Sub};

use futures_util::TryStreamExt;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};

use super::Links;
use crate::error::SetupError;

/// Packets and their bytes. On Ethernet the bytes include its header of 14, and no preamble, checksum or gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Volume {
    /// Packets; a packet that the sender left to the link to cut counts as one, see [`Links::set_gso_segments`].
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What has passed a link since it was made: `rtnl_link_stats64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// What came in.
    pub received: Volume,
    /// What went out.
    pub sent: Volume,
}

impl Add for Volume {
    type Output = Volume;

    fn add(self, other: Volume) -> Volume {
        Volume { packets: self.packets + other.packets, bytes: self.bytes + other.bytes }
    }
}

impl Sub for Volume {
    type Output = Volume;

    fn sub(self, earlier: Volume) -> Volume {
        Volume { packets: self.packets - earlier.packets, bytes: self.bytes - earlier.bytes }
    }
}

impl Add for Counters {
    type Output = Counters;

    fn add(self, other: Counters) -> Counters {
        Counters { received: self.received + other.received, sent: self.sent + other.sent }
    }
}

impl Sub for Counters {
    type Output = Counters;

    fn sub(self, earlier: Counters) -> Counters {
        Counters { received: self.received - earlier.received, sent: self.sent - earlier.sent }
    }
}

impl Links {
    /// The counters of every link of the namespace, by name.
    ///
    /// # Errors
    /// If the kernel refuses the dump.
    pub fn counters(&self) -> Result<Vec<(String, Counters)>, SetupError> {
        let counters = self.handle.link().get().execute().map_ok(counters).try_collect();
        self.carry_out(|| "read the counters of links".into(), counters)
    }
}

fn counters(message: LinkMessage) -> (String, Counters) {
    let (mut name, mut counters) = (String::new(), Counters::default());
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = text,
            LinkAttribute::Stats64(stats) => {
                counters = Counters {
                    received: Volume { packets: stats.rx_packets, bytes: stats.rx_bytes },
                    sent: Volume { packets: stats.tx_packets, bytes: stats.tx_bytes },
                };
            }
            _ => {}
        }
    }
    (name, counters)
}
