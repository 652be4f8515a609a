//! What can go wrong when namespaces are set up, said with the object concerned, the kernel's answer and a way out.

use std::io;

use ipnet::{IpNet, Ipv4Net};
use nix::errno::Errno;

/// A namespace, or something in it, that could not be made or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The kernel refused a step.
    #[error("{action}: {}", because(.cause))]
    Kernel {
        /// What was tried, on which object, where: `add route 10.96.0.0/12 dev to-node in lab/client`.
        action: String,
        /// The kernel's answer. Part of the message already, hence not also `source()`.
        cause: io::Error,
    },
    /// The thread still shares something with the host. Nothing was changed there.
    #[error(
        "namespace {label} is not isolated: {what}; refusing to touch it (run on Linux with network and mount \
         namespaces, as root)"
    )]
    NotIsolated {
        /// The namespace's label.
        label: String,
        /// What is still shared.
        what: String,
    },
    /// A sysctl outside `net.`, which no network namespace makes private.
    #[error("sysctl {key} in {label}: only net.* belongs to a network namespace; set others on the host")]
    ForeignSysctl {
        /// The key as given.
        key: String,
        /// The namespace's label.
        label: String,
    },
    /// An interface name that the kernel would cut or refuse.
    #[error(
        "interface name {name:?} in {label}: 1 to 15 bytes are allowed, none of them '/', ':' or white space \
         (dev_valid_name in net/core/dev.c)"
    )]
    LinkName {
        /// The name as given.
        name: String,
        /// The namespace's label.
        label: String,
    },
    /// The addresses do not make a lab.
    #[error(transparent)]
    Topology(#[from] TopologyError),
}

impl SetupError {
    pub(crate) fn kernel(action: impl Into<String>, cause: impl Into<io::Error>) -> Self {
        SetupError::Kernel { action: action.into(), cause: cause.into() }
    }

    /// The kernel's error number (errno(3)), if the kernel refused.
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            SetupError::Kernel { cause, .. } => cause.raw_os_error(),
            _ => None,
        }
    }
}

/// Addresses that cannot share one lab. The text names the fields of [`Topology`](crate::Topology),
/// [`director::Topology`](crate::director::Topology) or [`single_node::Topology`](crate::single_node::Topology).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopologyError {
    /// Two prefixes have addresses in common, so that a route for one would catch the other's packets.
    #[error("{first} {first_prefix} overlaps {second} {second_prefix}: choose disjoint prefixes")]
    Overlap {
        /// Field of the one prefix.
        first: &'static str,
        /// The one prefix.
        first_prefix: IpNet,
        /// Field of the other.
        second: &'static str,
        /// The other.
        second_prefix: IpNet,
    },
    /// A prefix that holds addresses which are not forwarded between hosts.
    #[error("{field} {prefix} overlaps {reserved}, which is not forwarded ({why}): choose another prefix")]
    Reserved {
        /// Field concerned.
        field: &'static str,
        /// Its prefix.
        prefix: IpNet,
        /// The reserved block.
        reserved: IpNet,
        /// What the block is for.
        why: &'static str,
    },
    /// A prefix without room for all that are to be in it.
    #[error("{field} {prefix} has no room for {least} hosts: choose a shorter prefix")]
    TooSmall {
        /// Field concerned.
        field: &'static str,
        /// Its prefix.
        prefix: Ipv4Net,
        /// Hosts to be in it.
        least: usize,
    },
    /// No real servers, or too many.
    #[error("{servers} real servers: 1 to {most} are possible")]
    Servers {
        /// How many were asked for.
        servers: u8,
        /// Most that there can be.
        most: u8,
    },
}

/// The kernel's answer without "(os error 17)": the text is for people, the number is in `raw_os_error`.
pub(crate) fn answer(cause: &io::Error) -> String {
    match cause.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => cause.to_string(),
    }
}

/// The kernel's answer, and what usually helps.
fn because(cause: &io::Error) -> String {
    let help = match cause.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::EACCES) => "; run as root, or with CAP_SYS_ADMIN and CAP_NET_ADMIN",
        Some(Errno::EOPNOTSUPP) => "; this kernel lacks the feature or its module is not loaded",
        Some(Errno::ENOSPC | Errno::EMFILE | Errno::ENFILE) => {
            "; a limit is reached, see /proc/sys/user/max_net_namespaces and `ulimit -n`"
        }
        _ => "",
    };
    answer(cause) + help
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_object_the_answer_and_the_way_out() {
        let error =
            SetupError::kernel("add route 10.96.0.0/12 dev veth0 in node", io::Error::from_raw_os_error(17));
        assert_eq!(error.to_string(), "add route 10.96.0.0/12 dev veth0 in node: File exists");
        assert_eq!(error.raw_os_error(), Some(17));

        let error = SetupError::kernel("unshare in node", Errno::EPERM);
        assert_eq!(
            error.to_string(),
            "unshare in node: Operation not permitted; run as root, or with CAP_SYS_ADMIN and CAP_NET_ADMIN"
        );
    }
}
