//! All modes, all sets: which of them run here, and what they show.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use dataplane::{KubeProxy, Mode};
use kube_proxy::{Subject, proxy_mode};
use lab::explain::explain;
use lab::stop::Stop;
use netns_setup::{Need, check};
use services::service::Family;

use crate::alter::Alter;
use crate::node::NodeSpec;
use crate::pair::{Pair, Seen};
use crate::report::{At, Counts, Failure, FamilyReport, Found, ModeReport, Report};
use crate::subject::{Sequence, Subjects};

/// Sets that one kube-proxy is told one after another. The next ones get another, in new nodes, which begins cold.
const TOGETHER: usize = 10;
/// Processes that may miss the zone of their Node before a set is given up.
const PROCESSES: usize = 3;
/// Pairs of nodes that work at a time, for each processor: kube-proxy mostly waits for the end of the time between two syncs.
const PAIRS_PER_CORE: usize = 2;

/// What is to be compared.
#[derive(Clone, Debug)]
pub struct Question {
    /// The real program.
    pub subject: Arc<Subject>,
    /// The version whose plans it is compared with.
    pub planned: KubeProxy,
    /// Modes of kube-proxy.
    pub modes: Vec<Mode>,
    /// What is installed.
    pub subjects: Subjects,
    /// Whether the Node has the label of its zone. If not, kube-proxy does what one does that has missed it, which plans do not:
    /// for tests.
    pub has_zone: bool,
    /// A program that begins with [`stand_in`](kube_proxy::recorder::stand_in); `None`: this one does.
    pub recorder: Option<PathBuf>,
}

/// What happens meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Work begins: so many sets of all modes together.
    Started(usize),
    /// A mode that this machine cannot run.
    Skipped(Mode, String),
    /// A set was looked at to its end, or as far as it went.
    Ended {
        /// Its mode.
        mode: Mode,
        /// The set: `seed 17`.
        set: String,
        /// Differences in it.
        differences: usize,
        /// Why it was left.
        failure: Option<String>,
    },
}

/// A piece of work: sets for one pair of nodes.
type Work<'a> = (usize, Mode, &'a [Sequence]);

/// Installs all sets in all modes, in real and planned nodes, and compares.
///
/// Whatever is wrong with a set is in the report. It ends early when `stop` is requested, with what it has.
pub fn verify(
    question: &Question,
    stop: &Stop,
    alter: Alter<'_>,
    tell: &(dyn Fn(Event) + std::marker::Sync),
) -> Report {
    let mut modes: BTreeMap<Mode, ModeReport> = BTreeMap::new();
    for &mode in &question.modes {
        let skipped = unable(mode);
        if let Some(reason) = &skipped {
            tell(Event::Skipped(mode, reason.clone()));
        }
        let report = ModeReport {
            mode,
            skipped,
            sets: 0,
            families: Vec::new(),
            differences: Vec::new(),
            failures: Vec::new(),
        };
        modes.insert(mode, report);
    }
    let able: Vec<Mode> = question
        .modes
        .iter()
        .copied()
        .filter(|mode| modes.get(mode).is_some_and(|of| of.skipped.is_none()))
        .collect();
    let sequences = &question.subjects.sequences;
    tell(Event::Started(able.len() * sequences.len()));
    let groups = sequences.chunks(TOGETHER);
    let work: Vec<Work<'_>> = groups
        .flat_map(|sequences| able.iter().map(move |&mode| (mode, sequences)))
        .enumerate()
        .map(|(number, (mode, sequences))| (number, mode, sequences))
        .collect();
    let pairs = thread::available_parallelism().map_or(1, usize::from) * PAIRS_PER_CORE;
    let todo = Mutex::new(work.iter());
    let next = || todo.lock().unwrap_or_else(PoisonError::into_inner).next().copied();
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..pairs.min(work.len()) {
            scope.spawn(|| {
                while let Some((number, mode, sequences)) = next().filter(|_| !stop.is_requested()) {
                    let found = Group { question, mode, stop, alter, tell }.run(sequences);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((number, mode, found));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, ..)| *number);
    for (_, mode, found) in done {
        if let Some(report) = modes.get_mut(&mode) {
            add(report, found);
        }
    }
    Report {
        kube_proxy: question.subject.name(),
        planned: question.planned,
        installed: question.subjects.title.clone(),
        modes: question.modes.iter().filter_map(|mode| modes.remove(mode)).collect(),
    }
}

/// Why a mode does not run here.
fn unable(mode: Mode) -> Option<String> {
    if proxy_mode(mode).is_none() {
        return Some(format!("{mode} is no mode of kube-proxy"));
    }
    let rooms = [Need::Root, Need::MountNamespace, Need::Tun];
    rooms.iter().chain(mode.needs()).find_map(|&need| check(need).err()).map(|missing| missing.to_string())
}

/// What some sets showed.
#[derive(Default)]
struct GroupFound {
    sets: usize,
    families: Vec<FamilyReport>,
    differences: Vec<Found>,
    failures: Vec<Failure>,
}

impl GroupFound {
    fn extend(&mut self, more: GroupFound) {
        self.sets += more.sets;
        more.families.into_iter().for_each(|family| count(&mut self.families, family));
        self.differences.extend(more.differences);
        self.failures.extend(more.failures);
    }
}

/// How comparing a set ended.
enum Attempt {
    /// With what it showed.
    Compared(GroupFound),
    /// A process did not know its Node's zone, first seen in a family.
    MissedZone(Family),
}

fn add(report: &mut ModeReport, found: GroupFound) {
    report.sets += found.sets;
    for family in found.families {
        count(&mut report.families, family);
    }
    report.differences.extend(found.differences);
    report.failures.extend(found.failures);
}

fn count(families: &mut Vec<FamilyReport>, more: FamilyReport) {
    match families.iter_mut().find(|known| known.family == more.family) {
        Some(known) => known.counts = known.counts + more.counts,
        None => families.push(more),
    }
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            states: self.states + other.states,
            starts: self.starts + other.starts,
            services: self.services + other.services,
            rules: self.rules + other.rules,
            programs: self.programs + other.programs,
            several_syncs: self.several_syncs + other.several_syncs,
            late: self.late + other.late,
            missed_zone: self.missed_zone + other.missed_zone,
        }
    }
}

/// Some sets for one kube-proxy after another.
struct Group<'a> {
    question: &'a Question,
    mode: Mode,
    stop: &'a Stop,
    alter: Alter<'a>,
    tell: &'a (dyn Fn(Event) + std::marker::Sync),
}

impl Group<'_> {
    fn run(&self, sequences: &[Sequence]) -> GroupFound {
        let mut found = GroupFound::default();
        let mut pair = None;
        for sequence in sequences {
            let (differences, failures) = (found.differences.len(), found.failures.len());
            self.sequence(sequence, &mut pair, &mut found);
            if self.stop.is_requested() {
                break;
            }
            found.sets += 1;
            (self.tell)(Event::Ended {
                mode: self.mode,
                set: sequence.name.clone(),
                differences: found.differences.len() - differences,
                failure: found.failures.get(failures).map(|failure| failure.reason.clone()),
            });
        }
        found
    }

    /// It is looked at again, from its beginning, where a process did not know its Node's zone.
    fn sequence(&self, sequence: &Sequence, pair: &mut Option<Pair>, found: &mut GroupFound) {
        for _ in 0..PROCESSES {
            match self.attempt(sequence, pair) {
                Attempt::Compared(new) => {
                    found.extend(new);
                    return;
                }
                Attempt::MissedZone(family) => {
                    let counts = Counts { missed_zone: 1, ..Counts::default() };
                    count(&mut found.families, FamilyReport { family, counts });
                }
            }
        }
        let step = sequence.steps.first().map(|step| step.name.clone()).unwrap_or_default();
        found.failures.push(Failure {
            at: At { set: sequence.name.clone(), step },
            reason: format!("{PROCESSES} processes of kube-proxy did not follow hints for their Node's zone"),
        });
    }

    /// It is left at the first step that shows something: all after it would show the same. What comes next begins cold.
    fn attempt(&self, sequence: &Sequence, pair: &mut Option<Pair>) -> Attempt {
        let mut found = GroupFound::default();
        for step in &sequence.steps {
            let at = At { set: sequence.name.clone(), step: step.name.clone() };
            let made = match pair.take() {
                Some(pair) => Ok(pair),
                None => self.pair(),
            };
            let seen = made.and_then(|mut own| {
                let seen = own.step(step, self.alter)?;
                *pair = Some(own);
                Ok(seen)
            });
            match seen {
                // What an interruption breaks says nothing.
                _ if self.stop.is_requested() => break,
                Err(error) => {
                    found.failures.push(Failure { at, reason: explain(&error) });
                    break;
                }
                Ok(seen) => {
                    if let Some(one) = seen.iter().find(|one| one.missed_zone) {
                        *pair = None;
                        return Attempt::MissedZone(one.family);
                    }
                    let before = found.differences.len();
                    for Seen { family, counts, differences, .. } in seen {
                        count(&mut found.families, FamilyReport { family, counts });
                        found
                            .differences
                            .extend(differences.into_iter().map(|one| Found::of(&at, family, one)));
                    }
                    if found.differences.len() > before {
                        *pair = None;
                        break;
                    }
                }
            }
        }
        Attempt::Compared(found)
    }

    fn pair(&self) -> anyhow::Result<Pair> {
        let Question { subject, planned, subjects, has_zone, recorder, .. } = self.question;
        let spec = NodeSpec::new(self.mode, *planned, subjects, *has_zone);
        Pair::prepare(subject, &spec, recorder.clone(), self.stop)
    }
}
