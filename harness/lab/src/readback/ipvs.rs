//! What the kernel holds of IPVS mode besides rules: servers and addresses over netlink, entries of sets.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Seek};
use std::process::Command;

use dataplane::ipvs::{DUMMY, State};
use dataplane::{Counts, Program};
use netns_setup::Addresses;
use netns_setup::ipvs::Ipvs;
use services::service::Family;

use super::error::ReadBackError;
use super::netfilter::{Netfilter, attribute, attributes};
use crate::apply::{ApplyError, Runner, empty_in_memory, last_lines};

// include/uapi/linux/netfilter/nfnetlink.h and ipset/ip_set.h.
const SUBSYSTEM: u8 = 6;
const LIST: u16 = 7;
const PROTOCOL: u16 = 1;
const NAME: u16 = 2;
const DATA: u16 = 7;
const ENTRIES: u16 = 8;
/// The oldest protocol that kernels since 3.3 understand.
const PROTOCOL_VERSION: u8 = 6;

/// Adds to `rules` what else there is of a family: the proxiers of both have one table of servers, and one link.
pub fn counts(family: Family, rules: Counts) -> Result<Counts, ReadBackError> {
    let servers = Ipvs::open()?.state().map_err(Box::new)?;
    let (mut virtual_servers, mut real_servers) = (0, 0);
    for (server, real) in servers.services() {
        if Family::of(server.key.address.ip()) == family {
            virtual_servers += 1;
            real_servers += real.count() as u64;
        }
    }
    let addresses = bound()?.into_iter().filter(|&address| Family::of(address) == family).count();
    // Those of IPv6 alone are known by their names; with those of IPv4 stands whatever is not kube-proxy's.
    let is_of_ipv6 = |name: &[u8]| name.starts_with(b"KUBE-6-");
    Ok(Counts {
        elements: entries_of(|name| is_of_ipv6(name) == (family == Family::Ipv6))?,
        virtual_servers,
        real_servers,
        addresses: addresses as u64,
        ..rules
    })
}

/// Everything, in the namespace of the calling thread, for comparison with [`State::of`].
///
/// # Errors
/// [`ReadBackError`].
pub fn state(runner: &Runner) -> Result<State, ReadBackError> {
    Ok(State {
        servers: Ipvs::open()?.state().map_err(Box::new)?,
        sets: sets(runner)?,
        addresses: bound()?.into_iter().collect(),
    })
}

/// Entries of all sets together.
pub fn entries() -> Result<u64, ReadBackError> {
    entries_of(|_| true)
}

/// Entries of the sets that are wanted by their names. A set that is dumped comes in several messages if it is large, each with
/// its name.
fn entries_of(wanted: impl Fn(&[u8]) -> bool) -> Result<u64, ReadBackError> {
    let failed = |source| ReadBackError::Netlink { what: "ipsets", source };
    let mut count = 0;
    // ip_set lists the sets of all families to whoever asks.
    Netfilter::open(SUBSYSTEM, Family::Ipv4)
        .map_err(failed)?
        .dump(LIST, &[(PROTOCOL, &[PROTOCOL_VERSION])], |message| {
            if !wanted(attribute(message, NAME).unwrap_or_default()) {
                return;
            }
            let entries = attribute(message, ENTRIES).unwrap_or_default();
            count += attributes(entries).filter(|(kind, _)| *kind == DATA).count() as u64;
        })
        .map_err(failed)?;
    Ok(count)
}

/// As `ipset save` prints them: how the kernel encodes an entry depends on the type of its set.
fn sets(runner: &Runner) -> Result<BTreeMap<String, std::collections::BTreeSet<String>>, ReadBackError> {
    const SAVE: &str = "ipset save";
    let program = runner.tools().path(Program::Ipset).map_err(ApplyError::from)?;
    let mut file = empty_in_memory().map_err(ReadBackError::Output)?;
    let copy = file.try_clone().map_err(ReadBackError::Output)?;
    let finished = runner.run_into(Command::new(program).arg("save"), SAVE, copy)?;
    if !finished.status.success() {
        return Err(ReadBackError::Save { program: SAVE, stderr: last_lines(&finished.stderr) });
    }
    file.rewind().map_err(ReadBackError::Output)?;
    let mut sets: BTreeMap<String, std::collections::BTreeSet<String>> = BTreeMap::new();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(ReadBackError::Output)?;
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("create"), Some(name), _) => drop(sets.entry(name.to_owned()).or_default()),
            (Some("add"), Some(name), Some(entry)) => {
                sets.entry(name.to_owned()).or_default().insert(entry.to_owned());
            }
            _ => {}
        }
    }
    Ok(sets)
}

/// Addresses of the dummy link; none without it.
fn bound() -> Result<Vec<std::net::IpAddr>, ReadBackError> {
    let mut addresses = Addresses::open()?;
    let Some(link) = addresses.index(DUMMY)? else { return Ok(Vec::new()) };
    let all = addresses.list()?.into_iter();
    Ok(all.filter(|(of, _)| *of == link).map(|(_, address)| address).collect())
}
