//! What may import what. These tables are the walls: ARCHITECTURE.md draws them.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use crate::graph::{Circle, Graph};

/// Of each crate of this workspace, those of the others that it is built on.
pub(crate) const CRATES: &[(&str, &[&str])] = &[
    ("netns-setup", &[]),
    ("workloads", &[]),
    ("results", &[]),
    ("services", &[]),
    ("ruleset", &["services"]),
    ("apiserver", &["services"]),
    ("dataplane", &["services", "netns-setup"]),
    ("lab", &["services", "ruleset", "dataplane", "netns-setup", "workloads", "results"]),
    ("kube-proxy", &["services", "apiserver", "dataplane", "lab", "netns-setup"]),
    ("fidelity", &["services", "ruleset", "apiserver", "dataplane", "lab", "kube-proxy", "netns-setup"]),
    ("experiments", &["services", "dataplane", "lab", "kube-proxy", "netns-setup", "workloads", "results"]),
    (
        "svcbench",
        &[
            "services",
            "ruleset",
            "dataplane",
            "lab",
            "kube-proxy",
            "fidelity",
            "experiments",
            "netns-setup",
            "workloads",
            "results",
        ],
    ),
    ("conformance", &["services", "dataplane", "lab", "netns-setup", "workloads"]),
    ("trials", &["netns-setup"]),
];

/// In `[dev-dependencies]` alone: what judges is not part of what is judged.
pub(crate) const FOR_TESTS: &[&str] = &["conformance", "trials"];

/// Crates that must not reach a kernel, so that what they plan is data.
pub(crate) const PURE: &[&str] = &["services", "ruleset", "dataplane"];

/// The ways to a kernel.
const KERNEL: &[&str] = &["libc", "netlink-sys", "nix", "rtnetlink", "rustix"];

/// The rooms of a crate, from the ground up. Those of one row do not import each other.
pub(crate) type Rooms<'a> = &'a [&'a [&'a str]];

/// Of `harness/src`.
pub(crate) const SVCBENCH: Rooms = &[
    &["sweep"],
    &["forecast", "events"],
    &["host"],
    &["lane"],
    &["guest"],
    &["run"],
    &["serve"],
    &["lib"],
    &["cli"],
    &["main"],
];

/// Of `results/src`.
pub(crate) const RESULTS: Rooms = &[
    &["record", "names", "stats", "histogram"],
    &["platform", "record_file", "text", "timeline"],
    &["environment", "groups", "table", "parquet_file", "repeat"],
    &["findings", "crossover", "lock_limit", "lanes", "systems"],
    &["curves"],
    &["advice", "series", "compare"],
    &["claims", "tables", "plot"],
    &["report", "history"],
    &["lib"],
];

const TABLES: &str = "harness/tests/walls/rules.rs";

/// What is wrong with the dependencies in these `Cargo.toml`, by the names of their packages.
pub(crate) fn crate_faults(manifests: &BTreeMap<String, Table>, allowed: &[(&str, &[&str])]) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, manifest) in manifests {
        let used = dependencies(manifest);
        if PURE.contains(&name.as_str()) {
            faults.extend(
                KERNEL
                    .iter()
                    .filter(|way| used.contains(**way))
                    .map(|way| format!("{name} depends on {way}, but never sees a kernel: do this in lab")),
            );
        }
        let Some((_, allowed)) = allowed.iter().find(|(known, _)| known == name) else {
            faults.push(format!(
                "{name} is a new crate: write what it may be built on into CRATES in {TABLES}, and draw it in ARCHITECTURE.md"
            ));
            continue;
        };
        for other in used.iter().filter(|other| manifests.contains_key(*other)) {
            if FOR_TESTS.contains(&other.as_str()) {
                faults.push(format!(
                    "{name} depends on {other}, which is for tests: move it to [dev-dependencies]"
                ));
            } else if !allowed.contains(&other.as_str()) {
                faults.push(format!(
                    "{name} must not depend on {other}, only on {allowed:?}: move what both need into one of these, or \
                     what {name} does with {other} into a crate above both"
                ));
            }
        }
        for other in allowed.iter().filter(|other| !used.contains(**other)) {
            faults.push(format!(
                "{name} depends no longer on {other}: take it out of its row in CRATES in {TABLES}"
            ));
        }
    }
    let gone = allowed.iter().filter(|(name, _)| !manifests.contains_key(*name));
    faults.extend(
        gone.map(|(name, _)| format!("no crate is called {name}: take it out of CRATES in {TABLES}")),
    );
    faults
}

/// The packages that a crate is built on, on any platform; not those of its tests.
fn dependencies(manifest: &Table) -> BTreeSet<String> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let sections = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
    let mut names = BTreeSet::new();
    for section in sections.chain([manifest]) {
        for kind in ["dependencies", "build-dependencies"] {
            for (name, how) in section.get(kind).and_then(Value::as_table).into_iter().flatten() {
                let package = how.get("package").and_then(Value::as_str);
                names.insert(package.unwrap_or(name).to_owned());
            }
        }
    }
    names
}

/// The circles of files in a crate whose sources are in this folder, with the names that ride on each edge.
pub(crate) fn circle_faults(folder: &str, graph: &Graph) -> Vec<String> {
    let shown = |Circle { shortest: circle, group }: Circle| {
        let to = circle.iter().cycle().skip(1);
        let edges = circle.iter().zip(to).map(|(from, to)| {
            format!("  {folder}/{from} -> {folder}/{to}: {}\n", graph.names(from, to).join(", "))
        });
        let edges: String = edges.collect();
        format!(
            "{group} files lead to each other. The shortest circle:\n{edges}  Move what both ends of an edge need into a \
             file that both import."
        )
    };
    graph.circles().into_iter().map(shown).collect()
}

/// The imports that run upwards or across, and rooms that the table and the crate do not both have.
pub(crate) fn room_faults(folder: &str, graph: &Graph, rooms: Rooms) -> Vec<String> {
    let row = |room: &str| rooms.iter().position(|row| row.contains(&room));
    let there: BTreeSet<_> = graph.files.iter().map(|file| room(file)).collect();
    let unknown = there.iter().filter(|room| row(room).is_none());
    let mut faults: Vec<_> = unknown
        .map(|room| format!("{folder}/{room}.rs has no row yet: give it one in {TABLES}, above all rooms that it imports from"))
        .collect();
    let gone = rooms.iter().copied().flatten().filter(|room| !there.contains(**room));
    faults.extend(gone.map(|room| format!("{folder} has no {room}.rs: take it out of its row in {TABLES}")));
    for (from, to, names) in graph.edges().filter(|(from, to, _)| room(from) != room(to)) {
        let (Some(own), Some(other)) = (row(room(from)), row(room(to))) else { continue };
        if other >= own {
            let names = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            faults.push(format!(
                "{folder}/{from} -> {folder}/{to}: {names}\n  `{}` is {} `{}`: move what both need into a room below both.",
                room(to),
                if other == own { "beside" } else { "above" },
                room(from),
            ));
        }
    }
    faults
}

/// The first part of a file's path.
fn room(file: &str) -> &str {
    file.strip_suffix(".rs").unwrap_or(file).split('/').next().unwrap_or(file)
}
