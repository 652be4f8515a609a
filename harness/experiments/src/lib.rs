//! One room for each question: its section of the sweep file, its measuring, its rows.
//!
//! * [`lookup`]: packet probes; [`tcp_crr`]: new connections; [`load`]: loads through a filled lab
//! * [`sync`]: what a sync costs; [`churn`]: sequences of changes; [`disruption`]: loads while rules change
//! * [`lock_contention`]: syncs against others that want the xtables lock
//! * [`forwarding`]: forwarding methods of IPVS; [`kube_proxy`](mod@kube_proxy): a real kube-proxy, end to end
//! * [`rows`]: what the rows of all of them share

pub mod churn;
pub mod disruption;
pub mod forwarding;
pub mod kube_proxy;
pub mod load;
pub mod lock_contention;
pub mod lookup;
pub mod rows;
pub mod sync;
pub mod tcp_crr;
