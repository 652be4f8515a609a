//! Kernel modules by name, with all that they depend on, in the order in which the kernel takes them.
//!
//! What a module says of itself (`.modinfo`: `depends`, `softdep`, `vermagic`) is read from the module, so that folders
//! without `modules.dep` do: a package that was only unpacked has none.

mod aliases;
mod file;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use self::file::{info, module_name, normal, read};
use super::error::GuestError;

/// A folder of modules, `lib/modules/RELEASE`.
#[derive(Debug)]
pub(crate) struct Modules {
    folder: PathBuf,
    files: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
    aliases: OnceCell<BTreeMap<String, Vec<String>>>,
}

/// A module, unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Module {
    /// Its name, with underscores.
    pub(crate) name: String,
    /// Whether it was asked for, or one that was depends on it.
    pub(crate) required: bool,
    /// The contents of its `.ko`.
    pub(crate) contents: Vec<u8>,
}

impl Modules {
    pub(crate) fn open(folder: &Path) -> Result<Modules, GuestError> {
        let mut files = BTreeMap::new();
        collect(&folder.join("kernel"), &mut files)?;
        // Modules that were added later, as depmod.d(5) orders them: updates win.
        for extra in ["extra", "updates"] {
            let extra = folder.join(extra);
            if extra.is_dir() {
                collect(&extra, &mut files)?;
            }
        }
        let mut builtin: BTreeSet<String> = match fs::read_to_string(folder.join("modules.builtin")) {
            Ok(text) => text.lines().filter_map(|line| module_name(Path::new(line))).collect(),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => BTreeSet::new(),
            Err(cause) => return Err(GuestError::file(folder.join("modules.builtin"), cause)),
        };
        builtin.extend(aliases::of_builtin(folder));
        Ok(Modules { folder: folder.to_owned(), files, builtin, aliases: OnceCell::new() })
    }

    /// The modules that answer to a name which is none of a module.
    fn called(&self, alias: &str) -> Result<&[String], GuestError> {
        let aliases = match self.aliases.get() {
            Some(aliases) => aliases,
            None => {
                let aliases = aliases::of_files(&self.folder, &self.files)?;
                self.aliases.get_or_init(|| aliases)
            }
        };
        Ok(aliases.get(alias).map(Vec::as_slice).unwrap_or_default())
    }

    /// The release that the first module was built for; none in an empty folder.
    pub(crate) fn release(&self) -> Result<Option<String>, GuestError> {
        match self.files.values().next() {
            Some(path) => Ok(info(path, &read(path)?)?.release),
            None => Ok(None),
        }
    }

    /// The modules for the kernel `image` of `release`, each after those it depends on. Built-in ones are left out, and so
    /// are optional ones that are not there or whose dependencies are not.
    ///
    /// # Errors
    /// A required module, or one that it depends on, is missing, unreadable, or for another kernel.
    pub(crate) fn in_order(
        &self,
        image: &Path,
        release: &str,
        required: &[&str],
        optional: &[&str],
    ) -> Result<Vec<Module>, GuestError> {
        let (seen, order) = (BTreeSet::new(), Vec::new());
        let mut walk = Walk { modules: self, image, release, required: true, seen, order };
        for name in required {
            walk.add(&normal(name), None)?;
        }
        walk.required = false;
        for name in optional {
            walk.try_add(&normal(name))?;
        }
        Ok(walk.order)
    }
}

struct Walk<'m> {
    modules: &'m Modules,
    image: &'m Path,
    release: &'m str,
    required: bool,
    seen: BTreeSet<String>,
    order: Vec<Module>,
}

impl Walk<'_> {
    fn add(&mut self, name: &str, needed_by: Option<&str>) -> Result<(), GuestError> {
        if self.modules.builtin.contains(name) || !self.seen.insert(name.to_owned()) {
            return Ok(());
        }
        let Some(path) = self.modules.files.get(name) else {
            self.seen.remove(name);
            return Err(GuestError::ModuleMissing {
                name: name.to_owned(),
                needed_by: needed_by.map(str::to_owned),
                release: self.release.to_owned(),
                folder: self.modules.folder.clone(),
            });
        };
        let contents = read(path)?;
        let info = info(path, &contents)?;
        if let Some(found) = info.release.filter(|found| found != self.release) {
            return Err(GuestError::ModulesVersion {
                image: self.image.to_owned(),
                release: self.release.to_owned(),
                modules: path.clone(),
                found,
            });
        }
        // None of them has to work for this one to work.
        let required = std::mem::replace(&mut self.required, false);
        for other in &info.soft {
            if self.modules.builtin.contains(other) || self.modules.files.contains_key(other) {
                self.try_add(other)?;
                continue;
            }
            for module in self.modules.called(other)? {
                self.try_add(module)?;
            }
        }
        self.required = required;
        for other in &info.depends {
            self.add(other, Some(name))?;
        }
        self.order.push(Module { name: name.to_owned(), required: self.required, contents });
        Ok(())
    }

    /// Adds all or nothing.
    fn try_add(&mut self, name: &str) -> Result<(), GuestError> {
        let (seen, length) = (self.seen.clone(), self.order.len());
        match self.add(name, None) {
            Err(GuestError::ModuleMissing { .. }) => {
                self.seen = seen;
                self.order.truncate(length);
                Ok(())
            }
            other => other,
        }
    }
}

fn collect(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<(), GuestError> {
    let mut entries = fs::read_dir(folder)
        .and_then(|entries| entries.collect::<Result<Vec<_>, _>>())
        .map_err(|cause| GuestError::file(folder, cause))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if let Some(name) = module_name(&path) {
            files.insert(name, path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
