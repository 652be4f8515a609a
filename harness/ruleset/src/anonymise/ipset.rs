//! What `ipset save` prints.

use std::collections::HashSet;

use super::names::Names;
use crate::Fault;
use crate::iptables::Words;

/// Replaces names and addresses.
pub(super) fn anonymise(text: &str, names: &mut Names) -> Result<String, Fault> {
    let mut anonymous = String::with_capacity(text.len() + text.len() / 16);
    // Sets whose entries are sets.
    let mut of_sets: HashSet<&str> = HashSet::new();
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let bare = line.trim_end_matches('\n');
        if bare.starts_with('#') {
            anonymous.push('#');
        } else {
            let mut words = bare.split_ascii_whitespace();
            if let (Some("create"), Some(name), Some("list:set")) = (words.next(), words.next(), words.next())
            {
                of_sets.insert(name);
            }
            let is_of_sets = bare.split_ascii_whitespace().nth(1).is_some_and(|name| of_sets.contains(name));
            let is_entry = bare.starts_with("add ");
            let mut after_comment = false;
            for (place, word) in Words::new(bare).enumerate() {
                let word = word.map_err(|problem| Fault::at(number, problem))?;
                if place > 0 {
                    anonymous.push(' ');
                }
                match place {
                    0 => anonymous.push_str(&word.text),
                    1 => anonymous.push_str(&names.identifier(&word.text)),
                    2 if is_entry && is_of_sets => anonymous.push_str(&names.identifier(&word.text)),
                    2 if is_entry => anonymous.push_str(&entry(&word.text, names)),
                    _ if word.quoted || (is_entry && after_comment) => {
                        anonymous.push_str(&format!("\"{}\"", names.comment(&word.text)));
                    }
                    // Types and options: words of ipset, numbers, and the ends of a range.
                    _ => match names.address_word(&word.text) {
                        Some(address) => anonymous.push_str(&address),
                        None => anonymous.push_str(&word.text),
                    },
                }
                after_comment = word.text == "comment";
            }
        }
        if line.ends_with('\n') {
            anonymous.push('\n');
        }
    }
    Ok(anonymous)
}

/// `10.96.0.10,tcp:80,10.0.0.0/8`, an interface, a number.
fn entry(word: &str, names: &mut Names) -> String {
    let parts: Vec<String> = word.split(',').map(|part| part_of_entry(part, names)).collect();
    parts.join(",")
}

fn part_of_entry(part: &str, names: &mut Names) -> String {
    if let Some(address) = names.address_word(part) {
        return address;
    }
    if let Some(interface) = part.strip_prefix("physdev:") {
        return format!("physdev:{}", names.interface(interface));
    }
    match part.split_once(':') {
        // Protocol and port; of ICMP the type.
        Some((protocol, _))
            if protocol.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) =>
        {
            part.to_owned()
        }
        _ if part.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'x' | b'/')) => {
            part.to_owned()
        }
        _ => names.interface(part),
    }
}
