//! Sweeps that are built in.

/// Sweeps that are built in, by name.
pub const BUILT_IN: [(&str, &str); 12] = [
    ("smoke", include_str!("../../sweeps/smoke.toml")),
    ("default", include_str!("../../sweeps/default.toml")),
    ("guest", include_str!("../../sweeps/guest.toml")),
    ("ci", include_str!("../../sweeps/ci.toml")),
    ("churn", include_str!("../../sweeps/churn.toml")),
    ("disruption", include_str!("../../sweeps/disruption.toml")),
    ("lock", include_str!("../../sweeps/lock.toml")),
    ("background", include_str!("../../sweeps/background.toml")),
    ("replay", include_str!("../../sweeps/replay.toml")),
    ("kube-proxy", include_str!("../../sweeps/kube-proxy.toml")),
    ("kube-proxy-guest", include_str!("../../sweeps/kube-proxy-guest.toml")),
    ("versions", include_str!("../../sweeps/versions.toml")),
];

/// What the sweep `background` was called before: it is read for ever.
pub(super) const OLD_BACKGROUND: &str = "neighbours";
