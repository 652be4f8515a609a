//! The section about the real kube-proxies of one lane: what they did in sentences, figures and tables.

use crate::advice::Sentence;
use crate::groups::{Group, Groups};
use crate::names::{LARGEST_OFFERED, metric, phase, position, workload};
use crate::record::{Record, Unit};
use crate::series::{self, Figure};
use crate::stats::Medians;
use crate::systems::{At, SyncKind, SyncPhases, Systems, sync_phases};
use crate::table::{Source, Table};
use crate::tables;
use crate::text::{in_words, services};

/// More sentences than this are not read; the tables have the rest.
const MOST_SENTENCES: usize = 24;

/// What a report says of the real kube-proxies of one lane.
pub(super) struct Node {
    /// `kube-proxy 1.37.2 on this node`.
    pub heading: String,
    /// Mode and system, and a few sentences about them at the largest scale.
    pub sentences: Vec<(String, Vec<Sentence>)>,
    pub figures: Vec<Figure>,
    pub tables: Vec<Table>,
}

impl Node {
    /// None if no row is of one. `plan`: the version that svcbench's plans imitate; empty: not known.
    pub(super) fn of(groups: &Groups<'_>, plan: &str, medians: &mut Medians) -> Option<Self> {
        let systems = Systems::of(groups)?;
        Some(Node {
            heading: systems.heading(),
            sentences: sentences(&systems, medians),
            figures: series::systems(&systems, plan, medians),
            tables: tables::systems(&systems, plan, medians),
        })
    }
}

/// That syncs are of svcbench's own plans, and what measures a real kube-proxy; empty where no plan was carried out.
pub(super) fn plans(groups: &Groups<'_>, plan: &str, node: Option<&Node>) -> String {
    let own = [workload::FULL_SYNC_COLD, workload::FULL_SYNC_RESTART, workload::FULL_SYNC_PERIODIC];
    let is_sync = |name: &str| own.contains(&name) || name.starts_with(PARTIAL);
    let measured = groups
        .map
        .iter()
        .any(|(key, group)| is_sync(key.workload) && key.system.is_empty() && !group.measured.is_empty());
    if !measured {
        return String::new();
    }
    let version = if plan.is_empty() { String::new() } else { format!(" {plan}") };
    let real = match node {
        Some(node) => format!("The section “{}” has the real thing beside them.", node.heading),
        None => "“svcbench run kube-proxy --out DIR” measures a real one from end to end.".to_owned(),
    };
    format!(
        "All syncs here are a plan’s: svcbench’s own imitation of kube-proxy{version}, carried out with the programs that \
         kube-proxy uses. kube-proxy’s own process is not in them. {real}"
    )
}

/// How the names of partial syncs begin.
const PARTIAL: &str = "partial_sync_";

fn sentences(systems: &Systems<'_>, medians: &mut Medians) -> Vec<(String, Vec<Sentence>)> {
    let cells = systems.cells(true);
    let syncs = [SyncKind::First, SyncKind::Change].map(|kind| sync_phases(systems, kind));
    let largest =
        cells.chunk_by(|a, b| (a.mode, a.system) == (b.mode, b.system)).filter_map(|own| own.last());
    let mut all = Vec::new();
    for at in largest.take(MOST_SENTENCES) {
        let mut writer = Writer { systems, medians };
        let said = [writer.joined(at), writer.obeyed(at), of_syncs(systems, at, &syncs), writer.cost(at)];
        let said: Vec<Sentence> = said.into_iter().flatten().collect();
        if !said.is_empty() {
            all.push((format!("{}, {}, {}", at.mode, systems.label(at.system), services(at.services)), said));
        }
    }
    all
}

struct Writer<'s, 'a, 'm> {
    systems: &'s Systems<'a>,
    medians: &'m mut Medians,
}

type Field = fn(&Record) -> Option<u64>;

impl Writer<'_, '_, '_> {
    fn figure(&mut self, name: &str, metric: &str, at: &At<'_>, field: Field) -> Option<(String, Source)> {
        let group: &Group<'_> = self.systems.cell(name, metric, at)?;
        let unit = group.measured.first()?.unit;
        let estimate = group.estimate(self.medians, field)?;
        let shown = self.systems.groups.quantity(unit).show(estimate.median);
        Some((in_words(&shown), Source::Group(group.number)))
    }

    /// Whether the knee was not reached.
    fn is_only_offered(&self, at: &At<'_>) -> bool {
        let knee = self.systems.cell(workload::KUBE_PROXY_KNEE, metric::KNEE, at);
        knee.is_some_and(|group| group.measured.iter().any(|row| row.note.starts_with(LARGEST_OFFERED)))
    }

    /// `A node that joins has its last Service answer 988 ms after kube-proxy's start.`
    fn joined(&mut self, at: &At<'_>) -> Option<Sentence> {
        let last = At { position: position::LAST, ..*at };
        let (answers, source) =
            self.figure(workload::KUBE_PROXY_JOIN, metric::FIRST_ANSWER, &last, Record::p50)?;
        let mut said = Sentence::default();
        said.say("The last Service of a node that joins answers ");
        said.show(answers, source);
        said.say(" after kube-proxy’s start.");
        Some(said)
    }

    /// `Packets obey a change after 101 ms (p50) or 1.04 s (p99); it keeps up with 8 /s.`
    fn obeyed(&mut self, at: &At<'_>) -> Option<Sentence> {
        let (name, metric) = (workload::KUBE_PROXY_CHANGES, metric::PROGRAMMING_LATENCY);
        let p50 = self.figure(name, metric, at, Record::p50)?;
        let p99 = self.figure(name, metric, at, Record::p99)?;
        let mut said = Sentence::default();
        said.say("Packets obey a change ");
        said.show(p50.0, p50.1);
        said.say(" (p50) to ");
        said.show(p99.0, p99.1);
        said.say(" (p99) after the API server’s event");
        if let Some((rate, source)) = self.figure(workload::KUBE_PROXY_KNEE, metric::KNEE, at, Record::p50) {
            said.say(", up to ");
            said.show(rate, source);
            if self.is_only_offered(at) {
                said.say(" and more, which svcbench could not offer");
            }
        }
        said.say(".");
        Some(said)
    }

    /// `Its peak memory is 95 MB, that of its largest program 54 MB.`
    fn cost(&mut self, at: &At<'_>) -> Option<Sentence> {
        let parts = [workload::KUBE_PROXY_CHANGES, workload::KUBE_PROXY_JOIN];
        let mut of = |metric: &str| parts.iter().find_map(|part| self.figure(part, metric, at, Record::p50));
        let (process, programs) = (of(metric::PROCESS_PEAK_RSS)?, of(metric::PROGRAMS_PEAK_RSS));
        let mut said = Sentence::default();
        said.say("Its peak memory is ");
        said.show(process.0, process.1);
        if let Some((programs, source)) = programs {
            said.say(", that of its largest program ");
            said.show(programs, source);
        }
        said.say(".");
        Some(said)
    }
}

/// `The first sync takes 326 ms, 30% of it in kube-proxy's own process; a change's 72 ms, 68% of it.`
fn of_syncs(systems: &Systems<'_>, at: &At<'_>, syncs: &[Vec<SyncPhases<'_>>; 2]) -> Option<Sentence> {
    let quantity = systems.groups.quantity(Unit::Ns);
    let [first, change] = syncs;
    let own = |all: &[SyncPhases<'_>]| {
        let is_it = |sync: &&SyncPhases<'_>| {
            (sync.mode, sync.system, sync.services) == (at.mode, at.system, at.services)
        };
        let sync = all.iter().find(is_it)?;
        let generating = sync.of(phase::GENERATING)?;
        let share = if sync.whole() > 0.0 { 100.0 * generating.time / sync.whole() } else { 0.0 };
        Some((
            in_words(&quantity.show(sync.whole())),
            format!("{share:.0}%"),
            Source::Group(generating.group),
        ))
    };
    let mut said = Sentence::default();
    for (what, found) in [("The first sync takes ", own(first)), ("The sync of a change takes ", own(change))]
    {
        let Some((whole, share, source)) = found else { continue };
        if said.parts.is_empty() {
            said.say(what);
        } else {
            said.say("; that of a change ");
        }
        said.show(whole, source);
        said.say(", of which kube-proxy’s own process is ");
        said.show(share, source);
    }
    if said.parts.is_empty() {
        return None;
    }
    said.say(".");
    Some(said)
}
