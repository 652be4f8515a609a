//! Which kind of listing a text is.

use std::fmt;

use crate::error::Fault;
use crate::input;

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `iptables-save` or `ip6tables-save`, or one after the other.
    Iptables,
    /// `nft list ruleset` or `nft list table`.
    Nft,
    /// `ipset save`.
    Ipset,
    /// A JSON document.
    Json,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Format::Iptables => "iptables-save",
            Format::Nft => "nft",
            Format::Ipset => "ipset save",
            Format::Json => "JSON",
        })
    }
}

impl Format {
    /// By the first line that says something.
    ///
    /// # Errors
    /// What it is instead, as far as that is known.
    pub fn detect(text: &str) -> Result<Self, Fault> {
        let mut lines = input::lines(text).filter(|(_, line)| {
            let line = line.trim_start();
            !line.is_empty() && !line.starts_with('#')
        });
        let Some((number, line)) = lines.next() else {
            let what = if text.trim().is_empty() { "it is empty" } else { "it holds comments only" };
            return Err(Fault::whole(format!("{what}; {EXPECTED}")));
        };
        let line = line.trim_start();
        let fault = |problem: &str| Err(Fault::at(number, format!("{problem}; {EXPECTED}")));
        match line.split_ascii_whitespace().next().unwrap_or_default() {
            "table" => Ok(Format::Nft),
            "create" | "add" if looks_like_ipset(line) => Ok(Format::Ipset),
            word if word.starts_with('*') => Ok(Format::Iptables),
            word if word.starts_with(['{', '[']) => Ok(Format::Json),
            "-A" | "-P" | "-N" | "-I" => fault("this is what `iptables -S` prints"),
            "Chain" => fault("this is what `iptables -L` prints, which cannot be loaded again"),
            "add" | "flush" | "delete" | "create" | "define" | "include" => {
                fault("this is a script for nft, not a listing")
            }
            word if word.starts_with(':') || word.starts_with("COMMIT") => {
                fault("its beginning is missing: a table starts with `*`")
            }
            _ => fault(&format!("{} is the start of no ruleset", input::shown(line))),
        }
    }
}

const EXPECTED: &str =
    "expected what `iptables-save`, `ip6tables-save` or `nft list ruleset` prints on a node";

/// `create NAME TYPE ...` or `add NAME ENTRY`, where nft has a kind of object after the verb.
fn looks_like_ipset(line: &str) -> bool {
    let kinds = ["table", "chain", "rule", "set", "map", "element", "flowtable", "counter", "quota"];
    line.split_ascii_whitespace().nth(1).is_some_and(|word| !kinds.contains(&word))
}
