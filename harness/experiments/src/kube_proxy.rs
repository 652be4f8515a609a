//! A real kube-proxy as the system under test: how soon a node that joins has its Services, how soon packets obey a change,
//! what kube-proxy says of itself meanwhile, and what it costs.

mod changes;
mod choice;
mod cost;
mod held;
mod join;
mod latency;
mod outage;
mod packets;
mod parts;
mod phases;
mod rate;
mod rows;
mod section;
mod tracker;

use std::sync::Arc;

use dataplane::{Mode, Node};
use kube_proxy::{Subject, System};
use lab::stop::Stop;
use lab::tools::Tools;
use services::service_set::ServiceSet;
use workloads::clock::nanoseconds;

pub use self::changes::ChangeKind;
pub use self::choice::SystemChoice;
use self::cost::{Cost, Look};
use self::phases::LockWaits;
pub use self::section::Section;
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
}

/// Measures all that the section asks for, in a lab of its own; each part is in `rows` as soon as it is known.
///
/// # Errors
/// If kube-proxy ends, or does not do in time what it should: with its last lines. What was known before is in `rows`.
pub fn measure(place: &Place<'_>, section: &Section, stop: &Stop, rows: &mut Rows) -> anyhow::Result<()> {
    let Place { subject, mode, node, set, seed } = *place;
    let mut system = System::prepare(subject, mode, node, set, seed, stop)?;
    let limit = section.limit();
    let mut waits = LockWaits::begin(&system.testbed.lab.node, Tools::of(mode).take_the_lock());

    let joined = join::measure(&mut system, false, limit)?;
    let served = nanoseconds(system.server_stats().processor);
    let cost = since(&mut system, None, &mut waits)?;
    rows.kube_proxy_join(&joined, &cost, served);
    system.verify()?;
    rows.kube_proxy_held(&held::held(&system, mode)?);

    if !section.changes.is_empty() {
        rows.part(rows::Part::Changes);
        let before = Look::at(&mut system, true)?;
        let found = latency::measure(&mut system, &section.config(seed))?;
        anyhow::ensure!(found.not_offered == 0, "{} changes found no Service to change", found.not_offered);
        if let Some(why) = found.given_up {
            anyhow::bail!(why);
        }
        // The last sync ends after the packets that obey it.
        system.wait_until_settled(limit)?;
        let cost = since(&mut system, Some(&before), &mut waits)?;
        rows.kube_proxy_changes(&found, &cost, section.stall_milliseconds);
        system.verify()?;
    }
    for &rate in &section.rates {
        rows.part(rows::Part::Rate(rate));
        let before = Look::at(&mut system, true)?;
        let steady = rate::steady(&mut system, rate, section.rate_seconds, limit, seed)?;
        let cost = since(&mut system, Some(&before), &mut waits)?;
        rows.kube_proxy_rate(&steady, &cost);
        system.verify()?;
    }
    if section.knee {
        rows.part(rows::Part::Knee);
        let found = rate::knee(&mut system, section.rate_seconds, limit, seed)?;
        rows.kube_proxy_knee(&found);
        system.verify()?;
    }
    for outage in section.outages() {
        rows.part(rows::Part::Outage(outage));
        let before = Look::at(&mut system, true)?;
        let felt = outage::measure(&mut system, outage, seed, limit)?;
        system.wait_until_settled(limit)?;
        let cost = since(&mut system, Some(&before), &mut waits)?;
        rows.kube_proxy_outage(&felt, &cost);
        system.verify()?;
    }
    if section.restart {
        rows.part(rows::Part::Restart);
        system.stop()?;
        let joined = join::measure(&mut system, true, limit)?;
        let cost = since(&mut system, None, &mut waits)?;
        rows.kube_proxy_restart(&joined, &cost);
        system.verify()?;
    }
    system.stop()?;
    rows.part(rows::Part::Join);
    Ok(())
}

/// What was since an earlier look, or since the start.
fn since(system: &mut System, before: Option<&Look>, waits: &mut LockWaits) -> anyhow::Result<Cost> {
    let now = Look::at(system, false)?;
    // Programs that the kernel has dropped would be missing in sums.
    let seen = system.programs().filter(|seen| !seen.incomplete);
    // A child that executes nothing is Go's, which asks so for features of the kernel; its memory is kube-proxy's own.
    let programs: Option<Vec<_>> =
        seen.map(|seen| seen.programs.into_iter().filter(|run| run.executed.is_some()).collect());
    let mut cost = now.since(before, programs.as_deref());
    let lines = system.process()?.log().since(before.map_or(0, |before| before.lines));
    let waited = waits.take(&system.testbed.lab.node);
    cost.sync_runs = phases::split(&phases::ended(&lines), programs.as_deref(), waited.as_ref());
    Ok(cost)
}
