//! YAML: documents one after another.

use std::io::{self, BufRead, Read};

use serde::de::DeserializeSeed;
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Budget, Error, Options, RenderOptions, SnippetMode};

use super::limits::Failure;
use super::stream::{Document, Stream};

/// Nesting that is read: three times what objects of Kubernetes have, managed fields included, and what a thread's stack
/// of 2 MiB holds twice.
const MAX_DEPTH: usize = 64;

/// Reads every document.
pub(super) fn read(reader: impl BufRead, stream: &mut Stream) -> Result<(), Failure> {
    let mut documents = Documents::new(reader);
    stream.lists_need_a_kind();
    while documents.open().map_err(Failure::Read)? {
        let lines = documents.lines;
        let outcome =
            serde_saphyr::with_deserializer_from_reader_with_options(&mut documents, options(), |document| {
                Document(stream).deserialize(document)
            });
        outcome.map_err(|error| failure(&error, lines))?;
        stream.next_document();
    }
    Ok(())
}

/// Memory is bounded by the size of one object, which `input.rs` sees to; without anchors nothing can be larger than its
/// text.
fn options() -> Options {
    let mut budget = Budget::default();
    budget.max_reader_input_bytes = None;
    budget.max_events = usize::MAX;
    budget.max_nodes = usize::MAX;
    budget.max_total_scalar_bytes = usize::MAX;
    budget.max_anchors = 0;
    budget.max_aliases = 0;
    budget.max_depth = MAX_DEPTH;
    budget.flow_nesting_limit = MAX_DEPTH;
    let mut options = Options::default();
    options.budget = Some(budget);
    options.with_snippet = false;
    options
}

/// `lines`: those before the document.
fn failure(error: &Error, lines: u64) -> Failure {
    let error = error.without_snippet();
    let why = match error {
        Error::IOError { cause } if cause.kind() == io::ErrorKind::InvalidData => {
            return Failure::Syntax(format!("not UTF-8 either: {cause}"));
        }
        Error::IOError { cause } => {
            return Failure::Read(io::Error::new(cause.kind(), cause.to_string()));
        }
        Error::DuplicateMappingKey { .. } => "a key is there twice",
        Error::Budget { breach: BudgetBreach::Anchors { .. } | BudgetBreach::Aliases { .. }, .. } => {
            "anchors and aliases are not read, since kubectl writes none,"
        }
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => "nested too deeply",
        _ => {
            let mut rendering = RenderOptions::default();
            (rendering.snippets, rendering.line_offset) = (SnippetMode::Off, lines);
            return Failure::Syntax(error.render_with_options(rendering));
        }
    };
    let place = error.location().map(|at| format!(" at line {} column {}", at.line() + lines, at.column()));
    Failure::Syntax(format!("{why}{}", place.unwrap_or_default()))
}

/// Each document of a stream as a reader of its own. A line that begins with `---` ends a document wherever it stands, in
/// quotes and blocks, too (YAML 1.2, production 206, c-forbidden).
struct Documents<R> {
    reader: R,
    /// Lines of the documents before this one.
    lines: u64,
    /// Lines of this one so far.
    own: u64,
    /// The beginning of a line, which was looked at and is still to be given out.
    held: Held,
    at_line_start: bool,
    /// Whether this document has more than directives and comments.
    has_content: bool,
    /// Whether this document is at its end.
    over: bool,
}

impl<R: BufRead> Documents<R> {
    fn new(reader: R) -> Self {
        let held = Held::default();
        Self { reader, lines: 0, own: 0, held, at_line_start: true, has_content: false, over: true }
    }

    /// Goes to the next document; false: there is none.
    fn open(&mut self) -> io::Result<bool> {
        self.lines += std::mem::take(&mut self.own);
        self.has_content = false;
        self.over = self.held.is_empty() && self.reader.fill_buf()?.is_empty();
        Ok(!self.over)
    }

    /// Looks at the beginning of a line; true: the document ends before it.
    fn ends_here(&mut self) -> io::Result<bool> {
        while !self.held.is_line() {
            let Some(&byte) = self.reader.fill_buf()?.first() else { break };
            self.held.push(byte);
            self.reader.consume(1);
        }
        let line = self.held.get();
        let marker = line.starts_with(b"---") && line.get(3).is_none_or(|byte| b" \t\r\n".contains(byte));
        if self.has_content && marker {
            return Ok(true);
        }
        self.has_content |= !matches!(line.first(), None | Some(b'%' | b'#' | b'\r' | b'\n'));
        Ok(false)
    }
}

impl<R: BufRead> Read for Documents<R> {
    /// Gives out one line at most.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.over || into.is_empty() {
            return Ok(0);
        }
        if self.at_line_start {
            self.over = self.ends_here()? || self.held.is_empty();
            self.at_line_start = self.over;
            if self.over {
                return Ok(0);
            }
        }
        let (count, line_ends) = if self.held.is_empty() {
            let found = self.reader.fill_buf()?;
            let found = &found[..found.len().min(into.len())];
            let end = found.iter().position(|&byte| byte == b'\n');
            let count = end.map_or(found.len(), |end| end + 1);
            into[..count].copy_from_slice(&found[..count]);
            self.reader.consume(count);
            self.over = count == 0;
            (count, end.is_some())
        } else {
            let count = self.held.give(into);
            (count, into[count - 1] == b'\n')
        };
        self.at_line_start = line_ends;
        self.own += u64::from(line_ends);
        Ok(count)
    }
}

/// At most four bytes: a marker, and what has to be a space or the end of the line.
#[derive(Default)]
struct Held {
    bytes: [u8; 4],
    length: usize,
}

impl Held {
    fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn get(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Whether no more of the line is needed.
    fn is_line(&self) -> bool {
        self.length == self.bytes.len() || self.get().ends_with(b"\n")
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn give(&mut self, into: &mut [u8]) -> usize {
        let count = self.length.min(into.len());
        into[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes.copy_within(count..self.length, 0);
        self.length -= count;
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Documents and the lines before each, read in pieces of `step` bytes.
    fn split(text: &str, step: usize) -> Vec<(u64, String)> {
        let mut documents = Documents::new(text.as_bytes());
        let mut found = Vec::new();
        while documents.open().unwrap() {
            let lines = documents.lines;
            let mut bytes = Vec::new();
            loop {
                let mut piece = vec![0; step];
                match documents.read(&mut piece).unwrap() {
                    0 => break,
                    count => bytes.extend(&piece[..count]),
                }
            }
            found.push((lines, String::from_utf8(bytes).unwrap()));
        }
        found
    }

    #[test]
    fn documents_begin_at_their_markers() {
        for step in [1, 3, 100] {
            let split = |text| {
                split(text, step).into_iter().map(|(at, text)| format!("{at}|{text}")).collect::<Vec<_>>()
            };
            assert_eq!(split("a: b\n"), ["0|a: b\n"]);
            assert_eq!(split("a\n---\nb\n---"), ["0|a\n", "1|---\nb\n", "3|---"]);
            assert_eq!(split("# c\n%YAML 1.2\n---\na\n--- b\n"), ["0|# c\n%YAML 1.2\n---\na\n", "4|--- b\n"]);
            assert_eq!(split("a: ---\n ---\n---b\n----\n"), ["0|a: ---\n ---\n---b\n----\n"]);
            assert_eq!(split("a\r\n---\r\nb"), ["0|a\r\n", "1|---\r\nb"]);
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_invented(text in "[-ab# %\\n\\r.]{0,60}", step in 1_usize..9) {
            let documents = split(&text, step);
            let joined: String = documents.iter().map(|(_, text)| text.as_str()).collect();
            prop_assert_eq!(&joined, &text);
            let mut lines = 0;
            for (before, text) in documents {
                prop_assert_eq!(before, lines);
                lines += text.matches('\n').count() as u64;
            }
        }
    }
}
