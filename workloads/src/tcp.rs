//! TCP load.
