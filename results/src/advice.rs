//! What a run says in plain words: which mode to choose on this machine, and why, from the rows alone.
//!
//! One lane at a time: nothing here sees two clocks or two kernels. Each sentence carries its figures and where their rows are.
//! What was not measured is not spoken of, but for modes that were tried in vain.

mod ranking;
mod sentence;
mod sentences;

pub use self::ranking::{ALIKE, ENOUGH_BLOCKS};
use self::ranking::{Criterion, Ranking, Standing};
pub use self::sentence::{Sentence, SentencePart};
use crate::findings::Finding;
use crate::groups::Groups;
use crate::names::{metric, workload};
use crate::record::Clock;
use crate::stats::Medians;
use crate::text::thousands;

/// The advice of one lane.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    /// What to choose, or why nothing can be said.
    pub lead: Sentence,
    /// What it rests on, and what else to mind.
    pub because: Vec<Topic>,
}

/// Sentences about one thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Topic {
    /// What they are about, in a word or two.
    pub name: &'static str,
    /// In the order in which they are read, at least one.
    pub sentences: Vec<Sentence>,
}

/// What the rows of one platform advise; `findings` are those of the same platform. None if no proxy mode has a figure that says
/// anything about a choice.
pub fn advice(groups: &Groups<'_>, findings: &[Finding], medians: &mut Medians) -> Option<Advice> {
    let lookup = Ranking::of(groups, Criterion::LOOKUP, medians);
    let partial = Criterion::PARTIAL_SYNCS.iter().find_map(|sync| Ranking::of(groups, *sync, medians));
    let full = Ranking::of(groups, Criterion::FULL_SYNC, medians);
    let mut of_lookup: Vec<Sentence> =
        lookup.iter().map(|lookup| sentences::ranking(groups, lookup)).collect();
    of_lookup.extend(lookup.iter().filter_map(|lookup| sentences::from_scale(groups, lookup, medians)));
    let mut of_syncs = Vec::new();
    for sync in [&partial, &full].into_iter().flatten() {
        of_syncs.push(sentences::ranking(groups, sync));
        of_syncs.extend(sentences::growth(groups, sync, medians));
    }
    let lead = lead(groups, lookup.as_ref(), partial.as_ref().or(full.as_ref()))?;
    let topics = [
        ("Lookup", of_lookup),
        ("Lookup with scale", sentences::with_scale(groups, findings)),
        ("Rule sync", of_syncs),
        ("The xtables lock", sentences::lock(groups, medians)),
        ("Not measured", sentences::unmeasured(groups).into_iter().collect()),
    ];
    let because = topics.into_iter().filter(|(_, sentences)| !sentences.is_empty());
    Some(Advice { lead, because: because.map(|(name, sentences)| Topic { name, sentences }).collect() })
}

/// What to choose.
fn lead(groups: &Groups<'_>, lookup: Option<&Ranking<'_>>, sync: Option<&Ranking<'_>>) -> Option<Sentence> {
    let here = match groups.platform.clock {
        Clock::Wall => "On this machine",
        Clock::Instructions => "By instructions executed, which are not time",
    };
    let by_lookup = lookup.map_or(Standing::Unmeasured, Ranking::standing);
    let by_sync = sync.map_or(Standing::Unmeasured, Ranking::standing);
    let mut said = Sentence::default();
    match (&by_lookup, &by_sync) {
        (Standing::Unmeasured, Standing::Unmeasured) => return None,
        (Standing::Best(lookups), Standing::Best(syncs)) => {
            let both: Vec<&str> = lookups.iter().copied().filter(|mode| syncs.contains(mode)).collect();
            if both.is_empty() {
                said.say(format!(
                    "{here}, no mode is best in everything: choose {} for lookups, {} where rules change often",
                    or(lookups),
                    or(syncs)
                ));
                sentences::because(&mut said, groups, lookup);
                said.say("; ");
                sentences::against(&mut said, groups, sync);
            } else {
                said.say(format!(
                    "{here}, choose {} both for lookups and where rules change often",
                    or(&both)
                ));
                sentences::because(&mut said, groups, lookup);
                said.say(", and ");
                sentences::against(&mut said, groups, sync);
            }
        }
        (Standing::Best(modes), other) => {
            said.say(format!("{here}, choose {} for lookups at scale", or(modes)));
            sentences::because(&mut said, groups, lookup);
            hint(&mut said, groups, sync, other, modes);
        }
        (other, Standing::Best(modes)) => {
            said.say(format!("{here}, choose {} where rules change often", or(modes)));
            sentences::because(&mut said, groups, sync);
            said.say(match other {
                Standing::Alike => "; lookups give no reason to choose",
                Standing::Few(_) => "; lookups were measured in too few blocks to rank",
                _ => "",
            });
        }
        (Standing::Alike, _) | (_, Standing::Alike) => {
            let (ranking, what) = match by_lookup {
                Standing::Alike => (lookup, "lookup"),
                _ => (sync, "sync"),
            };
            let services = ranking.map_or(0, |ranking| ranking.services);
            said.say(format!(
                "{here}, the {what} gives no reason to choose: up to {} Services no difference of more than {:.0}% is shown",
                thousands(services),
                ALIKE * 100.0
            ));
        }
        (Standing::Few(blocks), _) | (_, Standing::Few(blocks)) => said.say(format!(
            "{here}, this run ranks nothing: {} and a ranking needs {ENOUGH_BLOCKS}; what it saw is below",
            match blocks {
                1 => "it has one block of a figure".to_owned(),
                blocks => format!("it has {blocks} blocks of a figure"),
            }
        )),
        (Standing::Single(mode), _) | (_, Standing::Single(mode)) => {
            said.say(format!("Only {mode} was measured, so that there is nothing to choose between"));
        }
    }
    said.say(".");
    Some(said)
}

/// What too few blocks of syncs point to, if they point elsewhere.
fn hint(
    said: &mut Sentence,
    groups: &Groups<'_>,
    sync: Option<&Ranking<'_>>,
    standing: &Standing<'_>,
    chosen: &[&str],
) {
    match (standing, sync) {
        (Standing::Alike, _) => said.say("; syncs give no reason to choose otherwise"),
        (Standing::Few(_), Some(sync)) if sync.points_elsewhere(chosen) => {
            said.say(". Where rules change often, look twice: ");
            sentences::against_chosen(said, groups, sync, chosen);
            said.say(", though in too few blocks to rank");
        }
        _ => {}
    }
}

/// `a`, `a or b`, `a, b or c`.
fn or(modes: &[&str]) -> String {
    match modes {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Syncs by what they change, the one that happens most often first.
const PARTIAL_SYNCS: [(&str, &str); 3] = [
    (workload::PARTIAL_SYNC_REPLACE_ENDPOINT, "Replacing one endpoint"),
    (workload::PARTIAL_SYNC_ADD_SERVICE, "Adding one Service"),
    (workload::PARTIAL_SYNC_REMOVE_SERVICE, "Removing one Service"),
];

impl Criterion {
    const LOOKUP: Criterion = Criterion {
        workload: workload::PACKET_PROBE,
        metric: metric::LOOKUP_FIRST_PACKET,
        words: "Looking a Service up",
        verb: "a lookup costs",
    };
    const PARTIAL_SYNCS: [Criterion; 3] = [partial(0), partial(1), partial(2)];
    const FULL_SYNC: Criterion = Criterion {
        workload: workload::FULL_SYNC_COLD,
        metric: metric::APPLY,
        words: "A full sync of an empty kernel",
        verb: "a full sync costs",
    };
}

const fn partial(index: usize) -> Criterion {
    let (workload, words) = PARTIAL_SYNCS[index];
    Criterion { workload, metric: metric::APPLY, words, verb: "a sync of one change costs" }
}
