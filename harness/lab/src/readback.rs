//! What the kernel really holds: counted through the kernel's own interface, not the tool that wrote it.

mod error;
pub mod ipvs;
mod netfilter;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek};
use std::process::Command;

use dataplane::background::{Background, built_in_chains};
use dataplane::{Counts, Mode, Program};
use services::service::Family;

pub use self::error::ReadBackError;
use self::netfilter::{Netfilter, attribute, attributes};
use crate::apply::{ApplyError, Runner, empty_in_memory, last_lines};

/// Counts rules, chains, set elements, servers and addresses of one family in the namespace of the calling thread; those of
/// background rules, too.
///
/// # Errors
/// [`ReadBackError`].
pub fn counts(
    mode: Mode,
    family: Family,
    background: &Background,
    runner: &Runner,
) -> Result<Counts, ReadBackError> {
    let counts = of_mode(mode, family, runner)?;
    // In IPVS mode all sets are counted anyway. Elsewhere ip_set may be missing from the kernel.
    let elements = if mode.is_ipvs() || background.calico.is_none() { 0 } else { ipvs::entries()? };
    Ok(Counts { elements: counts.elements + elements, ..counts })
}

fn of_mode(mode: Mode, family: Family, runner: &Runner) -> Result<Counts, ReadBackError> {
    match mode {
        Mode::IptablesLegacy | Mode::BackgroundLegacy => legacy(family, runner),
        Mode::Direct
        | Mode::Conntrack
        | Mode::Dnat
        | Mode::IptablesNft
        | Mode::BackgroundNft
        | Mode::Nftables
        | Mode::Replay => nf_tables(family),
        Mode::Ipvs | Mode::IpvsBatched => ipvs::counts(family, legacy(family, runner)?),
    }
}

/// ip_tables has no dump but the one that iptables-save decodes; it takes no lock.
fn legacy(family: Family, runner: &Runner) -> Result<Counts, ReadBackError> {
    let program = runner.tools().path(Program::iptables_save(family)).map_err(ApplyError::from)?;
    let name = match family {
        Family::Ipv4 => "iptables-legacy-save",
        Family::Ipv6 => "ip6tables-legacy-save",
    };
    // Into memory: 10,000 Services are 35 MB.
    let file = empty_in_memory().map_err(ReadBackError::Output)?;
    let copy = file.try_clone().map_err(ReadBackError::Output)?;
    let finished = runner.run_into(&mut Command::new(program), name, copy)?;
    if !finished.status.success() {
        let stderr = last_lines(&finished.stderr);
        return Err(ReadBackError::Save { program: name, stderr });
    }
    count_lines(file).map_err(ReadBackError::Output)
}

fn count_lines(mut file: File) -> io::Result<Counts> {
    file.rewind()?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let (mut counts, mut line) = (Counts::default(), Vec::new());
    while reader.read_until(b'\n', &mut line)? > 0 {
        counts.rules += u64::from(line.starts_with(b"-A"));
        counts.chains += u64::from(line.starts_with(b":"));
        line.clear();
    }
    Ok(counts)
}

// linux/netfilter/nfnetlink.h and nf_tables.h.
const SUBSYSTEM: u8 = 10;
const GET_CHAIN: u16 = 4;
const GET_RULE: u16 = 7;
const GET_SET: u16 = 10;
const GET_SET_ELEMENTS: u16 = 13;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_ANONYMOUS: u32 = 1;
const ELEMENTS: u16 = 3;

/// How many maps and sets without a name one family has in nf_tables, in the namespace of the calling thread: each belongs to a
/// rule, and none of them is in [`Counts`].
///
/// # Errors
/// [`ReadBackError::Netlink`].
pub fn anonymous_maps(family: Family) -> Result<u64, ReadBackError> {
    let failed = |what| move |source| ReadBackError::Netlink { what, source };
    let mut netlink = Netfilter::open(SUBSYSTEM, family).map_err(failed("nf_tables"))?;
    let mut count = 0;
    netlink
        .dump(GET_SET, &[], |message| count += u64::from(is_anonymous(message)))
        .map_err(failed("sets"))?;
    Ok(count)
}

fn is_anonymous(set: &[u8]) -> bool {
    let flags = attribute(set, SET_FLAGS).and_then(|value| value.first_chunk().copied());
    flags.is_some_and(|flags| u32::from_be_bytes(flags) & SET_ANONYMOUS != 0)
}

/// Objects of one family in nf_tables.
///
/// iptables-nft makes a table's built-in chains as they are used, while iptables-save always shows all of them: they are counted
/// as iptables-save shows them.
fn nf_tables(family: Family) -> Result<Counts, ReadBackError> {
    let failed = |what| move |source| ReadBackError::Netlink { what, source };
    let mut netlink = Netfilter::open(SUBSYSTEM, family).map_err(failed("nf_tables"))?;
    let mut counts = Counts::default();
    let (mut chains, mut of_iptables) = (Vec::new(), BTreeMap::new());
    netlink
        .dump(GET_CHAIN, &[], |message| {
            let (Some(table), Some(name)) = (attribute(message, CHAIN_TABLE), attribute(message, CHAIN_NAME))
            else {
                return;
            };
            // Table names end with a zero byte.
            let built_in = built_in_chains(table.strip_suffix(&[0]).unwrap_or(table));
            counts.chains += u64::from(built_in.is_none() || attribute(message, CHAIN_HOOK).is_none());
            if let Some(built_in) = built_in {
                of_iptables.insert(table.to_vec(), built_in);
            }
            chains.push((table.to_vec(), name.to_vec()));
        })
        .map_err(failed("chains"))?;
    counts.chains += of_iptables.values().sum::<u64>();
    // Chain by chain: a dump of all rules walks them anew from the first for every 32 KiB that it returns
    // (nf_tables_dump_rules), 25 s for 10,000 Services; so it takes about one.
    for (table, chain) in chains {
        let which = [(RULE_TABLE, &table[..]), (RULE_CHAIN, &chain[..])];
        netlink.dump(GET_RULE, &which, |_| counts.rules += 1).map_err(failed("rules"))?;
    }
    let mut named = Vec::new();
    netlink
        .dump(GET_SET, &[], |message| {
            if let (false, Some(table), Some(name)) =
                (is_anonymous(message), attribute(message, SET_TABLE), attribute(message, SET_NAME))
            {
                named.push((table.to_vec(), name.to_vec()));
            }
        })
        .map_err(failed("sets"))?;
    for (table, name) in named {
        let which = [(SET_TABLE, &table[..]), (SET_NAME, &name[..])];
        netlink
            .dump(GET_SET_ELEMENTS, &which, |message| {
                counts.elements +=
                    attribute(message, ELEMENTS).map_or(0, |list| attributes(list).count() as u64);
            })
            .map_err(failed("set elements"))?;
    }
    Ok(counts)
}
