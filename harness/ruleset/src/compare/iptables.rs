//! The normal form of what `iptables-save` prints.

use services::service::Family;

use super::lists;
use super::normal::{Normal, Object};
use crate::chains::Chain;
use crate::error::Fault;
use crate::iptables;

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
    let mut object = lists::object(chain.name, chain.rules.iter().map(|rule| rule.text));
    object.lines.insert(0, (None, format!("chain with policy {policy}")));
    object
}
