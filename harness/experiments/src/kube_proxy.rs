//! A real kube-proxy as the system under test: how soon a node that joins has its Services, how soon packets obey a change,
//! what kube-proxy says of itself meanwhile, and what it costs.

mod changes;
mod choice;
mod conntrack;
mod conntrack_rows;
mod cost;
mod cost_rows;
mod held;
mod join;
mod latency;
mod outage;
mod packets;
mod phases;
mod program_phase;
mod rate;
mod rolling;
mod rows;
mod section;
mod tracker;
mod traffic;
mod traffic_rows;

use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::{Mode, Node};
use kube_proxy::{Subject, System};
use lab::cores::Cores;
use lab::stop::Stop;
use lab::testbed::ServiceTarget;
use services::service_set::ServiceSet;
use workloads::clock::nanoseconds;

pub use self::changes::ChangeKind;
use self::changes::Changes;
pub use self::choice::SystemChoice;
pub use self::conntrack::Fate;
use self::cost::{Cost, Look, Meanwhile};
use self::join::Start;
use self::outage::Outage;
pub use self::section::{CleanUps, Requests, Section};
use self::traffic::Traffic;
use crate::rows::Rows;

/// Where a system is measured.
pub struct Place<'a> {
    /// Who writes the rules.
    pub subject: &'a Arc<Subject>,
    /// In which mode.
    pub mode: Mode,
    /// On which node.
    pub node: Node,
    /// For which Services.
    pub set: &'a ServiceSet,
    /// Of orders and choices.
    pub seed: u64,
    /// Where a load runs, if there is one.
    pub cores: &'a Cores,
}

/// Measures all that the section asks for, in a lab of its own; each part is in `rows` as soon as it is known. `begins` is told
/// the name of each part, as rows have it in `workload`, before its first packet: all of them take minutes in a guest.
///
/// # Errors
/// If kube-proxy ends, or does not do in time what it should: with its last lines. What was known before is in `rows`.
pub fn measure(
    place: &Place<'_>,
    section: &Section,
    stop: &Stop,
    rows: &mut Rows,
    begins: &mut dyn FnMut(&str),
) -> anyhow::Result<()> {
    let Place { subject, mode, node, set, seed, .. } = *place;
    let mut system = System::prepare(subject, mode, node, set, seed, stop)?;
    let limit = section.limit();

    let targets = join::targets(&system)?;
    let joined = join::measure(&mut system, targets, Start { serves: false, beside_load: false }, limit)?;
    let served = nanoseconds(system.server_stats().processor);
    let cost = since(&mut system, None)?;
    rows.kube_proxy_join(&joined, &cost, served);
    system.verify()?;
    rows.kube_proxy_held(&held::held(&system, mode)?);

    let mut changes = Changes::new(seed);
    if !section.single_changes().is_empty() {
        rows.part(rows::Part::Changes);
        begins(&rows.key.workload);
        let before = Look::at(&mut system, true)?;
        let found = latency::measure(&mut system, &mut changes, &section.config(seed))?;
        anyhow::ensure!(found.not_offered == 0, "{} changes found no Service to change", found.not_offered);
        if let Some(why) = found.given_up {
            anyhow::bail!(why);
        }
        // The last sync ends after the packets that obey it.
        system.wait_until_settled(limit)?;
        let cost = since(&mut system, Some(&before))?;
        rows.kube_proxy_changes(&found, &cost, section.stall_milliseconds);
        system.verify()?;
    }
    if section.has_rolling_update() {
        rows.part(rows::Part::RollingUpdate);
        begins(&rows.key.workload);
        let before = Look::at(&mut system, true)?;
        let found = rolling::measure(&mut system, seed, limit)?;
        system.wait_until_settled(limit)?;
        let cost = since(&mut system, Some(&before))?;
        rows.kube_proxy_rolling(&found, &cost);
        system.verify()?;
    }
    for &rate in &section.rates {
        rows.part(rows::Part::Rate(rate));
        begins(&rows.key.workload);
        let before = Look::at(&mut system, true)?;
        let steady = rate::steady(&mut system, &mut changes, rate, section.rate_seconds, limit, seed)?;
        let cost = since(&mut system, Some(&before))?;
        rows.kube_proxy_rate(&steady, &cost);
        system.verify()?;
    }
    if section.knee {
        rows.part(rows::Part::Knee);
        begins(&rows.key.workload);
        let found = rate::knee(&mut system, &mut changes, section.rate_seconds, limit, seed)?;
        rows.kube_proxy_knee(&found);
        system.verify()?;
    }
    for outage in section.outages() {
        rows.part(rows::Part::Outage(outage));
        begins(&rows.key.workload);
        disturbed(&mut system, outage, place, section, rows)?;
        system.verify()?;
    }
    if section.restart {
        rows.part(rows::Part::Restart);
        begins(&rows.key.workload);
        restarted(&mut system, place, section, rows)?;
        system.verify()?;
    }
    clean_ups(&mut system, section, rows, begins)?;
    system.stop()?;
    rows.part(rows::Part::Join);
    Ok(())
}

/// An outage of the API server, beside a load if there is one.
fn disturbed(
    system: &mut System,
    outage: Outage,
    place: &Place<'_>,
    section: &Section,
    rows: &mut Rows,
) -> anyhow::Result<()> {
    let limit = section.limit();
    let change = outage::change(system, outage, place.seed)?;
    let before = Look::at(system, true)?;
    let traffic = traffic(system, &[&change.target], place, section, outage.longest(limit) + limit)?;
    let felt = outage::measure(system, outage, change, traffic.is_some(), limit)?;
    // The last sync ends after the packets that obey it.
    system.wait_until_settled(limit)?;
    let load = match traffic {
        Some(traffic) => {
            let syncs = system.process()?.log().ended_syncs(before.position);
            Some(traffic.finish(system, (felt.begun, felt.obeyed), &syncs)?)
        }
        None => None,
    };
    let cost = since(system, Some(&before))?;
    rows.kube_proxy_outage(&felt, &cost);
    load.iter().for_each(|load| rows.kube_proxy_traffic(load));
    Ok(())
}

/// A restart over what is there, beside a load if there is one.
fn restarted(
    system: &mut System,
    place: &Place<'_>,
    section: &Section,
    rows: &mut Rows,
) -> anyhow::Result<()> {
    let limit = section.limit();
    let targets = join::targets(system)?;
    let probed: Vec<&ServiceTarget> = targets.iter().map(|(_, target)| target).collect();
    let traffic = traffic(system, &probed, place, section, 2 * limit)?;
    let begun = Instant::now();
    system.stop()?;
    let start = Start { serves: true, beside_load: traffic.is_some() };
    let joined = join::measure(system, targets, start, limit)?;
    let load = match traffic {
        Some(traffic) => {
            let ended = system.process()?.started() + Duration::from_nanos(joined.first_sync_ended);
            let syncs = system.process()?.log().ended_syncs(0);
            Some(traffic.finish(system, (begun, ended), &syncs)?)
        }
        None => None,
    };
    let cost = since(system, None)?;
    rows.kube_proxy_restart(&joined, &cost);
    load.iter().for_each(|load| rows.kube_proxy_traffic(load));
    Ok(())
}

/// The load that the section asks for, which runs.
fn traffic(
    system: &System,
    probed: &[&ServiceTarget],
    place: &Place<'_>,
    section: &Section,
    longest: Duration,
) -> anyhow::Result<Option<Traffic>> {
    let start = |requests: &Requests| {
        Traffic::start(&system.testbed, requests, probed, place.cores, longest, place.seed)
    };
    section.load.as_ref().map(start).transpose()
}

/// Last, as they leave kube-proxy with the memory that they took.
fn clean_ups(
    system: &mut System,
    section: &Section,
    rows: &mut Rows,
    begins: &mut dyn FnMut(&str),
) -> anyhow::Result<()> {
    for filled in section.clean_ups() {
        rows.kube_proxy_conntrack_part(&filled);
        if let Err(reason) = conntrack::make_room(filled.entries) {
            rows.skip_cell(&reason);
            continue;
        }
        begins(&rows.key.workload);
        let found = conntrack::measure(system, &filled, section.limit())?;
        rows.kube_proxy_conntrack(&filled, &found);
        system.verify()?;
    }
    Ok(())
}

/// What was since an earlier look, or since the start.
fn since(system: &mut System, before: Option<&Look>) -> anyhow::Result<Cost> {
    let now = Look::at(system, false)?;
    // Programs that the kernel has dropped would be missing in sums.
    let seen = system.programs().filter(|seen| !seen.incomplete);
    // A child that executes nothing is Go's, which asks so for features of the kernel; its memory is kube-proxy's own.
    let programs: Option<Vec<_>> =
        seen.map(|seen| seen.programs.into_iter().filter(|run| run.executed.is_some()).collect());
    let lock_waits = system.lock_waits(programs.as_deref().unwrap_or_default());
    let syncs = system.process()?.log().ended_syncs(before.map_or(0, |before| before.position));
    let meanwhile =
        Meanwhile { programs: programs.as_deref(), syncs: &syncs, lock_waits: lock_waits.as_ref() };
    Ok(now.since(before, meanwhile))
}
