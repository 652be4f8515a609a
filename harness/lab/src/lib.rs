//! A plan meets a kernel: labs that hold Services, and the probe that checks them.
//!
//! * [`testbed`]: a lab of one mode at one scale, filled, verified, and measured
//! * [`apply`], [`tools`]: the one place where a plan is carried out, and the programs that do it
//! * [`readback`]: what the kernel holds then, through its own interface
//! * [`cluster`], [`replay`]: Services of a cluster, and rulesets of real nodes, in place of synthetic ones
//! * [`xtables_lock`]: who waits for the lock, and who holds it
//! * [`connection_tables`], [`usage`]: what packets and programs leave in the kernel and take from the machine
//! * [`cores`], [`stop`], [`explain`]: which cores are used, how a run is stopped, how an error is shown

pub mod apply;
pub mod cluster;
pub mod connection_tables;
pub mod cores;
pub mod explain;
pub mod readback;
pub mod replay;
pub mod stop;
pub mod testbed;
pub mod tools;
pub mod usage;
pub mod xtables_lock;
