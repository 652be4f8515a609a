//! Which experiment a cell is handed to.

use dataplane::Mode;
use experiments::forwarding;
use experiments::rows::Rows;
use experiments::{load, lookup, tcp_crr};
use lab::testbed::Testbed;

use super::Lane;
use super::labs::NoLab;
use crate::events::Sink;
use crate::sweep::cell::{Cell, Workload};

impl Lane<'_> {
    /// Why a cell of a replayed ruleset is not measured; `None`: it is, or is of another mode.
    pub(super) fn not_replayed(&self, cell: &Cell) -> Option<String> {
        let replay = self.sweep.replay.as_ref().filter(|_| cell.mode == Mode::Replay)?;
        cell.workload.not_of(replay)
    }

    /// A lab that is filled, or a row that says why there is none.
    fn standing<'a>(&'a mut self, cell: &Cell, rows: &mut Rows) -> Option<&'a mut Testbed> {
        match self.labs.living(cell.mode, cell.scale) {
            Ok(testbed) => return Some(testbed),
            Err(NoLab::Skipped(reason)) => rows.skip_cell(&reason),
            Err(NoLab::Failed(reason)) => rows.fail(&reason),
        }
        None
    }

    pub(super) fn workload(&mut self, cell: &Cell, rows: &mut Rows, sink: Sink<'_>) -> anyhow::Result<()> {
        if let Some(reason) = self.not_replayed(cell) {
            // Once is enough.
            if cell.block == 1 {
                cell.skip(self.sweep, rows, &reason);
            }
            return Ok(());
        }
        let (sweep, cores, stop) = (self.sweep, self.cores.clone(), self.stop);
        match cell.workload {
            Workload::Lookup(position) => {
                let Some(section) = &sweep.lookup else { return Ok(()) };
                // All cells of a run send the same packets, or the controls would be none.
                let protocol = sweep.protocol();
                let Some(testbed) = self.standing(cell, rows) else { return Ok(()) };
                rows.lookup(lookup::measure(testbed, position, protocol, section.probes, &cores)?);
                if let Some(shares) = testbed.take_shares() {
                    rows.shares(&shares);
                }
            }
            Workload::Connect(position) => {
                let Some(section) = &sweep.connect else { return Ok(()) };
                let Some(testbed) = self.standing(cell, rows) else { return Ok(()) };
                rows.connect(&tcp_crr::measure(testbed, position, section.transactions, &cores)?);
            }
            Workload::Load(workload, offered) => {
                let Some(section) = &sweep.load else { return Ok(()) };
                let Some(testbed) = self.standing(cell, rows) else { return Ok(()) };
                let spec = section.spec(workload, offered, sweep.seed ^ u64::from(cell.block));
                rows.load(&load::through(testbed, &spec, &cores, stop)?, workload, offered);
            }
            Workload::Sync => self.sync(cell, rows, sink)?,
            Workload::Lock(contenders) => self.lock(cell, contenders, rows, sink)?,
            Workload::Churn(scenario) => self.churn(cell, scenario, rows)?,
            Workload::Disruption(change, workload) => self.disruption(cell, change, workload, rows)?,
            Workload::Forwarding(method, response) => {
                let Some(section) = &sweep.forwarding else { return Ok(()) };
                let missing = method.needs().iter().find_map(|&need| netns_setup::check(need).err());
                if let Some(missing) = missing {
                    cell.skip(sweep, rows, &missing.to_string());
                    return Ok(());
                }
                let config = forwarding::Config {
                    connections: section.connections,
                    response_bytes: response.bytes(),
                    seed: sweep.seed,
                };
                rows.forwarding(&forwarding::measure(method, &config, &cores)?);
            }
            Workload::System(index) => self.system(cell, index, rows, sink)?,
        }
        Ok(())
    }
}
