//! Why a sweep cannot be used.

use std::path::PathBuf;

use super::built_in::BUILT_IN;

/// Why a sweep cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The file cannot be read.
    #[error("cannot read sweep {path}: {source}; built-in sweeps are: {built_in}",
        path = path.display(), built_in = BUILT_IN.map(|(name, _)| name).join(", "))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is no sweep. The message has line, column and key.
    #[error("{name} is no valid sweep\n{message}")]
    Invalid {
        /// File or built-in name.
        name: String,
        /// As the TOML reader words it.
        message: String,
    },
}
