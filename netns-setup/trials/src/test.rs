//! What a test program hands over.

use netns_setup::Need;
use netns_setup::guest::{GuestError, Image, Kernel};

/// A test and what it needs.
pub struct Test {
    /// Its name, unique.
    pub name: String,
    /// What it needs of kernel and programs.
    pub needs: Vec<Need>,
    /// Panics if it fails.
    pub body: Box<dyn FnOnce() + Send>,
}

/// Makes the file system of a guest for a job.
pub type MakeImage = fn(&Kernel, Vec<u8>) -> Result<Image, GuestError>;
