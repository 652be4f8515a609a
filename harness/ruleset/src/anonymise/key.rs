//! The key that every replacement follows from.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Fault, RulesetError};
use crate::input;

/// What every replacement follows from. Who has it can undo them.
#[derive(Clone)]
pub struct Key(pub(super) [u8; 32]);

impl Key {
    /// A key that nobody has.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn random() -> io::Result<Self> {
        let mut key = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut key)?;
        Ok(Self(key))
    }

    /// The key of a file's content: the same content, the same key.
    ///
    /// # Errors
    /// If it cannot be read, or is empty or longer than 64 KiB.
    pub fn of_file(path: &Path) -> Result<Self, RulesetError> {
        const LONGEST: u64 = 64 << 10;
        let name = input::name(path);
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes))
            .map_err(|source| RulesetError::Read { name: name.clone(), source })?;
        let wrong = |problem: &str| Fault::whole(problem).of(name.clone());
        if bytes.is_empty() {
            return Err(wrong("a key must not be empty; `head -c 32 /dev/urandom` makes a good one"));
        }
        if bytes.len() as u64 > LONGEST {
            return Err(wrong("this is no key: it is longer than 64 KiB"));
        }
        Ok(Self::of_bytes(&bytes))
    }

    /// The key of some bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        use sha2::Digest;
        Self(sha2::Sha256::digest(bytes).into())
    }
}
