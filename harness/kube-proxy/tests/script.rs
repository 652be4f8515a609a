//! `scripts/kube-proxy` where it refuses. That it builds is shown by all tests that run what it has built.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Asks for something, with a cache of its own.
fn ask(arguments: &[&str], variables: &[(&str, &str)]) -> (Output, Vec<String>) {
    let cache = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/kube-proxy");
    let output = Command::new(script)
        .args(arguments)
        .env("XDG_CACHE_HOME", cache.path())
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    // What is left of it, but for the file of a lock.
    let own = cache.path().join("svcbench/kube-proxy");
    let left = fs::read_dir(own).into_iter().flatten().map(|entry| entry.unwrap().file_name());
    let left = left.map(|name| name.to_string_lossy().into_owned());
    (output, left.filter(|name| !name.starts_with(".lock-")).collect())
}

#[track_caller]
fn refused(arguments: &[&str], variables: &[(&str, &str)], code: i32, words: &[&str]) {
    let (output, left) = ask(arguments, variables);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty(), "{arguments:?}: a path was printed");
    for word in words {
        assert!(said.contains(word), "{arguments:?}: no {word:?} in: {said}");
    }
    assert_eq!(left, Vec::<String>::new(), "{arguments:?}");
}

#[test]
fn wrong_arguments_are_explained() {
    refused(&[], &[], 2, &["which version? 1.37, or 1.37.2"]);
    refused(&["1.37", "1.36"], &[], 2, &["one version at a time, not 1.37 and 1.36"]);
    refused(&["--list", "1.37"], &[], 2, &["--list takes no version"]);
    refused(&["--fast", "1.37"], &[], 2, &["unknown argument --fast", "--help"]);
    for no_version in ["37", "1.x", "latest", "1.37/../../x", "1.37.2 x", "2.0"] {
        refused(&[no_version], &[], 2, &["is no version of Kubernetes, such as 1.37 or 1.37.2"]);
    }
}

#[test]
fn without_a_folder_for_its_cache_it_says_so() {
    refused(&["1.37"], &[("XDG_CACHE_HOME", ""), ("HOME", "")], 2, &["XDG_CACHE_HOME", "HOME"]);
}

#[test]
#[ignore = "needs Go and the module proxy"]
fn what_is_not_served_is_named_with_what_is() {
    refused(&["--yes", "1.99"], &[], 1, &["no 1.99 is served; there are: ", " 1.36 1.37"]);
    refused(&["--yes", "1.37.999"], &[], 1, &["1.37.999 is not served; of 1.37 there is ", "1.37.2"]);
}

#[test]
#[ignore = "needs Go"]
fn without_the_module_proxy_it_says_so() {
    // Nobody listens at the port of discard.
    let nobody = [("GOPROXY", "http://127.0.0.1:9"), ("GOFLAGS", "-mod=mod")];
    for version in ["1.37", "1.37.999"] {
        refused(&["--yes", version], &nobody, 1, &["the module proxy cannot be reached", "127.0.0.1:9"]);
    }
}
