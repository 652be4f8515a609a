//! `svcbench inspect`: what a ruleset of a real node is, before it is replayed.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::Args;
use lab::replay::note::spread;
use ruleset::Variant;
use ruleset::search::{FoundService, FoundServices};
use ruleset::{Format, Inspection, TableCounts, inspect};
use serde_json::json;
use services::service::{Family, Protocol};

use super::exit::Exit;
use super::output::Output;
use super::streams;

/// Flags of `svcbench inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Output of iptables-save, ip6tables-save or nft list ruleset; - for standard input
    file: PathBuf,
    /// List the addresses of Services, and who may answer there
    #[arg(long)]
    services: bool,
}

/// Prints it.
///
/// # Errors
/// Bad input, with its place, or a closed standard output.
pub(crate) fn run(output: &Output, args: &InspectArgs) -> anyhow::Result<Exit> {
    let (text, inspection) = inspect(&args.file)?;
    let mut out = BufWriter::with_capacity(1 << 16, streams::data());
    match (output.json, args.services) {
        (true, _) => writeln!(out, "{:#}", as_json(&inspection, args.services))?,
        (false, true) => {
            let services = &inspection.services;
            services.found.iter().try_for_each(|found| writeln!(out, "{}", line(found)))?;
        }
        (false, false) => table(&inspection, text.len(), &mut out)?,
    }
    out.flush()?;
    Ok(Exit::Ok)
}

fn table(inspection: &Inspection, bytes: usize, out: &mut impl Write) -> std::io::Result<()> {
    let (rules, chains, elements) = inspection.totals();
    writeln!(out, "format       {}", format_of(inspection))?;
    writeln!(out, "bytes        {bytes}")?;
    for table in &inspection.tables {
        let TableCounts { family, name, rules, chains, elements, .. } = table;
        writeln!(out, "table        {family} {name}: {rules} rules, {chains} chains, {elements} elements")?;
    }
    writeln!(out, "rules        {rules}")?;
    writeln!(out, "chains       {chains}")?;
    writeln!(out, "elements     {elements}")?;
    if !inspection.sets.is_empty() {
        writeln!(out, "ipsets       {} are needed: give --replay-sets", inspection.sets.len())?;
    }
    let services = &inspection.services;
    for family in Family::ALL {
        if services.of(family).next().is_some() {
            of_family(services, family, out)?;
        }
    }
    if services.found.is_empty() {
        writeln!(out, "services     none that is recognised; only packets to no Service can be measured")?;
    }
    writeln!(out, "node ports   {}", services.node_ports)?;
    if services.listed > 0 {
        writeln!(out, "list         {} rules in KUBE-SERVICES", services.listed)?;
    }
    inspection.remarks.iter().try_for_each(|remark| writeln!(out, "note         {remark}"))
}

fn of_family(services: &FoundServices, family: Family, out: &mut impl Write) -> std::io::Result<()> {
    let of_protocol =
        |protocol: Protocol| services.of(family).filter(move |found| found.protocol == protocol).count();
    let protocols: Vec<String> = Protocol::ALL
        .into_iter()
        .filter(|&protocol| of_protocol(protocol) > 0)
        .map(|protocol| format!("{} {}", of_protocol(protocol), protocol.name()))
        .collect();
    let (count, addresses) = (services.count(family), services.of(family).count());
    writeln!(
        out,
        "services     {count} of {}, at {addresses} addresses with their ports: {}",
        family.name(),
        protocols.join(", ")
    )?;
    let spread = spread(services.of(family));
    writeln!(
        out,
        "endpoints    {} to {}, median {}, mean {}; {} addresses have none",
        spread["least"], spread["most"], spread["median"], spread["mean"], spread["none"]
    )?;
    match services.cluster_cidr(family) {
        Some(cidr) => writeln!(out, "cluster CIDR {cidr}"),
        None => writeln!(out, "cluster CIDR not told by any rule"),
    }
}

fn format_of(inspection: &Inspection) -> String {
    match (inspection.format, inspection.variant) {
        (Format::Iptables, Some(Variant::Legacy)) => "iptables-save, iptables-legacy".into(),
        (Format::Iptables, Some(Variant::Nft)) => "iptables-save, iptables-nft".into(),
        (Format::Iptables, None) => "iptables-save, of which variant it does not say".into(),
        (format, _) => format!("{format} list ruleset"),
    }
}

fn line(found: &FoundService) -> String {
    let frontend = frontend(found);
    let answers: Vec<String> = found.answers.iter().map(ToString::to_string).collect();
    let answers = if answers.is_empty() { "nobody".to_owned() } else { answers.join(" ") };
    let doubt = if found.is_certain || found.answers.is_empty() { "" } else { " (or not)" };
    format!("{}/{} {frontend} {} -> {answers}{doubt}", found.entry, found.protocol.name(), found.name)
}

fn frontend(found: &FoundService) -> String {
    serde_json::to_value(found.frontend)
        .ok()
        .and_then(|frontend| frontend.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn as_json(inspection: &Inspection, with_services: bool) -> serde_json::Value {
    let services = &inspection.services;
    let tables: Vec<_> = inspection
        .tables
        .iter()
        .map(|table| {
            json!({
                "family": table.family, "name": table.name, "rules": table.rules, "chains": table.chains,
                "elements": table.elements,
            })
        })
        .collect();
    let found = |found: &FoundService| {
        json!({
            "name": found.name, "address": found.entry, "protocol": found.protocol.name(), "kind": found.frontend,
            "endpoints": found.answers, "certain": found.is_certain, "line": found.line,
        })
    };
    let of_family = |family: Family| {
        json!({
            "services": services.count(family),
            "addresses": services.of(family).count(),
            "endpoints_per_address": spread(services.of(family)),
            "cluster_cidr": services.cluster_cidr(family).map(|cidr| cidr.to_string()),
        })
    };
    let mut all = json!({
        "format": format_of(inspection),
        "tables": tables,
        "ipsets": inspection.sets,
        "extensions": inspection.extensions,
        "ipv4": of_family(Family::Ipv4),
        "ipv6": of_family(Family::Ipv6),
        "node_ports": services.node_ports,
        "notes": inspection.remarks,
    });
    if with_services {
        all["services"] = services.found.iter().map(found).collect();
    }
    all
}
