//! Files that are no kube-proxy.

use std::fs;
use std::path::Path;
use std::time::Duration;

use kube_proxy::{Binary, BinaryError};
use lab::stop::Stop;
use netns_setup::Fingerprint;

use crate::support::{LIMIT, in_role};

fn refusal(path: impl AsRef<Path>, limit: Duration) -> String {
    let binary = Binary::open(path).unwrap();
    binary.version(&Stop::new(), limit).unwrap_err().to_string()
}

pub(crate) fn named() {
    let before = Fingerprint::take();
    let folder = tempfile::tempdir().unwrap();
    let role = |name: &str| in_role(folder.path(), name);
    for (path, parts) in [
        (
            Path::new("/bin/true").to_owned(),
            &["is no kube-proxy: `--version` says: true (GNU coreutils)"][..],
        ),
        (Path::new("/bin/false").to_owned(), &["is no kube-proxy: `--version`", "false (GNU coreutils)"]),
        (role("fails"), &["`--version` ends with exit status: 3: cannot do that"]),
        (role("kubelet"), &["is no kube-proxy: `--help` says: The kubelet is"]),
        (role("daemon"), &["is no kube-proxy: `--help` says: Kubernetes v1.37.2"]),
    ] {
        let text = refusal(&path, LIMIT);
        assert!(parts.iter().all(|part| text.contains(part)), "{}: {text}", path.display());
    }
    let text = refusal(role("hangs"), Duration::from_millis(200));
    assert!(
        text.ends_with("/hangs --version` had not ended after 200ms: it was ended, and is no kube-proxy"),
        "{text}"
    );

    // A header that is right, and nothing behind it that is.
    let damaged = folder.path().join("damaged");
    let mut program = fs::read("/bin/true").unwrap();
    program[32..64].fill(0xff);
    fs::write(&damaged, &program).unwrap();
    fs::set_permissions(&damaged, fs::metadata("/bin/true").unwrap().permissions()).unwrap();
    let text = refusal(&damaged, LIMIT);
    assert!(text.starts_with("cannot run ") || text.contains("ends with signal"), "{text}");

    let stop = Stop::new();
    stop.request();
    let stopped = Binary::open(role("hangs")).unwrap().version(&stop, LIMIT);
    assert!(matches!(stopped, Err(BinaryError::Interrupted)));
    assert_eq!(before.changes(&Fingerprint::take()), Vec::<String>::new());
}

pub(crate) fn moved() {
    // A lab has a /run of its own.
    let folder = tempfile::tempdir_in("/run").unwrap();
    let path = in_role(folder.path(), "kubelet");
    assert!(refusal(&path, LIMIT).contains("The kubelet is"));

    let binary = Binary::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::copy("/bin/true", &path).unwrap();
    let error = binary.version(&Stop::new(), LIMIT).unwrap_err();
    assert!(matches!(error, BinaryError::Changed { .. }), "{error}");
}
