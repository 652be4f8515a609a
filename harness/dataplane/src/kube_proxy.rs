//! Which version of kube-proxy a plan is of.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// The kube-proxy whose output a plan reproduces. The order is that of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, clap::ValueEnum)]
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
    /// 1.34, from the source of 1.34.4. nftables mode sends only what changed, and its filter chains run after DNAT; it reads
    /// the names of chains and sets of all tables.
    #[serde(rename = "1.34")]
    #[value(name = "1.34")]
    V1_34,
    /// 1.35, from the source of 1.35.4. nftables mode reads its own table only.
    #[serde(rename = "1.35")]
    #[value(name = "1.35")]
    V1_35,
    /// 1.36, from the source of 1.36.3. nftables mode chooses among endpoints in a map of addresses, without chains of theirs,
    /// and masquerades hairpins by a set.
    #[serde(rename = "1.36")]
    #[value(name = "1.36")]
    V1_36,
    /// 1.37: in iptables and nftables mode checked line by line against what the real 1.37.2 sent and installed. nftables mode
    /// lists over netlink, and writes no map for a Service with one endpoint.
    ///
    /// `current` is an old name of the newest version: read for ever, written nowhere. Runs of before 1.37 was modelled have
    /// it for a form that is none of the versions here: tables of 1.34, and two listings of the kind of 1.35.
    #[default]
    #[serde(rename = "1.37")]
    #[value(name = "1.37", alias = KubeProxy::OLD_NAME)]
    V1_37,
}

impl KubeProxy {
    /// All, the oldest first.
    pub const ALL: [KubeProxy; 6] = [
        KubeProxy::V1_20,
        KubeProxy::V1_30,
        KubeProxy::V1_34,
        KubeProxy::V1_35,
        KubeProxy::V1_36,
        KubeProxy::NEWEST,
    ];

    /// The newest.
    pub const NEWEST: KubeProxy = KubeProxy::V1_37;

    /// What it was called before versions had names.
    const OLD_NAME: &'static str = "current";

    /// Name on the command line and in sweep files.
    pub const fn name(self) -> &'static str {
        match self {
            KubeProxy::V1_20 => "1.20",
            KubeProxy::V1_30 => "1.30",
            KubeProxy::V1_34 => "1.34",
            KubeProxy::V1_35 => "1.35",
            KubeProxy::V1_36 => "1.36",
            KubeProxy::V1_37 => "1.37",
        }
    }
}

impl<'de> Deserialize<'de> for KubeProxy {
    /// Not derived: messages would offer the old name too.
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        const NAMES: &[&str] = &["1.20", "1.30", "1.34", "1.35", "1.36", "1.37"];
        let text = String::deserialize(input)?;
        let known = KubeProxy::ALL.into_iter().find(|version| version.name() == text);
        let known = known.or_else(|| (text == Self::OLD_NAME).then_some(KubeProxy::NEWEST));
        known.ok_or_else(|| D::Error::unknown_variant(&text, NAMES))
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, StrDeserializer};

    use super::*;

    fn read(text: &str) -> Result<KubeProxy, Error> {
        let text: StrDeserializer<'_, Error> = text.into_deserializer();
        KubeProxy::deserialize(text)
    }

    #[test]
    fn every_version_is_read_by_its_name_and_the_newest_by_its_old_one() {
        for version in KubeProxy::ALL {
            assert_eq!(read(version.name()), Ok(version));
            assert_eq!(KubeProxy::from_str(version.name(), false), Ok(version));
        }
        assert_eq!(read("current"), Ok(KubeProxy::NEWEST));
        assert_eq!(KubeProxy::from_str("current", false), Ok(KubeProxy::NEWEST));
        let known = KubeProxy::ALL.map(|version| format!("`{}`", version.name())).join(", ");
        let refused = read("1.31").unwrap_err().to_string();
        assert_eq!(refused, format!("unknown variant `1.31`, expected one of {known}"));
        assert_eq!(
            (KubeProxy::default(), KubeProxy::ALL.iter().max()),
            (KubeProxy::NEWEST, Some(&KubeProxy::NEWEST))
        );
        assert!(KubeProxy::ALL.is_sorted());
    }
}
