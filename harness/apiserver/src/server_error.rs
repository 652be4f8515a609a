//! Why the server itself fails.

use std::io;
use std::net::SocketAddr;

/// Why a server cannot start, go away or come back.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// What it was about to do.
    #[error("API server: {action}: {cause}")]
    System {
        /// `start its thread`.
        action: &'static str,
        /// What the operating system says.
        cause: io::Error,
    },
    /// Its port was taken, or given back to the system, while it was away.
    #[error(
        "API server: it was at {before} and came back at {after}; give it a listener that was bound to a port by number"
    )]
    Moved {
        /// Where it was.
        before: SocketAddr,
        /// Where it would be now.
        after: SocketAddr,
    },
    /// Its thread has ended, which it does only when it is told to.
    #[error("API server: its thread has ended")]
    Ended,
}

impl ServerError {
    pub(crate) fn of(action: &'static str) -> impl Fn(io::Error) -> Self {
        move |cause| Self::System { action, cause }
    }
}
