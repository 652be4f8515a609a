//! The graph of a table's chains: names once, jumps that lead somewhere, and no way back.

use std::collections::HashMap;

use crate::error::Fault;
use crate::input;

/// A rule: where it stands, and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule<'a> {
    /// Line of the file.
    pub line: u32,
    /// Without the name of its chain, and without counters.
    pub text: &'a str,
}

/// A chain and its rules, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where it is declared.
    pub line: u32,
    /// Whether packets come to it from the kernel: it is built in, or has a hook.
    pub is_base: bool,
    /// Its rules.
    pub rules: Vec<Rule<'a>>,
}

/// The chains of a table, by name and in their order.
#[derive(Clone, Debug, Default)]
pub struct Chains<'a> {
    list: Vec<Chain<'a>>,
    by_name: HashMap<&'a str, usize>,
    /// From, to, line.
    jumps: Vec<(usize, &'a str, u32)>,
}

impl<'a> Chains<'a> {
    /// Adds one.
    ///
    /// # Errors
    /// If there is one of that name.
    pub fn declare(&mut self, name: &'a str, line: u32, is_base: bool) -> Result<usize, Fault> {
        let index = self.list.len();
        if let Some(&other) = self.by_name.get(name) {
            let before = self.list[other].line;
            let shown = input::shown(name);
            return Err(Fault::at(line, format!("chain {shown} is there twice, first in line {before}")));
        }
        self.by_name.insert(name, index);
        self.list.push(Chain { name, line, is_base, rules: Vec::new() });
        Ok(index)
    }

    /// Index of a chain.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// A chain by name.
    pub fn get(&self, name: &str) -> Option<&Chain<'a>> {
        self.index(name).map(|index| &self.list[index])
    }

    /// All of them.
    pub fn all(&self) -> &[Chain<'a>] {
        &self.list
    }

    /// Adds a rule at the end of a chain. An index that no [`Chains::declare`] gave is passed over.
    pub fn append(&mut self, chain: usize, rule: Rule<'a>) {
        if let Some(chain) = self.list.get_mut(chain) {
            chain.rules.push(rule);
        }
    }

    /// Notes that packets come to a chain from the kernel.
    pub fn set_base(&mut self, chain: usize) {
        if let Some(chain) = self.list.get_mut(chain) {
            chain.is_base = true;
        }
    }

    /// Notes that a rule of a chain jumps to another, which may be declared later.
    pub fn jump(&mut self, from: usize, to: &'a str, line: u32) {
        self.jumps.push((from, to, line));
    }

    /// Number of rules in all chains.
    pub fn rules(&self) -> u64 {
        self.list.iter().map(|chain| chain.rules.len() as u64).sum()
    }

    /// That every jump leads to a chain, and none back to where it came from. To be asked once all are declared; the jumps
    /// are forgotten.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&mut self) -> Result<(), Fault> {
        let mut edges: Vec<Vec<(usize, u32)>> = vec![Vec::new(); self.list.len()];
        for (from, to, line) in std::mem::take(&mut self.jumps) {
            let Some(to) = self.index(to) else {
                let problem =
                    format!("it jumps to chain {}, which its table does not have", input::shown(to));
                return Err(Fault::at(line, problem));
            };
            edges[from].push((to, line));
        }
        match way_back(&edges) {
            None => Ok(()),
            Some((to, line)) => {
                let name = input::shown(self.list[to].name);
                Err(Fault::at(
                    line,
                    format!("it jumps to chain {name}, from which packets come back to this rule"),
                ))
            }
        }
    }
}

/// The first jump that closes a loop: to which chain, and in which line. Depth first, without recursion: a file may have
/// a chain of any length.
fn way_back(edges: &[Vec<(usize, u32)>]) -> Option<(usize, u32)> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        Never,
        OnTheWay,
        Done,
    }
    let mut seen = vec![Seen::Never; edges.len()];
    for start in 0..edges.len() {
        if seen[start] != Seen::Never {
            continue;
        }
        seen[start] = Seen::OnTheWay;
        let mut way = vec![(start, 0)];
        while let Some((chain, next)) = way.last_mut() {
            let Some(&(to, line)) = edges[*chain].get(*next) else {
                seen[*chain] = Seen::Done;
                way.pop();
                continue;
            };
            *next += 1;
            match seen[to] {
                Seen::OnTheWay => return Some((to, line)),
                Seen::Never => {
                    seen[to] = Seen::OnTheWay;
                    way.push((to, 0));
                }
                Seen::Done => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chains(jumps: &[(&'static str, &'static str)]) -> Chains<'static> {
        let mut chains = Chains::default();
        for name in ["a", "b", "c"] {
            chains.declare(name, 1, false).unwrap();
        }
        for (line, (from, to)) in (10..).zip(jumps) {
            chains.jump(chains.index(from).unwrap(), to, line);
        }
        chains
    }

    #[test]
    fn every_jump_leads_somewhere_and_never_back() {
        assert_eq!(chains(&[("a", "b"), ("a", "c"), ("b", "c")]).check(), Ok(()));
        let problem = |jumps| chains(jumps).check().unwrap_err().to_string();
        assert_eq!(problem(&[("a", "d")]), "line 10: it jumps to chain `d`, which its table does not have");
        for back in [&[("a", "b"), ("b", "c"), ("c", "a")][..], &[("c", "b"), ("c", "a"), ("b", "b")]] {
            assert!(problem(back).starts_with("line 12: it jumps to chain"), "{}", problem(back));
        }
    }

    #[test]
    fn a_long_way_needs_no_stack() {
        let edges: Vec<Vec<(usize, u32)>> =
            (0..1_000_000).map(|i| if i < 999_999 { vec![(i + 1, 1)] } else { vec![] }).collect();
        assert_eq!(way_back(&edges), None);
    }

    #[test]
    fn a_name_is_given_once() {
        let mut chains = chains(&[]);
        let fault = chains.declare("b", 7, false).unwrap_err();
        assert_eq!(fault.to_string(), "line 7: chain `b` is there twice, first in line 1");
    }
}
