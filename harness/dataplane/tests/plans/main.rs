//! Plans without privilege: golden ones, changes, counts, features, and random Services, mode by mode.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod background;
mod changes;
mod counts;
mod golden;
mod golden_ipvs;
mod golden_versions;
mod hostport;
mod iptables;
mod iptables_features;
mod ipvs_features;
mod ipvs_random;
mod nftables;
mod paper;
mod services_drawn;
