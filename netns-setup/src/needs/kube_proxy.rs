//! Where `scripts/kube-proxy` puts what it has built.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The kube-proxy of the newest patch of Kubernetes `1.minor` in the cache of `scripts/kube-proxy`.
pub fn find(minor: u8) -> Option<PathBuf> {
    find_in(&cache(), minor)
}

/// A folder for each version.
pub(crate) fn cache() -> PathBuf {
    cache_of(env::var_os("XDG_CACHE_HOME"), env::var_os("HOME"))
}

fn cache_of(xdg: Option<OsString>, home: Option<OsString>) -> PathBuf {
    let given = |path: Option<OsString>| path.filter(|path| !path.is_empty()).map(PathBuf::from);
    let base = given(xdg).unwrap_or_else(|| given(home).unwrap_or_default().join(".cache"));
    base.join("svcbench/kube-proxy")
}

fn find_in(cache: &Path, minor: u8) -> Option<PathBuf> {
    let folders = fs::read_dir(cache).ok()?.filter_map(Result::ok);
    let patch = |name: &str| name.strip_prefix(&format!("1.{minor}."))?.parse::<u32>().ok();
    let built = folders.filter_map(|folder| {
        let path = folder.path().join("kube-proxy");
        let is_program =
            fs::metadata(&path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
        Some((patch(folder.file_name().to_str()?)?, path)).filter(|_| is_program)
    });
    built.max().map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_patch_that_is_there_is_found() {
        let cache = tempfile::tempdir().unwrap();
        for (version, mode) in
            [("1.37.2", 0o755), ("1.37.10", 0o755), ("1.37.11", 0o644), ("1.38.0-beta.0", 0o755)]
        {
            let folder = cache.path().join(version);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("kube-proxy"), "").unwrap();
            fs::set_permissions(folder.join("kube-proxy"), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir(cache.path().join("1.36.3")).unwrap();
        assert_eq!(find_in(cache.path(), 37), Some(cache.path().join("1.37.10/kube-proxy")));
        for absent in [3, 36, 38] {
            assert_eq!(find_in(cache.path(), absent), None);
        }
        assert_eq!(find_in(Path::new("/nowhere"), 37), None);
    }

    #[test]
    fn the_cache_is_where_the_script_has_it() {
        let of = |xdg: &str, home: &str| cache_of(Some(xdg.into()), Some(home.into())).display().to_string();
        assert_eq!(of("/x", "/home/me"), "/x/svcbench/kube-proxy");
        assert_eq!(of("", "/home/me"), "/home/me/.cache/svcbench/kube-proxy");
    }
}
