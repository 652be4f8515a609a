//! Plans without privilege: golden ones, changes, counts, features, and random Services, mode by mode.

mod background;
mod changes;
mod counts;
mod golden;
mod golden_ipvs;
mod hostport;
mod iptables;
mod iptables_features;
mod ipvs_features;
mod ipvs_random;
mod nftables;
mod paper;
mod services_drawn;
