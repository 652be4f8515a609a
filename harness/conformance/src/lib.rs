//! What must be true of a node whatever plans it: for tests only.
//!
//! * [`oracle`]: what the kernel does with one packet, in either family, from wherever it comes
//! * [`semantics`]: what kube-proxy promises for a packet, mode by mode

pub mod oracle;
pub mod semantics;
