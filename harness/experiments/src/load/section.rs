//! Section `[load]` of a sweep.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use results::names::workload;
use serde::{Deserialize, Deserializer, Serialize};
use services::bounded::{counts, distinct, seconds, within, yes};
use workloads::load::{Load, Pace, Rhythm, Workload};

use super::spec::LoadSpec;

/// Loads through the labs of lookups, to Services chosen uniformly.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// What requests are.
    #[serde(deserialize_with = "distinct")]
    pub workloads: Vec<Workload>,
    /// Open loop, at each of these: requests per second. 1 to 10,000,000; absent: none.
    #[serde(default, deserialize_with = "rates")]
    pub rates: Vec<u32>,
    /// Whether there is a closed loop, too, at saturation.
    #[serde(default = "yes")]
    pub saturation: bool,
    /// Flows of the closed loop. 1 to 100,000.
    #[serde(default = "default_flows", deserialize_with = "within::<_, 1, 100_000>")]
    pub flows: u32,
    /// How long each is.
    #[serde(deserialize_with = "seconds")]
    pub seconds: f64,
    /// As in [`lookup::Section::blocks`](crate::lookup::Section::blocks).
    #[serde(deserialize_with = "within::<_, 1, 1000>")]
    pub blocks: u32,
}

impl Section {
    /// Seconds that one visit should take.
    pub fn expected_seconds(&self) -> f64 {
        0.3 + self.seconds
    }

    /// What each workload is offered: rates, and as much as it takes.
    pub fn offered(&self) -> impl Iterator<Item = Offered> + '_ {
        let rates = self.rates.iter().map(|&rate| Offered::PerSecond(rate));
        rates.chain(self.saturation.then_some(Offered::Saturation))
    }

    /// What a sweep's cell asks for.
    pub fn spec(&self, workload: Workload, offered: Offered, seed: u64) -> LoadSpec {
        let closed = Load { duration: Duration::from_secs_f64(self.seconds), ..Load::new(workload, []) };
        let (template, flows) = match offered {
            Offered::Saturation => (closed, NonZeroUsize::new(self.flows as usize)),
            Offered::PerSecond(rate) => {
                let per_second = NonZeroU64::new(rate.into()).unwrap_or(NonZeroU64::MIN);
                (Load { pace: Pace::Open { per_second, rhythm: Rhythm::Constant }, ..closed }, None)
            }
        };
        LoadSpec { flows, seed, ..LoadSpec::of(template) }
    }
}

/// How many requests there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Offered {
    /// Open loop: so many per second.
    PerSecond(u32),
    /// Closed loop: as many as are answered.
    Saturation,
}

fn rates<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u32>, D::Error> {
    counts(input, 10_000_000)
}

const fn default_flows() -> u32 {
    32
}

impl Offered {
    /// The name of a workload that is offered so, as rows have it.
    pub fn workload(self, load: Workload) -> String {
        match self {
            Offered::Saturation => format!("{}{load}", workload::LOAD),
            Offered::PerSecond(rate) => format!("{}{load}_{rate}", workload::LOAD),
        }
    }
}
