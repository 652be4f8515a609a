//! Chains of iptables as objects: the lists of Services that packets walk are put into an order of their own.

use super::normal::Object;
use super::owner;
use crate::iptables::Words;

/// What the lists of Services are called.
const LISTS: [&str; 4] = ["KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-EXTERNAL-SERVICES", "KUBE-PROXY-FIREWALL"];

/// A chain and its rules.
pub(super) fn object<'a>(chain: &str, rules: impl Iterator<Item = &'a str>) -> Object {
    let mut lines: Vec<(Option<String>, String)> =
        rules.map(|rule| (of_rule(rule), rule.to_owned())).collect();
    let service = lines.iter().find_map(|(service, _)| service.clone());
    if !LISTS.contains(&chain) {
        lines.iter_mut().for_each(|(own, _)| *own = None);
        return Object { service, lines };
    }
    // Services among themselves, between rules of none. The sort keeps the order of one Service's rules.
    for run in lines.chunk_by_mut(|one, other| one.0.is_some() == other.0.is_some()) {
        if run.iter().all(|(service, _)| service.is_some()) {
            run.sort_by(|one, other| one.0.cmp(&other.0));
        }
    }
    Object { service: None, lines }
}

/// The Service that its comment names.
fn of_rule(text: &str) -> Option<String> {
    let mut words = Words::new(text).map_while(Result::ok).skip_while(|word| word.text != "--comment");
    words.nth(1).and_then(|comment| owner::of_comment(&comment.text))
}
