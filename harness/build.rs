//! Which commit this is, for `svcbench --version`. Never fails a build: without git, or outside its tree, none is named.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, iter};

/// Packagers, who build from an archive, name the commit themselves.
const GIVEN: &str = "SVCBENCH_COMMIT";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={GIVEN}");
    let given = env::var(GIVEN).ok().and_then(|text| one_line(&text));
    let commit = given.or_else(|| {
        let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        let folder = Path::new(&folder);
        // Before it is asked: a commit made meanwhile is seen the next time.
        for path in watched(folder) {
            println!("cargo::rerun-if-changed={}", path.display());
        }
        commit(folder)
    });
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    println!("cargo::rustc-env=SVCBENCH_VERSION={}", version_of(&version, commit.as_deref()));
}

/// `0.1.0 (d25d7054 2026-11-30)`
fn version_of(version: &str, commit: Option<&str>) -> String {
    commit.map_or_else(|| version.to_owned(), |commit| format!("{version} ({commit})"))
}

/// The commit of the git tree that `folder` belongs to, and its day: `d25d7054 2026-11-30`.
fn commit(folder: &Path) -> Option<String> {
    // An archive that was unpacked within somebody else's tree has not that tree's commit.
    git(folder, &["ls-files", "--error-unmatch", "Cargo.toml"])?;
    let shown = git(folder, &["show", "--no-patch", "--no-show-signature", "--format=%H %cs", "HEAD"])?;
    // Cut here: how short git abbreviates depends on the number of objects.
    let (hash, day) = shown.split_once(' ')?;
    Some(format!("{} {day}", hash.get(..8)?))
}

/// What changes when HEAD moves, of files and folders that exist: cargo takes a missing one for a change.
fn watched(folder: &Path) -> Vec<PathBuf> {
    // Asked of git, since in a worktree HEAD lies elsewhere than branches do.
    let path = |name: &str| {
        let path = git(folder, &["rev-parse", "--git-path", name])?;
        Some(folder.join(path)).filter(|path| path.exists())
    };
    // A branch without a file of its own is in packed-refs, until the next commit makes the file in one of these folders.
    let branch = git(folder, &["symbolic-ref", "--quiet", "HEAD"]);
    let branch = iter::successors(branch.as_deref(), |name| name.rsplit_once('/').map(|(parent, _)| parent));
    let branch = branch.filter(|name| *name != "refs").find_map(path);
    let others = ["HEAD", "logs/HEAD", "packed-refs", "reftable"];
    others.into_iter().filter_map(path).chain(branch).collect()
}

/// What git says, if it says one line.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").current_dir(folder).args(arguments).output().ok()?;
    let text = output.status.success().then(|| String::from_utf8(output.stdout).ok())??;
    one_line(&text)
}

/// Without space around it; nothing, if it is empty or has several lines.
fn one_line(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && !text.contains(['\n', '\r'])).then(|| text.to_owned())
}
