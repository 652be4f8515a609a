//! What a resumed run knows from the rows that are there: which cells are done, and how long things took.

use std::collections::{BTreeMap, HashSet};

use dataplane::Mode;
use experiments::rows::LaneId;
use results::names::{metric, workload};
use results::record::{Record, Status};

use super::tally::Tally;
use super::time_kind::TimeKind;
use crate::forecast::extrapolate::Predictor;
use crate::sweep::cell::Cell;

/// The part of a run that is on disk.
#[derive(Default)]
pub struct Resume {
    /// Orders of finished cells.
    pub finished: HashSet<u32>,
    /// How they ended.
    pub tally: Tally,
    /// What their times let expect.
    pub(super) predictor: Predictor<TimeKind>,
    /// Seconds that syncs took, without the making of their labs.
    pub sync_spent: f64,
}

/// Whether the rows of a lane are of these cells: another version may have had them in another order, and a resumed run
/// would take one for another.
///
/// # Errors
/// If a row is of no cell, or of another than the one with its order.
pub fn check_order(records: &[Record], cells: &[Cell]) -> anyhow::Result<()> {
    let is_of = |record: &Record, cell: &Cell| {
        (record.cell.block, record.cell.services, record.cell.mode.as_str())
            == (cell.block, cell.scale.services, cell.mode_name())
    };
    let stray = records
        .iter()
        .find(|record| !cells.get(record.cell.order as usize).is_some_and(|cell| is_of(record, cell)));
    match stray {
        None => Ok(()),
        Some(record) => anyhow::bail!(
            "the run to resume was begun by another version of svcbench, which has its cells in another order (its cell {} is \
             {} with {} Services): go on with that version, or begin anew with another --out",
            record.cell.order,
            record.cell.mode,
            record.cell.services
        ),
    }
}

impl Resume {
    /// From those rows of a run that belong to a lane with these cells.
    ///
    /// # Errors
    /// As [`check_order`].
    pub fn of_lane(records: &[Record], mark: &LaneId, cells: &[Cell]) -> anyhow::Result<Self> {
        let of_lane = |record: &&Record| {
            record.cell.clock == mark.clock
                && record.cell.kernel == mark.kernel
                && record.cell.hypervisor == mark.hypervisor
        };
        let records: Vec<Record> = records.iter().filter(of_lane).cloned().collect();
        check_order(&records, cells)?;
        Ok(Self::read(&records))
    }

    /// From all rows of a lane.
    pub fn read(records: &[Record]) -> Self {
        let mut resume = Self::default();
        let mut statuses: BTreeMap<u32, Vec<Status>> = BTreeMap::new();
        let mut cells: BTreeMap<(u32, Mode, u32), f64> = BTreeMap::new();
        let mut rounds: BTreeMap<(u32, Mode, u32, u32), BTreeMap<&str, f64>> = BTreeMap::new();
        for record in records {
            statuses.entry(record.cell.order).or_default().push(record.status);
            let Some(mode) = Mode::ALL.into_iter().find(|mode| mode.name() == record.cell.mode) else {
                continue;
            };
            let (Some(p50), Some(mean)) = (record.p50, record.mean) else { continue };
            let seconds = p50 as f64 / 1e9;
            let place = (record.cell.order, mode, record.cell.services);
            match record.metric.as_str() {
                metric::APPLY => {
                    let cost = match record.cell.workload.as_str() {
                        workload::FULL_SYNC_COLD => TimeKind::Cold(mode),
                        workload::APPEND => TimeKind::Append(mode),
                        _ => TimeKind::Small(mode),
                    };
                    resume.predictor.note(cost, record.cell.services, seconds);
                    *cells.entry(place).or_default() += mean as f64 * record.n as f64 / 1e9;
                }
                metric::HOLDER_FULL_SYNC | metric::HOLDER_PARTIAL_SYNC => {
                    let place = (record.cell.order, mode, record.cell.services, record.cell.contenders);
                    rounds.entry(place).or_default().insert(&record.metric, seconds);
                }
                _ => {}
            }
        }
        for ((_, mode, services), seconds) in cells {
            resume.predictor.note(TimeKind::SyncCell(mode), services, seconds);
            resume.sync_spent += seconds;
        }
        // A round of which one sync did not finish tells nothing.
        for ((_, mode, services, contenders), round) in
            rounds.into_iter().filter(|(_, round)| round.len() == 2)
        {
            resume.predictor.note(TimeKind::LockRound(mode, contenders), services, round.values().sum());
        }
        for (order, statuses) in statuses {
            resume.finished.insert(order);
            if statuses.contains(&Status::Failed) {
                resume.tally.failed += 1;
            } else if statuses.contains(&Status::Ok) {
                resume.tally.done += 1;
            } else {
                resume.tally.skipped += 1;
            }
        }
        resume
    }
}

#[cfg(test)]
mod tests {
    use results::record::{CellKey, Clock, Unit};

    use super::*;
    use crate::lane::lost_cell;
    use crate::sweep::Sweep;
    use crate::sweep::order;

    #[test]
    fn rows_of_another_order_are_refused() {
        let sweep = Sweep::load("smoke").unwrap().0;
        let mark = LaneId {
            run: "r".into(),
            lane: String::new(),
            clock: Clock::Wall,
            kernel: "k".into(),
            hypervisor: "none".into(),
        };
        let cells = order::order(&sweep);
        let rows: Vec<Record> = cells.iter().flat_map(|cell| lost_cell(cell, &mark, "lost")).collect();
        let resume = Resume::of_lane(&rows, &mark, &cells).unwrap();
        assert_eq!((resume.finished.len(), resume.tally.failed), (cells.len(), cells.len()));

        let without_pairs = order::order(&Sweep { aa: false, ..sweep });
        let error = Resume::of_lane(&rows, &mark, &without_pairs).err().unwrap().to_string();
        assert!(error.contains("begun by another version") && error.contains("another --out"), "{error}");
    }

    #[test]
    fn rows_tell_what_is_done_and_how_long_it_took() {
        let key = |order, workload: &str| CellKey {
            run: "r".into(),
            block: 1,
            order,
            mode: "nftables".into(),
            services: 1000,
            endpoints: 10,
            position: "".into(),
            workload: workload.into(),
            contenders: 0,
            clock: Clock::Wall,
            kernel: "k".into(),
            hypervisor: "none".into(),
            system: "".into(),
        };
        let second = 1_000_000_000;
        let records = [
            key(3, workload::FULL_SYNC_COLD).scalar(metric::APPLY, Unit::Ns, 4 * second),
            key(3, workload::PARTIAL_SYNC_NOOP).samples(metric::APPLY, Unit::Ns, &[second, second]),
            key(4, workload::XTABLES_LOCK).scalar(metric::HOLDER_PARTIAL_SYNC, Unit::Ns, second),
            key(4, workload::XTABLES_LOCK).skipped(metric::HOLDER_FULL_SYNC, Unit::Ns, "ended"),
            key(6, workload::XTABLES_LOCK).skipped(metric::CONTENDER_OPERATION, Unit::Ns, "no such mode"),
            CellKey { services: 10, ..key(7, workload::XTABLES_LOCK) }.scalar(
                metric::HOLDER_PARTIAL_SYNC,
                Unit::Ns,
                second,
            ),
            CellKey { services: 10, ..key(7, workload::XTABLES_LOCK) }.scalar(
                metric::HOLDER_FULL_SYNC,
                Unit::Ns,
                second,
            ),
            key(5, workload::PACKET_PROBE).failed(metric::LOOKUP_FIRST_PACKET, Unit::Ns, "lost"),
        ];
        let resume = Resume::read(&records);
        assert_eq!(resume.finished, HashSet::from([3, 4, 5, 6, 7]));
        assert_eq!(resume.tally, Tally { done: 3, skipped: 1, failed: 1, interrupted: false });
        assert_eq!(resume.predictor.predict(&TimeKind::Cold(Mode::Nftables), 1000), Some(4.0));
        assert_eq!(resume.predictor.predict(&TimeKind::Small(Mode::Nftables), 1000), Some(1.0));
        let round = |services| resume.predictor.seen(&TimeKind::LockRound(Mode::Nftables, 0), services);
        assert_eq!((round(10), round(1000)), (Some(2.0), None));
        assert!((resume.sync_spent - 6.0).abs() < 1e-9);
    }
}
