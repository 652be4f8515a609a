//! `timelines.csv`: the syncs of churn scenarios and disruptions, one by one, in the order in which they ran; and `impact.csv`:
//! the impact of the latter on loads, over time.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, WriterBuilder};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::names::current_mode;
use crate::record::shared::Shared;
use crate::record::{Clock, Text};

/// Name of the file in a run's folder.
pub const TIMELINES: &str = "timelines.csv";

/// One sync. Times are nanoseconds (instructions, under that clock) since the scenario began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineRow {
    /// Identifier of the run.
    pub run: Text,
    /// The cell's place in the run, as in `records.csv`.
    pub order: u32,
    /// Block, from 1.
    pub block: u32,
    /// Mode.
    pub mode: Text,
    /// Services installed.
    pub services: u32,
    /// Endpoints of each.
    pub endpoints: u32,
    /// Scenario: a workload name of [`crate::names::workload`].
    pub workload: Text,
    /// What the clock counts.
    pub clock: Clock,
    /// `uname -r`.
    pub kernel: Text,
    /// What the kernel ran on.
    pub hypervisor: Text,
    /// Number of the sync, from 1.
    pub sync: u32,
    /// When it began.
    pub start: u64,
    /// When it had ended.
    pub end: u64,
    /// Changes that it carried; 0: a periodic one.
    pub changes: u32,
    /// Bytes given to programs.
    pub bytes: u64,
}

/// All that happened over time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timelines {
    /// Syncs.
    pub syncs: Vec<TimelineRow>,
    /// The impact on loads.
    pub impact: Vec<ImpactRow>,
}

/// Name of the file with the impact of disruptions on loads.
pub const IMPACT: &str = "impact.csv";
/// What [`IMPACT`] was called before: it is read where there is no other, and written no more.
pub const OLD_IMPACT: &str = "felt.csv";

/// The impact of a disruption on a load in part of the time: the requests that were due in it. Times are nanoseconds (instructions, under that
/// clock) since the load began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImpactRow {
    /// Identifier of the run.
    pub run: Text,
    /// The cell's place in the run, as in `records.csv`.
    pub order: u32,
    /// Block, from 1.
    pub block: u32,
    /// Mode.
    pub mode: Text,
    /// Services installed.
    pub services: u32,
    /// Endpoints of each.
    pub endpoints: u32,
    /// What happened, and the load: see [`crate::names::workload::disruption`].
    pub workload: Text,
    /// What the clock counts.
    pub clock: Clock,
    /// `uname -r`.
    pub kernel: Text,
    /// What the kernel ran on.
    pub hypervisor: Text,
    /// When it began.
    pub from: u64,
    /// How long it is.
    pub length: u64,
    /// Requests that were due in it.
    pub due: u64,
    /// Those without a response.
    pub lost: u64,
    /// Response times; absent: there were none.
    pub p50: Option<u64>,
    /// See `p50`.
    pub p99: Option<u64>,
    /// See `p50`.
    pub max: Option<u64>,
}

/// A row of these files: it shares its texts with other rows.
pub trait CellRow: Serialize + DeserializeOwned {
    /// All its texts.
    fn texts(&mut self) -> [&mut Text; 5];
    /// What cells have in common that only differ in their block.
    fn alike(&self) -> Alike;
    /// Which of those cells it belongs to.
    fn cell(&self) -> Cell;
}

/// Clock, kernel, hypervisor, workload, mode, Services and endpoints.
pub type Alike = (Clock, Text, Text, Text, Text, u32, u32);
/// Run, block and order.
pub type Cell = (Text, u32, u32);

/// The columns of a cell are the same in both files.
macro_rules! rows_of_cells {
    ($($row:ty),+) => {$(
        impl CellRow for $row {
            fn texts(&mut self) -> [&mut Text; 5] {
                [&mut self.run, &mut self.mode, &mut self.workload, &mut self.kernel, &mut self.hypervisor]
            }

            fn alike(&self) -> Alike {
                let text = Text::clone;
                let platform = (self.clock, text(&self.kernel), text(&self.hypervisor));
                (platform.0, platform.1, platform.2, text(&self.workload), text(&self.mode), self.services, self.endpoints)
            }

            fn cell(&self) -> Cell {
                (self.run.clone(), self.block, self.order)
            }
        }
    )+};
}

rows_of_cells!(TimelineRow, ImpactRow);

/// Why timelines could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}; delete the file to report without timelines, or run the sweep again", path.display())]
pub struct TimelineError {
    path: PathBuf,
    source: csv::Error,
}

impl TimelineError {
    fn at(path: &Path) -> impl Fn(csv::Error) -> Self {
        move |source| Self { path: path.to_owned(), source }
    }
}

/// Adds rows at the end of the file, which is made with a header if it is not there.
///
/// # Errors
/// If it cannot be written.
pub fn append<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), TimelineError> {
    let failed = TimelineError::at(path);
    let file =
        OpenOptions::new().create(true).append(true).open(path).map_err(|source| failed(source.into()))?;
    let empty = file.metadata().map_err(|source| failed(source.into()))?.len() == 0;
    let mut writer = WriterBuilder::new().has_headers(empty).from_writer(file);
    rows.iter().try_for_each(|row| writer.serialize(row)).map_err(&failed)?;
    writer.flush().map_err(|source| failed(source.into()))
}

/// The file of [`ImpactRow`]s to read in a run's folder.
pub fn impact_file(folder: &Path) -> PathBuf {
    let [new, old] = [IMPACT, OLD_IMPACT].map(|name| folder.join(name));
    if !new.exists() && old.exists() { old } else { new }
}

/// The file of [`ImpactRow`]s to add to in a run's folder: an old name becomes the new one, so that no row is in two files.
///
/// # Errors
/// If it cannot be renamed.
pub fn impact_file_to_append(folder: &Path) -> Result<PathBuf, TimelineError> {
    let (path, found) = (folder.join(IMPACT), impact_file(folder));
    if found != path {
        std::fs::rename(&found, &path).map_err(|source| TimelineError::at(&found)(source.into()))?;
    }
    Ok(path)
}

/// Reads the file; no rows if there is none.
///
/// # Errors
/// What is wrong, with line and field.
pub fn read<T: CellRow>(path: &Path) -> Result<Vec<T>, TimelineError> {
    let mut rows = Vec::new();
    each(path, |row| rows.push(row))?;
    Ok(rows)
}

/// Reads the file, and keeps of cells that only differ in their block the first one, by run, block and order: what figures show,
/// however many blocks there are.
///
/// # Errors
/// As [`read`].
pub fn read_first<T: CellRow>(path: &Path) -> Result<Vec<T>, TimelineError> {
    let mut first: BTreeMap<Alike, (Cell, Vec<T>)> = BTreeMap::new();
    each(path, |row: T| {
        let cell = row.cell();
        let (known, rows) = first.entry(row.alike()).or_insert_with(|| (cell.clone(), Vec::new()));
        if cell < *known {
            *known = cell;
            rows.clear();
            rows.push(row);
        } else if cell == *known {
            rows.push(row);
        }
    })?;
    Ok(first.into_values().flat_map(|(_, rows)| rows).collect())
}

/// Gives each row of the file to `take`; none if there is no file.
fn each<T: CellRow>(path: &Path, mut take: impl FnMut(T)) -> Result<(), TimelineError> {
    let failed = TimelineError::at(path);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed(source.into())),
    };
    let mut shared: [Shared; 5] = Default::default();
    for row in ReaderBuilder::new().from_reader(file).into_deserialize() {
        let mut row: T = row.map_err(&failed)?;
        row.texts()
            .into_iter()
            .zip(&mut shared)
            .for_each(|(text, shared)| *text = shared.text(current_mode(text)));
        take(row);
    }
    Ok(())
}

/// Leaves only the rows that `keep` accepts: a cell that was torn is measured again.
///
/// # Errors
/// As [`read`] and [`append`].
pub fn retain<T: CellRow>(path: &Path, keep: impl Fn(&T) -> bool) -> Result<(), TimelineError> {
    let mut kept: Vec<T> = read(path)?;
    let before = kept.len();
    kept.retain(keep);
    if kept.len() < before {
        std::fs::remove_file(path).map_err(|source| TimelineError::at(path)(source.into()))?;
        append(path, &kept)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(order: u32, sync: u32) -> TimelineRow {
        TimelineRow {
            run: "r".into(),
            order,
            block: 1,
            mode: "nftables".into(),
            services: 10,
            endpoints: 2,
            workload: "churn_node_loss".into(),
            clock: Clock::Wall,
            kernel: "6.1, with a comma".into(),
            hypervisor: Text::new(),
            sync,
            start: 5,
            end: 9,
            changes: 3,
            bytes: 100,
        }
    }

    #[test]
    fn rows_survive_the_file_and_a_cell_can_be_taken_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("timelines.csv");
        assert_eq!(read::<TimelineRow>(&path).unwrap(), []);
        append(&path, &[row(1, 1), row(1, 2)]).unwrap();
        append(&path, &[row(2, 1)]).unwrap();
        assert_eq!(read::<TimelineRow>(&path).unwrap(), [row(1, 1), row(1, 2), row(2, 1)]);
        retain(&path, |row: &TimelineRow| row.order == 1).unwrap();
        assert_eq!(read::<TimelineRow>(&path).unwrap(), [row(1, 1), row(1, 2)]);
    }

    #[test]
    fn of_cells_that_are_alike_the_first_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("timelines.csv");
        let of = |block, sync| TimelineRow { block, ..row(block, sync) };
        let other = TimelineRow { services: 11, ..of(3, 1) };
        append(&path, &[of(2, 1), of(2, 2), other.clone(), of(1, 1), of(1, 2), of(4, 1)]).unwrap();
        assert_eq!(read_first::<TimelineRow>(&path).unwrap(), [of(1, 1), of(1, 2), other]);
        assert_eq!(read_first::<TimelineRow>(&folder.path().join("none.csv")).unwrap(), []);
    }

    #[test]
    fn an_old_folder_is_read_and_goes_on_under_the_new_name() {
        let impact = |order, due| ImpactRow {
            run: "r".into(),
            order,
            block: 1,
            mode: "ipvs".into(),
            services: 10,
            endpoints: 2,
            workload: "disruption_restart.tcp_crr".into(),
            clock: Clock::Wall,
            kernel: "6.1".into(),
            hypervisor: Text::new(),
            from: 0,
            length: 50,
            due,
            lost: 0,
            p50: Some(7),
            p99: None,
            max: None,
        };
        let folder = tempfile::tempdir().unwrap();
        let [new, old] = [IMPACT, OLD_IMPACT].map(|name| folder.path().join(name));
        assert_eq!(impact_file_to_append(folder.path()).unwrap(), new, "neither is there");
        append(&old, &[impact(1, 5), impact(2, 6)]).unwrap();
        assert_eq!(read::<ImpactRow>(&impact_file(folder.path())).unwrap(), [impact(1, 5), impact(2, 6)]);
        assert!(old.exists() && !new.exists(), "reading changes nothing");
        // As a run is resumed: the second cell has no rows in records.csv, so it is measured again.
        let path = impact_file_to_append(folder.path()).unwrap();
        retain(&path, |row: &ImpactRow| row.order == 1).unwrap();
        append(&path, &[impact(2, 7)]).unwrap();
        assert_eq!((path, old.exists()), (new.clone(), false));
        assert_eq!(impact_file_to_append(folder.path()).unwrap(), new, "once more");
        assert_eq!(read::<ImpactRow>(&impact_file(folder.path())).unwrap(), [impact(1, 5), impact(2, 7)]);
    }

    #[test]
    fn modes_are_read_by_their_old_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("timelines.csv");
        for (old, new) in crate::names::OLD_MODES {
            let of = |mode: &str| TimelineRow { mode: mode.into(), ..row(1, 1) };
            let _ = std::fs::remove_file(&path);
            append(&path, &[of(old), of(new)]).unwrap();
            assert_eq!(read::<TimelineRow>(&path).unwrap(), [of(new), of(new)]);
        }
    }

    #[test]
    fn a_broken_file_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("timelines.csv");
        append(&path, &[row(1, 1)]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap().replace(",5,9,", ",5,many,");
        std::fs::write(&path, text).unwrap();
        let error = read::<TimelineRow>(&path).unwrap_err().to_string();
        assert!(error.contains("timelines.csv") && error.contains("line: 2"), "{error}");
    }
}
