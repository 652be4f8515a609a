//! Kernel worlds: namespaces, links, labs, and the needs of this machine.
