//! Two nodes side by side, and one step of both.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use dataplane::{Mode, Plan, Sync};
use kube_proxy::Subject;
use kube_proxy::recorder::Run;
use lab::stop::Stop;
use ruleset::compare::{Difference, Normal, Object, Side, differences};
use services::service::Family;
use services::service_set::ServiceSet;

use crate::alter::Alter;
use crate::mark::Mark;
use crate::node::NodeSpec;
use crate::planned::{Planned, settings};
use crate::programs::{self, Ran};
use crate::real::{MIN_SYNC_PERIOD, Real};
use crate::report::Counts;
use crate::subject::Step;

/// What one step showed of a family.
pub(crate) struct Seen {
    pub(crate) family: Family,
    pub(crate) counts: Counts,
    pub(crate) differences: Vec<Difference>,
    /// Whether some are of what the kernel holds.
    differs_in_state: bool,
    /// Whether they are what a kube-proxy does that does not know its Node's zone. They are left out then.
    pub(crate) missed_zone: bool,
}

/// A node with a real kube-proxy, and one in which plans are carried out.
pub(crate) struct Pair {
    real: Real,
    planned: Planned,
    mark: Mark,
    /// What is installed, without the mark.
    installed: [ServiceSet; 2],
    /// When the first family had synced last; `None`: no kube-proxy has been started.
    synced: Option<SystemTime>,
    /// Whether that was the first sync of a process.
    has_just_started: bool,
    owed: [Owed; 2],
    /// Services of chains, by the names of these: of what is gone nothing else tells.
    owners: BTreeMap<String, String>,
}

/// Chains of nftables mode that syncs have left to later ones: by the last sync, and by those before.
#[derive(Default)]
struct Owed {
    last: BTreeSet<String>,
    before: BTreeSet<String>,
}

impl Owed {
    fn all(&self) -> BTreeSet<String> {
        self.last.union(&self.before).cloned().collect()
    }

    /// Notes what a sync has deleted and what it leaves. Says what was deleted that was not owed, and what is owed for too
    /// long: it goes with the sync that follows, which is never less than a second later. A process that has just been `started`
    /// knows nothing of it, and takes it for newly stale; its next sync may come within a second, as the first is not its runner's
    /// (OnServiceSynced in pkg/proxy/nftables/proxier.go), and leaves it once more. Where a change took `several` syncs, a later
    /// one deletes what the first has left.
    fn pay(
        &mut self,
        deleted: &BTreeSet<String>,
        mut left: BTreeSet<String>,
        (started, several): (bool, bool),
    ) -> Vec<(Side, String)> {
        let mut is_owed = |line: &String| {
            self.last.remove(line) || self.before.remove(line) || (several && left.remove(line))
        };
        let not_owed = deleted.iter().filter(|line| !is_owed(line));
        let mut found: Vec<(Side, String)> = not_owed.map(|line| (Side::First, line.clone())).collect();
        if started {
            self.last.append(&mut self.before);
            self.last.append(&mut left);
        } else {
            let late = std::mem::replace(&mut self.before, std::mem::replace(&mut self.last, left));
            found.extend(late.into_iter().map(|line| (Side::Second, line)));
        }
        found
    }

    /// Of several syncs an earlier one may have made chains, for a state in between, that the last one has emptied: these are owed,
    /// too.
    fn adopt(&mut self, real: &Normal, planned: &Normal) {
        let is_left = |(place, object): &(&String, &Object)| {
            // Its head is the word `chain`.
            object.lines.len() <= 1 && !planned.contains_key(*place)
        };
        let chain = |(place, _): (&String, &Object)| {
            let (table, chain) = place.split_once(", chain ")?;
            Some(format!("delete chain {table} {chain}"))
        };
        self.last.extend(real.iter().filter(is_left).filter_map(chain));
    }

    /// Forgets what is in use again, and takes out of a kernel's state what still waits, and is empty.
    fn forgive(&mut self, real: &mut Normal) {
        for line in self.all() {
            let Some((table, chain)) =
                line.strip_prefix("delete chain ").and_then(|rest| rest.rsplit_once(' '))
            else {
                continue;
            };
            let place = format!("{table}, chain {chain}");
            match real.get(&place) {
                // Its head is the word `chain`.
                Some(object) if object.lines.len() <= 1 => drop(real.remove(&place)),
                Some(_) => {
                    self.last.remove(&line);
                    self.before.remove(&line);
                }
                None => {}
            }
        }
    }
}

/// What kube-proxy ran, and the plans of each family.
type Installed = (Vec<Run>, Vec<(Family, Plan)>);

impl Pair {
    /// Two empty nodes.
    pub(crate) fn prepare(
        subject: &Arc<Subject>,
        spec: &NodeSpec,
        recorder: Option<PathBuf>,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            real: Real::prepare(subject, spec.clone(), recorder, stop)?,
            planned: Planned::prepare(spec.clone(), stop)?,
            mark: Mark::default(),
            installed: Default::default(),
            synced: None,
            has_just_started: false,
            owed: Default::default(),
            owners: BTreeMap::new(),
        })
    }

    /// Installs what a step has in both, and compares.
    ///
    /// # Errors
    /// What kube-proxy or the kernel refuses, or what does not end in time.
    pub(crate) fn step(&mut self, step: &Step, alter: Alter<'_>) -> anyhow::Result<Vec<Seen>> {
        let starts = self.synced.is_none() || step.restarts;
        let mut before: [Vec<Difference>; 2] = Default::default();
        if !starts && (self.has_just_started || !self.is_in_time()) {
            // Events that come when no sync is due are a sync each: this one event starts the time in which all others are one. A
            // process that has just started may also sync everything once more, when it has read the labels of its Node.
            let sets = self.installed.clone();
            let (runs, plans) = self.install(&sets, self.mark.next_endpoint(), false, alter)?;
            for (family, plan) in &plans {
                let ran = programs::ran(self.real.mode(), *family, &runs, false);
                before[*family as usize] = self.pay(*family, &ran, plan, false);
            }
        }
        let (runs, plans) = self.install(&step.sets, self.mark.next(), starts, alter)?;

        let settings = settings(&plans);
        let (real, planned) = (self.real.state(&settings)?, self.planned.state(&settings)?);
        let mut seen = Vec::new();
        for (((family, mut real), (_, planned)), (_, plan)) in real.into_iter().zip(planned).zip(&plans) {
            self.learn(&real);
            self.learn(&planned);
            let ran = programs::ran(self.real.mode(), family, &runs, starts);
            let owed = self.owed[family as usize].all();
            let mut found = std::mem::take(&mut before[family as usize]);
            found.extend(self.pay(family, &ran, plan, starts));
            if ran.syncs > 1 && self.real.mode() == Mode::Nftables {
                self.owed[family as usize].adopt(&real, &planned);
            }
            self.owed[family as usize].forgive(&mut real);
            let mut counts = Counts {
                states: 1,
                starts: usize::from(starts),
                services: step.sets[family as usize].len(),
                rules: real.values().map(|object| object.lines.len()).sum(),
                ..Counts::default()
            };
            let in_state = differences(&real, &planned);
            let differs_in_state = !in_state.is_empty();
            found.extend(in_state);
            if ran.syncs == 1 {
                counts.programs = ran.programs;
                let mut ran = ran.normal;
                if starts {
                    programs::without_left(&mut ran, &owed);
                }
                found.extend(differences(&ran, &programs::planned(family, plan)));
            } else {
                counts.several_syncs = 1;
            }
            seen.push(Seen { family, counts, differences: found, differs_in_state, missed_zone: false });
        }
        if seen.iter().any(|seen| !seen.differences.is_empty()) {
            self.look_again(&step.sets, &settings, &mut seen, alter)?;
        }
        for one in &mut seen {
            let mut found = std::mem::take(&mut one.differences);
            found.iter_mut().for_each(|difference| self.name(difference));
            one.differences = found;
        }
        Ok(seen)
    }

    /// kube-proxy may sync before it knows all: the labels of its Node, by which it follows hints for zones, come by a watch of their
    /// own. What is right after one sync more, in which nothing but the mark changes, was only late, and is counted as such.
    fn look_again(
        &mut self,
        sets: &[ServiceSet; 2],
        settings: &[&'static str],
        seen: &mut [Seen],
        alter: Alter<'_>,
    ) -> anyhow::Result<()> {
        let (runs, plans) = self.install(sets, self.mark.next(), false, alter)?;
        let (mut real, planned) = (self.real.state(settings)?, self.planned.state(settings)?);
        for (((family, real), (_, planned)), (_, plan)) in real.iter_mut().zip(planned).zip(&plans) {
            let ran = programs::ran(self.real.mode(), *family, &runs, false);
            let paid = self.pay(*family, &ran, plan, false);
            self.owed[*family as usize].forgive(real);
            let Some(seen) = seen.iter_mut().find(|seen| seen.family == *family) else { continue };
            if seen.differences.is_empty() || !paid.is_empty() || !differences(real, &planned).is_empty() {
                continue;
            }
            // Where the kernel held the same from the start, the difference is one of programs, which do not come again.
            if seen.differs_in_state {
                seen.differences.clear();
                seen.counts.late = 1;
            }
        }
        self.look_for_the_zone(sets, settings, &real, seen)
    }

    /// Whether what still differs is what a kube-proxy does that does not know its Node's zone: then all of the kernel's state is as
    /// planned for Services without hints for zones.
    ///
    /// Some do not, until they are started anew. Node labels are watched before anything else, and by the time that
    /// `NodeTopologyConfig` (pkg/proxy/config/config.go) is told of them the proxier must have been registered with it, two lines
    /// further down in `Run` of cmd/kube-proxy/app/server.go. Where the watch is first, nobody is told, and never again, as the labels
    /// do not change. So it is in 1.34 to 1.37.
    fn look_for_the_zone(
        &mut self,
        sets: &[ServiceSet; 2],
        settings: &[&'static str],
        real: &[(Family, Normal)],
        seen: &mut [Seen],
    ) -> anyhow::Result<()> {
        let differs = |seen: &Seen| seen.differs_in_state && !seen.differences.is_empty();
        let without = [&sets[0], &sets[1]].map(ServiceSet::without_zone_hints);
        if !seen.iter().any(differs) || without == *sets {
            return Ok(());
        }
        let marked = Family::ALL.map(|family| self.mark.added(family, &without[family as usize]));
        let plans = self.planned.plans(&marked, Sync::Partial)?;
        self.planned.carry_out(&plans, &marked)?;
        let planned = self.planned.state(settings)?;
        for seen in seen.iter_mut().filter(|seen| differs(seen)) {
            let of = |states: &[(Family, Normal)]| {
                states.iter().find(|(family, _)| *family == seen.family).map(|(_, state)| state.clone())
            };
            if let (Some(real), Some(planned)) = (of(real), of(&planned))
                && differences(&real, &planned).is_empty()
            {
                seen.differences.clear();
                seen.missed_zone = true;
            }
        }
        Ok(())
    }

    /// Whether what is told to kube-proxy now waits for the end of the time between two syncs.
    fn is_in_time(&self) -> bool {
        let since = |at: SystemTime| at.elapsed().unwrap_or_default();
        self.synced.is_some_and(|at| since(at) < MIN_SYNC_PERIOD.mul_f64(0.6))
    }

    /// In both nodes, without looking at what they then hold. Says what kube-proxy ran, and the plans.
    fn install(
        &mut self,
        sets: &[ServiceSet; 2],
        mark: Mark,
        starts: bool,
        alter: Alter<'_>,
    ) -> anyhow::Result<Installed> {
        let before = self.synced.map(|_| self.mark);
        let marked = Family::ALL.map(|family| mark.added(family, &sets[family as usize]));
        if starts {
            self.real.end()?;
        }
        let since = self.real.count();
        self.real.change(&marked)?;
        if starts {
            self.real.start()?;
        }
        // Meanwhile kube-proxy waits.
        let sync = if starts { Sync::Full } else { Sync::Partial };
        let mut plans = self.planned.plans(&marked, sync)?;
        for (_, plan) in &mut plans {
            *plan = alter(std::mem::take(plan));
        }
        self.planned.carry_out(&plans, &marked)?;
        self.synced = Some(self.real.wait(mark, before, since)?);
        self.mark = mark;
        self.has_just_started = starts;
        self.installed.clone_from(sets);
        Ok((self.real.runs(since), plans))
    }

    /// What is wrong with the chains that kube-proxy has deleted.
    fn pay(&mut self, family: Family, ran: &Ran, plan: &Plan, starts: bool) -> Vec<Difference> {
        let found =
            self.owed[family as usize].pay(&ran.deleted, programs::left(plan), (starts, ran.syncs > 1));
        let place = "chains deleted after a sync";
        found
            .into_iter()
            .map(|(side, line)| Difference { service: None, place: place.into(), side, line })
            .collect()
    }

    /// Notes whose chains are.
    fn learn(&mut self, normal: &Normal) {
        for (place, object) in normal {
            if let (Some(service), Some((_, chain))) = (&object.service, place.split_once(", chain ")) {
                self.owners.insert(chain.to_owned(), service.clone());
            }
        }
    }

    /// Says whose a difference is, if nothing has.
    fn name(&self, difference: &mut Difference) {
        let chain = difference.place.split_once(", chain ").map(|(_, chain)| chain);
        let words = || difference.line.split(' ').chain(chain);
        if difference.service.is_none() {
            difference.service = words().find_map(|word| self.owners.get(word)).cloned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| format!("delete chain ip kube-proxy {name}")).collect()
    }

    #[test]
    fn chains_are_deleted_by_the_sync_after_the_one_that_left_them() {
        let mut owed = Owed::default();
        assert_eq!(owed.pay(&lines(&[]), lines(&["a", "b"]), (false, false)), []);
        assert_eq!(owed.pay(&lines(&["a"]), lines(&[]), (false, false)), []);
        let late = owed.pay(&lines(&[]), lines(&[]), (false, false));
        assert_eq!(late, [(Side::Second, "delete chain ip kube-proxy b".into())]);
        let not_owed = owed.pay(&lines(&["c"]), lines(&[]), (false, false));
        assert_eq!(not_owed, [(Side::First, "delete chain ip kube-proxy c".into())]);
    }

    #[test]
    fn of_several_syncs_a_later_one_deletes_what_the_first_has_left() {
        let mut owed = Owed::default();
        assert_eq!(owed.pay(&lines(&["a"]), lines(&["a", "b"]), (false, true)), []);
        assert_eq!(owed.all(), lines(&["b"]));
        let not_owed = owed.pay(&lines(&["c"]), lines(&["c"]), (false, false));
        assert_eq!(not_owed, [(Side::First, "delete chain ip kube-proxy c".into())]);
    }

    #[test]
    fn a_process_that_starts_has_two_syncs_more_for_them() {
        let mut owed = Owed::default();
        owed.pay(&lines(&[]), lines(&["a", "b"]), (false, false));
        assert_eq!(owed.pay(&lines(&[]), lines(&[]), (true, false)), []);
        assert_eq!(owed.pay(&lines(&[]), lines(&[]), (false, false)), []);
        let late = owed.pay(&lines(&["a"]), lines(&[]), (false, false));
        assert_eq!(late, [(Side::Second, "delete chain ip kube-proxy b".into())]);
    }

    #[test]
    fn what_waits_and_is_empty_is_forgiven_and_what_is_used_again_is_no_longer_owed() {
        let mut owed = Owed::default();
        owed.pay(&lines(&[]), lines(&["a", "b", "c"]), (false, false));
        let chain = |rules: &[&str]| {
            let lines = std::iter::once("chain").chain(rules.iter().copied());
            Object { service: None, lines: lines.map(|line| (None, line.to_owned())).collect() }
        };
        let mut real = Normal::from([
            ("ip kube-proxy, chain a".to_owned(), chain(&[])),
            ("ip kube-proxy, chain b".to_owned(), chain(&["drop"])),
        ]);
        owed.adopt(&real, &Normal::from([("ip kube-proxy, chain a".to_owned(), chain(&[]))]));
        assert_eq!(owed.all(), lines(&["a", "b", "c"]), "neither a rule nor a chain of the plan");
        real.insert("ip kube-proxy, chain d".to_owned(), chain(&[]));
        owed.adopt(&real, &Normal::new());
        assert_eq!(owed.all(), lines(&["a", "b", "c", "d"]));
        owed.forgive(&mut real);
        assert_eq!(real.keys().collect::<Vec<_>>(), ["ip kube-proxy, chain b"]);
        assert_eq!(owed.all(), lines(&["a", "c", "d"]));
    }
}
