//! A background ruleset as data: chains, the rules that lead to them, and sets; and the text that tools read.

use crate::Counts;

/// What one product has in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// Sets that rules refer to.
    pub sets: Vec<Set>,
    /// Its part of each table, in the order in which a packet may meet them.
    pub tables: Vec<PlannedTable>,
}

/// A set of `ipset`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// At most 31 bytes.
    pub name: String,
    /// Type and options, as `ipset create` takes them.
    pub kind: &'static str,
    /// Its entries, all different.
    pub entries: Vec<String>,
}

/// A product's part of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedTable {
    /// Which.
    pub name: &'static str,
    /// Its own chains, each with its rules as they stand behind `-A CHAIN`.
    pub chains: Vec<(String, Vec<String>)>,
    /// Rules in the table's built-in chains.
    pub hooks: Vec<Hook>,
}

/// Rules in a built-in chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Which chain.
    pub chain: &'static str,
    /// Before or behind what is there already.
    pub place: HookPosition,
    /// The rules, in the order in which a packet meets them.
    pub rules: Vec<String>,
}

/// Where rules are put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookPosition {
    /// `-I`: first.
    Top,
    /// `-A`: last.
    Bottom,
}

/// How many chains of its own a table of iptables has; `None`: iptables has no such table.
pub const fn built_in_chains(table: &[u8]) -> Option<u64> {
    match table {
        b"filter" => Some(3),
        b"nat" => Some(4),
        b"mangle" => Some(5),
        b"raw" => Some(2),
        b"security" => Some(3),
        _ => None,
    }
}

impl Ruleset {
    /// What `ipset restore` reads; `None`: there are no sets.
    pub fn sets_text(&self) -> Option<String> {
        if self.sets.is_empty() {
            return None;
        }
        let set = |set: &Set| {
            let entries: String =
                set.entries.iter().map(|entry| format!("add {} {entry}\n", set.name)).collect();
            format!("create {} {}\n{entries}", set.name, set.kind)
        };
        Some(self.sets.iter().map(set).collect())
    }

    /// What `iptables-restore --noflush` reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for table in &self.tables {
            text += &format!("*{}\n", table.name);
            for (chain, _) in &table.chains {
                text += &format!(":{chain} - [0:0]\n");
            }
            for (chain, rules) in &table.chains {
                rules.iter().for_each(|rule| text += &format!("-A {chain} {rule}\n"));
            }
            table.hooks.iter().for_each(|hook| hook.write(&mut text));
            text += "COMMIT\n";
        }
        text
    }

    /// The same for what brings its rules in built-in chains back to their places.
    pub fn text_of_hooks(&self) -> String {
        let mut text = String::new();
        for table in self.tables.iter().filter(|table| !table.hooks.is_empty()) {
            text += &format!("*{}\n", table.name);
            for hook in &table.hooks {
                hook.rules.iter().for_each(|rule| text += &format!("-D {} {rule}\n", hook.chain));
            }
            table.hooks.iter().for_each(|hook| hook.write(&mut text));
            text += "COMMIT\n";
        }
        text
    }

    /// What it adds to the kernel. Built-in chains are not counted.
    pub fn counts(&self) -> Counts {
        let rules = |table: &PlannedTable| {
            let own = table.chains.iter().map(|(_, rules)| rules.len());
            own.chain(table.hooks.iter().map(|hook| hook.rules.len())).sum::<usize>()
        };
        Counts {
            rules: self.tables.iter().map(rules).sum::<usize>() as u64,
            chains: self.tables.iter().map(|table| table.chains.len()).sum::<usize>() as u64,
            elements: self.sets.iter().map(|set| set.entries.len()).sum::<usize>() as u64,
            ..Counts::default()
        }
    }
}

impl Hook {
    fn write(&self, text: &mut String) {
        match self.place {
            // Each is put before the last.
            HookPosition::Top => {
                self.rules.iter().rev().for_each(|rule| *text += &format!("-I {} {rule}\n", self.chain));
            }
            HookPosition::Bottom => {
                self.rules.iter().for_each(|rule| *text += &format!("-A {} {rule}\n", self.chain));
            }
        }
    }
}
