//! What is wrong with a ruleset, and where.

use std::fmt;
use std::io;

/// What is wrong, and in which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From 1; `None`: no line in particular.
    pub line: Option<u32>,
    /// What is wrong, and what to do about it.
    pub problem: String,
}

impl Fault {
    /// In a line.
    pub fn at(line: u32, problem: impl Into<String>) -> Self {
        Self { line: Some(line), problem: problem.into() }
    }

    /// In the text as a whole.
    pub fn whole(problem: impl Into<String>) -> Self {
        Self { line: None, problem: problem.into() }
    }

    /// With the name of the file.
    pub fn of(self, name: impl Into<String>) -> RulesetError {
        RulesetError::Content { name: name.into(), fault: self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.problem),
            None => f.write_str(&self.problem),
        }
    }
}

impl std::error::Error for Fault {}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesetError {
    /// The file itself.
    #[error("cannot read {name}: {source}")]
    Read {
        /// The file.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// It is too large to be what it should be.
    #[error(
        "{name} has {size}, more than the {limit} bytes that are read: no node has a ruleset of that size; is it the right file?"
    )]
    TooLarge {
        /// The file.
        name: String,
        /// How large it is, in words.
        size: String,
        /// The limit, bytes.
        limit: u64,
    },
    /// Something in it.
    #[error("{name}: {fault}")]
    Content {
        /// The file.
        name: String,
        /// What, and where.
        fault: Fault,
    },
}
