//! Where the rows of a lane go.

use experiments::rows::CellResult;

/// Where the rows of a lane go.
pub trait ResultSink {
    /// The next cell belongs to this block of lookups; `None`: to none.
    ///
    /// # Errors
    /// If that cannot be noted.
    fn enter(&mut self, block: Option<u32>) -> anyhow::Result<()>;

    /// Takes what a cell found. When this returns, the rows survive whatever happens next.
    ///
    /// # Errors
    /// If they cannot be kept.
    fn cell(&mut self, found: CellResult) -> anyhow::Result<()>;
}
