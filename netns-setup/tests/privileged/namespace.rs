//! One namespace.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use ipnet::IpNet;
use netns_setup::{Identity, Namespace, Route, SetupError};

use crate::helpers::ended;

fn namespace() -> Namespace {
    Namespace::create("test/namespace").unwrap()
}

pub(crate) fn shares_nothing() {
    let (one, two) = (namespace(), namespace());
    let host = Identity::of_process().unwrap();
    assert_eq!(Identity::here().unwrap(), host, "the caller has not moved");
    for (a, b) in [(one.identity(), host), (two.identity(), host), (one.identity(), two.identity())] {
        assert_ne!(a.net, b.net);
        assert_ne!(a.mnt, b.mnt);
        assert_ne!(a.run_device, b.run_device);
    }
    assert_eq!(one.run(Identity::here).unwrap(), one.identity());
}

pub(crate) fn lock_is_private() {
    // Not the lock itself: the host may use that at any time.
    let path = format!("/run/xtables.lock.test-{}", std::process::id());
    let (one, two) = (namespace(), namespace());
    one.run(|| fs::write("/run/xtables.lock", "").and_then(|()| fs::write(&path, ""))).unwrap();
    assert!(one.run(|| Path::new(&path).exists()));
    assert!(!two.run(|| Path::new("/run/xtables.lock").exists()), "in another namespace");
    assert!(!Path::new(&path).exists(), "on the host");
    let inside = one.run(|| fs::metadata("/run/xtables.lock")).unwrap();
    if let Ok(outside) = fs::metadata("/run/xtables.lock") {
        assert_ne!(inside.dev(), outside.dev());
    }
}

pub(crate) fn only_lo() {
    let namespace = namespace();
    let links = namespace.links(|links| links.list()).unwrap();
    let lo = links.iter().find(|link| link.name == "lo").unwrap();
    assert!(lo.up);
    // Some modules add a link of their own to each namespace, such as tunl0; none of them is up.
    assert!(links.iter().all(|link| link.name == "lo" || !link.up), "{links:?}");
    let listed: BTreeSet<_> = links.into_iter().map(|link| link.name).collect();
    let seen = namespace.run(|| fs::read_dir("/sys/class/net").unwrap().collect::<Vec<_>>());
    let seen: BTreeSet<_> =
        seen.into_iter().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(seen, listed, "/sys/class/net is the namespace's");
    let host = |path| fs::read_dir(path).unwrap().count();
    assert_eq!(
        namespace.run(|| host("/sys/fs/cgroup")),
        host("/sys/fs/cgroup"),
        "control groups are carried over"
    );
}

pub(crate) fn sysctls() {
    let (one, two) = (namespace(), namespace());
    let key = "net.ipv4.ip_local_port_range";
    one.set_sysctl(key, "2000 3000").unwrap();
    assert_eq!(one.sysctl(key).unwrap(), "2000\t3000");
    assert_ne!(two.sysctl(key).unwrap(), "2000\t3000");
    assert!(matches!(one.set_sysctl("kernel.panic", "0"), Err(SetupError::ForeignSysctl { .. })));
    let error = one.set_sysctl("net.ipv4.no_such_thing", "1").unwrap_err().to_string();
    assert_eq!(error, "set sysctl net.ipv4.no_such_thing=1 in test/namespace: No such file or directory");
}

pub(crate) fn threads_and_programs() {
    let namespace = namespace();
    let there = namespace.thread("inside", Identity::here).unwrap().join().unwrap().unwrap();
    assert_eq!(there, namespace.identity());

    let mut command = Command::new("sleep");
    let mut child = namespace.spawn(command.arg("3600")).unwrap();
    let ns = |name: &str| fs::metadata(format!("/proc/{}/ns/{name}", child.id())).unwrap().ino();
    assert_eq!((ns("net"), ns("mnt")), (namespace.identity().net, namespace.identity().mnt));
    drop(namespace);
    assert!(!ended(&mut child).success(), "dropping the namespace kills it");
    let error = Namespace::create("test").unwrap().spawn(&mut Command::new("/no/such/program")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

pub(crate) fn side_by_side() {
    let namespace = namespace();
    let expected = namespace.identity().net;
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let mut command = Command::new("stat");
                    command.args(["-L", "-c", "%i", "/proc/self/ns/net"]).stdout(Stdio::piped());
                    let output = namespace.spawn(&mut command).unwrap().wait_with_output().unwrap();
                    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected.to_string());
                }
            });
        }
    });
    // And from a thread inside, without passing through the owner.
    let process_group = namespace.process_group();
    let held = namespace
        .thread("inside", move || process_group.add(Command::new("sleep").arg("3600")).spawn())
        .unwrap();
    let mut child = held.join().unwrap().unwrap();
    drop(namespace);
    assert!(!ended(&mut child).success());
}

pub(crate) fn refusals() {
    let namespace = namespace();
    let refuse =
        |f: fn(&netns_setup::Links) -> Result<(), SetupError>| namespace.links(f).unwrap_err().to_string();
    let net = || "10.96.0.0/12".parse::<IpNet>().unwrap();
    assert_eq!(refuse(|links| links.set_up("veth0")), "set link veth0 up in test/namespace: No such device");
    assert_eq!(
        namespace.links(|links| links.add_route(&Route::device(net(), "veth0"))).unwrap_err().to_string(),
        "add route 10.96.0.0/12 dev veth0 in test/namespace: No such device"
    );
    let twice = Route::device(net(), "lo");
    namespace.links(|links| links.add_route(&twice)).unwrap();
    let error = namespace.links(|links| links.add_route(&twice)).unwrap_err();
    assert_eq!(error.to_string(), "add route 10.96.0.0/12 dev lo in test/namespace: File exists");
    assert_eq!(error.raw_os_error(), Some(17));
    assert!(refuse(|links| links.add_dummy("much-too-long-a-name")).starts_with("interface name"));
}

pub(crate) fn routes() {
    let namespace = namespace();
    let table = || {
        namespace.run(|| fs::read_to_string("/proc/thread-self/net/route")).unwrap().lines().skip(1).count()
    };
    let route = Route::device("10.96.0.0/12".parse::<IpNet>().unwrap(), "lo");
    namespace.links(|links| links.add_route(&route)).unwrap();
    namespace.links(|links| links.replace_route(&route)).unwrap();
    assert_eq!(table(), 1);
    namespace.links(|links| links.set_mtu("lo", 9000)).unwrap();
    assert_eq!(namespace.links(|links| links.link("lo")).unwrap().mtu, 9000);
    namespace.links(|links| links.delete_route(&route)).unwrap();
    assert_eq!(table(), 0);
    assert_eq!(namespace.links(|links| links.delete_route(&route)).unwrap_err().raw_os_error(), Some(3));

    // A local route makes every address one's own, also for a socket that binds to it.
    let bind = || namespace.run(|| std::net::UdpSocket::bind("10.7.8.9:0"));
    assert!(bind().is_err());
    let local = Route::local("10.7.0.0/16".parse::<IpNet>().unwrap());
    namespace.links(|links| links.add_route(&local)).unwrap();
    assert!(bind().is_ok());
    namespace.links(|links| links.delete_route(&local)).unwrap();
    assert!(bind().is_err());
}
