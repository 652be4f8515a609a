//! Section `[forwarding]` of a sweep.

use results::names::workload;
use serde::{Deserialize, Serialize};
use services::bounded::{distinct, within};

use super::method::Method;

/// Connections through an LVS director, with a response of one segment and with one of 64 KiB.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// What the director does with packets.
    #[serde(deserialize_with = "distinct")]
    pub methods: Vec<Method>,
    /// As in [`lookup::Section::blocks`](crate::lookup::Section::blocks).
    #[serde(deserialize_with = "within::<_, 1, 1000>")]
    pub blocks: u32,
    /// Connections per visit: real ones, and those written packet by packet. 10 to 100,000.
    #[serde(deserialize_with = "within::<_, 10, 100_000>")]
    pub connections: u32,
}

/// How much a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Response {
    /// One segment.
    Segment,
    /// 64 KiB.
    Large,
}

impl Response {
    /// The workload's name in rows.
    pub const fn workload(self) -> &'static str {
        match self {
            Response::Segment => workload::FORWARDING,
            Response::Large => workload::FORWARDING_64K,
        }
    }

    /// Bytes of the response beyond the server's name.
    pub const fn bytes(self) -> u32 {
        match self {
            Response::Segment => 0,
            Response::Large => 65_536,
        }
    }
}

impl Section {
    /// Seconds that one visit should take.
    pub fn expected_seconds(&self, response: Response) -> f64 {
        0.2 + f64::from(self.connections) * (150e-6 + f64::from(response.bytes()) * 5e-9)
    }
}
