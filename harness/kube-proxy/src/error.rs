//! What can be wrong with a binary, and how a process can fail.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use lab::tools::NotInstalled;
use netns_setup::SetupError;

use crate::config::ConfigError;
use crate::http::HttpError;

/// A file is no kube-proxy that can be run here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BinaryError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is {what}, not a program: give the path of a kube-proxy binary, or a version to scripts/kube-proxy", path.display())]
    NoProgram {
        /// The file.
        path: PathBuf,
        /// What it is, in words.
        what: &'static str,
    },
    /// It lacks the permission.
    #[error("{} is not executable: chmod +x it", path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
    /// It is for another machine.
    #[error("{} is built for {its}, and this machine is {ours}", path.display(), ours = std::env::consts::ARCH)]
    OtherArchitecture {
        /// The file.
        path: PathBuf,
        /// Its architecture.
        its: String,
    },
    /// It is not the file any more that was looked at.
    #[error("{} has been changed since it was read: start again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The system refuses to run it.
    #[error("cannot run {}: {source}", path.display())]
    Start {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It does not say its version in time.
    #[error("`{} {argument}` had not ended after {limit:?}: it was ended, and is no kube-proxy", path.display())]
    Hangs {
        /// The file.
        path: PathBuf,
        /// What it was asked.
        argument: &'static str,
        /// The time it was given.
        limit: Duration,
    },
    /// It says something else than a kube-proxy does.
    #[error("{} is no kube-proxy: `{argument}` {how}: {said}", path.display())]
    NoKubeProxy {
        /// The file.
        path: PathBuf,
        /// What it was asked.
        argument: &'static str,
        /// How it ended.
        how: String,
        /// The beginning of what it said, on one line.
        said: String,
    },
    /// No namespace to run it in.
    #[error(transparent)]
    Namespace(#[from] SetupError),
    /// Somebody asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// The last lines of a log, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastLines(pub Vec<String>);

impl fmt::Display for LastLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("it logged nothing");
        }
        f.write_str(&self.0.join("; "))
    }
}

/// A kube-proxy did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// Its file.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A program that it needs.
    #[error(transparent)]
    NotInstalled(#[from] NotInstalled),
    /// The room that it runs in.
    #[error(transparent)]
    Room(#[from] SetupError),
    /// Something around it that the system refused.
    #[error("{action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It ended by itself.
    #[error("kube-proxy ended with {status}: {lines}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// Its last lines.
        lines: LastLines,
    },
    /// It did not do something in time.
    #[error("kube-proxy {what} within {limit:?}: {lines}")]
    OutOfTime {
        /// What it did not do.
        what: &'static str,
        /// The time it was given.
        limit: Duration,
        /// Its last lines.
        lines: LastLines,
    },
    /// It does not answer as it should.
    #[error("asking kube-proxy for {path}: {source}")]
    Http {
        /// What it was asked for.
        path: &'static str,
        /// What is wrong.
        source: HttpError,
    },
    /// Somebody asked to stop.
    #[error("interrupted")]
    Interrupted,
}
