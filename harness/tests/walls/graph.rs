//! Which file imports from which, read from the sources of one crate.
//!
//! A file is a module. An edge is a `use`, or a path in code, that starts with `crate`, `super`, `self`, the name of a child
//! module or a name that the module imports; it leads to the file that has the name, not to one that only re-exports
//! it. Paths among the tokens of macros count, and in attributes those in quotes (`#[serde(with = "crate::x")]`). What
//! does not: `mod x;`, `pub(in crate::x)`, and what exists in tests only.

use std::collections::{BTreeMap, BTreeSet};

use crate::modules::Modules;

/// Text of each file, by its path below `src`.
pub(crate) type Sources = BTreeMap<String, String>;

/// The names that ride on an edge.
type Names = BTreeSet<String>;

/// The files of a crate, and for each the files that it imports from.
#[derive(Default)]
pub(crate) struct Graph {
    pub files: BTreeSet<String>,
    edges: BTreeMap<String, BTreeMap<String, Names>>,
}

impl Graph {
    /// Of the crate with this name, as code spells it.
    pub(crate) fn new(name: &str, sources: &Sources) -> Self {
        let mut modules = Modules::new(name, sources);
        let places = modules.read_all();
        let files: BTreeSet<_> = modules.files().map(str::to_owned).collect();
        for file in sources.keys().filter(|file| !files.contains(*file)) {
            assert!(
                modules.is_of_tests(file),
                "{name}: no `mod` leads to src/{file}, so it is in no program"
            );
        }

        let mut graph = Self { files, ..Self::default() };
        for place in &places {
            if let Some((file, name)) = modules.find(place) {
                graph.add(modules.file(&place.module), file, name);
            }
        }
        graph
    }

    fn add(&mut self, from: &str, to: &str, name: String) {
        if from != to {
            let names = self.edges.entry(from.to_owned()).or_default().entry(to.to_owned()).or_default();
            names.insert(name);
        }
    }

    /// From, to, and the names that ride on it.
    pub(crate) fn edges(&self) -> impl Iterator<Item = (&str, &str, &Names)> {
        self.edges
            .iter()
            .flat_map(|(from, all)| all.iter().map(move |(to, names)| (from.as_str(), to.as_str(), names)))
    }

    /// The names that `from` imports of `to`.
    pub(crate) fn names(&self, from: &str, to: &str) -> Vec<&str> {
        let names = self.edges.get(from).and_then(|all| all.get(to));
        names.into_iter().flatten().map(String::as_str).collect()
    }

    /// One for each group of files that all lead to each other.
    pub(crate) fn circles(&self) -> Vec<Circle<'_>> {
        let reached: BTreeMap<_, _> =
            self.edges.keys().map(|file| (file.as_str(), self.reached(file))).collect();
        let leads = |from: &str, to: &str| reached.get(from).is_some_and(|files| files.contains(to));
        let mut known: BTreeSet<&str> = BTreeSet::new();
        let mut circles = Vec::new();
        for &file in reached.keys() {
            if leads(file, file) && !known.contains(file) {
                let group: Vec<_> =
                    reached.keys().filter(|other| leads(file, other) && leads(other, file)).collect();
                known.extend(group.iter().copied());
                let shortest =
                    group.iter().filter_map(|file| self.shortest_circle(file)).min_by_key(Vec::len);
                circles.extend(shortest.map(|shortest| Circle { shortest, group: group.len() }));
            }
        }
        circles
    }

    fn reached<'a>(&'a self, start: &'a str) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::new();
        let mut next = vec![start];
        while let Some(file) = next.pop() {
            let all = self.edges.get(file).into_iter().flat_map(|all| all.keys());
            next.extend(all.map(String::as_str).filter(|to| reached.insert(*to)));
        }
        reached
    }

    /// Goes outwards from a file until it comes back.
    fn shortest_circle<'a>(&'a self, start: &'a str) -> Option<Vec<&'a str>> {
        let mut came_from = BTreeMap::new();
        let mut reached = vec![start];
        let mut next = 0;
        while let Some(&file) = reached.get(next) {
            next += 1;
            for to in self.edges.get(file).into_iter().flat_map(|all| all.keys()) {
                if to == start {
                    let back = std::iter::successors(Some(file), |at| came_from.get(at).copied());
                    let mut circle: Vec<_> = back.collect();
                    circle.reverse();
                    return Some(circle);
                }
                if !came_from.contains_key(to.as_str()) {
                    came_from.insert(to.as_str(), file);
                    reached.push(to);
                }
            }
        }
        None
    }
}

/// Files that import each other.
#[derive(Debug, PartialEq)]
pub(crate) struct Circle<'a> {
    /// The shortest way from a file back to it.
    pub shortest: Vec<&'a str>,
    /// How many files lead to each other, on longer ways too.
    pub group: usize,
}
