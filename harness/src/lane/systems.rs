//! Cells of real kube-proxies.

use std::sync::Arc;
use std::time::Duration;

use ::kube_proxy::{Binary, Subject};
use experiments::kube_proxy::{self, Place};
use experiments::rows::Rows;
use lab::explain::explain;

use super::Lane;
use super::labs;
use super::subjects::{Known, NoSubject, look_at};
use crate::events::{Event, Sink};
use crate::sweep::cell::{Cell, Workload};

/// For a binary to say its version, on a machine that is busy.
const VERSION_LIMIT: Duration = Duration::from_secs(60);

impl Lane<'_> {
    /// Says whose rules the rows of a cell are about: system, version and hash, or the sweep's own words if it is none.
    pub(super) fn name_system(&mut self, cell: &Cell, rows: &mut Rows) {
        let Workload::System(index) = cell.workload else { return };
        if let Ok(subject) = self.subject(index) {
            rows.of_system(&subject.name());
        } else if let Some(choice) = self.sweep.systems.get(usize::from(index)) {
            rows.of_system(&choice.to_string());
        }
    }

    fn subject(&mut self, index: u8) -> Known {
        let (sweep, stop, files) = (self.sweep, self.stop, &self.files);
        let look = || {
            let unfit = |error: ::kube_proxy::BinaryError| NoSubject::Unfit(error.to_string());
            let binary = match files.get(&index) {
                Some(Ok(given)) => Binary::read_before(&given.path, &given.sha256).map_err(unfit)?,
                Some(Err(why)) => return Err(why.clone()),
                None => {
                    let choice = sweep.systems.get(usize::from(index));
                    let none = || NoSubject::Missing("the sweep has no such system".into());
                    look_at(choice.ok_or_else(none)?)?
                }
            };
            Subject::of(binary, stop, VERSION_LIMIT).map(Arc::new).map_err(unfit)
        };
        self.subjects.entry(index).or_insert_with(look).clone()
    }

    /// A real kube-proxy, in a lab of its own.
    pub(super) fn system(
        &mut self,
        cell: &Cell,
        index: u8,
        rows: &mut Rows,
        sink: Sink<'_>,
    ) -> anyhow::Result<()> {
        let Some(section) = &self.sweep.system else { return Ok(()) };
        let subject = match self.subject(index) {
            Ok(subject) => subject,
            Err(NoSubject::Missing(reason)) => {
                // Once is enough.
                if cell.block == 1 {
                    rows.skip_cell(&reason);
                }
                return Ok(());
            }
            Err(NoSubject::Unfit(reason)) => anyhow::bail!(reason),
        };
        self.labs.drop_all();
        let set = self.labs.set(cell.mode, cell.scale, self.sweep);
        let seed = self.sweep.seed ^ u64::from(cell.block);
        let (mode, node, cores) = (cell.mode, self.node, self.cores.clone());
        let place = Place { subject: &subject, mode, node, set: &set, seed, cores: &cores };
        labs::settle(cell.scale.services);
        // A guest that says nothing for long is given up.
        let mut begins = |part: &str| sink(Event::Step(format!("{part} begins")));
        if let Err(error) = kube_proxy::measure(&place, section, self.stop, rows, &mut begins) {
            rows.fail(&explain(&error));
        }
        Ok(())
    }
}
