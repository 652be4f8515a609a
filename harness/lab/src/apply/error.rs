//! Why a plan could not be carried out.

use std::io;
use std::time::Duration;

use netns_setup::SetupError;
use netns_setup::ipvs::IpvsError;

use crate::tools::NotInstalled;

/// Why a plan could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A program is missing.
    #[error(transparent)]
    NotInstalled(#[from] NotInstalled),
    /// The system could not start or feed a program.
    #[error("cannot run `{command}`: {source}")]
    Run {
        /// The command line.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program ended otherwise than planned: plan and kernel disagree.
    #[error("`{command}` ended with {how}, but {expected} was planned: {stderr}")]
    Unexpected {
        /// The command line.
        command: String,
        /// Exit code, or the signal that ended it.
        how: String,
        /// Exit code, if it had one.
        code: Option<i32>,
        /// What was planned.
        expected: &'static str,
        /// What it printed on standard error.
        stderr: String,
        /// Process number it ran under.
        pid: u32,
    },
    /// IPVS refused a request: plan and kernel disagree.
    #[error(transparent)]
    Ipvs(#[from] Box<IpvsError>),
    /// A virtual server that an earlier sync made is not there.
    #[error("`ipvsadm {request}` found no such virtual server; somebody else has removed it, so sync anew")]
    Absent {
        /// The request, as `ipvsadm` takes it.
        request: String,
    },
    /// The kernel refused a link or an address.
    #[error(transparent)]
    Kernel(#[from] SetupError),
    /// kube-proxy's table is there although nobody has made it, or is not although an earlier sync did.
    #[error("the table {name} of nf_tables is {}, other than planned; sync anew in an empty lab", if *is_there { "there" } else { "not there" })]
    Table {
        /// Its name.
        name: &'static str,
        /// Whether it is there.
        is_there: bool,
    },
    /// A setting cannot be made.
    #[error("cannot set sysctl {key}={value}: {source}; is this kernel's module for it loaded?")]
    Sysctl {
        /// The setting.
        key: &'static str,
        /// The value it should have.
        value: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The time allowed was over; a program that still ran was killed.
    #[error("`{command}` was ended when the limit of {limit:?} was over")]
    OutOfTime {
        /// The command line.
        command: String,
        /// The limit of the whole plan.
        limit: Duration,
    },
    /// Somebody asked to stop.
    #[error("interrupted during `{command}`")]
    Interrupted {
        /// The command line.
        command: String,
    },
}
