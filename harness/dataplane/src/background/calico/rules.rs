//! How Felix writes rules and names: with hashes by which it knows its own again.
//!
//! Source: `felix/iptables/rules.go` (`RuleHashes`), `felix/hashutils` (`GetLengthLimitedID`), `felix/ipsets`. That
//! both are right is seen from the hashes that real nodes show, which the tests have.

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha224, Sha256};

/// Characters of a hash that are kept in a comment.
const HASH: usize = 16;
/// Longest chain name of iptables.
const CHAIN_NAME: usize = 28;
/// Longest name of a set.
const SET_NAME: usize = 31;

/// A rule: Felix's comments, then what it matches and what it does.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    comment: Option<String>,
    text: String,
}

/// A rule without a comment.
pub(super) fn rule(text: impl Into<String>) -> Rule {
    Rule { comment: None, text: text.into() }
}

impl Rule {
    /// With a comment.
    pub(super) fn comment(self, comment: impl Into<String>) -> Self {
        Self { comment: Some(comment.into()), ..self }
    }

    fn body(&self) -> String {
        let comment = self.comment.as_deref().map(|comment| format!("-m comment --comment \"{comment}\""));
        let parts = comment.into_iter().chain(Some(self.text.clone()).filter(|text| !text.is_empty()));
        parts.collect::<Vec<_>>().join(" ")
    }
}

/// Rules as they stand behind `-A CHAIN`, each with the hash of itself and all before it in its chain.
pub(super) fn hashed(chain: &str, rules: &[Rule]) -> Vec<String> {
    let mut hash = Sha224::digest(chain);
    let mut lines = Vec::with_capacity(rules.len());
    for rule in rules {
        let body = rule.body();
        hash = Sha224::new().chain_update(hash).chain_update(format!("-A {chain} HASH {body}")).finalize();
        let mut shown = BASE64URL_NOPAD.encode(&hash);
        shown.truncate(HASH);
        lines.push(format!("-m comment --comment \"cali:{shown}\" {body}"));
    }
    lines
}

/// Rules appended to a built-in chain: their hashes must differ from those of rules put before it.
pub(super) fn hashed_appends(chain: &str, rules: &[Rule]) -> Vec<String> {
    hashed(&format!("{chain}*appends*"), rules)
}

/// The name of a chain: what it is for if that fits, else the start of a hash of it.
pub(super) fn chain_name(prefix: &str, suffix: &str) -> String {
    if prefix.len() + suffix.len() <= CHAIN_NAME {
        return format!("{prefix}{suffix}");
    }
    let mut name = format!("{prefix}_{}", BASE64URL_NOPAD.encode(&Sha256::digest(suffix)));
    name.truncate(CHAIN_NAME);
    name
}

/// The name of the set of pods that a selector finds.
pub(super) fn selector_set(selector: &str) -> String {
    let mut name = format!("cali40s:{}", BASE64URL_NOPAD.encode(&Sha224::digest(selector)));
    name.truncate(SET_NAME);
    name
}

/// Marks of packets: a verdict between chains. Bits from 16 up (`IptablesMarkMask` 0xffff0000).
pub(super) mod mark {
    /// A policy accepts.
    pub(crate) const ACCEPT: &str = "0x10000";
    /// A policy passes on to the next tier, or the profiles.
    pub(crate) const PASS: &str = "0x20000";
    /// Both.
    pub(crate) const VERDICT: &str = "0x30000";
    /// From a workload; only within the raw table.
    pub(crate) const SCRATCH: &str = "0x40000";
    /// All of the above, and a second scratch bit.
    pub(crate) const ALL: &str = "0xf0000";
    /// All but [`ACCEPT`].
    pub(crate) const ALL_BUT_ACCEPT: &str = "0xe0000";
    /// The endpoint that a packet came from, for IPVS.
    pub(crate) const ENDPOINT: &str = "0xfff00000";
    /// None of Calico's.
    pub(crate) const NO_ENDPOINT: &str = "0x100000";
}

/// Clears bits of the mark.
pub(super) fn clear(mask: &str) -> Rule {
    rule(format!("--jump MARK --set-mark 0/{mask}"))
}

/// Jumps.
pub(super) fn jump(target: &str) -> Rule {
    rule(format!("--jump {target}"))
}

/// `action` if all bits of `mark` are set.
pub(super) fn if_set(mark: &str, action: &str) -> Rule {
    rule(format!("-m mark --mark {mark}/{mark} {action}"))
}

/// `action` if no bit of `mark` is set.
pub(super) fn if_clear(mark: &str, action: &str) -> Rule {
    rule(format!("-m mark --mark 0/{mark} {action}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(lines: &[String]) -> Vec<&str> {
        lines.iter().map(|line| line.split(['"', ':']).nth(2).unwrap()).collect()
    }

    #[test]
    fn hashes_are_those_of_a_real_node() {
        // A node with Calico 3.28.0 and kube-proxy 1.30.1.
        let lines = hashed(
            "cali-tw-cali1dac8782bdb",
            &[
                rule("-m conntrack --ctstate RELATED,ESTABLISHED --jump ACCEPT"),
                rule("-m conntrack --ctstate INVALID --jump DROP"),
                clear(mark::VERDICT),
            ],
        );
        assert_eq!(hashes(&lines), ["pZCSozePUt12JjYr", "A2w3HQa4qF2hpRLf", "Hldf7OOaxwfrGE_R"]);
        let accepted = if_set(mark::ACCEPT, "--jump ACCEPT").comment("Policy explicitly accepted packet.");
        let lines = hashed_appends("FORWARD", &[accepted, rule("--jump MARK --set-mark 0x10000/0x10000")]);
        assert_eq!(hashes(&lines), ["S93hcgKJrXEqnTfs", "mp77cMpurHhyjLrM"]);
    }

    #[test]
    fn names_are_those_of_a_real_node() {
        assert_eq!(chain_name("cali-pri-", "kns.kube-system"), "cali-pri-kns.kube-system");
        assert_eq!(chain_name("cali-pri-", "ksa.kube-system.coredns"), "cali-pri-_u2Tn2rSoAPffvE7JO6");
        let policy = "calico-apiserver/knp.default.allow-apiserver";
        assert_eq!(chain_name("cali-pi-", policy), "cali-pi-_3CJ_GmvE9pcCktVJ2ep");
        assert_eq!(selector_set("all()").len(), 31);
    }
}
