//! Rulesets of real nodes as the ruleset under test: what was read is checked, installed by its own tool, and measured at the
//! Services that it has.
//!
//! * [`Replay`]: a ruleset that can be replayed, as pure data
//! * [`lab_addresses`]: the addresses of its lab: where probes come from, so that they are what its rules expect
//! * [`plan`]: what is run to check and to install it
//! * [`lab`]: that the kernel holds what the file says
//! * [`note`]: what a run's folder keeps of it, which is neither names nor addresses

pub mod lab;
pub mod lab_addresses;
pub mod note;
pub mod plan;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ruleset::Variant;
use ruleset::search::{FoundService, Frontend};
use ruleset::{Fault, Format, Inspection, input, inspect, ipset, iptables};
use services::service::{Endpoint, Family, Protocol, Service};
use services::service_set::{Scale, ServiceSet};
use sha2::{Digest, Sha256};

use self::lab_addresses::ReplayAddresses;

/// What is to be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplaySource {
    /// What `iptables-save` or `nft list ruleset` printed.
    pub rules: PathBuf,
    /// What `ipset save` printed.
    pub sets: Option<PathBuf>,
    /// Which variant of iptables is to install it; `None`: the one that has written it.
    pub variant: Option<Variant>,
}

/// A ruleset that can be replayed.
#[derive(Debug)]
pub struct Replay {
    /// Name of the file in messages.
    pub name: String,
    /// What is in it.
    pub inspection: Inspection,
    /// Which variant of iptables installs it; of no account for nftables.
    pub variant: Variant,
    /// SHA-256 of rules and sets, hexadecimal.
    pub digest: String,
    /// Addresses of its lab.
    pub addresses: ReplayAddresses,
    /// Texts for the tool, by family; of nftables one.
    texts: Vec<(Family, Arc<str>)>,
    sets: Option<Arc<str>>,
    services: ServiceSet,
}

/// Two that were read from the same texts and are installed alike are the same.
impl PartialEq for Replay {
    fn eq(&self, other: &Self) -> bool {
        (&self.digest, self.variant) == (&other.digest, other.variant)
    }
}

impl Replay {
    /// Reads and checks a ruleset. No program is run.
    ///
    /// # Errors
    /// What is wrong with a file, and where; ipsets that are missing.
    pub fn read(source: &ReplaySource) -> anyhow::Result<Self> {
        let name = input::name(&source.rules);
        let (text, inspection) = inspect(&source.rules)?;
        let sets = source.sets.as_deref().map(|path| read_sets(path, &inspection)).transpose()?;
        if let (None, Some((set, &line))) = (&sets, inspection.sets.iter().min_by_key(|(_, line)| **line)) {
            let count = inspection.sets.len();
            return Err(Fault::at(
                line,
                format!(
                    "it refers to ipset {set}, one of {count} that the ruleset needs; run `ipset save` on the same node and \
                     give its output with --replay-sets"
                ),
            )
            .of(name)
            .into());
        }
        if let Some(&line) = inspection.extensions.get("nfacct") {
            let problem = "it counts in an object of nfacct, which svcbench does not make; take `-m nfacct --nfacct-name NAME` \
                           out of this rule and others like it";
            return Err(Fault::at(line, problem).of(name).into());
        }
        Ok(Self::of_text(name, text, sets, inspection, source.variant)?)
    }

    /// From texts that were read and inspected.
    ///
    /// # Errors
    /// If no addresses are left for a lab.
    pub fn of_text(
        name: String,
        text: String,
        sets: Option<String>,
        inspection: Inspection,
        variant: Option<Variant>,
    ) -> Result<Self, Fault> {
        let mut digest = Sha256::new();
        digest.update(text.as_bytes());
        digest.update([0]);
        digest.update(sets.as_deref().unwrap_or_default().as_bytes());
        let addresses = ReplayAddresses::choose(&inspection.services)?;
        Ok(Self {
            name,
            variant: variant.or(inspection.variant).unwrap_or(Variant::Nft),
            digest: data_encoding::HEXLOWER.encode(&digest.finalize()),
            addresses,
            texts: by_family(text, &inspection)?,
            sets: sets.map(Arc::from),
            services: frontends(&inspection),
            inspection,
        })
    }

    /// The family whose Services are counted: IPv4, unless only IPv6 has some.
    pub fn family(&self) -> Family {
        let services = &self.inspection.services;
        let only_v6 =
            services.of(Family::Ipv4).next().is_none() && services.of(Family::Ipv6).next().is_some();
        if only_v6 { Family::Ipv6 } else { Family::Ipv4 }
    }

    /// Number of Services, and of endpoints of each, on average.
    pub fn scale(&self) -> Scale {
        let family = self.family();
        let services = &self.inspection.services;
        let of_cluster = || services.of(family).filter(|found| found.frontend == Frontend::Cluster);
        let (count, endpoints) =
            (of_cluster().count(), of_cluster().map(|found| found.answers.len()).sum::<usize>());
        let mean = (endpoints + count / 2).checked_div(count).unwrap_or(0);
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Scale { services: number(count), endpoints: number(mean) }
    }

    /// The addresses of IPv4 that packets can be sent to, in the order of the ruleset; those of which it is not sure that
    /// they answer have no endpoints.
    pub fn services(&self) -> &ServiceSet {
        &self.services
    }

    /// Which packets are sent: those of the protocol that more Services have.
    pub fn protocol(&self) -> Protocol {
        let answering = |protocol| {
            let of = |&index: &usize| {
                self.services.services()[index].protocol == protocol && self.services.answers(index)
            };
            (0..self.services.len()).filter(of).count()
        };
        if answering(Protocol::Tcp) > answering(Protocol::Udp) { Protocol::Tcp } else { Protocol::Udp }
    }

    /// Why there is nothing to send packets to; `None`: there is.
    pub fn without_services(&self) -> Option<String> {
        if (0..self.services.len()).any(|index| self.services.answers(index)) {
            return None;
        }
        let services = &self.inspection.services;
        let found = services.found.len();
        Some(match self.family() {
            Family::Ipv6 => "the ruleset has Services of IPv6 only, and the packet probe sends IPv4".into(),
            Family::Ipv4 if services.is_incomplete => {
                "the ruleset's chains are too entangled to tell who answers for its Services".into()
            }
            Family::Ipv4 if found == 0 => {
                "the ruleset has no Services that svcbench recognises: none in chain KUBE-SERVICES or map service-ips".into()
            }
            Family::Ipv4 => format!("none of the {found} Service addresses of the ruleset answers a pod for sure"),
        })
    }

    /// Why packets that go to no Service cannot be sent; `None`: they can.
    pub fn without_misses(&self) -> Option<String> {
        let has_v4 = self.inspection.families().contains(&Family::Ipv4);
        (!has_v4).then(|| "the ruleset has no rules for IPv4, and the packet probe sends IPv4".into())
    }

    /// What installs it.
    pub const fn format(&self) -> Format {
        self.inspection.format
    }
}

/// Reads ipsets, and sees that all that are needed are among them.
fn read_sets(path: &Path, inspection: &Inspection) -> anyhow::Result<String> {
    let name = input::name(path);
    let text = input::read(path)?;
    let sets = ipset::parse(&text).map_err(|fault| fault.of(name.clone()))?;
    if let Some((set, line)) = inspection.sets.iter().find(|(set, _)| !sets.contains_key(set.as_str())) {
        let problem = format!(
            "it has no set {set}, to which line {line} of the ruleset refers; save both at the same time"
        );
        return Err(Fault::whole(problem).of(name).into());
    }
    Ok(text)
}

/// The part of a dump that each family's tool reads. What belongs to the other is left empty, so that lines keep their
/// numbers.
fn by_family(text: String, inspection: &Inspection) -> Result<Vec<(Family, Arc<str>)>, Fault> {
    if inspection.format == Format::Nft {
        return Ok(vec![(Family::Ipv4, text.into())]);
    }
    let families = inspection.families();
    if let [family] = families[..] {
        return Ok(vec![(family, text.into())]);
    }
    let tables = iptables::parse(&text)?.tables;
    let of = |family: Family| {
        let mut part = String::with_capacity(text.len());
        for (number, line) in input::lines(&text) {
            let is_own = tables
                .iter()
                .any(|table| table.family == family && (table.line..=table.end).contains(&number));
            part.push_str(if is_own { line } else { "" });
            part.push('\n');
        }
        (family, Arc::from(part))
    };
    Ok(families.into_iter().map(of).collect())
}

/// Addresses of IPv4 as Services of their own, in the order of the list.
fn frontends(inspection: &Inspection) -> ServiceSet {
    let mut frontends: Vec<&FoundService> = inspection.services.of(Family::Ipv4).collect();
    // Those without endpoints are in no list.
    frontends.retain(|found| found.is_certain || !found.answers.is_empty());
    frontends.sort_by_key(|found| (found.position, found.line));
    let service = |found: &FoundService| {
        let (namespace, rest) = found.name.split_once('/').unwrap_or(("", &found.name));
        let (name, port) = rest.split_once(':').unwrap_or((rest, ""));
        let answers = if found.is_certain { found.answers.as_slice() } else { &[] };
        let endpoints = answers.iter().map(|&address| Endpoint::ready(address, false)).collect();
        Service::new(namespace, name, port, found.protocol, found.entry, endpoints)
    };
    frontends.into_iter().map(service).collect()
}

#[cfg(test)]
mod tests;
