//! What `ipset save` prints: `create NAME TYPE ...`, and `add NAME ENTRY ...` for each entry.

use std::collections::BTreeMap;

use crate::error::Fault;
use crate::input;

/// Sets with their numbers of entries.
///
/// # Errors
/// The first line that `ipset save` would not have written there.
pub fn parse(text: &str) -> Result<BTreeMap<&str, u64>, Fault> {
    let mut sets: BTreeMap<&str, u64> = BTreeMap::new();
    for (number, line) in input::lines(text) {
        let at = |problem: String| Fault::at(number, problem);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.split_ascii_whitespace();
        let (verb, name, third) = (words.next(), words.next(), words.next());
        match (verb, name, third) {
            (Some("create"), Some(name), Some(_type)) => {
                if sets.insert(name, 0).is_some() {
                    return Err(at(format!("set {} is created twice", input::shown(name))));
                }
            }
            (Some("add"), Some(name), Some(_entry)) => match sets.get_mut(name) {
                Some(entries) => *entries += 1,
                None => return Err(at(format!("set {} is not created before", input::shown(name)))),
            },
            _ => return Err(at(format!("{} is nothing that `ipset save` prints", input::shown(line)))),
        }
    }
    if sets.is_empty() {
        return Err(Fault::whole("it holds no set; expected what `ipset save` prints on a node"));
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_sets_are_read() {
        let sets = parse(include_str!("../../dataplane/tests/golden/ipvs/ipset-save.txt")).unwrap();
        assert_eq!(sets.len(), 17);
        assert_eq!((sets["KUBE-CLUSTER-IP"], sets["KUBE-LOAD-BALANCER"]), (2, 0));
    }

    #[test]
    fn what_ipset_would_not_save_is_refused() {
        let fault = |text| parse(text).unwrap_err().to_string();
        assert_eq!(fault("create a hash:ip\nadd b 10.0.0.1\n"), "line 2: set `b` is not created before");
        assert_eq!(fault("create a hash:ip\ncreate a hash:ip\n"), "line 2: set `a` is created twice");
        assert_eq!(fault("create a hash:ip\nadd a"), "line 2: `add a` is nothing that `ipset save` prints");
        assert!(fault("# nothing\n").starts_with("it holds no set"));
    }
}
