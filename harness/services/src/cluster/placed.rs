//! A Service port and where its object stands in the file: errors say so.

use super::error::Position;
use crate::service::Service;

/// A Service port and where it stands.
pub(super) struct PlacedService {
    /// Where its object stands.
    pub position: Position,
    /// Without endpoints until all is read: they may stand anywhere.
    pub service: Service,
}
