//! What is left when rooms, kube-proxies and this process end: nothing.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use dataplane::Mode;
use kube_proxy::ProxyMode;
use lab::tools::Tools;
use netns_setup::{Enclosure, Fingerprint, Namespace};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{LIMIT, beside, in_role, is_alive, processes, setup, wait_until};
use crate::{NEWEST, api};

/// Moments at which the owner is killed: before, while and after its kube-proxy is started.
const MOMENTS: u64 = 20;

/// Starts a kube-proxy, prints the numbers of all processes around it, and waits.
pub(crate) fn own() {
    let mut setup = setup(NEWEST, ProxyMode::Nftables);
    setup.config.verbosity = 1;
    api::serve(&setup.namespace, 50);
    println!("begin");
    let mut process = setup.start(Tools::of(Mode::Nftables));
    let inside: Vec<String> = beside(process.pid()).iter().map(u32::to_string).collect();
    println!("{}", inside.join(" "));
    process.wait_until_synced(&lab::stop::Stop::new(), LIMIT).unwrap();
    println!("synced");
    thread::sleep(Duration::from_secs(3_600));
}

/// Parent and state of a process.
fn stat(pid: u32) -> Option<(u32, char)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((fields.next()?.parse().ok()?, state))
}

/// All that a process has started, and what these have.
fn descendants(pid: u32) -> Vec<u32> {
    let all: Vec<(u32, u32)> = processes().into_iter().filter_map(|pid| Some((pid, stat(pid)?.0))).collect();
    let mut found = vec![pid];
    let mut next = 0;
    while next < found.len() {
        let of = found[next];
        found.extend(all.iter().filter(|(_, parent)| *parent == of).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

pub(crate) fn killed() {
    let before = Fingerprint::take();
    let folder = tempfile::tempdir().unwrap();
    let path = in_role(folder.path(), "owner");
    let mut most = 0;
    for moment in 0..=MOMENTS {
        let mut owner = Command::new(&path).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "begin");
        if moment == MOMENTS {
            // Once in full swing.
            let inside = lines.next().unwrap().unwrap();
            assert!(inside.split(' ').count() >= 2, "kube-proxy and the room's first process: {inside}");
            assert_eq!(lines.next().unwrap().unwrap(), "synced");
        } else {
            // A moment is a moment, early or late.
            thread::sleep(Duration::from_millis(moment * moment * 4));
        }
        // Stopped, it starts nothing more, so that all there is can be listed.
        let pid = owner.id();
        kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGSTOP).unwrap();
        wait_until("the owner is stopped", || stat(pid).is_none_or(|(_, state)| matches!(state, 'T' | 'Z')));
        let all = descendants(pid);
        most = most.max(all.len());
        owner.kill().unwrap();
        owner.wait().unwrap();
        wait_until("all that it has started is dead", || !all.iter().any(|&pid| is_alive(pid)));
    }
    // The namespace's shell, the room's, and kube-proxy.
    assert!(most >= 3, "{most}");
    assert_eq!(before.changes(&Fingerprint::take()), Vec::<String>::new());
    assert!(!fs::exists("/run/kube-proxy").unwrap(), "the host's");
}

pub(crate) fn daemons() {
    let namespace = Namespace::create("test").unwrap();
    let room = Enclosure::create(&namespace, "test-room").unwrap();
    let mut command = Command::new("/bin/sh");
    // A child in a session of its own, and its child, which nobody waits for.
    command
        .args(["-c", "setsid sh -c 'sleep 3600 & echo $$; wait' & read -r _"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut running = room.start(&mut command).unwrap();
    let mut line = String::new();
    BufReader::new(running.child().stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.trim().parse::<u32>().unwrap() < 20, "its numbers are its own: {line}");
    let all = beside(running.pid());
    assert!(all.len() >= 4, "{all:?}");

    // It ends by itself; what it has started does not.
    running.child().stdin.take().unwrap().write_all(b"\n").unwrap();
    wait_until("it has ended", || running.try_wait().unwrap().is_some());
    assert!(all.iter().filter(|&&pid| is_alive(pid)).count() >= 2);
    drop(running);
    assert!(!all.iter().any(|&pid| is_alive(pid)), "{all:?}");
}

/// Tries to write what belongs to the host, and says what it could.
pub(crate) fn write() {
    for path in
        ["/etc/svcbench-test", "/tmp/svcbench-test", "/var/svcbench-test", "/sys/module/svcbench-test"]
    {
        println!("{path}: {}", fs::write(path, "x").is_ok());
    }
    for setting in ["/proc/sys/kernel/domainname", "/proc/sys/vm/swappiness", "/proc/sys/net/ipv4/ip_forward"]
    {
        let value = fs::read_to_string(setting).unwrap_or_default();
        println!("{setting}: {}", fs::write(setting, value).is_ok());
    }
    println!("/run: {}", fs::write("/run/svcbench-test", "x").is_ok());
    println!("folder: {}", fs::write("/run/test-room/svcbench-test", "x").is_ok());
    println!(
        "itself: {}",
        fs::read_link("/proc/self")
            .is_ok_and(|own| own.as_os_str() == std::process::id().to_string().as_str())
    );
}

pub(crate) fn writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = in_role(folder.path(), "writer");
    let namespace = Namespace::create("test").unwrap();
    let room = Enclosure::create(&namespace, "test-room").unwrap();
    let mut running = room.start(Command::new(path).stdout(Stdio::piped())).unwrap();
    let said: Vec<String> =
        BufReader::new(running.child().stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    assert_eq!(
        said,
        [
            "/etc/svcbench-test: false",
            "/tmp/svcbench-test: false",
            "/var/svcbench-test: false",
            "/sys/module/svcbench-test: false",
            "/proc/sys/kernel/domainname: false",
            "/proc/sys/vm/swappiness: false",
            "/proc/sys/net/ipv4/ip_forward: true",
            "/run: true",
            "folder: true",
            "itself: true",
        ]
    );
    // The lab's, which all programs in it share; the room's folder is not seen there.
    drop(running);
    assert!(namespace.run(|| fs::exists("/run/svcbench-test")).unwrap());
    assert!(!namespace.run(|| fs::exists("/run/test-room/svcbench-test")).unwrap());
    assert!(!fs::exists("/run/svcbench-test").unwrap());
}
