//! The experiment: what is planned, applied, measured and recorded.

pub mod apply;
pub mod cells;
pub mod cluster;
pub mod dataplane;
pub mod lock;
pub mod readback;
pub mod scale;
pub mod stop;
pub mod sweep;
pub mod tools;
