//! Versions of Kubernetes, as its programs name them.

use std::fmt;

/// A version: `v1.37.2`, or with what a distribution adds, `v1.30.5+k3s1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    text: String,
    numbers: [u32; 3],
}

impl Version {
    /// Reads what `kube-proxy --version` prints: `Kubernetes v1.37.2`. `None` if it is something else.
    pub fn of_output(output: &str) -> Option<Self> {
        let mut lines = output.lines().filter(|line| !line.trim().is_empty());
        let text = lines.next()?.trim().strip_prefix("Kubernetes ")?;
        if lines.next().is_some() {
            return None;
        }
        Self::parse(text)
    }

    /// Reads `v1.37.2`, or without the `v`.
    pub fn parse(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('v').unwrap_or(text);
        let end = bare.find(['-', '+']).unwrap_or(bare.len());
        let mut parts = bare[..end].split('.');
        let mut number = || {
            let part = parts.next()?;
            // A sign would pass.
            part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
        };
        let numbers = [number()?, number()?, number()?];
        let is_plain = bare[end..].bytes().all(|byte| byte.is_ascii_graphic());
        (parts.next().is_none() && is_plain).then(|| Self { text: format!("v{bare}"), numbers })
    }

    /// `(1, 37)`; `(0, 0)` of a program that was built without a stamp, whose version is not known.
    pub const fn minor(&self) -> (u32, u32) {
        (self.numbers[0], self.numbers[1])
    }

    /// Whether it is this minor version of Kubernetes 1 or a later one; a program without a stamp is taken for a new one.
    pub const fn is_at_least(&self, minor: u32) -> bool {
        match self.minor() {
            (0, 0) => true,
            (major, own) => major > 1 || (major == 1 && own >= minor),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_programs_print_is_read() {
        let version = Version::of_output("Kubernetes v1.37.2\n").unwrap();
        assert_eq!((version.to_string().as_str(), version.minor()), ("v1.37.2", (1, 37)));
        assert!(version.is_at_least(37) && !version.is_at_least(38));
        assert_eq!(Version::of_output("Kubernetes v1.30.5+k3s1").unwrap().minor(), (1, 30));
        assert_eq!(Version::of_output("Kubernetes v1.38.0-beta.0").unwrap().minor(), (1, 38));
        assert!(Version::of_output("Kubernetes v0.0.0-master+$Format:%H$").unwrap().is_at_least(99));
        for other in [
            "",
            "v1.37.2",
            "nginx version: nginx/1.22.1",
            "Kubernetes",
            "Kubernetes v1.37",
            "Kubernetes v+1.3.2",
        ] {
            assert_eq!(Version::of_output(other), None, "{other}");
        }
        assert_eq!(Version::of_output("Kubernetes v1.37.2\nand more"), None);
    }

    proptest! {
        #[test]
        fn any_output_is_read(text in "\\PC{0,60}", numbers: [u32; 3]) {
            let _ = (Version::of_output(&text), Version::parse(&text));
            let [major, minor, patch] = numbers;
            let version = Version::parse(&format!("{major}.{minor}.{patch}")).unwrap();
            prop_assert_eq!(version.minor(), (major, minor));
        }
    }
}
