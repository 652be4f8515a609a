//! One thread owns one anonymous network namespace; closures and programs are sent in.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::{self, JoinHandle};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::error::SetupError;
use crate::link::Links;
use crate::process_group::Leader;
use crate::process_group::ProcessGroup;
use crate::worker::Worker;

/// What tells one namespace from another, as stat(2) reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Inode of the network namespace (namespaces(7)).
    pub net: u64,
    /// Inode of the mount namespace.
    pub mnt: u64,
    /// Device number of `/run`, where the xtables lock lives.
    pub run_device: u64,
}

impl Identity {
    /// The calling thread's.
    ///
    /// # Errors
    /// If `/proc` is not mounted or there is no `/run`.
    pub fn here() -> Result<Self, SetupError> {
        Identity::read(Path::new("/proc/thread-self"))
    }

    /// That of the process as it was started: `/proc/self` is the thread-group leader, which is never moved.
    ///
    /// # Errors
    /// As [`Identity::here`].
    pub fn of_process() -> Result<Self, SetupError> {
        Identity::read(Path::new("/proc/self"))
    }

    fn read(process: &Path) -> Result<Self, SetupError> {
        let stat = |name: &str| {
            let path = process.join(name);
            fs::metadata(&path).map_err(|cause| SetupError::kernel(format!("stat {}", path.display()), cause))
        };
        Ok(Identity {
            net: stat("ns/net")?.ino(),
            mnt: stat("ns/mnt")?.ino(),
            run_device: stat("root/run")?.dev(),
        })
    }

    /// The first thing the two have in common.
    fn shared_with(&self, other: &Identity) -> Option<&'static str> {
        if self.net == other.net {
            Some("the network namespace is the host's")
        } else if self.mnt == other.mnt {
            Some("the mount namespace is the host's")
        } else if self.run_device == other.run_device {
            Some("/run is the host's, and with it the xtables lock")
        } else {
            None
        }
    }
}

/// An anonymous network namespace with a private mount namespace, owned by one thread of this process.
///
/// Dropping it ends the thread and kills every program started inside; with the last thread, program, file descriptor or
/// socket the kernel removes the links, rules and mounts, shortly afterwards and in the background (cleanup_net in
/// net/core/net_namespace.c).
///
/// In closures, mind that `/proc/self/net` and `/proc/net` show the *process*'s namespace; `/proc/thread-self/net` and
/// `/proc/sys/net` show this one.
pub struct Namespace {
    // Fields drop in this order: first the programs, then the thread.
    leader: Leader,
    worker: Worker,
    net: OwnedFd,
    label: String,
    identity: Identity,
}

impl Namespace {
    /// Makes a namespace in which `lo` is up and nothing else exists.
    ///
    /// Its mounts are private: a fresh tmpfs on `/run`, so that the xtables lock is its own, and a fresh sysfs on `/sys`,
    /// so that `/sys/class/net` is (control groups stay where they were). That it shares neither the network nor `/run`
    /// with the host is verified before it is touched.
    ///
    /// # Errors
    /// `EPERM` without CAP_SYS_ADMIN, `ENOSPC` past `/proc/sys/user/max_net_namespaces`, `ENOENT` without `/run` or
    /// `/bin/sh`; [`SetupError::NotIsolated`] if the verification fails.
    pub fn create(label: &str) -> Result<Namespace, SetupError> {
        let name = label.to_owned();
        let started = Worker::start(&thread_name(label), move || enter(&name));
        let failed = |cause| SetupError::kernel(format!("start a thread for namespace {label}"), cause);
        let (worker, (identity, net, leader)) = started.map_err(failed)??;
        Ok(Namespace { leader, worker, net, label: label.to_owned(), identity })
    }

    /// The name given at creation, for messages.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The namespace's inodes, and the device of its `/run`.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Runs `f` on the namespace's thread and waits for its value. `f` may borrow; a panic in it goes on in the caller.
    ///
    /// Calls from several threads are served one after another: long work belongs on a [`thread`](Namespace::thread).
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        self.worker.run(f)
    }

    /// Runs `f` on the namespace's thread with an rtnetlink connection.
    ///
    /// # Errors
    /// What `f` returns, or that the connection could not be opened.
    pub fn links<T: Send>(
        &self,
        f: impl FnOnce(&Links) -> Result<T, SetupError> + Send,
    ) -> Result<T, SetupError> {
        self.run(|| f(&Links::open(&self.label)?))
    }

    /// Starts a thread inside. The namespace lives until the thread has ended, also if `self` is dropped before.
    ///
    /// # Errors
    /// If the operating system cannot start a thread.
    pub fn thread<T: Send + 'static>(
        &self,
        name: &str,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        // A thread inherits the namespaces of the one that starts it (clone(2)).
        self.run(|| thread::Builder::new().name(thread_name(name)).spawn(f))
    }

    /// Starts a program inside. It and its descendants are killed when `self` is dropped or this process ends, however
    /// it ends; see [`ProcessGroup`] for how, and for what makes it slow.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let group = self.process_group();
        self.run(|| group.add(command).spawn())
    }

    /// For threads inside that start programs themselves, side by side.
    pub fn process_group(&self) -> ProcessGroup {
        self.leader.process_group()
    }

    /// The network namespace, for moving links into it. It keeps the namespace alive.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.net.as_fd()
    }

    /// Sets a sysctl of the network namespace. `key` is written as in sysctl(8): `net.ipv4.ip_forward`, or with slashes
    /// where an interface name has dots.
    ///
    /// # Errors
    /// [`SetupError::ForeignSysctl`] for a key outside `net`; `ENOENT` if this kernel has no such key or does not have it
    /// per namespace; `EINVAL` for a value out of range.
    pub fn set_sysctl(&self, key: &str, value: &str) -> Result<(), SetupError> {
        let path = self.sysctl_path(key)?;
        self.run(|| fs::write(&path, value))
            .map_err(|cause| SetupError::kernel(format!("set sysctl {key}={value} in {}", self.label), cause))
    }

    /// The value of a sysctl, without the closing newline.
    ///
    /// # Errors
    /// As [`set_sysctl`](Namespace::set_sysctl).
    pub fn sysctl(&self, key: &str) -> Result<String, SetupError> {
        let path = self.sysctl_path(key)?;
        self.run(|| fs::read_to_string(&path))
            .map(|text| text.trim_end().to_owned())
            .map_err(|cause| SetupError::kernel(format!("read sysctl {key} in {}", self.label), cause))
    }

    fn sysctl_path(&self, key: &str) -> Result<PathBuf, SetupError> {
        let foreign = || SetupError::ForeignSysctl { key: key.into(), label: self.label.clone() };
        sysctl_path(key).ok_or_else(foreign)
    }
}

/// Of a path only the last part: the kernel keeps 15 bytes. std panics at a NUL.
fn thread_name(label: &str) -> String {
    label.rsplit('/').next().unwrap_or_default().replace('\0', "")
}

/// None for a key that is not below `/proc/sys/net`.
fn sysctl_path(key: &str) -> Option<PathBuf> {
    // sysctl(8): whichever separator comes first is the separator.
    let path = match key.find(['.', '/']) {
        Some(first) if key.as_bytes()[first] == b'.' => key.replace('.', "/"),
        _ => key.to_owned(),
    };
    let inside = path.starts_with("net/") && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    inside.then(|| Path::new("/proc/sys").join(path))
}

/// Moves the calling thread into an empty network namespace, and nothing else: good for finding out whether that works.
pub(crate) fn unshare_network() -> io::Result<()> {
    Ok(unshare(CloneFlags::CLONE_NEWNET)?)
}

/// Moves the calling thread into new network and mount namespaces.
fn enter(label: &str) -> Result<(Identity, OwnedFd, Leader), SetupError> {
    let step = |what: &str| {
        let action = format!("{what} for namespace {label}");
        move |cause| SetupError::kernel(action, io::Error::from(cause))
    };
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
        .map_err(step("unshare network and mounts"))?;
    // Else a mount made here could propagate to the host (mount_namespaces(7)).
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(step("make mounts private"))?;
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), safe, Some("mode=0755,size=64m"))
        .map_err(step("mount a private /run"))?;

    let identity = Identity::here()?;
    verify(label, &identity)?;

    // Without its own sysfs the namespace works too; only /sys/class/net would show the host's links.
    let _ = renew_sysfs();
    Links::open(label)?.set_up("lo")?;

    let open = File::open("/proc/thread-self/ns/net").map_err(|c| SetupError::kernel("open ns/net", c))?;
    let leader = Leader::start()
        .map_err(|cause| SetupError::kernel(format!("start /bin/sh in namespace {label}"), cause))?;
    Ok((identity, open.into(), leader))
}

fn verify(label: &str, identity: &Identity) -> Result<(), SetupError> {
    let refuse = |what: String| Err(SetupError::NotIsolated { label: label.to_owned(), what });
    if let Some(what) = identity.shared_with(&Identity::of_process()?) {
        return refuse(what.to_owned());
    }
    // Not readable everywhere: in a container with another user's pid 1, say.
    if let Ok(init) = Identity::read(Path::new("/proc/1"))
        && let Some(what) = identity.shared_with(&init)
    {
        return refuse(format!("{what} (pid 1)"));
    }
    Ok(())
}

/// A sysfs shows the links of the namespace it was mounted in. The control groups below the old one are carried over.
fn renew_sysfs() -> nix::Result<()> {
    const CGROUP: &str = "/sys/fs/cgroup";
    const ASIDE: &str = "/run/cgroup";
    let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
    let kept =
        fs::create_dir(ASIDE).is_ok() && mount(Some(CGROUP), ASIDE, None::<&str>, bind, None::<&str>).is_ok();
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("sysfs"), "/sys", Some("sysfs"), safe, None::<&str>)?;
    if kept {
        mount(Some(ASIDE), CGROUP, None::<&str>, MsFlags::MS_MOVE, None::<&str>)?;
    }
    let _ = fs::remove_dir(ASIDE);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctl_keys_stay_below_net() {
        let path = |key| sysctl_path(key).map(|path| path.display().to_string());
        assert_eq!(path("net.ipv4.ip_forward").as_deref(), Some("/proc/sys/net/ipv4/ip_forward"));
        assert_eq!(
            path("net/ipv4/conf/eth0.100/rp_filter").as_deref(),
            Some("/proc/sys/net/ipv4/conf/eth0.100/rp_filter")
        );
        for foreign in ["kernel.panic", "net", "net/../kernel/panic", "net..x", "/net/x", "network.x"] {
            assert_eq!(path(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn anything_shared_with_the_host_is_seen() {
        let host = Identity { net: 1, mnt: 2, run_device: 3 };
        assert_eq!(Identity { net: 7, mnt: 8, run_device: 9 }.shared_with(&host), None);
        for near in
            [Identity { net: 1, ..NEW }, Identity { mnt: 2, ..NEW }, Identity { run_device: 3, ..NEW }]
        {
            assert!(near.shared_with(&host).is_some(), "{near:?}");
        }
    }

    const NEW: Identity = Identity { net: 7, mnt: 8, run_device: 9 };

    #[test]
    fn this_test_has_not_left_the_host() {
        assert_eq!(Identity::here().unwrap(), Identity::of_process().unwrap());
    }
}
