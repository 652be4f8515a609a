//! What is left when labs, namespaces and processes end: nothing.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use netns_setup::{Enclosure, Fingerprint, Lab, Namespace, Need, check};

use crate::helpers::{alive, ended, hold, holders, lab};
use crate::support::{in_role, role, wait_until};

/// This binary started again by one of the tests below. Returns whether it was.
pub(crate) fn play_role() -> bool {
    match role().as_deref() {
        Some("owner") => owner(),
        Some("rooms") => rooms(),
        Some("needs") => needs(),
        _ => return false,
    }
    true
}

fn inodes(lab: &Lab) -> Vec<u64> {
    let namespaces = [&lab.client, &lab.node, &lab.server];
    namespaces.iter().flat_map(|namespace| [namespace.identity().net, namespace.identity().mnt]).collect()
}

fn assert_unchanged(before: &Fingerprint) {
    assert_eq!(before.changes(&Fingerprint::take()), Vec::<String>::new());
}

pub(crate) fn drop_leaves_nothing() {
    let before = Fingerprint::take();
    let lab = lab();
    let inodes = inodes(&lab);
    let mut command = Command::new("sh");
    let mut child = lab.node.spawn(command.args(["-c", "sleep 3600; true"])).unwrap();
    assert!(inodes.iter().all(|&inode| holders(inode) > 0));
    let _held: Vec<_> = inodes.iter().map(|&inode| hold(inode)).collect();
    assert_unchanged(&before);
    drop(lab);
    ended(&mut child);
    wait_until("no thread is in the namespaces", || inodes.iter().all(|&inode| holders(inode) == 0));
    assert_unchanged(&before);
}

/// A veth goes when its peer's namespace goes, so the client sees whether the node's is really gone.
pub(crate) fn drop_destroys_links() {
    fn only_client(lab: Lab) -> Namespace {
        lab.client
    }
    let lab = lab();
    let has_link = |client: &Namespace| client.links(|links| links.link("to-node")).is_ok();
    assert!(has_link(&lab.client));
    let client = only_client(lab);
    wait_until("the kernel has removed the node's links", || !has_link(&client));
}

/// Builds a lab, starts a program with a child of its own, prints their ids and inodes, and waits.
#[expect(clippy::zombie_processes, reason = "this process is killed; that its child dies is the test")]
fn owner() {
    let lab = lab();
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 3600 & echo $$ $!; wait"]).stdout(Stdio::piped());
    let mut child = lab.node.spawn(&mut command).unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let inodes: Vec<_> = inodes(&lab).iter().map(u64::to_string).collect();
    println!("{}", line.trim());
    println!("{}", inodes.join(" "));
    thread::sleep(Duration::from_secs(3600));
}

pub(crate) fn killed() {
    let before = Fingerprint::take();
    let mut owner = in_role("owner").spawn().unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let mut numbers = || -> Vec<u64> {
        let line = lines.next().expect("a line of the owner").unwrap();
        line.split(' ').map(|word| word.parse().unwrap()).collect()
    };
    let (programs, inodes) = (numbers(), numbers());
    assert_eq!((programs.len(), inodes.len()), (2, 6));
    let running = |&pid: &u64| alive(pid.try_into().unwrap());
    assert!(programs.iter().all(running));
    assert!(inodes.iter().all(|&inode| holders(inode) > 0));
    let _held: Vec<_> = inodes.iter().map(|&inode| hold(inode)).collect();

    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until("its program and that one's child are dead", || !programs.iter().any(running));
    wait_until("its namespaces are empty", || inodes.iter().all(|&inode| holders(inode) == 0));
    assert_unchanged(&before);
}

/// A program in a namespace and one in a room of its own; prints their ids, and waits.
#[expect(clippy::zombie_processes, reason = "this process is killed; that its child dies is the test")]
fn rooms() {
    let namespace = Namespace::create("test").unwrap();
    let sleep = || {
        let mut command = Command::new("sleep");
        command.arg("3600").stdout(Stdio::null());
        command
    };
    let program = namespace.spawn(&mut sleep()).unwrap();
    let room = Enclosure::create(&namespace, "test-room").unwrap();
    let enclosed = room.start(&mut sleep()).unwrap();
    println!("{} {}", program.id(), enclosed.pid());
    thread::sleep(Duration::from_secs(3600));
}

/// The kernel closes the files of a process that is killed one by one, and may take seconds for some of them. Here its pipes
/// stay open for ever, in another process.
pub(crate) fn killed_before_files_are_closed() {
    let before = Fingerprint::take();
    let mut owner = in_role("rooms").spawn().unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let programs: Vec<u32> =
        lines.next().unwrap().unwrap().split(' ').map(|word| word.parse().unwrap()).collect();
    let running = |&pid: &u32| alive(pid);
    assert!(programs.len() == 2 && programs.iter().all(running));

    let files = fs::read_dir(format!("/proc/{}/fd", owner.id())).unwrap().flatten();
    let pipes = files.filter(|file| {
        fs::read_link(file.path()).is_ok_and(|what| what.to_string_lossy().starts_with("pipe:"))
    });
    // Opened so, a pipe has one more that may write to it (proc_pid_fd(5)).
    let mut writing = OpenOptions::new();
    writing.write(true).custom_flags(nix::libc::O_NONBLOCK);
    let held: Vec<_> = pipes.filter_map(|pipe| writing.open(pipe.path()).ok()).collect();
    assert!(held.len() >= 2, "its output, and the room's pipe: {held:?}");

    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until("its programs are dead", || !programs.iter().any(running));
    drop(held);
    assert_unchanged(&before);
}

pub(crate) fn needs_leave_nothing() {
    let before = Fingerprint::take();
    for &need in Need::ALL {
        match check(need) {
            Ok(found) => assert!(!found.detail.is_empty(), "{need}"),
            Err(missing) => {
                assert_eq!((missing.what.as_str(), missing.how.as_str()), (need.name(), need.how()))
            }
        }
    }
    // Against evidence of another kind.
    let in_kernel =
        Namespace::create("test").unwrap().run(|| fs::exists("/proc/thread-self/net/ip_vs").unwrap());
    assert_eq!(check(Need::IpVs).is_ok(), in_kernel);
    assert!(check(Need::Root).is_ok());
    assert_unchanged(&before);
}

fn needs() {
    for &need in Need::ALL {
        match check(need) {
            Ok(found) => println!("found {need}: {}", found.detail),
            Err(missing) => println!("missing {missing}"),
        }
    }
}

pub(crate) fn ordinary_user() {
    let output = match in_role("needs").uid(65534).gid(65534).env_remove("PATH").output() {
        // As in `unshare --map-root-user`, where nobody else exists.
        Err(error) if error.raw_os_error() == Some(nix::libc::EINVAL) => {
            return eprintln!("this user namespace has no uid 65534: not tried");
        }
        output => output.unwrap(),
    };
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert_eq!(text.lines().count(), Need::ALL.len(), "{text}");
    assert!(
        text.starts_with(
            "missing root is missing: this process (uid 65534) lacks CAP_NET_ADMIN and CAP_SYS_ADMIN; "
        ),
        "{text}"
    );
    assert!(!text.contains("found"), "{text}");
}
