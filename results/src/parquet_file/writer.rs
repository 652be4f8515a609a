//! Rows as typed columns.

use std::io;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use crate::record::{COLUMNS, Record};

/// Rows of a row group: what a reader holds in memory at a time.
pub(super) const GROUP: usize = 1 << 16;

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
    Column::Text(|row| &row.cell.system),
];

/// Writes rows as a Parquet file.
///
/// # Errors
///
/// What the library or the output says.
pub(super) fn write(records: &[Record], output: impl io::Write + Send) -> Result<(), ParquetError> {
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
