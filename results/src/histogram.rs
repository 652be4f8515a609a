//! `histograms.hlog`: every distribution whole, as an HdrHistogram interval log (V2, deflated) with one tagged
//! interval per histogram. HdrHistogram's own log tools read it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, LogIteratorError, Tag,
};
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

/// Why a histogram log could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum HistogramError {
    /// The file could not be opened, read or written.
    #[error("{}: {source}; check free space and permissions", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The tag cannot be written in this format.
    #[error("histogram tag {tag:?}: must not be empty or hold a comma, a space or a line break; rename it")]
    Tag {
        /// The tag.
        tag: String,
    },
    /// The histogram could not be serialised.
    #[error("histogram {tag:?}: {reason}; this is a defect, please report it")]
    Serialise {
        /// The tag.
        tag: String,
        /// What the serialiser said.
        reason: String,
    },
    /// A text is no packed histogram.
    #[error("no packed histogram: {reason}; it was cut off or garbled on its way")]
    Packed {
        /// What is wrong.
        reason: String,
    },
    /// A line is no interval of a histogram log.
    #[error("{}:{line}: {reason}; delete the line, or read the log with the tool that wrote it", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line number, from 1; comments count.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// A histogram as text: V2, deflated, base64, as in a log. For sending it from one process to another.
///
/// # Errors
///
/// [`HistogramError::Serialise`].
pub fn pack(histogram: &Histogram<u64>) -> Result<String, HistogramError> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(histogram, &mut bytes)
        .map_err(|error| HistogramError::Serialise { tag: String::new(), reason: error.to_string() })?;
    Ok(BASE64.encode(&bytes))
}

/// Reads what [`pack`] made.
///
/// # Errors
///
/// [`HistogramError::Packed`].
pub fn unpack(text: &str) -> Result<Histogram<u64>, HistogramError> {
    let bytes = BASE64
        .decode(text.as_bytes())
        .map_err(|error| HistogramError::Packed { reason: format!("no base64: {error}") })?;
    Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|error| HistogramError::Packed { reason: error.to_string() })
}

/// Appends tagged histograms to a log.
pub struct HistogramWriter {
    file: File,
    path: PathBuf,
    serialiser: V2DeflateSerializer,
}

impl std::fmt::Debug for HistogramWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HistogramWriter").field("path", &self.path).finish_non_exhaustive()
    }
}

impl HistogramWriter {
    /// Opens `path` for appending; a missing or empty file gets the header comments. A torn last line, left by a
    /// kill, is cut off: its row is torn or missing too.
    ///
    /// # Errors
    ///
    /// [`HistogramError::Io`].
    pub fn open(path: &Path) -> Result<Self, HistogramError> {
        let io = |source| HistogramError::Io { path: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(io)?;
        if file.metadata().map_err(io)?.len() == 0 {
            let head = b"#[svcbench histograms; values in the unit of the row whose hist column is the tag]\n\
                         #[Histogram log format version 1.3]\n\
                         \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";
            file.write_all(head).map_err(io)?;
        } else {
            let bytes = fs::read(path).map_err(io)?;
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            if whole < bytes.len() {
                file.set_len(whole as u64).map_err(io)?;
            }
        }
        Ok(Self { file, path: path.to_owned(), serialiser: V2DeflateSerializer::new() })
    }

    /// Writes one histogram as one interval, in one call, and flushes. `start` is the interval's start since the
    /// Unix epoch, `length` its duration.
    ///
    /// # Errors
    ///
    /// [`HistogramError::Tag`], [`HistogramError::Serialise`], [`HistogramError::Io`].
    pub fn append(
        &mut self,
        tag: &str,
        start: Duration,
        length: Duration,
        histogram: &Histogram<u64>,
    ) -> Result<(), HistogramError> {
        let checked = Tag::new(tag).filter(|tag| !tag.as_str().is_empty());
        let checked = checked.ok_or_else(|| HistogramError::Tag { tag: tag.to_owned() })?;
        let serialise = |reason| HistogramError::Serialise { tag: tag.to_owned(), reason };
        let mut line = Vec::new();
        IntervalLogWriterBuilder::new()
            .begin_log_with(&mut line, &mut self.serialiser)
            .map_err(|error| serialise(error.to_string()))?
            .write_histogram(histogram, start, length, Some(checked))
            .map_err(|error| serialise(error.to_string()))?;
        let io = |source| HistogramError::Io { path: self.path.clone(), source };
        self.file.write_all(&line).and_then(|()| self.file.flush()).map_err(io)
    }
}

/// One interval of a log.
#[derive(Debug, Clone)]
pub struct TaggedHistogram {
    /// [`crate::record::Record::hist`] of its row; empty if the interval has no tag.
    pub tag: String,
    /// Start since the Unix epoch.
    pub start: Duration,
    /// Length of the interval.
    pub length: Duration,
    /// The samples, in the unit of the row.
    pub histogram: Histogram<u64>,
}

/// Reads a whole log, in file order.
///
/// # Errors
///
/// [`HistogramError::Io`], [`HistogramError::Malformed`].
pub fn read_histograms(path: &Path) -> Result<Vec<TaggedHistogram>, HistogramError> {
    let bytes = fs::read(path).map_err(|source| HistogramError::Io { path: path.to_owned(), source })?;
    let mut found = Vec::new();
    let mut deserialiser = Deserializer::new();
    // A line at a time, so that an error has a line number.
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let malformed =
            |reason: String| HistogramError::Malformed { path: path.to_owned(), line: index + 1, reason };
        // The column legend, which the Java tools write and expect, is no comment in the format.
        if line.starts_with(b"\"StartTimestamp\"") {
            continue;
        }
        for entry in IntervalLogIterator::new(line) {
            let entry = entry.map_err(|LogIteratorError::ParseError { offset }| {
                malformed(format!("not an interval of a histogram log, from byte {}", offset + 1))
            })?;
            let LogEntry::Interval(interval) = entry else { continue };
            let packed = BASE64.decode(interval.encoded_histogram().as_bytes());
            let packed = packed.map_err(|error| malformed(format!("histogram is no base64: {error}")))?;
            let histogram = deserialiser.deserialize(&mut packed.as_slice());
            let histogram = histogram.map_err(|error| malformed(format!("no V2 histogram: {error}")))?;
            let tag = interval.tag().map_or_else(String::new, |tag| tag.as_str().to_owned());
            let (start, length) = (interval.start_timestamp(), interval.duration());
            found.push(TaggedHistogram { tag, start, length, histogram });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: &[u64]) -> Histogram<u64> {
        let mut histogram = Histogram::new(3).unwrap();
        values.iter().for_each(|value| histogram.record(*value).unwrap());
        histogram
    }

    #[test]
    fn what_is_appended_is_read_back_across_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("histograms.hlog");
        for (tag, values) in [("a-0", vec![1, 2, 3]), ("b-1", vec![1_000_000, 7])] {
            let mut writer = HistogramWriter::open(&path).unwrap();
            let start = Duration::from_millis(1_795_248_000_123);
            writer.append(tag, start, Duration::from_secs(2), &histogram(&values)).unwrap();
        }
        let read = read_histograms(&path).unwrap();
        assert_eq!(read.iter().map(|h| h.tag.as_str()).collect::<Vec<_>>(), ["a-0", "b-1"]);
        assert_eq!(read[1].histogram, histogram(&[1_000_000, 7]));
        assert_eq!((read[0].start.as_secs(), read[0].length.as_secs()), (1_795_248_000, 2));
    }

    #[test]
    fn packed_is_unpacked_and_garbage_is_an_error() {
        let packed = pack(&histogram(&[5, 5, 70_000])).unwrap();
        assert_eq!(unpack(&packed).unwrap(), histogram(&[5, 5, 70_000]));
        for garbage in ["", "!", "AAAA", &packed[..packed.len() / 2]] {
            assert!(matches!(unpack(garbage), Err(HistogramError::Packed { .. })), "{garbage}");
        }
    }

    #[test]
    fn tags_that_the_format_cannot_hold_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = HistogramWriter::open(&dir.path().join("h.hlog")).unwrap();
        for tag in ["", "a b", "a,b", "a\nb"] {
            let result = writer.append(tag, Duration::ZERO, Duration::ZERO, &histogram(&[1]));
            assert!(matches!(result, Err(HistogramError::Tag { .. })), "{tag:?}");
        }
    }

    #[test]
    fn a_torn_line_is_cut_off_and_a_bad_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("h.hlog");
        HistogramWriter::open(&path)
            .unwrap()
            .append("a", Duration::ZERO, Duration::ZERO, &histogram(&[1]))
            .unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], b"Tag=b,0.0,1.0,5.0,HIST"].concat()).unwrap();
        assert!(read_histograms(&path).is_err());
        HistogramWriter::open(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole);
        fs::write(&path, [&whole[..], b"Tag=b,0.0,1.0,5.0,AAAA\n"].concat()).unwrap();
        assert!(read_histograms(&path).unwrap_err().to_string().contains("h.hlog:5: no V2 histogram"));
    }
}
