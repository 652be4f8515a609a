//! What the tests share: waits, this program in other roles, and a kube-proxy in a namespace.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use kube_proxy::{Binary, Config, Process, ProxyMode, Version};
use lab::stop::Stop;
use lab::tools::Tools;
use netns_setup::{Namespace, find_kube_proxy};

use crate::api;
use crate::life;

/// Far longer than anything waited for should take, on a busy machine too.
pub(crate) const LIMIT: Duration = Duration::from_secs(180);

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {LIMIT:?} in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Roles are told by the name of the file, as a `Binary` is started without an environment of ours.
pub(crate) fn play_role() -> bool {
    let name = std::env::args().next().unwrap_or_default();
    let asked = std::env::args().nth(1).unwrap_or_default();
    match name.rsplit('/').next() {
        Some("hangs") => thread::sleep(Duration::from_secs(3_600)),
        Some("daemon") => {
            let mut command = Command::new("/bin/sleep");
            command.arg("3600").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            // The room ends it.
            let left_behind = command.process_group(0).spawn().expect("sleep");
            std::mem::forget(left_behind);
            println!("Kubernetes v1.37.2");
        }
        Some("kubelet") => match asked.as_str() {
            "--version" => println!("Kubernetes v1.37.2"),
            _ => println!("The kubelet is the primary \"node agent\" that runs on each node."),
        },
        Some("fails") => {
            eprintln!("cannot do that");
            std::process::exit(3);
        }
        Some("writer") => life::write(),
        Some("owner") => life::own(),
        _ => return false,
    }
    true
}

/// This program under the name of a role.
pub(crate) fn in_role(folder: &Path, role: &str) -> PathBuf {
    let path = folder.join(role);
    // Not by this process, whose children would have it open for writing.
    let own = std::env::current_exe().unwrap();
    assert!(Command::new("cp").arg(own).arg(&path).status().unwrap().success());
    path
}

pub(crate) struct Setup {
    pub(crate) namespace: Namespace,
    pub(crate) binary: Binary,
    pub(crate) version: Version,
    pub(crate) config: Config,
}

/// A namespace without an API server. kube-proxy takes the Node's address from the Node, and looks at no link.
pub(crate) fn setup(version: u8, mode: ProxyMode) -> Setup {
    let namespace = Namespace::create("node").unwrap();
    let binary = Binary::open(find_kube_proxy(version).unwrap()).unwrap();
    let version = binary.version(&Stop::new(), LIMIT).unwrap();
    let mut config = Config::new(mode, format!("http://{}", api::ADDRESS), api::NODE);
    config.cluster_cidrs = vec!["10.244.0.0/15".parse().unwrap()];
    Setup { namespace, binary, version, config }
}

impl Setup {
    pub(crate) fn start(&self, tools: Tools) -> Process {
        Process::start(&self.namespace, &self.binary, &self.version, &self.config, tools).unwrap()
    }
}

/// Numbers of the processes whose mounts are those of this one.
pub(crate) fn beside(pid: u32) -> Vec<u32> {
    let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let wanted = namespace(pid);
    processes().into_iter().filter(|&other| wanted.is_some() && namespace(other) == wanted).collect()
}

pub(crate) fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Zombies are dead.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
