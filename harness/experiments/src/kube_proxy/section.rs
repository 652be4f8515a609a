//! Section `[system]` of a sweep.

use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use services::addresses::MAX_SERVICES;
use services::bounded::{any_services, counts, default_limit, distinct, seconds, some_seconds, within, yes};
use workloads::load::Workload;

use super::changes::ChangeKind;
use super::conntrack::{Fate, Filled};
use super::latency::Config;
use super::outage::Outage;

/// What is measured of each real kube-proxy in `systems`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// What changes; absent: nothing does.
    #[serde(default, deserialize_with = "distinct")]
    pub changes: Vec<ChangeKind>,
    /// How often each of them comes, in a seeded order; `rolling-update`, which is many changes, comes once, after the others. 1 to
    /// 10,000.
    #[serde(deserialize_with = "within::<_, 1, 10_000>")]
    pub repeats: u32,
    /// From one change to the next in the mean, seconds; each time at random between half and one and a half of it, whether or
    /// not packets obey the one before.
    #[serde(deserialize_with = "seconds")]
    pub gap_seconds: f64,
    /// Whether kube-proxy is restarted over what it has installed. Default: true.
    #[serde(default = "yes")]
    pub restart: bool,
    /// kube-proxy is stopped (SIGSTOP) for so long just before the change in the middle: to see that a stall shows. 1 to
    /// 60,000; absent: it is not.
    #[serde(default, deserialize_with = "some_milliseconds")]
    pub stall_milliseconds: Option<u32>,
    /// Changes per second at which all endpoints of Services are replaced, each rate for `rate_seconds`. 1 to 1,000 each; absent:
    /// none.
    #[serde(default, deserialize_with = "rates")]
    pub rates: Vec<u32>,
    /// Whether the rate is looked for up to which kube-proxy keeps up, `rate_seconds` for each that is tried. Default: false.
    #[serde(default)]
    pub knee: bool,
    /// Default: 10.
    #[serde(default = "ten", deserialize_with = "seconds")]
    pub rate_seconds: f64,
    /// The API server refuses connections for so many seconds, and comes back with a change; absent: it does not.
    #[serde(default, deserialize_with = "some_seconds")]
    pub away_seconds: Option<f64>,
    /// Whether all watches end with 410 once, so that everything is listed anew. Default: false.
    #[serde(default)]
    pub relist: bool,
    /// A load that runs while the API server is away, while everything is listed anew, and while kube-proxy restarts; absent:
    /// only the probe's packets tell what is felt.
    #[serde(default)]
    pub load: Option<Requests>,
    /// Clean-up of connections, at the end; absent: none.
    #[serde(default)]
    pub conntrack: Option<CleanUps>,
    /// How often all of it is done. 1 to 1,000; default: 1.
    #[serde(default = "one", deserialize_with = "within::<_, 1, 1000>")]
    pub blocks: u32,
    /// Scales with more Services than this are left out.
    #[serde(default = "any_services", deserialize_with = "within::<_, 1, MAX_SERVICES>")]
    pub most_services: u32,
    /// Longest wait for one thing: that Services answer after a start, that packets obey a change. Default: 60.
    #[serde(default = "default_limit", deserialize_with = "seconds")]
    pub limit_seconds: f64,
}

/// An open loop of requests to all Services but those that are probed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requests {
    /// What requests are.
    pub workload: Workload,
    /// Requests per second. 10 to 1,000,000.
    #[serde(deserialize_with = "within::<_, 10, 1_000_000>")]
    pub rate: u32,
    /// Load before something happens, and after it. Default: 1.
    #[serde(default = "one_second", deserialize_with = "seconds")]
    pub margin_seconds: f64,
}

impl Requests {
    /// As the load has it.
    pub(super) fn per_second(&self) -> NonZeroU64 {
        NonZeroU64::new(self.rate.into()).unwrap_or(NonZeroU64::MIN)
    }

    /// Load before and after.
    pub(super) fn margin(&self) -> Duration {
        Duration::from_secs_f64(self.margin_seconds)
    }
}

/// A UDP Service loses its endpoints while connection tracking holds many entries: see `conntrack`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CleanUps {
    /// How many entries. 1 to 4,000,000 each; what this machine's limit does not allow is skipped, and a guest's is raised.
    #[serde(deserialize_with = "entries")]
    pub entries: Vec<u32>,
    /// Most entries of the Service among them. 1 to 1,000,000; default: 100.
    #[serde(default = "hundred", deserialize_with = "within::<_, 1, 1_000_000>")]
    pub of_service: u32,
    /// What becomes of its endpoints. Default: `["replaced", "lost"]`.
    #[serde(default = "both", deserialize_with = "distinct")]
    pub endpoints: Vec<Fate>,
}

/// Entries of a table that can be asked for.
const MOST_ENTRIES: u32 = 4_000_000;
/// Changes per second that can be asked for.
const MOST_RATE: u32 = 1_000;
/// Rates that the search for a knee tries, more or less.
const TRIES: f64 = 7.0;
/// A rolling update, which waits for its pods.
const ROLLING_SECONDS: f64 = 14.0;
/// For an entry to come, to be listed, and to go.
const ENTRY_SECONDS: f64 = 20e-6;
/// From the start of a kube-proxy to its first sync, and as long again to end it.
const START_SECONDS: f64 = 3.0;

impl Section {
    /// How its changes come.
    pub(super) fn config(&self, seed: u64) -> Config {
        Config {
            changes: self.single_changes(),
            repeats: self.repeats,
            gap: Duration::from_secs_f64(self.gap_seconds),
            stall: self.stall_milliseconds.map(|stall| Duration::from_millis(stall.into())),
            limit: self.limit(),
            seed,
        }
    }

    /// Kinds of changes of which each is one.
    pub(super) fn single_changes(&self) -> Vec<ChangeKind> {
        self.changes.iter().copied().filter(|kind| *kind != ChangeKind::RollingUpdate).collect()
    }

    /// Whether there is a rolling update.
    pub(super) fn has_rolling_update(&self) -> bool {
        self.changes.contains(&ChangeKind::RollingUpdate)
    }

    /// Longest wait for one thing.
    pub(super) fn limit(&self) -> Duration {
        Duration::from_secs_f64(self.limit_seconds)
    }

    /// What goes wrong, in its order.
    pub(super) fn outages(&self) -> Vec<Outage> {
        let away = self.away_seconds.map(|seconds| Outage::Away(Duration::from_secs_f64(seconds)));
        away.into_iter().chain(self.relist.then_some(Outage::Relist)).collect()
    }

    /// Clean-ups of connections, in their order.
    pub(super) fn clean_ups(&self) -> Vec<Filled> {
        let Some(CleanUps { entries, of_service, endpoints }) = &self.conntrack else { return Vec::new() };
        let own = |entries: u32| (*of_service).min(entries.saturating_sub(1));
        let each = entries.iter().flat_map(|&entries| endpoints.iter().map(move |&fate| (entries, fate)));
        each.map(|(entries, fate)| Filled { fate, entries, own: own(entries) }).collect()
    }

    /// Most entries that connection tracking is to hold.
    pub fn most_entries(&self) -> u32 {
        self.clean_ups().iter().map(|filled| filled.entries).max().unwrap_or(0)
    }

    /// Seconds that it should take, if a full sync takes so many.
    pub fn expected_seconds(&self, full: f64) -> f64 {
        let starts = if self.restart { 2.0 } else { 1.0 };
        let changes = self.single_changes().len() as f64 * f64::from(self.repeats);
        let rolling = if self.has_rolling_update() { ROLLING_SECONDS } else { 0.0 };
        let relist = if self.relist { START_SECONDS } else { 0.0 };
        let tries = self.rates.len() as f64 + if self.knee { TRIES } else { 0.0 };
        let rates = tries * (self.rate_seconds + START_SECONDS);
        // client-go comes back after a wait that is about as long as the outage was.
        let away = self.away_seconds.map_or(0.0, |seconds| seconds + seconds.min(30.0));
        let disturbed = self.outages().len() as f64 + starts - 1.0;
        let margins = self.load.as_ref().map_or(0.0, |load| 2.0 * load.margin_seconds * disturbed);
        let clean_up =
            |filled: &Filled| START_SECONDS + 2.0 * full + f64::from(filled.entries) * ENTRY_SECONDS;
        let clean_ups: f64 = self.clean_ups().iter().map(clean_up).sum();
        let all = changes * self.gap_seconds + rolling + away + relist + rates + margins + clean_ups;
        starts * (START_SECONDS + 2.0 * full) + all
    }
}

const fn one_second() -> f64 {
    1.0
}

fn ten() -> f64 {
    10.0
}

fn hundred() -> u32 {
    100
}

fn both() -> Vec<Fate> {
    vec![Fate::Replaced, Fate::Lost]
}

fn entries<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u32>, D::Error> {
    counts(input, MOST_ENTRIES)
}

fn rates<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u32>, D::Error> {
    counts(input, MOST_RATE)
}

fn one() -> u32 {
    1
}

fn some_milliseconds<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u32>, D::Error> {
    within::<_, 1, 60_000>(input).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_has_its_default() {
        let text = "changes = [\"replace-endpoint\", \"add-service\"]\nrepeats = 3\ngap_seconds = 1.5";
        let section: Section = toml::from_str(text).unwrap();
        assert!(section.restart && section.stall_milliseconds.is_none() && section.blocks == 1);
        assert_eq!(section.expected_seconds(0.5), 8.0 + 9.0);
        let more = text.replace("\"]", "\", \"rolling-update\"]");
        let load = "relist = true\n[load]\nworkload = \"tcp_crr\"\nrate = 100";
        let more: Section = toml::from_str(&format!("{more}\n{load}")).unwrap();
        assert_eq!(more.single_changes(), section.changes);
        assert!(more.has_rolling_update() && !section.has_rolling_update());
        assert_eq!(more.load.as_ref().map(Requests::margin), Some(Duration::from_secs(1)));
        assert_eq!(more.expected_seconds(0.5), 8.0 + 9.0 + ROLLING_SECONDS + START_SECONDS + 4.0);
        let refused =
            |line: &str| toml::from_str::<Section>(&format!("{text}\n{line}")).unwrap_err().to_string();
        assert!(refused("stall_milliseconds = 0").contains("stall_milliseconds"));
        assert!(refused("stalls = 1").contains("unknown field"));
    }

    #[test]
    fn clean_ups_are_of_each_size_and_fate() {
        let text = "repeats = 1\ngap_seconds = 1\n[conntrack]\nentries = [10, 1_000]";
        let section: Section = toml::from_str(text).unwrap();
        let own: Vec<_> = section.clean_ups().iter().map(|filled| (filled.entries, filled.own)).collect();
        assert_eq!(
            (own, section.most_entries()),
            (vec![(10, 9), (10, 9), (1_000, 100), (1_000, 100)], 1_000)
        );
        assert!(toml::from_str::<Section>(&text.replace("1_000]", "5_000_000]")).is_err());
        let one: Section = toml::from_str(&format!("{text}\nendpoints = [\"lost\"]")).unwrap();
        assert_eq!(one.clean_ups().len(), 2);
    }
}
