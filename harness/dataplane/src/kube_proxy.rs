//! Which version of kube-proxy a plan is of.

use serde::{Deserialize, Serialize};

/// The kube-proxy whose output a plan reproduces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum KubeProxy {
    /// 1.20: the form of many write-ups. Two rules for each cluster IP in the list that packets walk, KUBE-XLB-*,
    /// KUBE-FW-* and KUBE-MARK-DROP; every sync is a full one. iptables mode only.
    #[serde(rename = "1.20")]
    #[value(name = "1.20")]
    V1_20,
    /// 1.30: checked line by line against rulesets that the real 1.30.5 installed. In nftables mode it
    /// rewrites the whole table at every sync.
    #[serde(rename = "1.30")]
    #[value(name = "1.30")]
    V1_30,
    /// The newest form, since 1.32: nftables mode sends only what changed, and its filter chains run
    /// after DNAT. The iptables rules are those of 1.30 (on a node without nfnetlink_acct).
    #[default]
    #[serde(rename = "current")]
    #[value(name = "current")]
    Current,
}

impl KubeProxy {
    /// All, the oldest first.
    pub const ALL: [KubeProxy; 3] = [KubeProxy::V1_20, KubeProxy::V1_30, KubeProxy::Current];

    /// Name on the command line and in sweep files.
    pub const fn name(self) -> &'static str {
        match self {
            KubeProxy::V1_20 => "1.20",
            KubeProxy::V1_30 => "1.30",
            KubeProxy::Current => "current",
        }
    }
}
