//! Plans as text: for people, and for the tools that could carry them out.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::{Action, Plan, Program, Step};

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
            if matches!(step.action, Action::Ipvs { .. }) {
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
    let Action::Ipvs { requests, .. } = &step.action else { return Ok(()) };
    for request in requests {
        match request.is_read() {
            false => writeln!(out, "{request}")?,
            true if mark_of_reads.is_empty() => {}
            true => writeln!(out, "{mark_of_reads}{request}")?,
        }
    }
    Ok(())
}

/// `ipset` takes the arguments of one run as one line of `ipset restore`.
fn ipset(step: &Step, out: &mut impl Write) -> io::Result<()> {
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
        let mut words = args.iter().map(String::as_str);
        let operation = words.find(|word| matches!(*word, "-N" | "-C" | "-I" | "-A" | "-D"));
        let (Some(operation), Some(chain), Some("-t"), Some(table)) =
            (operation, words.next(), words.next(), words.next())
        else {
            return;
        };
        let (chains, rules) = self.tables.entry(table).or_default();
        match operation {
            "-N" => chains.push(chain),
            "-C" => {}
            _ => {
                let quoted = words.map(|word| match word.contains(' ') {
                    true => format!("\"{word}\""),
                    false => word.to_owned(),
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
