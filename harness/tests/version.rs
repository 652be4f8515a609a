//! `svcbench --version` names the commit: the build script, in a small package of its own, in git trees of every kind.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const GIVEN: &str = "SVCBENCH_COMMIT";

#[test]
fn version_is_that_of_the_build() {
    let output = Command::new(env!("CARGO_BIN_EXE_svcbench")).arg("--version").output().unwrap();
    let version = env!("SVCBENCH_VERSION");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("svcbench {version}\n"));
    assert!(version.starts_with(env!("CARGO_PKG_VERSION")), "{version}");
}

#[test]
fn commit_is_named_wherever_git_keeps_it() {
    let base = tempfile::tempdir().unwrap();
    let outer = base.path();
    let tree = outer.join("tree");
    make_package(&tree);
    assert_eq!(version(&tree), "0.1.0", "without a git tree");
    if Command::new("git").arg("--version").output().is_err() {
        return;
    }

    git(outer, &["init", "--quiet", "--initial-branch=trunk"]);
    commit(outer, "the tree of somebody else");
    fs::remove_dir_all(tree.join("target")).unwrap();
    assert_eq!(version(&tree), "0.1.0", "unpacked within another tree");

    git(&tree, &["init", "--quiet", "--initial-branch=topics/one"]);
    fs::remove_dir_all(tree.join("target")).unwrap();
    assert_eq!(version(&tree), "0.1.0", "before the first commit");
    git(&tree, &["add", "Cargo.toml", "build.rs", "main.rs"]);
    for what in ["first", "second"] {
        commit(&tree, what);
        assert_eq!(version(&tree), expected(&tree), "{what} commit");
    }
    git(&tree, &["checkout", "--quiet", "HEAD~1"]);
    assert_eq!(version(&tree), expected(&tree), "without a branch");
    git(&tree, &["checkout", "--quiet", "topics/one"]);
    git(&tree, &["pack-refs", "--all"]);
    // Without its log, nothing but the branch itself shows that HEAD moves.
    fs::remove_dir_all(tree.join(".git/logs")).unwrap();
    git(&tree, &["config", "core.logAllRefUpdates", "false"]);
    assert_eq!(version(&tree), expected(&tree), "packed");
    commit(&tree, "third");
    assert_eq!(version(&tree), expected(&tree), "a commit on a packed branch");

    let beside = outer.join("beside");
    git(&tree, &["worktree", "add", "--quiet", "-b", "two", beside.to_str().unwrap()]);
    assert_eq!(version(&beside), expected(&beside), "a worktree");
    commit(&beside, "fourth");
    assert_eq!(version(&beside), expected(&beside), "a commit in a worktree");

    let build = |given: &str| shown(cargo(&beside).env(GIVEN, given));
    assert_eq!(build("v0.1.0-1 of Debian"), "0.1.0 (v0.1.0-1 of Debian)");
    for no_line in ["", "one\ntwo"] {
        assert_eq!(build(no_line), expected(&beside), "{no_line:?} names no commit");
    }
}

/// A package that says the version that this package's build script makes.
fn make_package(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let manifest = "[package]\nname = \"version\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
                    [[bin]]\nname = \"version\"\npath = \"main.rs\"\n\n[workspace]\n";
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::write(folder.join("main.rs"), "fn main() { println!(\"{}\", env!(\"SVCBENCH_VERSION\")) }").unwrap();
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs"), folder.join("build.rs")).unwrap();
}

fn cargo(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--offline"]).current_dir(folder);
    command.env("CARGO_TARGET_DIR", folder.join("target")).env_remove(GIVEN);
    command
}

/// What it says, built again where cargo finds that necessary.
fn version(folder: &Path) -> String {
    shown(&mut cargo(folder))
}

fn expected(folder: &Path) -> String {
    let hash = git(folder, &["rev-parse", "HEAD"]);
    format!("0.1.0 ({} 2026-02-03)", &hash[..8])
}

fn commit(folder: &Path, what: &str) {
    git(folder, &["commit", "--quiet", "--allow-empty", "--message", what]);
}

/// As it is without anyone's settings.
fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(arguments).current_dir(folder).env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{who}_NAME"), "nobody")
            .env(format!("GIT_{who}_EMAIL"), "nobody@example.org");
        command.env(format!("GIT_{who}_DATE"), "2026-02-03T04:05:06Z");
    }
    shown(&mut command)
}

fn shown(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap().trim_end().to_owned()
}
