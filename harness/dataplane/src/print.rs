//! Plans as text: for people, and for the tools that could carry them out.

use std::collections::BTreeMap;
use std::io::{self, Write};

use netns_setup::ipvs::Request;

use crate::plan::{Action, Expect, Plan, Program, Step};

/// Which tool could read a part of a plan that is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Everything, with a comment line for whatever is no input of a program
    #[default]
    All,
    /// What `ipvsadm -R` reads: virtual and real servers
    Ipvs,
    /// What `ipset restore` reads: sets and their entries
    Ipset,
    /// What `iptables-restore --noflush` reads: chains and rules
    Iptables,
}

impl Plan {
    /// Writes the plan, or the part of it that one tool reads. What is read that way leaves the same objects in the
    /// kernel as the plan itself.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_part(&self, part: Part, out: &mut impl Write) -> io::Result<()> {
        let steps = || self.steps.iter().chain(&self.cleanup);
        match part {
            Part::All => self.write_to(out),
            Part::Ipvs => steps().try_for_each(|step| requests(step, "", out)),
            Part::Ipset => steps().try_for_each(|step| ipset(step, out)),
            Part::Iptables => iptables(steps(), out),
        }
    }

    /// Writes the plan: each step's command as a comment line, then its input verbatim.
    ///
    /// Requests to IPVS are lines of `ipvsadm -R`, those that only read are comments. `iptables-restore`, `ipset restore`
    /// and `nft -f` take lines that start with `#` as comments; `ipvsadm -R` does not.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        for step in self.steps.iter().chain(&self.cleanup) {
            if let Action::Drain(drain) = &step.action {
                writeln!(out, "# {}", drain.condition())?;
            }
            if matches!(step.action, Action::Ipvs { .. } | Action::Drain(_)) {
                requests(step, "# ipvsadm ", out)?;
                continue;
            }
            for command in step.action.commands() {
                writeln!(out, "# {command}")?;
            }
            if let Some(input) = step.input() {
                out.write_all(input)?;
            }
        }
        Ok(())
    }
}

/// Requests that change something; the others only if there is a mark to put before them.
fn requests(step: &Step, mark_of_reads: &str, out: &mut impl Write) -> io::Result<()> {
    let write = |request: &Request| match request.is_read() {
        false => writeln!(out, "{request}"),
        true if mark_of_reads.is_empty() => Ok(()),
        true => writeln!(out, "{mark_of_reads}{request}"),
    };
    match &step.action {
        Action::Ipvs { requests, .. } => requests.iter().try_for_each(write),
        Action::Drain(drain) => drain.requests().iter().try_for_each(write),
        _ => Ok(()),
    }
}

/// `ipset` takes the arguments of one run as one line of `ipset restore`, which gives up at the first that is refused.
fn ipset(step: &Step, out: &mut impl Write) -> io::Result<()> {
    if step.expect != Expect::Success {
        return Ok(());
    }
    match (step.program(), step.input()) {
        (Some(Program::Ipset), Some(input)) => out.write_all(input),
        (Some(Program::Ipset), None) if matches!(step.args()[0].as_str(), "create" | "add" | "del") => {
            writeln!(out, "{}", step.args().join(" "))
        }
        _ => Ok(()),
    }
}

/// Inputs verbatim. Single runs of `iptables` are gathered up to the next input, so that chains are there when they are
/// jumped to; those that only check are left out.
fn iptables<'a>(steps: impl Iterator<Item = &'a Step>, out: &mut impl Write) -> io::Result<()> {
    let mut single = Single::default();
    for step in steps {
        match (step.program(), step.input()) {
            (Some(Program::Iptables | Program::Ip6tables), _) => single.take(step.args()),
            (Some(Program::IptablesRestore | Program::Ip6tablesRestore), Some(input)) => {
                single.write(out)?;
                out.write_all(input)?;
            }
            _ => {}
        }
    }
    single.write(out)
}

/// Single runs of `iptables`, by table: chains, and rules as lines of a restore.
#[derive(Default)]
struct Single<'a> {
    tables: BTreeMap<&'a str, (Vec<&'a str>, Vec<String>)>,
}

impl<'a> Single<'a> {
    fn take(&mut self, args: &'a [String]) {
        let mut words: Vec<&str> = args.iter().map(String::as_str).collect();
        // kube-proxy names the table behind the chain, go-iptables before the operation; and `--wait` last.
        let Some(table) = words.iter().position(|word| *word == "-t").filter(|at| at + 1 < words.len())
        else {
            return;
        };
        let table = words.drain(table..=table + 1).nth(1).unwrap_or_default();
        let operation = words.iter().position(|word| matches!(*word, "-N" | "-C" | "-I" | "-A" | "-D"));
        let Some([operation, chain, rule @ ..]) = operation.map(|at| &words[at..]) else { return };
        let rule = rule.strip_suffix(&["--wait"]).unwrap_or(rule);
        let (chains, rules) = self.tables.entry(table).or_default();
        match *operation {
            "-N" => chains.push(chain),
            "-C" => {}
            _ => {
                let quoted = rule.iter().map(|word| match word.contains(' ') {
                    true => format!("\"{}\"", word.replace('"', "\\\"")),
                    false => (*word).to_owned(),
                });
                rules.push(format!("{operation} {chain} {}", quoted.collect::<Vec<_>>().join(" ")));
            }
        }
    }

    fn write(&mut self, out: &mut impl Write) -> io::Result<()> {
        for (table, (chains, rules)) in std::mem::take(&mut self.tables) {
            writeln!(out, "*{table}")?;
            chains.iter().try_for_each(|chain| writeln!(out, ":{chain} - [0:0]"))?;
            rules.iter().try_for_each(|rule| writeln!(out, "{rule}"))?;
            writeln!(out, "COMMIT")?;
        }
        Ok(())
    }
}
