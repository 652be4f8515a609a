//! Lanes of two sides, paired.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::comparability::{Conditions, Mismatch, accepts, mismatches};
use super::read::Run;
use crate::platform::Platform;
use crate::record::Clock;

/// One lane: rows of one clock, kernel and hypervisor on either side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LanePair {
    /// Clock, kernel and place, in words; both sides' where they differ.
    pub label: String,
    /// Its clock.
    pub clock: Clock,
    /// Whether BASE and NEW have rows in it.
    pub sides: [bool; 2],
    /// What BASE and NEW do not have in common, and nobody has accepted. Not empty: refused.
    pub refused: Vec<Mismatch>,
    /// What they do not have in common, accepted.
    pub accepted: Vec<Mismatch>,
}

impl LanePair {
    /// Why the lane is refused: all differences, and how to accept them. None if it is not.
    pub fn refusal(&self) -> Option<String> {
        if self.refused.is_empty() {
            return None;
        }
        let words: Vec<_> = self.refused.iter().map(Mismatch::in_words).collect();
        let fields: BTreeSet<_> = self.refused.iter().map(|mismatch| mismatch.field).collect();
        let flags: Vec<_> = fields.iter().map(|field| format!("--accept {field}")).collect();
        Some(format!("{} (to compare all the same: {})", words.join("; "), flags.join(" ")))
    }
}

/// The platforms of a lane on either side.
pub(super) type Platforms<'a> = [Option<Platform<'a>>; 2];

/// Pairs the platforms of two sides: those that are the same, then those that are alone of their clock on their side, or
/// alone of their clock and hypervisor.
pub(super) fn pair<'a>(sides: [&'a [Run]; 2]) -> Vec<Platforms<'a>> {
    let [base, new] = sides.map(|runs| {
        runs.iter().flat_map(|run| run.records.iter().map(Platform::of)).collect::<BTreeSet<Platform<'a>>>()
    });
    let mut lanes: Vec<Platforms<'a>> =
        base.intersection(&new).map(|platform| [Some(*platform); 2]).collect();
    let mut left: [BTreeSet<Platform<'a>>; 2] = [&base - &new, &new - &base];
    type Trait<'a> = fn(Platform<'a>) -> (Clock, &'a str);
    let traits: [Trait<'a>; 2] =
        [|platform| (platform.clock, platform.hypervisor), |platform| (platform.clock, "")];
    for of in traits {
        let mut by_trait: BTreeMap<_, [Vec<Platform<'a>>; 2]> = BTreeMap::new();
        for (side, platforms) in left.iter().enumerate() {
            for platform in platforms {
                by_trait.entry(of(*platform)).or_default()[side].push(*platform);
            }
        }
        for [base, new] in by_trait.into_values() {
            if let ([one], [other]) = (&base[..], &new[..]) {
                lanes.push([Some(*one), Some(*other)]);
                left[0].remove(one);
                left[1].remove(other);
            }
        }
    }
    let [base, new] = left;
    lanes.extend(base.into_iter().map(|platform| [Some(platform), None]));
    lanes.extend(new.into_iter().map(|platform| [None, Some(platform)]));
    lanes.sort_by_key(|[base, new]| (base.or(*new), *new));
    lanes
}

/// Compares the circumstances of a lane's runs, on both sides, with those of the first.
pub(super) fn lane(platforms: Platforms<'_>, sides: [&[Run]; 2], accepted: &BTreeSet<String>) -> LanePair {
    let label = match platforms {
        [Some(base), Some(new)] if base != new => format!("{} / {}", base.label(), new.label()),
        [base, new] => base.or(new).map(Platform::label).unwrap_or_default(),
    };
    let clock = platforms.iter().flatten().map(|platform| platform.clock).next().unwrap_or_default();
    let all = platforms.into_iter().zip(sides).flat_map(|(platform, runs)| {
        let platform = platform?;
        let in_it =
            runs.iter().filter(move |run| run.records.iter().any(|row| Platform::of(row) == platform));
        Some(in_it.map(move |run| Conditions {
            environment: run.environment.of(platform),
            host: &run.environment,
            setup: &run.setup,
            clock: platform.clock,
        }))
    });
    let mut all = all.flatten();
    let mut found: BTreeSet<Mismatch> = BTreeSet::new();
    if let (Some(first), true) = (all.next(), platforms.iter().all(Option::is_some)) {
        found.extend(all.flat_map(|other| mismatches(first, other)));
    }
    let (accepted, refused) = found.into_iter().partition(|mismatch| accepts(accepted, mismatch.field));
    LanePair { label, clock, sides: platforms.map(|platform| platform.is_some()), refused, accepted }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{CellKey, Unit};

    fn run(platforms: &[(Clock, &str, &str)]) -> Vec<Run> {
        let row = |(clock, kernel, hypervisor): &(Clock, &str, &str)| {
            let key = CellKey {
                run: "r".into(),
                block: 1,
                order: 0,
                mode: "direct".into(),
                services: 1,
                endpoints: 1,
                position: crate::record::Text::new(),
                workload: "append".into(),
                contenders: 0,
                clock: *clock,
                kernel: (*kernel).into(),
                hypervisor: (*hypervisor).into(),
                system: "".into(),
            };
            key.scalar("apply", Unit::Ns, 1)
        };
        vec![Run { records: platforms.iter().map(row).collect(), ..Run::default() }]
    }

    fn paired(base: &[(Clock, &str, &str)], new: &[(Clock, &str, &str)]) -> Vec<[String; 2]> {
        let (base, new) = (run(base), run(new));
        let name = |platform: Option<Platform<'_>>| {
            platform.map_or("-".to_owned(), |platform| platform.kernel.to_owned())
        };
        pair([&base, &new]).into_iter().map(|platforms| platforms.map(name)).collect()
    }

    #[test]
    fn lanes_find_their_like() {
        use Clock::{Instructions, Wall};
        let host = (Wall, "6.18", "none");
        assert_eq!(
            paired(&[host, (Instructions, "6.1", "tcg")], &[(Instructions, "6.2", "tcg"), host]),
            [["6.18", "6.18"], ["6.1", "6.2"]]
        );
        // Two that are new on either side could be anybody's.
        assert_eq!(
            paired(
                &[(Instructions, "1", "tcg"), (Instructions, "2", "tcg")],
                &[(Instructions, "3", "tcg"), (Instructions, "4", "tcg")]
            ),
            [["1", "-"], ["2", "-"], ["-", "3"], ["-", "4"]]
        );
        assert_eq!(
            paired(&[host, (Wall, "6.1", "kvm")], &[(Wall, "6.2", "kvm"), (Wall, "6.19", "none")]),
            [["6.1", "6.2"], ["6.18", "6.19"]]
        );
        assert_eq!(
            paired(&[(Wall, "6.1", "")], &[(Instructions, "6.1", "tcg")]),
            [["6.1", "-"], ["-", "6.1"]]
        );
        // A file older than the column of hypervisors.
        assert_eq!(paired(&[(Wall, "6.1", "")], &[(Wall, "6.1", "kvm")]), [["6.1", "6.1"]]);
    }
}
