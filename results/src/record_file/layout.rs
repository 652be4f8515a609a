//! Which columns a `records.csv` has: today's, or those of a file older than the columns `system` or `hypervisor`.

use std::cmp::Ordering;
use std::path::Path;

use csv::ByteRecord;

use super::error::{ReadError, excerpt};
use crate::record::{COLUMNS, HYPERVISOR, HYPERVISOR_AT, SYSTEM, SYSTEM_AT};

/// Which columns a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnLayout {
    Current,
    WithoutSystem,
    /// Nor `system`.
    WithoutHypervisor,
}

impl ColumnLayout {
    pub(super) fn of(header: &ByteRecord, path: &Path) -> Result<ColumnLayout, ReadError> {
        for older in [ColumnLayout::WithoutSystem, ColumnLayout::WithoutHypervisor] {
            if header.iter().eq(older.columns().map(str::as_bytes)) {
                return Ok(older);
            }
        }
        for index in 0..COLUMNS.len().max(header.len()) {
            let expected = COLUMNS.get(index).copied().unwrap_or_default();
            let found = header.get(index).unwrap_or_default();
            if index >= COLUMNS.len() || found != expected.as_bytes() {
                return Err(ReadError::Header {
                    path: path.to_owned(),
                    column: index + 1,
                    expected: expected.to_owned(),
                    found: excerpt(found),
                });
            }
        }
        Ok(ColumnLayout::Current)
    }

    pub(super) fn columns(self) -> impl Iterator<Item = &'static str> {
        COLUMNS.into_iter().filter(move |column| match self {
            ColumnLayout::Current => true,
            ColumnLayout::WithoutSystem => *column != SYSTEM,
            ColumnLayout::WithoutHypervisor => *column != SYSTEM && *column != HYPERVISOR,
        })
    }

    /// Where the column that is `index` in [`COLUMNS`] stands in this layout.
    pub(super) fn index_in(self, index: usize) -> Option<usize> {
        match (self, index.cmp(&HYPERVISOR_AT)) {
            (ColumnLayout::Current, _) => Some(index),
            _ if index == SYSTEM_AT => None,
            (ColumnLayout::WithoutSystem, _) | (_, Ordering::Less) => Some(index),
            (_, Ordering::Equal) => None,
            (_, Ordering::Greater) => Some(index - 1),
        }
    }
}
