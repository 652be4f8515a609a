//! The experiment: what is planned, applied, measured and recorded.
//!
//! * [`scale`], [`cluster`]: Services, synthetic or from a cluster
//! * [`semantics`]: what kube-proxy promises for a packet, mode by mode
//! * [`dataplane`]: what a kube-proxy mode sends to the kernel for them, as data
//! * [`apply`], [`readback`], [`tools`]: plans meet a kernel; what it holds then
//! * [`neighbours`]: what else nodes have in their kernels
//! * [`world`]: a lab with Services in it, checked
//! * [`oracle`]: what a node does with one packet, in either family, from wherever it comes
//! * [`lookup`], [`connect`], [`load`], [`forwarding`], [`disruption`], [`sync_cell`], [`contention`], [`lock`]: what is measured
//! * [`cost`]: what it takes from the machine besides time
//! * [`sweep`], [`cells`], [`predict`], [`estimate`], [`capacity`], [`run`]: which cells, in which order, how long
//! * [`events`], [`explain`], [`stop`], [`cores`], [`health`], [`machine`], [`passport`], [`serve`]: what surrounds a run

pub mod capacity;
pub mod cells;
pub mod churn;
pub mod connect;
pub mod contention;
pub mod disruption;
pub mod estimate;
pub mod events;
pub mod forwarding;
pub mod guest;
pub mod health;
pub mod load;
pub mod lookup;
pub mod machine;
pub mod passport;
pub mod predict;
pub mod run;
pub mod serve;
pub mod sweep;
pub mod sync_cell;
