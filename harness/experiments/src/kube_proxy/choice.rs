//! Key `systems` of a sweep: whose rules are measured.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use dataplane::KubeProxy;
use serde::Deserialize;

/// Whose rules are measured.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum SystemChoice {
    /// svcbench's own planner, by the version that it imitates: `plan:1.30`.
    Plan(KubeProxy),
    /// A real kube-proxy of Kubernetes 1.x, the newest patch that `scripts/kube-proxy` has built: `kube-proxy:1.37`.
    Version(u8),
    /// A real kube-proxy in a file: `kube-proxy:/usr/local/bin/kube-proxy`.
    Path(PathBuf),
}

impl SystemChoice {
    /// Whether it is a real kube-proxy.
    pub const fn is_real(&self) -> bool {
        !matches!(self, SystemChoice::Plan(_))
    }

    /// The file of a real kube-proxy.
    ///
    /// # Errors
    /// What to do, if there is none.
    pub fn path(&self) -> Result<PathBuf, String> {
        match self {
            SystemChoice::Plan(_) => Err(format!("{self} is no program")),
            SystemChoice::Version(minor) => netns_setup::find_kube_proxy(*minor).ok_or_else(|| {
                format!("no kube-proxy 1.{minor} is built: run `scripts/kube-proxy 1.{minor}`")
            }),
            SystemChoice::Path(path) => Ok(path.clone()),
        }
    }
}

impl FromStr for SystemChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(version) = text.strip_prefix("plan:") {
            return KubeProxy::from_str(version, false).map(SystemChoice::Plan).map_err(|_| {
                let known = KubeProxy::ALL.map(KubeProxy::name).join(", ");
                format!("{text:?}: there are plans of {known}")
            });
        }
        let wrong = || {
            format!(
                "{text:?} is no system: give plan:VERSION, kube-proxy:1.MINOR or kube-proxy:/PATH/OF/BINARY"
            )
        };
        let real = text.strip_prefix("kube-proxy:").ok_or_else(wrong)?;
        if real.contains('/') {
            return Ok(SystemChoice::Path(real.into()));
        }
        let minor = real.strip_prefix("1.").filter(|minor| minor.bytes().all(|byte| byte.is_ascii_digit()));
        minor.and_then(|minor| minor.parse().ok()).map(SystemChoice::Version).ok_or_else(wrong)
    }
}

impl TryFrom<String> for SystemChoice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for SystemChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SystemChoice::Plan(version) => write!(f, "plan:{}", version.name()),
            SystemChoice::Version(minor) => write!(f, "kube-proxy:1.{minor}"),
            SystemChoice::Path(path) => write!(f, "kube-proxy:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn systems_are_plans_versions_and_files() {
        for text in ["plan:1.30", "plan:1.37", "kube-proxy:1.37", "kube-proxy:/usr/bin/kube-proxy"] {
            assert_eq!(text.parse::<SystemChoice>().unwrap().to_string(), text);
        }
        assert_eq!("plan:current".parse::<SystemChoice>().unwrap().to_string(), "plan:1.37", "an old name");
        for text in
            ["", "plan:", "plan:0.9", "kube-proxy:", "kube-proxy:1.", "kube-proxy:1.x", "kube-proxy:2.1"]
        {
            assert!(text.parse::<SystemChoice>().is_err(), "{text}");
        }
        let absent = SystemChoice::Version(3).path().unwrap_err();
        assert!(absent.contains("scripts/kube-proxy 1.3`"), "{absent}");
    }

    proptest! {
        #[test]
        fn what_is_read_is_printed_as_it_was(text in "(plan|kube-proxy)?:?[0-9a-z./]{0,12}") {
            if let Ok(system) = text.parse::<SystemChoice>() {
                let again = system.to_string().parse::<SystemChoice>();
                prop_assert_eq!(again, Ok(system));
            }
        }
    }
}
