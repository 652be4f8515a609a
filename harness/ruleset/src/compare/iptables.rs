//! The normal form of what `iptables-save` prints.

use services::service::Family;

use super::normal::{Normal, Object};
use super::owner;
use crate::chains::Chain;
use crate::error::Fault;
use crate::iptables::{self, Words};

/// What the lists of Services are called that packets walk.
const LISTS: [&str; 4] = ["KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-EXTERNAL-SERVICES", "KUBE-PROXY-FIREWALL"];

/// Takes a dump apart.
///
/// # Errors
/// The first line that iptables-save would not have written there.
pub fn normal(text: &str) -> Result<Normal, Fault> {
    let dump = iptables::parse(text)?;
    let all_lines: Vec<&str> = text.lines().collect();
    let mut normal = Normal::new();
    for table in &dump.tables {
        let program = match table.family {
            Family::Ipv4 => "iptables",
            Family::Ipv6 => "ip6tables",
        };
        for chain in table.chains.all() {
            let policy = policy(&all_lines, chain.line);
            // iptables-nft makes them only when they are first used.
            if chain.rules.is_empty() && policy == "ACCEPT" {
                continue;
            }
            let place = format!("{program} {}, chain {}", table.name, chain.name);
            normal.insert(place, object(chain, policy));
        }
    }
    Ok(normal)
}

/// The policy of the chain that is declared in a line.
fn policy<'a>(lines: &[&'a str], line: u32) -> &'a str {
    let line = lines.get(line.saturating_sub(1) as usize);
    line.and_then(|line| line.split(' ').nth(1)).unwrap_or_default()
}

fn object(chain: &Chain<'_>, policy: &str) -> Object {
    let mut lines: Vec<(Option<String>, String)> =
        chain.rules.iter().map(|rule| (of_rule(rule.text), rule.text.to_owned())).collect();
    let service = lines.iter().find_map(|(service, _)| service.clone());
    if LISTS.contains(&chain.name) {
        // Services among themselves, between rules of none. The sort keeps the order of one Service's rules.
        for run in lines.chunk_by_mut(|one, other| one.0.is_some() == other.0.is_some()) {
            if run.iter().all(|(service, _)| service.is_some()) {
                run.sort_by(|one, other| one.0.cmp(&other.0));
            }
        }
    } else {
        lines.iter_mut().for_each(|(own, _)| *own = None);
    }
    let service = service.filter(|_| !LISTS.contains(&chain.name));
    lines.insert(0, (None, format!("chain with policy {policy}")));
    Object { service, lines }
}

/// The Service that its comment names.
fn of_rule(text: &str) -> Option<String> {
    let mut words = Words::new(text).map_while(Result::ok).skip_while(|word| word.text != "--comment");
    words.nth(1).and_then(|comment| owner::of_comment(&comment.text))
}
