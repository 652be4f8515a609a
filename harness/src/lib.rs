//! The experiment: what is planned, applied, measured and recorded.

pub mod cluster;
pub mod dataplane;
pub mod scale;
