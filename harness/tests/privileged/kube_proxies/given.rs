//! What tests of real kube-proxies are given.

use dataplane::Mode;
use netns_setup::{Need, find_kube_proxy};
use svcbench::lane::LAB_NEEDS;

pub(crate) use crate::real::MINOR;

/// What a sweep over real kube-proxies needs.
pub(crate) fn needs(mode: Mode) -> Vec<Need> {
    let more = [Need::Nft, Need::KubeProxy(MINOR)];
    LAB_NEEDS.iter().chain(mode.needs()).chain(&more).copied().collect()
}

/// The real one.
pub(crate) fn binary() -> String {
    find_kube_proxy(MINOR).unwrap().to_str().unwrap().to_owned()
}
