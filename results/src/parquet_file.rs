//! `records.parquet`: the rows of `records.csv` with typed columns, for those who read them with a program.
//!
//! Columns have the CSV's names and order. Text is UTF-8, numbers are unsigned 32 or 64 bits wide; what is empty in the CSV
//! is null. It takes the cargo feature `parquet`.

#[cfg(feature = "parquet")]
mod writer;

use std::io;
use std::path::{Path, PathBuf};

use crate::record_file::ReadError;

/// Name of the file in a run's folder.
pub const PARQUET: &str = "records.parquet";

/// Why a `records.parquet` could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ParquetFileError {
    /// The cargo feature `parquet` was off.
    #[error("built without parquet; build with --features parquet")]
    NotBuilt,
    /// The rows could not be read.
    #[error(transparent)]
    Records(#[from] ReadError),
    /// The file could not be made or put into its place.
    #[error("{}: {source}; check free space and permissions", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file could not be written.
    #[error("{}: {source}; check free space", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the library said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Reads `records.csv` in `dir` and writes `records.parquet` beside it, replacing one that is there. Returns its path.
///
/// # Errors
///
/// [`ParquetFileError`]; an old file is left as it is.
#[cfg(feature = "parquet")]
pub fn convert(dir: &Path) -> Result<PathBuf, ParquetFileError> {
    let records = crate::record_file::read_records(&dir.join("records.csv"))?;
    let path = dir.join(PARQUET);
    let temporary = dir.join(format!("{PARQUET}.tmp"));
    let io = |source| ParquetFileError::Io { path: path.clone(), source };
    let file = std::fs::File::create(&temporary).map_err(io)?;
    if let Err(source) = writer::write(&records, file) {
        // The error to report is the first one.
        let _ = std::fs::remove_file(&temporary);
        return Err(ParquetFileError::Write { path, source: source.into() });
    }
    std::fs::rename(&temporary, &path).map_err(io)?;
    Ok(path)
}

/// Without the feature `parquet` nothing is read or written.
///
/// # Errors
///
/// [`ParquetFileError::NotBuilt`].
#[cfg(not(feature = "parquet"))]
pub fn convert(_dir: &Path) -> Result<PathBuf, ParquetFileError> {
    Err(ParquetFileError::NotBuilt)
}

#[cfg(all(test, feature = "parquet"))]
mod tests {
    use std::fs::{self, File};

    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    use super::writer::{GROUP, write};
    use super::*;
    use crate::record::{COLUMNS, CellKey, Clock, Record, Text, Unit};

    fn rows() -> Vec<Record> {
        let key = |order, mode: &str| CellKey {
            run: "r".into(),
            block: u32::MAX,
            order,
            mode: mode.into(),
            services: 1_000,
            endpoints: 10,
            position: Text::new(),
            workload: "full_sync_cold".into(),
            contenders: 0,
            clock: Clock::Instructions,
            kernel: "6.18 „größer“".into(),
            hypervisor: "tcg".into(),
            system: "".into(),
        };
        let mut rows = vec![
            key(1, "ipvs").scalar("apply", Unit::Ns, u64::MAX),
            key(2, "nftables").skipped("apply", Unit::Ns, "no, \"not\" here"),
            key(3, "nftables").samples("bytes", Unit::Bytes, &[0, 7, 9]),
        ];
        rows.extend(
            (0..GROUP as u32).map(|order| key(order, "direct").scalar("rules", Unit::Count, order.into())),
        );
        rows
    }

    /// As the CSV has it.
    fn shown(field: &Field) -> String {
        match field {
            Field::Null => String::new(),
            Field::Str(text) => text.clone(),
            Field::UInt(number) => number.to_string(),
            Field::ULong(number) => number.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_written_is_what_the_csv_has() {
        let dir = tempfile::tempdir().unwrap();
        let csv = dir.path().join("records.csv");
        crate::record_file::RecordWriter::open(&csv).unwrap().append_cell(&rows()).unwrap();
        let path = convert(dir.path()).unwrap();
        let bytes = fs::read(&path).unwrap();
        let of_csv = fs::metadata(&csv).unwrap().len();
        assert!(bytes.len() as u64 * 2 < of_csv, "{} bytes, the CSV has {of_csv}", bytes.len());
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        assert_eq!(reader.num_row_groups(), 2);
        let mut lines = csv::ReaderBuilder::new().has_headers(false).from_path(&csv).unwrap();
        let mut lines =
            lines.records().map(|line| line.unwrap().iter().map(str::to_owned).collect::<Vec<_>>());
        let header = lines.next().unwrap();
        let mut count = 0;
        for row in reader.get_row_iter(None).unwrap() {
            let row = row.unwrap();
            let (names, fields): (Vec<_>, Vec<_>) =
                row.get_column_iter().map(|(name, field)| (name.clone(), shown(field))).unzip();
            assert_eq!((names, Some(fields)), (header.clone(), lines.next()));
            count += 1;
        }
        assert_eq!((count, lines.next()), (GROUP + 3, None));
        convert(dir.path()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes, "the same rows are the same bytes");
        assert!(!dir.path().join("records.parquet.tmp").exists());
    }

    #[test]
    fn no_rows_are_a_file_too() {
        let file = tempfile::tempfile().unwrap();
        write(&[], &file).unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
        assert_eq!(reader.metadata().file_metadata().schema().get_fields().len(), COLUMNS.len());
    }

    #[test]
    fn broken_rows_are_reported_and_the_old_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("records.csv"), "a,b\n").unwrap();
        fs::write(dir.path().join(PARQUET), "old").unwrap();
        let error = convert(dir.path()).unwrap_err().to_string();
        assert!(error.contains("records.csv:1"), "{error}");
        assert_eq!(fs::read(dir.path().join(PARQUET)).unwrap(), b"old");
    }
}

#[cfg(all(test, not(feature = "parquet")))]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_built_says_how_to_have_it() {
        let error = convert(Path::new("nowhere")).unwrap_err();
        assert!(
            matches!(error, ParquetFileError::NotBuilt) && error.to_string().contains("--features parquet")
        );
    }

    #[test]
    #[ignore = "built without parquet; test with --features parquet"]
    fn what_is_written_is_what_the_csv_has() {}
}
