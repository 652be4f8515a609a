//! Kernel modules by name, with all that they depend on, in the order in which the kernel takes them.
//!
//! What a module says of itself (`.modinfo`: `depends`, `softdep`, `vermagic`) is read from the module, so that folders
//! without `modules.dep` do: a package that was only unpacked has none.

mod aliases;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::elf::Elf;
use super::error::GuestError;
use super::kernel::Kernel;
use crate::error::answer;

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

/// What a module says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Info {
    depends: Vec<String>,
    soft: Vec<String>,
    release: Option<String>,
}

/// Compressed forms, with the program that unpacks them to its output and its Debian package.
const PACKED: [(&str, &str, &str); 3] =
    [("xz", "xz", "xz-utils"), ("zst", "zstd", "zstd"), ("gz", "gzip", "gzip")];

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

    /// The modules, each after those it depends on. Built-in ones are left out, and so are optional ones that are not
    /// there or whose dependencies are not.
    ///
    /// # Errors
    /// A required module, or one that it depends on, is missing, unreadable, or for another kernel.
    pub(crate) fn in_order(
        &self,
        kernel: &Kernel,
        required: &[&str],
        optional: &[&str],
    ) -> Result<Vec<Module>, GuestError> {
        let mut walk =
            Walk { modules: self, kernel, required: true, seen: BTreeSet::new(), order: Vec::new() };
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
    kernel: &'m Kernel,
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
                release: self.kernel.release.clone(),
                folder: self.modules.folder.clone(),
            });
        };
        let contents = read(path)?;
        let info = info(path, &contents)?;
        if let Some(found) = info.release.filter(|found| *found != self.kernel.release) {
            return Err(GuestError::ModulesVersion {
                image: self.kernel.image.clone(),
                release: self.kernel.release.clone(),
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

/// `kernel/net/netfilter/ipvs/ip_vs.ko.xz` is `ip_vs`.
fn module_name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let stem = PACKED.iter().find_map(|(ending, ..)| file.strip_suffix(&format!(".ko.{ending}")));
    stem.or_else(|| file.strip_suffix(".ko")).map(normal)
}

/// The kernel does not tell `-` from `_` in module names, and uses `_` (modprobe(8)).
fn normal(name: &str) -> String {
    name.replace('-', "_")
}

fn read(path: &Path) -> Result<Vec<u8>, GuestError> {
    let contents = fs::read(path).map_err(|cause| GuestError::file(path, cause))?;
    let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    match PACKED.iter().find(|(packed, ..)| *packed == ending) {
        None => Ok(contents),
        Some((_, program, package)) => unpack(program, &contents).map_err(|why| GuestError::Unpack {
            path: path.to_owned(),
            program,
            package,
            why,
        }),
    }
}

/// Unpacked on the host: the guest's processor is the slower one.
fn unpack(program: &str, contents: &[u8]) -> Result<Vec<u8>, String> {
    let mut child = Command::new(program)
        .args(["-d", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| answer(&error))?;
    let input = child.stdin.take();
    let output = std::thread::scope(|scope| {
        // Its answer, or its complaint, says more than a broken pipe.
        scope.spawn(move || input.map(|mut pipe| pipe.write_all(contents)));
        child.wait_with_output()
    });
    let output = output.map_err(|error| answer(&error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
}

fn info(path: &Path, module: &[u8]) -> Result<Info, GuestError> {
    modinfo_section(path, module).map(modinfo)
}

fn modinfo_section<'m>(path: &Path, module: &'m [u8]) -> Result<&'m [u8], GuestError> {
    let bad = |why| GuestError::Elf { path: path.to_owned(), why };
    let section = Elf::parse(module).and_then(|elf| elf.section(".modinfo")).map_err(bad)?;
    section.ok_or_else(|| bad("it is no kernel module (no .modinfo)"))
}

/// `.modinfo` is a row of `key=value`, each ended by one NUL or more.
fn fields(section: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    section.split(|&byte| byte == 0).filter_map(|entry| std::str::from_utf8(entry).ok()?.split_once('='))
}

fn modinfo(section: &[u8]) -> Info {
    let mut info = Info::default();
    for (key, value) in fields(section) {
        match key {
            "depends" => info.depends.extend(value.split(',').filter(|name| !name.is_empty()).map(normal)),
            "softdep" => info.soft.extend(soft_before(value)),
            "vermagic" => info.release = value.split(' ').next().map(str::to_owned),
            _ => {}
        }
    }
    info
}

/// `pre: a b post: c` wants a and b first (modprobe.d(5)).
fn soft_before(value: &str) -> Vec<String> {
    let mut before = false;
    let mut names = Vec::new();
    for word in value.split_whitespace() {
        match word {
            "pre:" => before = true,
            "post:" => before = false,
            name if before => names.push(normal(name)),
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests;
