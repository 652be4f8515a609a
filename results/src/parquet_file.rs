//! `records.parquet`: the rows of `records.csv` with typed columns, for those who read them with a program.
//!
//! Columns have the CSV's names and order. Text is UTF-8, numbers are unsigned 32 or 64 bits wide; what is empty in the CSV
//! is null.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use crate::record::{COLUMNS, Record};
use crate::record_file::{ReadError, read_records};

/// Name of the file in a run's folder.
pub const PARQUET: &str = "records.parquet";

/// Rows of a row group: what a reader holds in memory at a time.
const GROUP: usize = 1 << 16;

/// Why a `records.parquet` could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ParquetFileError {
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
        source: ParquetError,
    },
}

/// What a column holds.
enum Column {
    /// Text; null where it is empty.
    Text(fn(&Record) -> &str),
    /// A number of 32 bits.
    Short(fn(&Record) -> u32),
    /// A number of 64 bits, or null.
    Long(fn(&Record) -> Option<u64>),
}

/// In the order of [`COLUMNS`].
const HELD: [Column; COLUMNS.len()] = [
    Column::Text(|row| &row.cell.run),
    Column::Short(|row| row.cell.block),
    Column::Short(|row| row.cell.order),
    Column::Text(|row| &row.cell.mode),
    Column::Short(|row| row.cell.services),
    Column::Short(|row| row.cell.endpoints),
    Column::Text(|row| &row.cell.position),
    Column::Text(|row| &row.cell.workload),
    Column::Short(|row| row.cell.contenders),
    Column::Text(|row| &row.metric),
    Column::Text(|row| row.unit.name()),
    Column::Text(|row| row.cell.clock.name()),
    Column::Text(|row| &row.cell.kernel),
    Column::Text(|row| &row.cell.hypervisor),
    Column::Long(|row| Some(row.n)),
    Column::Long(|row| row.min),
    Column::Long(|row| row.p50),
    Column::Long(|row| row.p90),
    Column::Long(|row| row.p99),
    Column::Long(|row| row.p999),
    Column::Long(|row| row.max),
    Column::Long(|row| row.mean),
    Column::Long(|row| row.stddev),
    Column::Text(|row| row.status.name()),
    Column::Text(|row| &row.note),
    Column::Text(|row| &row.hist),
];

/// Reads `records.csv` in `dir` and writes `records.parquet` beside it, replacing one that is there. Returns its path.
///
/// # Errors
///
/// [`ParquetFileError`]; an old file is left as it is.
pub fn convert(dir: &Path) -> Result<PathBuf, ParquetFileError> {
    let records = read_records(&dir.join("records.csv"))?;
    let path = dir.join(PARQUET);
    let temporary = dir.join(format!("{PARQUET}.tmp"));
    let io = |source| ParquetFileError::Io { path: path.clone(), source };
    let file = File::create(&temporary).map_err(io)?;
    if let Err(source) = write(&records, file) {
        // The error to tell is the first one.
        let _ = fs::remove_file(&temporary);
        return Err(ParquetFileError::Write { path, source });
    }
    fs::rename(&temporary, &path).map_err(io)?;
    Ok(path)
}

/// Writes rows as a Parquet file.
///
/// # Errors
///
/// What the library or the output says.
pub fn write(records: &[Record], output: impl io::Write + Send) -> Result<(), ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(format!("svcbench {}", env!("CARGO_PKG_VERSION")))
        .build();
    let mut writer = SerializedFileWriter::new(output, Arc::new(schema()?), Arc::new(properties))?;
    for rows in records.chunks(GROUP) {
        let mut group = writer.next_row_group()?;
        for held in &HELD {
            let Some(mut column) = group.next_column()? else { break };
            match (held, column.untyped()) {
                (Column::Text(of), ColumnWriter::ByteArrayColumnWriter(writer)) => {
                    let (values, levels) = split(rows, |row| Some(of(row)).filter(|text| !text.is_empty()));
                    let values: Vec<ByteArray> = values.into_iter().map(ByteArray::from).collect();
                    writer.write_batch(&values, Some(&levels), None)?;
                }
                (Column::Short(of), ColumnWriter::Int32ColumnWriter(writer)) => {
                    // The type says that these bits are unsigned.
                    let values: Vec<i32> = rows.iter().map(|row| of(row).cast_signed()).collect();
                    writer.write_batch(&values, None, None)?;
                }
                (Column::Long(of), ColumnWriter::Int64ColumnWriter(writer)) => {
                    let (values, levels) = split(rows, |row| of(row).map(u64::cast_signed));
                    writer.write_batch(&values, Some(&levels), None)?;
                }
                _ => return Err(ParquetError::General("a column is not of the schema's type".to_owned())),
            }
            column.close()?;
        }
        group.close()?;
    }
    writer.close().map(drop)
}

/// The values that are not null, and for each row whether it has one (definition levels 1 and 0).
fn split<'a, T>(rows: &'a [Record], of: impl Fn(&'a Record) -> Option<T>) -> (Vec<T>, Vec<i16>) {
    let all: Vec<Option<T>> = rows.iter().map(of).collect();
    let levels = all.iter().map(|value| i16::from(value.is_some())).collect();
    (all.into_iter().flatten().collect(), levels)
}

fn schema() -> Result<Type, ParquetError> {
    let column = |(name, held): (&&str, &Column)| {
        let (physical, logical, repetition) = match held {
            Column::Text(_) => (Physical::BYTE_ARRAY, LogicalType::String, Repetition::OPTIONAL),
            Column::Short(_) => (Physical::INT32, unsigned(32), Repetition::REQUIRED),
            Column::Long(_) => (Physical::INT64, unsigned(64), Repetition::OPTIONAL),
        };
        let column = Type::primitive_type_builder(name, physical);
        column.with_logical_type(Some(logical)).with_repetition(repetition).build().map(Arc::new)
    };
    let columns = COLUMNS.iter().zip(&HELD).map(column).collect::<Result<_, _>>()?;
    Type::group_type_builder("records").with_fields(columns).build()
}

fn unsigned(bit_width: i8) -> LogicalType {
    LogicalType::integer(bit_width, false)
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    use super::*;
    use crate::record::{CellKey, Clock, Text, Unit};

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
    fn broken_rows_are_told_and_the_old_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("records.csv"), "a,b\n").unwrap();
        fs::write(dir.path().join(PARQUET), "old").unwrap();
        let error = convert(dir.path()).unwrap_err().to_string();
        assert!(error.contains("records.csv:1"), "{error}");
        assert_eq!(fs::read(dir.path().join(PARQUET)).unwrap(), b"old");
    }
}
