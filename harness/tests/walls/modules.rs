//! The modules of a crate, and what a path in one of them leads to.

use std::collections::{BTreeMap, BTreeSet};

use syn::Item;

use crate::graph::Sources;
use crate::paths::{self, Place};

/// Where a module is: the root (`lib` or `main`) and the names that lead to it.
pub(crate) type ModulePath = Vec<String>;

/// No chain of re-exports is longer; it ends what would run in circles.
const LONGEST_CHAIN: usize = 16;

/// A module: a file, or a part of one.
struct Module {
    file: String,
    /// What it imports or re-exports: the name that it has here, and its path.
    imports: Vec<(String, Vec<String>)>,
    /// Names of its own items.
    items: BTreeSet<String>,
}

/// All modules of a crate, without those of tests.
pub(crate) struct Modules<'a> {
    name: &'a str,
    sources: &'a Sources,
    all: BTreeMap<ModulePath, Module>,
    /// Paths of modules for tests, without `.rs`.
    of_tests: Vec<String>,
}

impl<'a> Modules<'a> {
    /// None yet.
    pub(crate) fn new(name: &'a str, sources: &'a Sources) -> Self {
        Self { name, sources, all: BTreeMap::new(), of_tests: Vec::new() }
    }

    /// Those of the library and of the program; answers with the paths in their code.
    pub(crate) fn read_all(&mut self) -> Vec<Place> {
        let mut places = Vec::new();
        for root in ["lib", "main"] {
            let file = format!("{root}.rs");
            if self.sources.contains_key(&file) {
                self.read(vec![root.to_owned()], &file, "", &mut places);
            }
        }
        places
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.all.values().map(|module| module.file.as_str())
    }

    pub(crate) fn file(&self, module: &ModulePath) -> &str {
        &self.all[module].file
    }

    pub(crate) fn is_of_tests(&self, file: &str) -> bool {
        let within = |stem: &String| file.strip_prefix(stem).is_some_and(|rest| rest.starts_with(['.', '/']));
        self.of_tests.iter().any(within)
    }

    /// A file and all that its `mod` lines lead to; those are in the given folder.
    fn read(&mut self, path: ModulePath, file: &str, folder: &str, places: &mut Vec<Place>) {
        let parsed = syn::parse_file(&self.sources[file]);
        let parsed = parsed.unwrap_or_else(|error| panic!("{}: src/{file}: {error}", self.name));
        self.read_items(path, file, folder, &parsed.items, places);
    }

    fn read_items(
        &mut self,
        path: ModulePath,
        file: &str,
        folder: &str,
        items: &[Item],
        places: &mut Vec<Place>,
    ) {
        places.extend(paths::of_items(&path, items));
        let mut module = Module { file: file.to_owned(), imports: Vec::new(), items: BTreeSet::new() };
        let mut children = Vec::new();
        for item in items {
            match item {
                Item::Mod(item_of_tests) if paths::is_of_tests(item) => {
                    self.of_tests.push(format!("{folder}{}", item_of_tests.ident));
                }
                item if paths::is_of_tests(item) => {}
                Item::Use(item) => module.imports.extend(paths::of_use(&item.tree)),
                Item::Mod(item) => children.push(item),
                _ => module.items.extend(paths::name(item)),
            }
        }
        self.all.insert(path.clone(), module);
        for child in children {
            let named = !child.attrs.iter().any(|attribute| attribute.path().is_ident("path"));
            assert!(
                named,
                "{}: src/{file}: this check reads no #[path]: give the file its module's name",
                self.name
            );
            let mut below = path.clone();
            below.push(child.ident.to_string());
            let stem = format!("{folder}{}", child.ident);
            match &child.content {
                // Beside a file of that name, it stands in for what is not built.
                Some((_, items)) if !self.all.contains_key(&below) => {
                    self.read_items(below, file, &format!("{stem}/"), items, places);
                }
                Some(_) => {}
                None => {
                    let files = [format!("{stem}.rs"), format!("{stem}/mod.rs")];
                    let found = files.iter().find(|file| self.sources.contains_key(*file));
                    let found = found.unwrap_or_else(|| panic!("{}: src/{file}: no {files:?}", self.name));
                    self.read(below, found, &format!("{stem}/"), places);
                }
            }
        }
    }

    /// The file that has what a path names, and the name. None for what is not of this crate.
    pub(crate) fn find(&self, place: &Place) -> Option<(&str, String)> {
        let (module, rest) = self.follow(&place.module, &place.path, 0)?;
        let name = rest.first().or_else(|| module.last());
        Some((self.file(&module), name.cloned().unwrap_or_default()))
    }

    /// The module that a path of another module leads to, and what is left of it.
    fn follow(&self, from: &ModulePath, path: &[String], chain: usize) -> Option<(ModulePath, Vec<String>)> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.descend(from[..1].to_vec(), rest, chain),
            "self" => self.descend(from.clone(), rest, chain),
            "super" => {
                let up = rest.iter().take_while(|name| *name == "super").count();
                let depth = from.len().checked_sub(up + 1)?;
                self.descend(from[..depth].to_vec(), &rest[up..], chain)
            }
            // From the program to the library of the same package.
            name if name == self.name && from[0] == "main" => {
                self.descend(vec!["lib".to_owned()], rest, chain)
            }
            name if self.has(from, name) => self.descend(from.clone(), path, chain),
            _ => None,
        }
    }

    /// Whether a module has a child or an import of this name.
    fn has(&self, module: &ModulePath, name: &str) -> bool {
        self.all.contains_key(&child(module, name))
            || self
                .all
                .get(module)
                .is_some_and(|module| module.imports.iter().any(|(known, _)| known == name))
    }

    fn descend(
        &self,
        mut at: ModulePath,
        path: &[String],
        chain: usize,
    ) -> Option<(ModulePath, Vec<String>)> {
        let mut rest = path;
        while let Some((name, deeper)) = rest.split_first() {
            let below = child(&at, name);
            if self.all.contains_key(&below) {
                (at, rest) = (below, deeper);
                continue;
            }
            // What comes from another crate stays with the file that re-exports it.
            let through =
                self.import(&at, name, chain).map(|(module, left)| (module, [&left[..], deeper].concat()));
            return match through {
                Some((module, path)) => self.descend(module, &path, chain + 1),
                None => self.all.contains_key(&at).then(|| (at, rest.to_vec())),
            };
        }
        self.all.contains_key(&at).then(|| (at, Vec::new()))
    }

    /// Where a name that a module imports comes from.
    fn import(&self, at: &ModulePath, name: &str, chain: usize) -> Option<(ModulePath, Vec<String>)> {
        let module = self.all.get(at).filter(|_| chain < LONGEST_CHAIN)?;
        let is_itself = |path: &[String]| path.len() == 1 && path[0] == name;
        let imports = || module.imports.iter().filter(|(_, path)| !is_itself(path));
        let found = imports().find(|(known, _)| known == name);
        if let Some((_, path)) = found {
            return self.follow(at, path, chain + 1);
        }
        let globs = imports().filter(|(known, _)| known == "*" && !module.items.contains(name));
        let mut sources = globs.filter_map(|(_, path)| self.follow(at, &path[..path.len() - 1], chain + 1));
        let has = |(source, left): &(ModulePath, Vec<String>)| {
            left.is_empty()
                && source != at
                && (self.has(source, name) || self.all[source].items.contains(name))
        };
        sources.find(has).map(|(source, _)| (source, vec![name.to_owned()]))
    }
}

fn child(module: &ModulePath, name: &str) -> ModulePath {
    let mut path = module.clone();
    path.push(name.to_owned());
    path
}
