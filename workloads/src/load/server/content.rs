//! What the answers of a server hold.

use std::net::SocketAddr;

/// What the answers hold.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// In place of the address that accepted the connection.
    pub(super) name: Option<SocketAddr>,
    /// Spaces behind it, in HTTP.
    pub(super) padding: usize,
}
