//! The two programs behind the name `iptables`.

/// The two programs behind `iptables`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Variant {
    /// iptables-legacy: the kernel's ip_tables, and the xtables lock.
    Legacy,
    /// iptables-nft: nf_tables, and no lock file.
    Nft,
}
