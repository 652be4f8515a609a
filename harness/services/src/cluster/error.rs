//! Why something could not be read as a cluster, and where.

use super::limits::MAX_BYTES;

/// What a file has to be.
const EXPECTED: &str =
    "expected the output of `kubectl get services,endpointslices -A -o json` (or `-o yaml`)";

/// Why a file could not be read as a cluster. `file` is its path, or "standard input".
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The system does not give it out.
    #[error("cannot read {file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Larger than any cluster that can be planned.
    #[error("{file}: {what}; at most {} MiB are read; {EXPECTED} of one cluster", MAX_BYTES >> 20)]
    TooLarge {
        /// The file.
        file: String,
        /// How large it is, as far as that is known.
        what: String,
    },
    /// Neither JSON nor YAML.
    #[error("{file}: {place}not {format}: {message}; {EXPECTED}")]
    Syntax {
        /// The file.
        file: String,
        /// `items[3]: `, or nothing.
        place: String,
        /// What it was taken for: `JSON` or `YAML`.
        format: &'static str,
        /// With line and column.
        message: String,
    },
    /// Well formed, but not what is expected at this place.
    #[error("{file}: {place}{problem}")]
    Content {
        /// The file.
        file: String,
        /// `items[3] (Service demo/web): `, or nothing.
        place: String,
        /// Which field, what is wrong and what is expected.
        problem: String,
    },
    /// Nothing in it.
    #[error("{file}: {what}; {EXPECTED}")]
    Nothing {
        /// The file.
        file: String,
        /// What is not there.
        what: &'static str,
    },
}

/// Where an object stands in its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Documents before it.
    pub document: u32,
    /// Items before it, if it is one of a list.
    pub item: Option<u32>,
}

impl Position {
    /// `items[3]`, `document 2`, `document 2, items[3]`, or nothing.
    pub(super) fn words(self) -> String {
        let document = (self.document > 0).then(|| format!("document {}", self.document + 1));
        let item = self.item.map(|item| format!("items[{item}]"));
        document.into_iter().chain(item).collect::<Vec<_>>().join(", ")
    }

    /// As words, with the object and a colon; nothing if there is nothing to say.
    pub(super) fn before(self, object: Option<&str>) -> String {
        let object = object.map(|object| format!("({object})"));
        let words = [Some(self.words()).filter(|words| !words.is_empty()), object];
        let words: Vec<String> = words.into_iter().flatten().collect();
        if words.is_empty() { String::new() } else { format!("{}: ", words.join(" ")) }
    }
}

/// What is wrong at a place; the file is named by whoever knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// As [`ClusterError::Content`] has it.
    pub place: String,
    /// Which field, what is wrong and what is expected.
    pub problem: String,
}

impl Problem {
    /// Of an object.
    pub(super) fn of(position: Position, object: &str, problem: impl Into<String>) -> Self {
        Self { place: position.before(Some(object)), problem: problem.into() }
    }

    /// The error, once the file is known.
    pub(super) fn within(self, file: &str) -> ClusterError {
        let Self { place, problem } = self;
        ClusterError::Content { file: file.to_owned(), place, problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_words() {
        let at = |document, item| Position { document, item }.before(Some("Service a/b"));
        assert_eq!(at(0, Some(3)), "items[3] (Service a/b): ");
        assert_eq!(at(1, None), "document 2 (Service a/b): ");
        assert_eq!(at(1, Some(0)), "document 2, items[0] (Service a/b): ");
        assert_eq!(at(0, None), "(Service a/b): ");
        assert_eq!(Position::default().before(None), "");
    }
}
