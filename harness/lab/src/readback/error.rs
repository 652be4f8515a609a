//! Why the kernel's state could not be read.

use std::io;

use netns_setup::SetupError;
use netns_setup::ipvs::IpvsError;

use crate::apply::ApplyError;

/// Why the kernel's state could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadBackError {
    /// nfnetlink.
    #[error("cannot read {what} back from the kernel: {source}")]
    Netlink {
        /// Kind of object.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// iptables-legacy-save or ip6tables-legacy-save.
    #[error(transparent)]
    Program(#[from] ApplyError),
    /// What it wrote.
    #[error("cannot read what iptables-legacy-save or ip6tables-legacy-save wrote: {0}")]
    Output(io::Error),
    /// A program did not do its work.
    #[error("{program} failed: {stderr}")]
    Save {
        /// Its name.
        program: &'static str,
        /// What it printed on standard error.
        stderr: String,
    },
    /// IPVS.
    #[error(transparent)]
    Ipvs(#[from] Box<IpvsError>),
    /// Links and addresses, or no IPVS at all.
    #[error(transparent)]
    Kernel(#[from] SetupError),
}
