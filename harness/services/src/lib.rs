//! What is installed: Services and their endpoints. Pure data; knows no kernel and no rule.
//!
//! * [`service`]: one Service port as kube-proxy knows it; [`routes`]: which of its endpoints get traffic
//! * [`service_set`]: an ordered set of them, its scale, and what differs between two
//! * [`synthetic`]: sets made from a seed, in a [`shape`]; [`addresses`]: where theirs come from
//! * [`random`](mod@random): sets with every feature and changes of them, from a seed; [`objects`]: what they are made of
//! * [`features`]: fixed sets with every feature, step by step
//! * [`unused`]: Services and endpoints that are in no set
//! * [`cluster`]: Services of a real cluster, from what kubectl prints
//! * [`bounded`]: bounds of numbers and lists that people write
//! * [`address_blocks`]: free blocks for a lab among addresses that are in use

pub mod address_blocks;
pub mod addresses;
pub mod bounded;
pub mod cluster;
pub mod features;
pub mod objects;
pub mod random;
pub mod routes;
pub mod service;
pub mod service_set;
pub mod shape;
pub mod synthetic;
pub mod unused;
