//! The guest's whole file system, assembled from the host's files, in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::io::BufWriter;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::cpio::{self, Member};
use super::elf::{self, Elf};
use super::error::GuestError;
use super::inside;
use super::kernel::Kernel;
use super::libraries::Libraries;
use super::modules::Modules;

/// Files for a guest. They land at the paths that they have on the host, with symbolic links kept.
///
/// Programs and libraries are cut to what the loader maps: without debug information.
#[derive(Debug, Clone)]
pub struct Image {
    entries: BTreeMap<String, Entry>,
    libraries: Libraries,
    /// Those that were taken with their libraries.
    programs: BTreeSet<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Folder { mode: u32 },
    Link { target: String },
    Device { mode: u32, major: u32, minor: u32 },
    File { mode: u32, contents: Arc<[u8]> },
}

/// Symbolic links followed before a path counts as a circle (MAXSYMLINKS of the kernel).
const MAX_LINKS: usize = 40;

impl Image {
    /// This program as the guest's init, which will hand `job` to the work inside (see [`inside`](super::inside)), and
    /// the few folders and devices that it wants. The job is up to the caller: a command line, or a whole plan.
    ///
    /// # Errors
    /// This program cannot be read, or its libraries are not found.
    pub fn of_this_program(job: impl Into<Vec<u8>>) -> Result<Image, GuestError> {
        if !cfg!(target_arch = "x86_64") {
            return Err(GuestError::Architecture);
        }
        let mut image =
            Image { entries: BTreeMap::new(), libraries: Libraries::of_host(), programs: BTreeSet::new() };
        for folder in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
            // Links into /usr on most hosts.
            let host = Path::new("/").join(folder);
            if host.is_symlink() && host.exists() {
                image.carry(&host)?;
            }
        }
        for folder in ["dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/bin", "usr/sbin"] {
            image.folder(folder)?;
        }
        // Before devtmpfs is mounted.
        for (name, major, minor) in [("console", 5, 1), ("null", 1, 3), ("ttyS0", 4, 64), ("ttyS1", 4, 65)] {
            image.put(&format!("dev/{name}"), Entry::Device { mode: 0o600, major, minor })?;
        }
        if Path::new("/etc/ld.so.cache").exists() {
            image.copy(Path::new("/etc/ld.so.cache"))?;
        }
        let own = Path::new("/proc/self/exe");
        let contents = fs::read(own).map_err(|cause| GuestError::file(own, cause))?;
        let contents = image.with_libraries(own, contents)?;
        image.put("init", Entry::File { mode: 0o755, contents })?;
        image.bytes(inside::JOB, job.into(), 0o644)?;
        Ok(image)
    }

    /// A program of the host, with the libraries that it names, or the interpreter that it names (`#!`).
    ///
    /// # Errors
    /// It cannot be read, is for another machine, or a library is missing.
    pub fn program(&mut self, path: &Path) -> Result<(), GuestError> {
        let real = self.carry(path)?;
        if !self.programs.insert(real.clone()) {
            return Ok(());
        }
        let (mode, contents) = read(&real)?;
        let contents = if elf::is_elf(&contents) {
            self.with_libraries(&real, contents)?
        } else {
            if let Some(interpreter) = script_interpreter(&contents) {
                self.program(Path::new(interpreter))?;
            }
            contents.into()
        };
        self.put(&image_path(&real)?, Entry::File { mode, contents })
    }

    /// All plug-ins (`*.so`) in a folder of the host, with the libraries that they name. Programs load these by
    /// themselves, so that nothing in the programs tells of them.
    ///
    /// # Errors
    /// As with [`Image::program`].
    pub fn plugins(&mut self, folder: &Path) -> Result<(), GuestError> {
        for path in sorted(folder)? {
            if path.extension().is_some_and(|extension| extension == "so") {
                self.program(&path)?;
            }
        }
        Ok(())
    }

    /// A file of the host, or a folder with all that is in it, as it is.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn copy(&mut self, path: &Path) -> Result<(), GuestError> {
        let real = self.carry(path)?;
        let name = image_path(&real)?;
        if real.is_dir() {
            for inner in sorted(&real)? {
                self.copy(&inner)?;
            }
        } else if real.is_file() && !self.entries.contains_key(&name) {
            let (mode, contents) = read(&real)?;
            self.put(&name, Entry::File { mode, contents: contents.into() })?;
        }
        Ok(())
    }

    /// A file of the host at a path of its own, as it is, without the libraries that it may name.
    ///
    /// # Errors
    /// As with [`Image::bytes`], or it cannot be read.
    pub fn copy_to(&mut self, here: &Path, there: &str) -> Result<(), GuestError> {
        let (mode, contents) = read(here)?;
        self.bytes(there, contents, mode)
    }

    /// A file with these contents, in place of one that is there.
    ///
    /// # Errors
    /// Something else than a file is there, or a file is where a folder is wanted.
    pub fn bytes(&mut self, path: &str, contents: impl Into<Vec<u8>>, mode: u32) -> Result<(), GuestError> {
        let path = self.resolve(path)?;
        self.put(&path, Entry::File { mode, contents: contents.into().into() })
    }

    /// A symbolic link.
    ///
    /// # Errors
    /// Something else is there.
    pub fn link(&mut self, path: &str, target: &str) -> Result<(), GuestError> {
        let path = self.resolve(path)?;
        self.put(&path, Entry::Link { target: target.to_owned() })
    }

    /// Modules that the guest loads before its work starts, in this order, each after those it depends on. Optional
    /// ones are left out where the kernel lacks them. Call it once, with the kernel that will be booted.
    ///
    /// # Errors
    /// A required module is missing or for another kernel.
    pub fn modules(
        &mut self,
        kernel: &Kernel,
        required: &[&str],
        optional: &[&str],
    ) -> Result<(), GuestError> {
        let Some(folder) = &kernel.modules else {
            if required.is_empty() {
                return Ok(());
            }
            let (release, needed) = (kernel.release.clone(), required.join(" "));
            return Err(GuestError::NoModules { release, needed });
        };
        let mut order = String::new();
        for module in Modules::open(folder)?.in_order(&kernel.image, &kernel.release, required, optional)? {
            let path = format!("{}/{}.ko", inside::MODULES, module.name);
            self.bytes(&path, module.contents, 0o644)?;
            let mark = if module.required { "" } else { inside::OPTIONAL };
            order.push_str(&format!("{mark}{}\n", module.name));
        }
        self.bytes(inside::ORDER, order, 0o644)
    }

    /// Contents of all files, in bytes: what the guest's memory holds before it does anything.
    pub fn size(&self) -> u64 {
        let length = |entry: &Entry| match entry {
            Entry::File { contents, .. } => contents.len() as u64,
            _ => 0,
        };
        self.entries.values().map(length).sum()
    }

    /// The archive, in memory that no file system holds. The same entries give the same bytes.
    pub(crate) fn archive(&self) -> Result<OwnedFd, GuestError> {
        let problem = |cause| GuestError::host("write the guest's file system to memory", cause);
        let fd =
            memfd_create(c"guest-initramfs", MFdFlags::MFD_CLOEXEC).map_err(|error| problem(error.into()))?;
        let mut out = BufWriter::with_capacity(1 << 20, fs::File::from(fd));
        cpio::write(&mut out, self.members()).map_err(problem)?;
        out.into_inner().map(OwnedFd::from).map_err(|error| problem(error.into_error()))
    }

    fn members(&self) -> impl Iterator<Item = Member<'_>> {
        // In byte order a folder comes before what is in it.
        self.entries.iter().map(|(path, entry)| {
            let (mode, device, contents) = match entry {
                Entry::Folder { mode } => (0o040000 | mode, (0, 0), &[][..]),
                Entry::Link { target } => (0o120777, (0, 0), target.as_bytes()),
                Entry::Device { mode, major, minor } => (0o020000 | mode, (*major, *minor), &[][..]),
                Entry::File { mode, contents } => (0o100000 | mode, (0, 0), &contents[..]),
            };
            Member { path, mode, device, contents }
        })
    }

    /// Adds the loader and all libraries of an ELF file, and gives back what of the file is mapped.
    fn with_libraries(&mut self, path: &Path, contents: Vec<u8>) -> Result<Arc<[u8]>, GuestError> {
        let bad = |why| GuestError::Elf { path: path.to_owned(), why };
        let elf = Elf::parse(&contents).map_err(bad)?;
        let dynamic = elf.dynamic().map_err(bad)?;
        if let Some(interpreter) = elf.interpreter().map_err(bad)? {
            self.program(Path::new(interpreter))?;
        }
        for library in dynamic.needed {
            let found = self.libraries.find(&library, path, &dynamic.runpath);
            let missing = || GuestError::LibraryMissing { library, needed_by: path.to_owned() };
            self.program(&found.ok_or_else(missing)?)?;
        }
        elf.mapped_part().map(Arc::from).map_err(bad)
    }

    /// Adds every folder and link on the way to a file of the host; gives back its path without links.
    fn carry(&mut self, path: &Path) -> Result<PathBuf, GuestError> {
        let parts = |path: &Path| -> VecDeque<PathBuf> {
            let named = |part: &Component| matches!(part, Component::Normal(_) | Component::ParentDir);
            path.components().filter(named).map(|part| PathBuf::from(part.as_os_str())).collect()
        };
        let problem = |cause| GuestError::file(path, cause);
        let (mut rest, mut here) = (parts(&std::path::absolute(path).map_err(problem)?), PathBuf::from("/"));
        let mut links = 0;
        while let Some(part) = rest.pop_front() {
            if part.as_os_str() == ".." {
                here.pop();
                continue;
            }
            let next = here.join(&part);
            let metadata = fs::symlink_metadata(&next).map_err(problem)?;
            if metadata.is_symlink() {
                links += 1;
                if links > MAX_LINKS {
                    return Err(problem(nix::errno::Errno::ELOOP.into()));
                }
                let target = fs::read_link(&next).map_err(problem)?;
                self.put(&image_path(&next)?, Entry::Link { target: text(&target)?.to_owned() })?;
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                parts(&target).into_iter().rev().for_each(|part| rest.push_front(part));
                continue;
            }
            if metadata.is_dir() {
                let mode = metadata.permissions().mode() & 0o7777;
                self.put(&image_path(&next)?, Entry::Folder { mode })?;
            }
            here = next;
        }
        Ok(here)
    }

    /// `path` with the image's own links followed, and its folders made.
    fn resolve(&mut self, path: &str) -> Result<String, GuestError> {
        let mut rest: VecDeque<String> =
            path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let mut here = Vec::<String>::new();
        let mut links = 0;
        while let Some(part) = rest.pop_front() {
            if part == ".." {
                here.pop();
                continue;
            }
            here.push(part);
            if rest.is_empty() {
                break;
            }
            let name = here.join("/");
            match self.entries.get(&name) {
                Some(Entry::Link { target }) if links < MAX_LINKS => {
                    links += 1;
                    here.pop();
                    if target.starts_with('/') {
                        here.clear();
                    }
                    for part in target.split('/').filter(|part| !part.is_empty()).rev() {
                        rest.push_front(part.to_owned());
                    }
                }
                _ => self.put(&name, Entry::Folder { mode: 0o755 })?,
            }
        }
        Ok(here.join("/"))
    }

    fn folder(&mut self, path: &str) -> Result<(), GuestError> {
        let path = self.resolve(path)?;
        self.put(&path, Entry::Folder { mode: 0o755 })
    }

    fn put(&mut self, path: &str, new: Entry) -> Result<(), GuestError> {
        match self.entries.get_mut(path) {
            None => {
                self.entries.insert(path.to_owned(), new);
            }
            Some(Entry::Folder { .. }) if matches!(new, Entry::Folder { .. }) => {}
            Some(old) if std::mem::discriminant(old) == std::mem::discriminant(&new) => *old = new,
            Some(old) => {
                return Err(GuestError::Clash {
                    path: path.to_owned(),
                    first: old.kind(),
                    second: new.kind(),
                });
            }
        }
        Ok(())
    }
}

impl Entry {
    fn kind(&self) -> &'static str {
        match self {
            Entry::Folder { .. } => "a folder",
            Entry::Link { .. } => "a symbolic link",
            Entry::Device { .. } => "a device",
            Entry::File { .. } => "a file",
        }
    }
}

fn image_path(path: &Path) -> Result<String, GuestError> {
    text(path).map(|path| path.trim_start_matches('/').to_owned())
}

fn text(path: &Path) -> Result<&str, GuestError> {
    let not_text = || GuestError::file(path, std::io::Error::other("the path is not UTF-8"));
    path.to_str().ok_or_else(not_text)
}

fn read(file: &Path) -> Result<(u32, Vec<u8>), GuestError> {
    let problem = |cause| GuestError::file(file, cause);
    let mode = fs::metadata(file).map_err(problem)?.permissions().mode() & 0o7777;
    Ok((mode, fs::read(file).map_err(problem)?))
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>, GuestError> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let mut paths: Vec<PathBuf> =
        entries.map_err(|cause| GuestError::file(folder, cause))?.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    Ok(paths)
}

/// `#!/bin/sh -e` is run by `/bin/sh`.
fn script_interpreter(contents: &[u8]) -> Option<&str> {
    let line = contents.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    std::str::from_utf8(line).ok()?.split_whitespace().next().filter(|path| path.starts_with('/'))
}

#[cfg(test)]
mod tests;
