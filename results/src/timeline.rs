//! `timelines.csv`: the syncs of churn scenarios, disruptions and disturbed kube-proxies, one by one, in the order in which they ran; and `impact.csv`:
//! the impact of the latter on loads, over time.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, WriterBuilder};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::names::current_mode;
use crate::record::shared::Shared;
use crate::record::{CellKey, Clock, Text};

/// Name of the file in a run's folder.
pub const TIMELINES: &str = "timelines.csv";

/// A type of rows that have a cell, and their columns in the file: ten of the cell, then their own.
macro_rules! rows_of_cells {
    ($(#[$about:meta])* $row:ident, $columns:ident, $($(#[$what:meta])* $field:ident: $kind:ty,)+) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $row {
            /// The cell that it belongs to; position, number of contenders and system are not in the file.
            pub cell: CellKey,
            $($(#[$what])* pub $field: $kind,)+
        }

        #[derive(Serialize, Deserialize)]
        struct $columns {
            run: Text,
            order: u32,
            block: u32,
            mode: Text,
            services: u32,
            endpoints: u32,
            workload: Text,
            clock: Clock,
            kernel: Text,
            hypervisor: Text,
            $($field: $kind,)+
        }

        impl Serialize for $row {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let CellKey { run, block, order, mode, services, endpoints, workload, clock, kernel, hypervisor, .. } =
                    self.cell.clone();
                let columns = $columns {
                    run, order, block, mode, services, endpoints, workload, clock, kernel, hypervisor,
                    $($field: self.$field,)+
                };
                columns.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $row {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let $columns {
                    run, order, block, mode, services, endpoints, workload, clock, kernel, hypervisor, $($field,)+
                } = $columns::deserialize(deserializer)?;
                let (position, contenders, system) = (Text::new(), 0, Text::new());
                let cell = CellKey {
                    run, block, order, mode, services, endpoints, position, workload, contenders, clock, kernel, hypervisor,
                    system,
                };
                Ok(Self { cell, $($field,)+ })
            }
        }

        impl CellRow for $row {
            fn cell(&self) -> &CellKey {
                &self.cell
            }

            fn cell_mut(&mut self) -> &mut CellKey {
                &mut self.cell
            }
        }
    };
}

rows_of_cells! {
    /// One sync. Times are nanoseconds (instructions, under that clock) since the scenario began.
    TimelineRow, TimelineColumns,
    /// Number of the sync, from 1.
    sync: u32,
    /// When it began.
    start: u64,
    /// When it had ended.
    end: u64,
    /// Changes that it carried; 0: a periodic one, or one of a real kube-proxy, which does not say.
    changes: u32,
    /// Bytes given to programs; 0 of a real kube-proxy.
    bytes: u64,
}

rows_of_cells! {
    /// The impact of a disruption on a load in part of the time: the requests that were due in it. Times are nanoseconds
    /// (instructions, under that clock) since the load began.
    ImpactRow, ImpactColumns,
    /// When it began.
    from: u64,
    /// How long it is.
    length: u64,
    /// Requests that were due in it.
    due: u64,
    /// Those without a response.
    lost: u64,
    /// Response times; absent: there were none.
    p50: Option<u64>,
    /// See `p50`.
    p99: Option<u64>,
    /// See `p50`.
    max: Option<u64>,
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

/// A row of these files.
pub trait CellRow: Serialize + DeserializeOwned {
    /// The cell that it belongs to.
    fn cell(&self) -> &CellKey;
    /// The same.
    fn cell_mut(&mut self) -> &mut CellKey;
}

/// What cells have in common that only differ in their block: clock, kernel, hypervisor, workload, mode, Services and endpoints.
type Alike = (Clock, Text, Text, Text, Text, u32, u32);

fn alike(cell: &CellKey) -> Alike {
    let CellKey { clock, kernel, hypervisor, workload, mode, .. } = cell.clone();
    (clock, kernel, hypervisor, workload, mode, cell.services, cell.endpoints)
}

/// Which of those cells: run, block and order.
type Visit = (Text, u32, u32);

fn visit(cell: &CellKey) -> Visit {
    (cell.run.clone(), cell.block, cell.order)
}

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
    let mut first: BTreeMap<Alike, (Visit, Vec<T>)> = BTreeMap::new();
    each(path, |row: T| {
        let cell = visit(row.cell());
        let (known, rows) = first.entry(alike(row.cell())).or_insert_with(|| (cell.clone(), Vec::new()));
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
        let CellKey { run, mode, workload, kernel, hypervisor, .. } = row.cell_mut();
        if current_mode(mode) != mode.as_str() {
            *mode = current_mode(mode).into();
        }
        for (text, shared) in [run, mode, workload, kernel, hypervisor].into_iter().zip(&mut shared) {
            *text = shared.text(text);
        }
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
            cell: CellKey {
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
                system: Text::new(),
                position: "".into(),
                contenders: 0,
            },
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
        retain(&path, |row: &TimelineRow| row.cell.order == 1).unwrap();
        assert_eq!(read::<TimelineRow>(&path).unwrap(), [row(1, 1), row(1, 2)]);
    }

    #[test]
    fn of_cells_that_are_alike_the_first_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("timelines.csv");
        let of = |block, sync| {
            let mut row = row(block, sync);
            row.cell.block = block;
            row
        };
        let mut other = of(3, 1);
        other.cell.services = 11;
        append(&path, &[of(2, 1), of(2, 2), other.clone(), of(1, 1), of(1, 2), of(4, 1)]).unwrap();
        assert_eq!(read_first::<TimelineRow>(&path).unwrap(), [of(1, 1), of(1, 2), other]);
        assert_eq!(read_first::<TimelineRow>(&folder.path().join("none.csv")).unwrap(), []);
    }

    #[test]
    fn an_old_folder_is_read_and_goes_on_under_the_new_name() {
        let impact = |order, due| ImpactRow {
            cell: CellKey {
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
                system: Text::new(),
                position: "".into(),
                contenders: 0,
            },
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
        retain(&path, |row: &ImpactRow| row.cell.order == 1).unwrap();
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
            let of = |mode: &str| {
                let mut row = row(1, 1);
                row.cell.mode = mode.into();
                row
            };
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
