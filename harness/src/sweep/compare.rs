//! Section `[compare]`: what decides when two runs are compared, and since when a difference counts.

use std::collections::{BTreeMap, BTreeSet};

use dataplane::Mode;
use lab::cluster::PLANNED;
use netns_setup::ipvs::Scheduler;
use results::compare::Policy;
use results::names::{FORWARDING_MODES, metric};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use services::bounded::check_distinct;

use super::error::SweepError;

/// What decides when two runs are compared.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compare {
    /// Metrics that decide, whatever their number of blocks; absent: times and rates of whole operations, where there are
    /// three blocks.
    #[serde(default, deserialize_with = "metrics")]
    pub metrics: Option<Vec<String>>,
    /// Modes that decide, those of forwarding included; absent: all.
    #[serde(default, deserialize_with = "modes")]
    pub modes: Option<Vec<String>>,
    /// Smaller differences are not claimed, percent. 0 to 1,000; absent: 5.
    #[serde(default, deserialize_with = "threshold")]
    pub threshold_percent: Option<f64>,
    /// The same for single metrics.
    #[serde(default, deserialize_with = "thresholds")]
    pub thresholds_percent: BTreeMap<String, f64>,
}

impl Compare {
    /// As a comparison takes it.
    pub fn policy(&self) -> Policy {
        let set = |names: &Vec<String>| names.iter().cloned().collect::<BTreeSet<_>>();
        let usual = Policy::default();
        Policy {
            metrics: self.metrics.as_ref().map(set),
            modes: self.modes.as_ref().map(set),
            threshold: self.threshold_percent.unwrap_or(usual.threshold),
            thresholds: self.thresholds_percent.clone(),
            ..usual
        }
    }
}

/// What a comparison needs of the sweep that a run has kept: a version of svcbench reads it that may know other sections
/// than the one that measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// Its `[compare]`.
    pub compare: Compare,
    /// What it installs that a passport does not tell: scheduler of IPVS, shape of the Services, digest of a cluster's.
    pub setup: BTreeMap<String, String>,
}

impl Saved {
    /// Reads the text of a sweep; `name` stands for it in errors.
    ///
    /// # Errors
    /// [`SweepError::Invalid`] if it is no TOML, or its `[compare]` is not valid.
    pub fn parse(name: &str, text: &str) -> Result<Self, SweepError> {
        #[derive(Deserialize)]
        struct Kept {
            scheduler: Option<String>,
            shape: Option<toml::Table>,
            compare: Option<Compare>,
        }
        let kept: Kept = toml::from_str(text).map_err(|error| SweepError::Invalid {
            name: name.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })?;
        let shape = kept.shape.unwrap_or_default();
        let shape = if shape.is_empty() {
            "cluster IPs only".to_owned()
        } else {
            toml::Value::from(shape).to_string()
        };
        let scheduler = kept.scheduler.unwrap_or_else(|| default_scheduler().name().to_owned());
        let cluster = text.lines().find_map(|line| line.strip_prefix(PLANNED)).map(str::to_owned);
        let setup = [("scheduler", Some(scheduler)), ("shape", Some(shape)), ("cluster", cluster)];
        Ok(Saved {
            compare: kept.compare.unwrap_or_default(),
            setup: setup.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect(),
        })
    }
}

/// Whether `percent` can be a threshold.
///
/// # Errors
/// What is allowed, in words.
pub fn check_threshold(percent: f64) -> Result<f64, String> {
    if (0.0..=1_000.0).contains(&percent) {
        return Ok(percent);
    }
    Err(format!("{percent} is out of range; allowed: 0 to 1,000 percent"))
}

/// Whether there is a metric of that name.
///
/// # Errors
/// All that there are, in words.
pub fn check_metric(name: &str) -> Result<(), String> {
    if metric::ALL.contains(&name) {
        return Ok(());
    }
    Err(format!("no metric is called {name:?}; there are: {}", metric::ALL.join(", ")))
}

/// Whether rows can have a mode of that name.
///
/// # Errors
/// All that there are, in words.
pub fn check_mode(name: &str) -> Result<(), String> {
    let modes =
        || Mode::ALL.iter().map(|mode| mode.name()).chain([Mode::Replay.name()]).chain(FORWARDING_MODES);
    if modes().any(|mode| mode == name) {
        return Ok(());
    }
    Err(format!("no mode is called {name:?}; there are: {}", modes().collect::<Vec<_>>().join(", ")))
}

fn names<'de, D: Deserializer<'de>>(
    input: D,
    check: fn(&str) -> Result<(), String>,
) -> Result<Option<Vec<String>>, D::Error> {
    let names = Vec::<String>::deserialize(input)?;
    check_distinct(&names).map_err(D::Error::custom)?;
    names.iter().try_for_each(|name| check(name)).map_err(D::Error::custom)?;
    Ok(Some(names))
}

fn metrics<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Vec<String>>, D::Error> {
    names(input, check_metric)
}

fn modes<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Vec<String>>, D::Error> {
    names(input, check_mode)
}

fn threshold<'de, D: Deserializer<'de>>(input: D) -> Result<Option<f64>, D::Error> {
    check_threshold(f64::deserialize(input)?).map(Some).map_err(D::Error::custom)
}

fn thresholds<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeMap<String, f64>, D::Error> {
    let thresholds = BTreeMap::<String, f64>::deserialize(input)?;
    for (name, percent) in &thresholds {
        check_metric(name).map_err(D::Error::custom)?;
        check_threshold(*percent).map_err(|error| D::Error::custom(format!("{name}: {error}")))?;
    }
    Ok(thresholds)
}

/// kube-proxy's default.
pub(super) const fn default_scheduler() -> Scheduler {
    Scheduler::Rr
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(section: &str) -> Result<Compare, String> {
        let smoke = include_str!("../../sweeps/smoke.toml");
        let sweep = super::super::Sweep::parse("s", &format!("{smoke}\n[compare]\n{section}"));
        sweep.map(|sweep| sweep.compare.unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_section_is_strict() {
        let found = with(
            "metrics = [\"lookup_first_packet\", \"rules\"]\nmodes = [\"ipvs\", \"ipvs-dr\"]\nthreshold_percent = 2\n\
             thresholds_percent = { apply = 7.5 }",
        );
        let policy = found.unwrap().policy();
        assert_eq!((policy.threshold, policy.thresholds["apply"]), (2.0, 7.5));
        assert!(policy.metrics.unwrap().contains("rules") && policy.modes.unwrap().contains("ipvs-dr"));
        assert_eq!(with("").unwrap().policy(), Policy::default());
        for (section, complaint) in [
            ("metrics = [\"lookup\"]", "no metric is called \"lookup\""),
            ("metrics = []", "an empty list"),
            ("modes = [\"ebpf\"]", "no mode is called \"ebpf\""),
            ("modes = [\"ipvs\", \"ipvs\"]", "repeats"),
            ("threshold_percent = -1", "0 to 1,000 percent"),
            ("threshold_percent = nan", "0 to 1,000 percent"),
            ("thresholds_percent = { apply = 5000 }", "apply: 5000 is out of range"),
            ("thresholds_percent = { aply = 5 }", "no metric is called \"aply\""),
            ("treshold = 5", "unknown field"),
        ] {
            let error = with(section).unwrap_err();
            assert!(error.contains(complaint), "{section}: {error}");
        }
    }

    #[test]
    fn a_saved_sweep_may_have_sections_of_another_version() {
        let saved =
            Saved::parse("s", "scheduler = \"mh\"\n[shape]\nudp = 2\n[from_the_future]\nx = 1\n").unwrap();
        assert_eq!(saved.setup["scheduler"], "mh");
        assert!(saved.setup["shape"].contains("udp"), "{saved:?}");
        let plain = Saved::parse("s", "").unwrap();
        assert_eq!((plain.setup["scheduler"].as_str(), plain.compare), ("rr", Compare::default()));
        let cluster = Saved::parse("s", &format!("# x\n{PLANNED}abc\n")).unwrap();
        assert_eq!(cluster.setup["cluster"], "abc");
        let error = Saved::parse("DIR/sweep.toml", "[compare").unwrap_err().to_string();
        assert!(error.contains("DIR/sweep.toml is no valid sweep"), "{error}");
        assert!(Saved::parse("s", "[compare]\nmetric = 1").is_err());
    }
}
