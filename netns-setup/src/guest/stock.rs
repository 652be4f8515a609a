//! The default kernel: the distribution's own, for virtual machines, out of its package. Nothing is installed.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use super::error::GuestError;
use super::kernel::Kernel;
use crate::error::answer;
use crate::needs::find_program;

/// Packages that depend on the current kernel for virtual machines: Debian's, then Ubuntu's.
const META: [&str; 2] = ["linux-image-cloud-amd64", "linux-image-virtual"];

const NO_APT: &str = "fetching a kernel takes apt-get, apt-cache and dpkg (Debian, Ubuntu)";
const NO_LISTS: &str = "run `apt-get update`";
const NO_NETWORK: &str = "check the network, run `apt-get update`";
const NO_CACHE: &str = "make the cache folder writable, or set XDG_CACHE_HOME";

/// What is to be fetched: a kernel's package, and the one that has its modules if it has not.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stock {
    package: String,
    version: String,
    modules: Option<String>,
}

impl Stock {
    /// Versions hold colons and tildes, which a folder's name may too (deb-version(7)).
    fn folder(&self, cache: &Path) -> PathBuf {
        cache.join(format!("{}_{}", self.package, self.version))
    }
}

impl Kernel {
    /// The distribution's current kernel for virtual machines: from the cache (`$XDG_CACHE_HOME/svcbench/kernels` or
    /// `~/.cache/svcbench/kernels`), else out of its package, fetched by `apt-get download`, which installs nothing and
    /// needs no privilege. Without apt, or without network, the newest in the cache.
    ///
    /// `say` hears of each step that takes time.
    ///
    /// # Errors
    /// There is none in the cache and none can be fetched; the error says what else to give.
    pub fn stock(say: &mut dyn FnMut(&str)) -> Result<Kernel, GuestError> {
        stock_in(&cache(), say)
    }

    /// The kernel that [`Kernel::stock`] would take from the cache; none if it would fetch one.
    pub fn cached() -> Option<Kernel> {
        let cache = cache();
        match current() {
            Ok(stock) => open(&stock.folder(&cache)).ok(),
            Err(_) => newest(&cache),
        }
    }
}

fn stock_in(cache: &Path, say: &mut dyn FnMut(&str)) -> Result<Kernel, GuestError> {
    let fetched = current().and_then(|stock| {
        let folder = stock.folder(cache);
        if let Ok(kernel) = open(&folder) {
            return Ok(kernel);
        }
        fetch(&stock, &folder, say)?;
        open(&folder)
    });
    // Offline, what is there will do.
    fetched.or_else(|error| newest(cache).ok_or(error))
}

/// `$XDG_CACHE_HOME/svcbench/kernels`, by default in `~/.cache`.
fn cache() -> PathBuf {
    let set = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || {
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
        set("HOME").or_else(|| Some(user.ok()??.dir)).unwrap_or_else(|| PathBuf::from("/root"))
    };
    set("XDG_CACHE_HOME").unwrap_or_else(|| home().join(".cache")).join("svcbench/kernels")
}

/// A folder of the cache: `vmlinuz`, and the modules in `lib/modules/RELEASE`.
fn open(folder: &Path) -> Result<Kernel, GuestError> {
    Kernel::open(&folder.join("vmlinuz"), Some(folder))
}

fn newest(cache: &Path) -> Option<Kernel> {
    let entries = fs::read_dir(cache).ok()?.flatten();
    let age = |path: &PathBuf| {
        fs::metadata(path).and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
    };
    // A name that begins with a dot is a half-done one.
    let mut folders: Vec<PathBuf> = entries
        .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
        .map(|e| e.path())
        .collect();
    folders.sort_by_key(age);
    folders.iter().rev().find_map(|folder| open(folder).ok())
}

/// What apt's lists call current.
fn current() -> Result<Stock, GuestError> {
    let mut asked = Vec::new();
    for meta in META {
        // Fails for a package it has never heard of.
        let Ok(text) = run("apt-cache", ["depends", meta], Path::new("/"))? else { continue };
        asked.push(meta);
        let Some(package) = dependency(&text, "linux-image-") else { continue };
        let answer = |arguments: [&str; 2]| -> Result<String, GuestError> {
            let step = || format!("`apt-cache {}`", arguments.join(" "));
            run("apt-cache", arguments, Path::new("/"))?.map_err(|why| GuestError::Fetch {
                step: step(),
                why,
                how: NO_LISTS,
            })
        };
        let shown = answer(["show", package])?;
        let version = field(&shown, "Version").map(str::to_owned).ok_or_else(|| GuestError::Fetch {
            step: format!("`apt-cache show {package}`"),
            why: "it names no version".into(),
            how: NO_LISTS,
        })?;
        let modules = dependency(&answer(["depends", package])?, "linux-modules-").map(str::to_owned);
        return Ok(Stock { package: package.to_owned(), version, modules });
    }
    let why =
        if asked.is_empty() { "unknown to apt" } else { "no package of a kernel among what they depend on" };
    Err(GuestError::Fetch {
        step: format!("`apt-cache depends {}`", META.join("` or `")),
        why: why.into(),
        how: NO_LISTS,
    })
}

/// The first package that is depended on and whose name begins so, in the output of `apt-cache depends`.
fn dependency<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.map(|name| name.split(':').next().unwrap_or(name)).find(|name| name.starts_with(prefix))
}

/// A field of the first stanza, which is the version that would be installed.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let lines = text.lines().take_while(|line| !line.is_empty());
    lines
        .filter_map(|line| line.split_once(": "))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim())
}

/// Into a folder beside its place, and then to its place in one step: a half-done one is never taken for whole.
fn fetch(stock: &Stock, folder: &Path, say: &mut dyn FnMut(&str)) -> Result<(), GuestError> {
    let cache_problem = |path: &Path, cause: io::Error| GuestError::Fetch {
        step: format!("write {}", path.display()),
        why: answer(&cause),
        how: NO_CACHE,
    };
    let cache = folder.parent().unwrap_or(Path::new("/"));
    remove_abandoned(cache);
    let work = cache.join(format!(".{}-{}", stock.package, std::process::id()));
    let tree = work.join("tree");
    let made = fs::create_dir_all(&tree).map_err(|cause| cache_problem(&tree, cause));
    let fetched = made.and_then(|()| {
        for package in [Some(&stock.package), stock.modules.as_ref()].into_iter().flatten() {
            say(&format!("fetching {package} for the guest (once, into {})", cache.display()));
            // The same version of both: Ubuntu builds them together.
            let exact = format!("{package}={}", stock.version);
            download(&exact, &work).or_else(|error| {
                if package == &stock.package { Err(error) } else { download(package, &work) }
            })?;
        }
        unpack(&work, &tree)?;
        keep(&tree, &work.join("kept")).map_err(|cause| cache_problem(&work, cause))?;
        match fs::rename(work.join("kept"), folder) {
            Err(_) if open(folder).is_ok() => Ok(()), // another process was quicker
            Err(_) => {
                // What is in its place is broken, or was when it was last looked at.
                let _ = fs::remove_dir_all(folder);
                fs::rename(work.join("kept"), folder).map_err(|cause| cache_problem(folder, cause))
            }
            Ok(()) => Ok(()),
        }
    });
    let _ = fs::remove_dir_all(&work);
    fetched
}

/// Half-done folders of processes that were killed. Their names end with the process's id.
fn remove_abandoned(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().filter(|name| name.starts_with('.')).and_then(|name| name.rsplit('-').next());
        if owner.is_some_and(|id| id.parse::<u32>().is_ok() && !Path::new("/proc").join(id).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn download(package: &str, into: &Path) -> Result<(), GuestError> {
    let problem =
        |why| GuestError::Fetch { step: format!("`apt-get download {package}`"), why, how: NO_NETWORK };
    run("apt-get", ["-q", "download", package], into)?.map_err(problem)?;
    Ok(())
}

fn unpack(work: &Path, tree: &Path) -> Result<(), GuestError> {
    let entries = fs::read_dir(work).map_err(|cause| GuestError::file(work, cause))?;
    for package in entries.flatten().map(|entry| entry.path()) {
        if package.extension() == Some(OsStr::new("deb")) {
            let problem =
                |why| GuestError::Fetch { step: format!("unpack {}", package.display()), why, how: NO_CACHE };
            run("dpkg", [OsStr::new("-x"), package.as_os_str(), tree.as_os_str()], work)?.map_err(problem)?;
        }
    }
    Ok(())
}

/// Keeps the image and the modules.
fn keep(tree: &Path, kept: &Path) -> io::Result<()> {
    let images = fs::read_dir(tree.join("boot"))?.flatten().map(|entry| entry.path());
    let mut images = images
        .filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"vmlinuz-")));
    let image = images.next().ok_or_else(|| io::Error::other("the package holds no boot/vmlinuz-*"))?;
    let modules =
        [tree.join("lib/modules"), tree.join("usr/lib/modules")].into_iter().find(|path| path.is_dir());
    let modules = modules.ok_or_else(|| io::Error::other("the package holds no lib/modules"))?;
    fs::create_dir_all(kept.join("lib"))?;
    fs::rename(image, kept.join("vmlinuz"))?;
    fs::rename(modules, kept.join("lib/modules"))
}

/// What a program prints; inner error: what it complained of.
fn run<A: AsRef<OsStr>>(
    name: &str,
    arguments: impl IntoIterator<Item = A>,
    folder: &Path,
) -> Result<Result<String, String>, GuestError> {
    let missing =
        || GuestError::Fetch { step: format!("look for {name}"), why: "not found".into(), how: NO_APT };
    let program = find_program(name).ok_or_else(missing)?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env("LC_ALL", "C").stdin(std::process::Stdio::null());
    let output = command.output().map_err(|cause| GuestError::host(format!("run {name}"), cause))?;
    if output.status.success() {
        return Ok(Ok(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<_> =
        said.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("W:")).collect();
    Ok(Err(format!("{} ({})", said.join(" / "), output.status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_package_is_read_from_apts_answers() {
        let depends = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(dependency(depends, "linux-image-"), Some("linux-image-6.1.0-56-cloud-amd64"));
        let ubuntu = "linux-image-6.8.0-9-generic\n  Depends: kmod\n |Depends: linux-firmware\n  \
                      Depends: linux-modules-6.8.0-9-generic:amd64\n  Recommends: linux-modules-extra-6.8.0-9\n";
        assert_eq!(dependency(ubuntu, "linux-modules-"), Some("linux-modules-6.8.0-9-generic"));
        assert_eq!(dependency(ubuntu, "linux-image-"), None);
        let show = "Package: x\nVersion: 6.1.192-2\nDescription: Version: 3\n\nPackage: x\nVersion: 5\n";
        assert_eq!(field(show, "Version"), Some("6.1.192-2"));
        assert_eq!(field("\nVersion: 5\n", "Version"), None);
    }

    #[test]
    fn only_the_image_and_the_modules_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let (tree, kept) = (root.path().join("tree"), root.path().join("kept"));
        fs::create_dir_all(tree.join("boot")).unwrap();
        assert!(keep(&tree, &kept).unwrap_err().to_string().contains("no boot/vmlinuz-*"));
        fs::write(tree.join("boot/config-6.1"), "").unwrap();
        fs::write(tree.join("boot/vmlinuz-6.1"), "image").unwrap();
        assert!(keep(&tree, &kept).unwrap_err().to_string().contains("no lib/modules"));
        fs::create_dir_all(tree.join("usr/lib/modules/6.1/kernel")).unwrap();
        keep(&tree, &kept).unwrap();
        assert_eq!(fs::read(kept.join("vmlinuz")).unwrap(), b"image");
        assert!(kept.join("lib/modules/6.1/kernel").is_dir() && !kept.join("boot").exists());
    }

    #[test]
    fn half_done_and_foreign_folders_of_the_cache_are_passed_over() {
        let cache = tempfile::tempdir().unwrap();
        for name in [".half-7", "linux-image-1_1"] {
            fs::create_dir(cache.path().join(name)).unwrap();
        }
        assert_eq!(newest(cache.path()), None);
        assert_eq!(newest(Path::new("/no/such")), None);

        let (own, killed) = (format!(".x-amd64-{}", std::process::id()), ".x-amd64-4294967295");
        for name in [&own, killed] {
            fs::create_dir(cache.path().join(name)).unwrap();
        }
        remove_abandoned(cache.path());
        let left = |name: &str| cache.path().join(name).exists();
        assert!(left(&own) && !left(killed) && left("linux-image-1_1"));
    }
}
