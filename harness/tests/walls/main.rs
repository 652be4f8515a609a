//! The walls of the house: which crate may depend on which, which room may import from which, and no circle of files.
//!
//! Cargo refuses circles of crates only, and only what `Cargo.toml` does not allow. The rest is read from the sources here.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod checker;
mod graph;
mod modules;
mod paths;
mod rules;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::graph::{Graph, Sources};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A crate of this workspace.
struct Member {
    name: String,
    /// Where its sources are, below the repository.
    folder: String,
    manifest: toml::Table,
}

impl Member {
    fn graph(&self) -> Graph {
        let root = repository().join(&self.folder);
        let mut sources = Sources::new();
        read(&root, &root, &mut sources);
        Graph::new(&self.name.replace('-', "_"), &sources)
    }
}

fn members() -> Vec<Member> {
    let table = |folder: &str| -> toml::Table {
        toml::from_str(&fs::read_to_string(repository().join(folder).join("Cargo.toml")).unwrap()).unwrap()
    };
    let workspace = table(".");
    let folders =
        workspace["workspace"]["members"].as_array().unwrap().iter().map(|folder| folder.as_str().unwrap());
    folders
        .map(|folder| {
            let manifest = table(folder);
            let name = manifest["package"]["name"].as_str().unwrap().to_owned();
            Member { name, folder: format!("{folder}/src"), manifest }
        })
        .collect()
}

/// All sources below a folder.
fn read(root: &Path, folder: &Path, sources: &mut Sources) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            sources.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut faults = Vec::new();
    for member in members() {
        let graph = member.graph();
        let (files, edges) = (graph.files.len(), graph.edges().count());
        println!("{}: {files} files, {edges} edges", member.folder);
        assert!(files > 1 && edges > 0, "{}: nothing was read", member.folder);
        faults.extend(rules::circle_faults(&member.folder, &graph));
    }
    assert_none(&faults);
}

#[test]
fn crates_depend_on_those_below_them() {
    let manifests: BTreeMap<_, _> =
        members().into_iter().map(|member| (member.name, member.manifest)).collect();
    assert_none(&rules::crate_faults(&manifests, rules::CRATES));
}

#[test]
fn rooms_import_from_those_below_them() {
    let members = members();
    let mut faults = Vec::new();
    for (name, rooms) in [("svcbench", rules::SVCBENCH), ("results", rules::RESULTS)] {
        let member = members.iter().find(|member| member.name == name).unwrap();
        faults.extend(rules::room_faults(&member.folder, &member.graph(), rooms));
    }
    assert_none(&faults);
}
