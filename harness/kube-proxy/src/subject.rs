//! A kube-proxy that is under test, wherever it runs.

use std::path::Path;
use std::time::Duration;

use lab::stop::Stop;

use crate::binary::Binary;
use crate::error::BinaryError;
use crate::version::Version;

/// Digits of the hash that its name has: enough to tell any two binaries apart that somebody has at hand.
const DIGITS: usize = 16;

/// A binary that is a kube-proxy, with its version.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its file.
    pub binary: Binary,
    /// What it says its version is.
    pub version: Version,
}

impl Subject {
    /// Looks at a file, and asks it for its version.
    ///
    /// # Errors
    /// If it is no kube-proxy that can be run here.
    pub fn open(path: impl AsRef<Path>, stop: &Stop, limit: Duration) -> Result<Self, BinaryError> {
        Self::of(Binary::open(path)?, stop, limit)
    }

    /// Asks a file for its version.
    ///
    /// # Errors
    /// If it is no kube-proxy that can be run here.
    pub fn of(binary: Binary, stop: &Stop, limit: Duration) -> Result<Self, BinaryError> {
        let version = binary.version(stop, limit)?;
        Ok(Self { binary, version })
    }

    /// System, version and hash, as rows have them: `kube-proxy v1.37.2 sha256:0123456789abcdef`.
    pub fn name(&self) -> String {
        let hash = self.binary.sha256();
        format!("kube-proxy {} sha256:{}", self.version, hash.get(..DIGITS).unwrap_or(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_name_has_version_and_hash() {
        let binary = Binary::open("/bin/sh").unwrap();
        let version = Version::parse("v1.37.2").unwrap();
        let hash = binary.sha256()[..16].to_owned();
        assert_eq!(Subject { binary, version }.name(), format!("kube-proxy v1.37.2 sha256:{hash}"));
    }
}
