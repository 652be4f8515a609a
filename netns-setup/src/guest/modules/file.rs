//! One module's file: its name, its contents unpacked, and what it says of itself in `.modinfo`.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::answer;
use crate::guest::elf::Elf;
use crate::guest::error::GuestError;

/// What a module says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Info {
    pub(super) depends: Vec<String>,
    pub(super) soft: Vec<String>,
    pub(super) release: Option<String>,
}

/// Compressed forms, with the program that unpacks them to its output and its Debian package.
pub(super) const PACKED: [(&str, &str, &str); 3] =
    [("xz", "xz", "xz-utils"), ("zst", "zstd", "zstd"), ("gz", "gzip", "gzip")];

/// `kernel/net/netfilter/ipvs/ip_vs.ko.xz` is `ip_vs`.
pub(super) fn module_name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let stem = PACKED.iter().find_map(|(ending, ..)| file.strip_suffix(&format!(".ko.{ending}")));
    stem.or_else(|| file.strip_suffix(".ko")).map(normal)
}

/// The kernel does not tell `-` from `_` in module names, and uses `_` (modprobe(8)).
pub(super) fn normal(name: &str) -> String {
    name.replace('-', "_")
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, GuestError> {
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

pub(super) fn info(path: &Path, module: &[u8]) -> Result<Info, GuestError> {
    modinfo_section(path, module).map(modinfo)
}

pub(super) fn modinfo_section<'m>(path: &Path, module: &'m [u8]) -> Result<&'m [u8], GuestError> {
    let bad = |why| GuestError::Elf { path: path.to_owned(), why };
    let section = Elf::parse(module).and_then(|elf| elf.section(".modinfo")).map_err(bad)?;
    section.ok_or_else(|| bad("it is no kernel module (no .modinfo)"))
}

/// `.modinfo` is a row of `key=value`, each ended by one NUL or more.
pub(super) fn fields(section: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    section.split(|&byte| byte == 0).filter_map(|entry| std::str::from_utf8(entry).ok()?.split_once('='))
}

pub(super) fn modinfo(section: &[u8]) -> Info {
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
