//! `records.csv`: written a cell at a time, read strictly, recovered after a kill.
//!
//! Files of svcbench 0.1.0 before the column `system` have 26 columns, those before the column `hypervisor` 25. They can be
//! read, with rules of svcbench's own and an unknown (empty) hypervisor, but not continued: one file has one layout.

mod error;
mod layout;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, ReaderBuilder, WriterBuilder};

use self::error::excerpt;
pub use self::error::{ReadError, WriteError};
use self::layout::ColumnLayout;
use crate::names::{current_mode, position};
use crate::record::shared::Shared;
use crate::record::{COLUMNS, Clock, Columns, HYPERVISOR_AT, Record, SYSTEM_AT, Status, Unit};

/// Appends cells to a `records.csv`.
#[derive(Debug)]
pub struct RecordWriter {
    file: File,
    path: PathBuf,
}

impl RecordWriter {
    /// Opens `path` for appending; a missing or empty file gets the header.
    ///
    /// # Errors
    ///
    /// [`WriteError::Io`]; [`WriteError::Foreign`] if the file has another or an older header or a torn last line
    /// ([`recover`] it first).
    pub fn open(path: &Path) -> Result<Self, WriteError> {
        let io = |source| WriteError::Io { path: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(io)?;
        if file.metadata().map_err(io)?.len() == 0 {
            file.write_all(header_line().as_bytes()).map_err(io)?;
        } else {
            check_appendable(&mut file, path)?;
        }
        Ok(Self { file, path: path.to_owned() })
    }

    /// Writes all rows of one cell in one call, so that a kill can tear at most this cell.
    ///
    /// # Errors
    ///
    /// [`WriteError::Io`].
    pub fn append_cell(&mut self, rows: &[Record]) -> Result<(), WriteError> {
        let io = |source| WriteError::Io { path: self.path.clone(), source };
        let bytes = encode(rows).map_err(io)?;
        self.file.write_all(&bytes).and_then(|()| self.file.flush()).map_err(io)
    }
}

/// Reads a whole `records.csv`, trusting nothing in it. Rows that have the same texts share them.
///
/// # Errors
///
/// [`ReadError`] for the first thing that is wrong: header, field count, an unknown unit, clock, status or
/// position, a non-integer, a measured row without figures, figures on a row that is not measured, quantiles
/// out of order, or a torn last line.
pub fn read_records(path: &Path) -> Result<Vec<Record>, ReadError> {
    let io = |source| ReadError::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(io)?;
    // A pipe has no end to look at, and a torn file is rare: both are read into memory.
    if !file.metadata().map_err(io)?.is_file() || !is_whole(&mut file).map_err(io)? {
        return parse_records(&fs::read(path).map_err(io)?, path);
    }
    let length = file.metadata().map_err(io)?.len();
    file.rewind().map_err(io)?;
    RecordReader::open(file, path)?.rows(length)
}

/// Whether the file's last line has an end.
fn is_whole(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Prepares a killed run's `records.csv` for resuming, and returns the rows that are left.
///
/// A file that ends in a whole line is only read. Otherwise the torn line is dropped together with every row of
/// the last cell before it (which may be the torn cell), and the file is replaced atomically. A missing file, or
/// one killed inside its header, is an empty run.
///
/// # Errors
///
/// [`ReadError`] as for [`read_records`], for anything wrong before the torn line; [`ReadError::Older`] for a file
/// that cannot be continued.
pub fn recover(path: &Path) -> Result<Vec<Record>, ReadError> {
    let io = |source| ReadError::Io { path: path.to_owned(), source };
    let bytes = match fs::read(path) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(io)?,
    };
    // A header that is torn may look like an older one.
    let older = |layout| layout != ColumnLayout::Current;
    if bytes.contains(&b'\n') && layout_of(&bytes, path).is_ok_and(older) {
        return Err(ReadError::Older { path: path.to_owned() });
    }
    if bytes.ends_with(b"\n") {
        return parse_records(&bytes, path);
    }
    let mut rows = if header_line().as_bytes().starts_with(&bytes) {
        Vec::new()
    } else {
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        parse_records(if whole == 0 { &bytes } else { &bytes[..whole] }, path)?
    };
    if let Some(last) = rows.last().map(|row| (row.cell.block, row.cell.order)) {
        rows.retain(|row| (row.cell.block, row.cell.order) != last);
    }
    let mut kept = header_line().into_bytes();
    kept.extend(encode(&rows).map_err(io)?);
    replace(path, &kept).map_err(io)?;
    Ok(rows)
}

/// Replaces `path` by `bytes`: a temporary file beside it, then a rename.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    fs::write(&temporary, bytes)?;
    fs::rename(&temporary, path)
}

fn header_line() -> String {
    COLUMNS.join(",") + "\n"
}

fn encode(rows: &[Record]) -> io::Result<Vec<u8>> {
    let mut writer = WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(io::Error::other)?;
    }
    writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
}

/// Looks at the header and the last byte only: appending must not cost a read of the whole file.
fn check_appendable(file: &mut File, path: &Path) -> Result<(), ReadError> {
    let io = |source| ReadError::Io { path: path.to_owned(), source };
    let mut head = Vec::new();
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    Read::by_ref(file).take(4096).read_to_end(&mut head).map_err(io)?;
    let first = head.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
    parse_records(first, path)?;
    if layout_of(first, path)? != ColumnLayout::Current {
        return Err(ReadError::Older { path: path.to_owned() });
    }
    if is_whole(file).map_err(io)? {
        return Ok(());
    }
    Err(torn(&fs::read(path).map_err(io)?, path))
}

fn torn(bytes: &[u8], path: &Path) -> ReadError {
    let breaks = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    ReadError::Torn { path: path.to_owned(), line: breaks + 1 }
}

/// [`read_records`] for bytes already in memory; `path` is for messages only.
///
/// # Errors
///
/// [`ReadError`] as for [`read_records`].
pub fn parse_records(bytes: &[u8], path: &Path) -> Result<Vec<Record>, ReadError> {
    let table = RecordReader::open(bytes, path)?;
    if bytes.ends_with(b"\n") { table.rows(bytes.len() as u64) } else { Err(torn(bytes, path)) }
}

/// Rows after which their mean length is that of all.
const SAMPLE: usize = 1_000;
/// No row is shorter: as many separators as there are columns, and what may not be empty.
const LEAST_BYTES: u64 = 50;

/// A file whose header has been read.
struct RecordReader<'a, R> {
    reader: csv::Reader<R>,
    layout: ColumnLayout,
    path: &'a Path,
}

impl<'a, R: Read> RecordReader<'a, R> {
    fn open(input: R, path: &'a Path) -> Result<Self, ReadError> {
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(input);
        let mut header = ByteRecord::new();
        reader.read_byte_record(&mut header).map_err(|error| unreadable(path, &error))?;
        let layout = ColumnLayout::of(&header, path)?;
        Ok(Self { reader, layout, path })
    }

    /// `length`: bytes of the whole file, from which room for the rows is made at once.
    fn rows(mut self, length: u64) -> Result<Vec<Record>, ReadError> {
        let (layout, path) = (self.layout, self.path);
        let mut shared: [Shared; COLUMNS.len()] = Default::default();
        let mut fields = ByteRecord::new();
        let mut rows = Vec::new();
        while self.reader.read_byte_record(&mut fields).map_err(|error| unreadable(path, &error))? {
            let (line, seen) = fields.position().map_or((0, 0), |at| (at.line(), at.byte()));
            if rows.len() == SAMPLE {
                let each = (seen / SAMPLE as u64).max(LEAST_BYTES);
                rows.reserve(usize::try_from(length.saturating_sub(seen) / each).unwrap_or(0));
            }
            rows.push(RawRow { fields: &fields, layout, path, line }.record(&mut shared)?);
        }
        Ok(rows)
    }
}

fn unreadable(path: &Path, error: &csv::Error) -> ReadError {
    let source = io::Error::new(io::ErrorKind::InvalidData, error.to_string());
    ReadError::Io { path: path.to_owned(), source }
}

/// The layout that the first line of `bytes` announces.
fn layout_of(bytes: &[u8], path: &Path) -> Result<ColumnLayout, ReadError> {
    RecordReader::open(bytes, path).map(|table| table.layout)
}

/// Index of the column `position` in [`COLUMNS`].
const POSITION_AT: usize = 6;
/// Where the mode is.
const MODE_AT: usize = 3;

/// One row before it is trusted.
struct RawRow<'a> {
    fields: &'a ByteRecord,
    layout: ColumnLayout,
    path: &'a Path,
    line: u64,
}

impl RawRow<'_> {
    fn record(&self, shared: &mut [Shared; COLUMNS.len()]) -> Result<Record, ReadError> {
        let expected = self.layout.columns().count();
        if self.fields.len() != expected {
            return Err(ReadError::FieldCount {
                path: self.path.to_owned(),
                line: self.line,
                expected,
                found: self.fields.len(),
            });
        }
        let mut text = |index: usize| {
            let text = self.text(index)?;
            Ok(shared[index].text(if index == MODE_AT { current_mode(text) } else { text }))
        };
        let record = Record::from(Columns {
            run: text(0)?,
            block: self.integer(1)?,
            order: self.integer(2)?,
            mode: text(MODE_AT)?,
            services: self.integer(4)?,
            endpoints: self.integer(5)?,
            position: self
                .one_of(POSITION_AT, &position::ALL, |name| name)
                .and_then(|_| text(POSITION_AT))?,
            workload: text(7)?,
            contenders: self.integer(8)?,
            metric: text(9)?,
            unit: self.one_of(10, &Unit::ALL, Unit::name)?,
            clock: self.one_of(11, &Clock::ALL, Clock::name)?,
            kernel: text(12)?,
            hypervisor: text(HYPERVISOR_AT)?,
            n: self.integer(14)?,
            min: self.optional(15)?,
            p50: self.optional(16)?,
            p90: self.optional(17)?,
            p99: self.optional(18)?,
            p999: self.optional(19)?,
            max: self.optional(20)?,
            mean: self.optional(21)?,
            stddev: self.optional(22)?,
            status: self.one_of(23, &Status::ALL, Status::name)?,
            note: text(24)?,
            hist: text(25)?,
            system: text(SYSTEM_AT)?,
        });
        self.check_figures(&record)?;
        Ok(record)
    }

    /// Figures are present exactly on measured rows, and the quantiles rise.
    fn check_figures(&self, record: &Record) -> Result<(), ReadError> {
        let measured = record.status == Status::Ok;
        if measured && record.n == 0 {
            return Err(self.wrong(14, "at least one sample on a row whose status is ok".to_owned()));
        }
        for index in 15..=22 {
            let present = !self.bytes(index).is_empty();
            if present != measured {
                let what = if measured { "an integer" } else { "nothing" };
                return Err(self.wrong(index, format!("{what} on a row whose status is {}", record.status)));
            }
        }
        let mut floor = ("", 0);
        for (offset, (name, value)) in record.quantiles().into_iter().enumerate() {
            let Some(value) = value else { continue };
            if value < floor.1 {
                return Err(self.wrong(15 + offset, format!("at least {} ({})", floor.1, floor.0)));
            }
            floor = (name, value);
        }
        Ok(())
    }

    fn bytes(&self, index: usize) -> &[u8] {
        self.layout.index_in(index).and_then(|index_in| self.fields.get(index_in)).unwrap_or_default()
    }

    fn text(&self, index: usize) -> Result<&str, ReadError> {
        std::str::from_utf8(self.bytes(index)).map_err(|_| self.wrong(index, "UTF-8 text".to_owned()))
    }

    fn integer<T: TryFrom<u64>>(&self, index: usize) -> Result<T, ReadError> {
        let value = std::str::from_utf8(self.bytes(index)).ok().filter(|text| !text.starts_with('+'));
        let value = value.and_then(|text| text.parse::<u64>().ok()).and_then(|value| T::try_from(value).ok());
        value.ok_or_else(|| self.wrong(index, format!("an integer of {} bits", size_of::<T>() * 8)))
    }

    fn optional(&self, index: usize) -> Result<Option<u64>, ReadError> {
        if self.bytes(index).is_empty() { Ok(None) } else { self.integer(index).map(Some) }
    }

    fn one_of<T: Copy>(&self, index: usize, all: &[T], name: fn(T) -> &'static str) -> Result<T, ReadError> {
        let found = all.iter().copied().find(|value| name(*value).as_bytes() == self.bytes(index));
        found.ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|value| format!("{:?}", name(*value))).collect();
            self.wrong(index, format!("one of {}", names.join(", ")))
        })
    }

    fn wrong(&self, index: usize, expected: String) -> ReadError {
        ReadError::Value {
            path: self.path.to_owned(),
            line: self.line,
            column: COLUMNS.get(index).copied().unwrap_or_default(),
            expected,
            found: excerpt(self.bytes(index)),
        }
    }
}
