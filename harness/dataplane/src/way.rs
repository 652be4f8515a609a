//! One by one, or many at a time.

/// How requests go to the kernel over netlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// As kube-proxy sends them: one at a time, each answer awaited.
    KubeProxy,
    /// As quickly as the kernel takes them: many in one system call.
    Batched,
}
