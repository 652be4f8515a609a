//! Where the dynamic loader finds shared libraries on this host (ld.so(8)), found out without running it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::elf::Elf;

/// The loader's folders, those of `/etc/ld.so.conf` first.
#[derive(Debug, Clone)]
pub(crate) struct Libraries {
    folders: Vec<PathBuf>,
}

/// The loader's own folders: Debian's (multiarch), then those of other distributions.
const STANDARD: [&str; 6] =
    ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];

impl Libraries {
    pub(crate) fn of_host() -> Libraries {
        let mut folders = Vec::new();
        read_configuration(Path::new("/etc/ld.so.conf"), &mut BTreeSet::new(), &mut folders);
        folders.extend(STANDARD.map(PathBuf::from));
        Libraries { folders }
    }

    /// The file for a DT_NEEDED entry of `user`, with the DT_RUNPATH `runpath`.
    pub(crate) fn find(&self, name: &str, user: &Path, runpath: &[String]) -> Option<PathBuf> {
        if name.contains('/') {
            return Some(PathBuf::from(name)).filter(|path| fits(path));
        }
        let origin = user.parent().unwrap_or(Path::new("/")).to_string_lossy();
        let own = runpath
            .iter()
            .map(|path| PathBuf::from(path.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin)));
        own.chain(self.folders.iter().cloned()).map(|folder| folder.join(name)).find(|path| fits(path))
    }
}

/// A library of another architecture is passed over, as the loader does.
fn fits(path: &Path) -> bool {
    use std::io::Read;
    let mut head = [0; 64];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && Elf::parse(&head).is_ok()
}

/// One folder a line; `include` takes a pattern, which in practice is `folder/*.conf`.
fn read_configuration(path: &Path, seen: &mut BTreeSet<PathBuf>, folders: &mut Vec<PathBuf>) {
    if !seen.insert(path.to_owned()) {
        return;
    }
    // A host without the file uses the standard folders.
    let text = fs::read_to_string(path).unwrap_or_default();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        match line.strip_prefix("include").filter(|rest| rest.starts_with(char::is_whitespace)) {
            Some(patterns) => {
                for pattern in patterns.split_whitespace() {
                    for file in matching(&path.parent().unwrap_or(Path::new("/")).join(pattern)) {
                        read_configuration(&file, seen, folders);
                    }
                }
            }
            None if line.starts_with('/') => folders.push(PathBuf::from(line)),
            None => {}
        }
    }
}

/// Files that match a pattern with at most one `*`, in its last part.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(last)) = (pattern.parent(), pattern.file_name().and_then(|name| name.to_str()))
    else {
        return Vec::new();
    };
    let Some((before, after)) = last.split_once('*') else { return vec![pattern.to_owned()] };
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    found.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
    });
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libc_is_found_and_nonsense_is_not() {
        let libraries = Libraries::of_host();
        let found = libraries.find("libc.so.6", Path::new("/usr/bin/env"), &[]).unwrap();
        assert!(found.is_absolute() && found.ends_with("libc.so.6"), "{found:?}");
        assert_eq!(libraries.find("libnonsense.so.1", Path::new("/usr/bin/env"), &[]), None);
    }

    #[test]
    fn a_runpath_is_relative_to_its_user_and_comes_first() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("lib")).unwrap();
        let own = root.path().join("lib/libc.so.6");
        fs::copy("/proc/self/exe", &own).unwrap();
        let user = root.path().join("program");
        let found = Libraries::of_host().find("libc.so.6", &user, &["$ORIGIN/lib".into()]).unwrap();
        assert_eq!(found, own);
        fs::write(&own, "no library").unwrap();
        let found = Libraries::of_host().find("libc.so.6", &user, &["$ORIGIN/lib".into()]).unwrap();
        assert_ne!(found, own);
    }

    #[test]
    fn configuration_files_include_others() {
        let root = tempfile::tempdir().unwrap();
        let main = root.path().join("ld.so.conf");
        fs::create_dir(root.path().join("d")).unwrap();
        fs::write(&main, "include d/*.conf\n/last # comment\ninclude ld.so.conf\n").unwrap();
        fs::write(root.path().join("d/b.conf"), "/b\n").unwrap();
        fs::write(root.path().join("d/a.conf"), "# none\n/a\n").unwrap();
        fs::write(root.path().join("d/a.txt"), "/not\n").unwrap();
        let mut folders = Vec::new();
        read_configuration(&main, &mut BTreeSet::new(), &mut folders);
        assert_eq!(folders, ["/a", "/b", "/last"].map(PathBuf::from));
    }
}
