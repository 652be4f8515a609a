//! A sync and what it was made of.

/// A sync of IPv4. Nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SyncRun {
    /// From its beginning to its end, as kube-proxy says.
    pub whole: u64,
    /// What it was made of; `None` where programs are not seen.
    pub parts: Option<Parts>,
}

/// Parts of a sync, which together are the whole. Nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// No program of its ran: kube-proxy made the rules, or talked to the kernel itself.
    pub own: u64,
    /// Programs that list ran.
    pub listing: u64,
    /// Programs that write ran.
    pub writing: u64,
    /// Other programs ran.
    pub other: u64,
    /// Its programs waited for the xtables lock; `None` where nobody takes it, or it is not seen.
    pub lock_wait: Option<u64>,
}
