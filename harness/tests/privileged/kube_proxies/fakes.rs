//! Programs that pass for a kube-proxy until they are started, files that are none, and rules that the kernel does not take: each
//! is a row that says what is wrong, in time, and nothing goes on running.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use netns_setup::{Fingerprint, find_program};
use results::record::Status;

use super::given::binary;
use crate::children::{Place, entries};

const SWEEP: &str = r#"
question = "What is wrong?"
seed = 1
modes = ["nftables"]
services = [10]
endpoints = 3
systems = ["kube-proxy:1.3"]

[system]
changes = ["replace-endpoint"]
repeats = 1
gap_seconds = 1
limit_seconds = LIMIT
"#;

/// This program as a kube-proxy, if it goes by the name of a role: `Binary` starts it without an environment of ours.
pub(crate) fn play_role() -> bool {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    let role: fn(&str) = match name.rsplit('/').next() {
        Some("ends") => |_| ends(),
        Some("hangs") => |_| thread::sleep(Duration::from_secs(3_600)),
        Some("asks") => asks,
        _ => return false,
    };
    match arguments.next().as_deref() {
        Some("--version") => println!("Kubernetes v1.37.2"),
        Some("--help") => println!("The Kubernetes network proxy runs on each node."),
        Some("--config") => role(&arguments.next().unwrap()),
        other => panic!("{other:?}"),
    }
    true
}

/// Leaves a program behind that has left its group, and fails.
fn ends() {
    let mut command = Command::new("/bin/sleep");
    command.arg("3600").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    std::mem::forget(command.process_group(0).spawn().unwrap());
    eprintln!("E1201 00:00:00.000000       1 run.go:72] \"command failed\" err=\"it does not like it here\"");
    std::process::exit(3);
}

/// Wants objects that no API server of today has, says so, and waits for them.
fn asks(config: &str) {
    let read = |path: &str| -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let config = read(config);
    let kubeconfig = read(config["clientConnection"]["kubeconfig"].as_str().unwrap());
    let server = kubeconfig["clusters"][0]["cluster"]["server"].as_str().unwrap();
    let address = server.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "GET /apis/future.k8s.io/v1/things HTTP/1.1\r\nHost: {address}\r\nUser-Agent: kube-proxy/v1.99\r\n\
         Accept: application/json\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.lines().next().unwrap();
    let reason = answer.rsplit_once("\r\n\r\n").unwrap().1.replace(['\n', '"'], " ");
    eprintln!(
        "E1201 00:00:00.000000       1 reflector.go:1] \"Failed to list *v1.Thing\" err=\"{status}: {reason}\""
    );
    thread::sleep(Duration::from_secs(3_600));
}

/// This program under the name of a role.
fn in_role(folder: &Path, role: &str) -> PathBuf {
    let path = folder.join(role);
    // Not by this process, whose children would have it open for writing.
    let own = std::env::current_exe().unwrap();
    assert!(Command::new("cp").arg(own).arg(&path).status().unwrap().success());
    path
}

/// The only row of a run, which must have failed: its note.
#[track_caller]
fn failed(place: &Place, output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let records = place.records();
    let [row] = &records[..] else { panic!("{records:?}") };
    assert_eq!((row.status, row.cell.workload.as_str()), (Status::Failed, "kube_proxy_join"));
    row.note.to_string()
}

fn note_of(path: &Path, limit: u32) -> String {
    let place = Place::new();
    let sweep = SWEEP.replace("LIMIT", &limit.to_string());
    let output = place.run(&sweep, &["--kube-proxy-binary", path.to_str().unwrap()]);
    let note = failed(&place, &output);
    assert_eq!(place.processes(), Vec::<PathBuf>::new());
    note
}

/// Processes of a program, or left behind by it.
fn running(path: &Path) -> Vec<PathBuf> {
    let of = |process: &PathBuf| fs::read_link(process.join("exe")).is_ok_and(|exe| exe == path);
    entries("/proc").into_iter().filter(of).collect()
}

pub(crate) fn end_hang_and_ask() {
    let before = Fingerprint::take();
    let folder = tempfile::tempdir().unwrap();
    // Limits by which a program on a busy machine has said what it says; one that says nothing needs none.
    for (role, limit, parts) in [
        ("ends", 60, &["kube-proxy ended with exit status: 3: ", "it does not like it here"][..]),
        ("hangs", 2, &["2s after the start of kube-proxy the Services at", "it logged nothing"]),
        ("asks", 30, &["30s after the start of kube-proxy", "404 Not Found", "*v1.Thing"]),
    ] {
        let path = in_role(folder.path(), role);
        let note = note_of(&path, limit);
        assert!(parts.iter().all(|part| note.contains(part)), "{role}: {note}");
        assert_eq!(running(&path), Vec::<PathBuf>::new(), "{role}");
        fs::remove_file(path).unwrap();
    }
    assert_eq!(before.changes(&Fingerprint::take()), Vec::<String>::new());
}

pub(crate) fn no_programs() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, contents: &[u8], mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let program = fs::read("/bin/sh").unwrap();
    let mut foreign = program.clone();
    // e_machine of elf(5).
    foreign[18..20].copy_from_slice(&if cfg!(target_arch = "aarch64") { [62, 0] } else { [183, 0] });
    for (path, part) in [
        (folder.path().join("absent"), "cannot read "),
        (file("foreign", &foreign, 0o755), " is built for "),
        (file("plain", &program, 0o644), " is not executable"),
        (file("script", b"#!/bin/sh\n", 0o755), " is a script, not a program"),
    ] {
        let note = note_of(&path, 60);
        assert!(note.contains(part) && note.contains(path.to_str().unwrap()), "{note}");
    }
}

/// As when the kernel lacks what rules for these Services need: nft refuses the transaction at every try.
pub(crate) fn refused_rules() {
    let before = Fingerprint::take();
    let place = Place::new();
    let shims = tempfile::tempdir().unwrap();
    let (shim, nft) = (shims.path().join("nft"), find_program("nft").unwrap());
    // What svcbench asks the kernel with it is done. kube-proxy finds no programs but its own by their names.
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in -f*) ;; *) exec {nft} \"$@\" ;; esac\ninput=$({cat})\ncase \"$input\" in\n\
         *kube-proxy*) echo 'Error: Could not process rule: no such Service' >&2; exit 1 ;;\nesac\n\
         printf '%s\\n' \"$input\" | {nft} \"$@\"\n",
        nft = nft.display(),
        cat = find_program("cat").unwrap().display()
    );
    fs::write(&shim, text).unwrap();
    fs::set_permissions(&shim, fs::Permissions::from_mode(0o755)).unwrap();
    let mut path = shims.path().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let sweep = SWEEP.replace("LIMIT", "20");
    let flags = ["--kube-proxy-binary", &binary()];
    let output = place.command(&[], &sweep, &flags).env("PATH", path).output().unwrap();
    let note = failed(&place, &output);
    for part in
        ["20s after the start of kube-proxy the Services at", "Could not process rule: no such Service"]
    {
        assert!(note.contains(part), "{note}");
    }
    assert_eq!(place.processes(), Vec::<PathBuf>::new());
    assert_eq!(before.changes(&Fingerprint::take()), Vec::<String>::new());
}
