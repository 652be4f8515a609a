//! Files of real kube-proxies, and why there is none.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ::kube_proxy::{Binary, Subject};
use experiments::kube_proxy::SystemChoice;
use serde::{Deserialize, Serialize};

/// A file that was looked at: a kube-proxy, or why it is none.
pub(super) type Known = Result<Arc<Subject>, NoSubject>;

/// Those that were looked at.
pub(super) type Subjects = BTreeMap<u8, Known>;

/// Files of real kube-proxies that a lane is given, by their places in the sweep; others are looked for where the sweep
/// says.
pub type Files = BTreeMap<u8, Result<GivenFile, NoSubject>>;

/// A file that somebody has read before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenFile {
    /// Where it is now.
    pub path: PathBuf,
    /// Its SHA-256, 64 hexadecimal digits.
    pub sha256: String,
}

/// Why there is nothing to measure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoSubject {
    /// It is not there: what to do.
    Missing(String),
    /// It is something else.
    Unfit(String),
}

/// The file of a system of the sweep, looked at and not run.
///
/// # Errors
/// If there is none, or it is no program for this machine.
pub fn look_at(choice: &SystemChoice) -> Result<Binary, NoSubject> {
    let path = choice.path().map_err(NoSubject::Missing)?;
    Binary::open(path).map_err(|error| NoSubject::Unfit(error.to_string()))
}
