//! Exit codes.

use std::process::ExitCode;

use svcbench::host::strict::UnreliableMachine;
use svcbench::lane::Unable;

use super::streams::unwritable_kind;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All measured, or skipped for a stated reason.
    Ok,
    /// A cell failed.
    Failed,
    /// Bad input.
    BadInput,
    /// A figure is worse.
    Regression,
    /// What was to be the same differs.
    Different,
    /// None is worse, but some could not have shown it.
    Inconclusive,
    /// Runs cannot be compared.
    NotComparable,
    /// This machine cannot run any cell (EX_UNAVAILABLE of sysexits.h).
    Unavailable,
    /// Standard output takes no more (EX_IOERR).
    Unwritable,
    /// SIGINT and the like.
    Interrupted,
}

impl Exit {
    /// Which exit an error means.
    pub fn of(error: &anyhow::Error) -> Self {
        if error.is::<Unable>() || error.is::<UnreliableMachine>() {
            Exit::Unavailable
        } else if unwritable_kind(error).is_some() {
            Exit::Unwritable
        } else {
            Exit::BadInput
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::BadInput => 2,
            Exit::Regression | Exit::Different => 3,
            Exit::Inconclusive => 4,
            Exit::NotComparable => 5,
            Exit::Unavailable => 69,
            Exit::Unwritable => 74,
            Exit::Interrupted => 130,
        })
    }
}
