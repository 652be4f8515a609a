//! What this machine can do, found out by doing it in a throw-away namespace.

pub(crate) mod kube_proxy;

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;

use netlink_sys::protocols::NETLINK_GENERIC;
use serde::Serialize;

use crate::conntrack::{Conntrack, flush_here};
use crate::error::SetupError;
use crate::link::VethEnd;
use crate::namespace::Namespace;
use crate::netlink::{Requester, generic};
use crate::tun::{Tun, TunOptions};

/// Something that an experiment may need from the kernel or from installed programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// The capabilities CAP_NET_ADMIN and CAP_SYS_ADMIN.
    Root,
    /// Network namespaces.
    NetworkNamespace,
    /// Mount namespaces with a private `/run` and a shell that leads the group of its programs: a whole [`Namespace`].
    MountNamespace,
    /// TUN devices.
    Tun,
    /// Pairs of virtual Ethernet links.
    Veth,
    /// Connection tracking, and its control over netlink.
    Conntrack,
    /// iptables on the kernel's original tables.
    IptablesLegacy,
    /// iptables on nftables.
    IptablesNft,
    /// nftables.
    Nft,
    /// IP Virtual Server.
    IpVs,
    /// Dummy links.
    Dummy,
    /// IP sets.
    IpSet,
    /// Ethernet bridges.
    Bridge,
    /// IPIP tunnels.
    Ipip,
    /// `ipvsadm`, and IPVS for it.
    Ipvsadm,
    /// A kube-proxy of this minor version of Kubernetes 1 that `scripts/kube-proxy` has built. Not in [`Need::ALL`]: no
    /// machine has it by itself.
    KubeProxy(u8),
}

/// A need that is met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// What was found: `iptables v1.8.9 (legacy)`.
    pub detail: String,
}

/// A need that is not met. Displays as one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{what} is missing: {why}; {how}")]
pub struct Missing {
    /// The need, in words.
    pub what: String,
    /// What happened when it was tried.
    pub why: String,
    /// How to get it: packages (Debian and Ubuntu names), modules or kernel options.
    pub how: String,
}

impl Need {
    /// All of them, those that others rest on first.
    pub const ALL: &[Need] = &[
        Need::Root,
        Need::NetworkNamespace,
        Need::MountNamespace,
        Need::Tun,
        Need::Veth,
        Need::Conntrack,
        Need::IptablesLegacy,
        Need::IptablesNft,
        Need::Nft,
        Need::IpVs,
        Need::Dummy,
        Need::IpSet,
        Need::Bridge,
        Need::Ipip,
        Need::Ipvsadm,
    ];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Need::Root => "root",
            Need::NetworkNamespace => "network namespaces",
            Need::MountNamespace => "mount namespaces",
            Need::Tun => "TUN devices",
            Need::Veth => "veth links",
            Need::Conntrack => "connection tracking",
            Need::IptablesLegacy => "iptables (legacy)",
            Need::IptablesNft => "iptables (nft)",
            Need::Nft => "nftables",
            Need::IpVs => "IPVS",
            Need::Dummy => "dummy links",
            Need::IpSet => "IP sets",
            Need::Bridge => "bridges",
            Need::Ipip => "IPIP tunnels",
            Need::Ipvsadm => "ipvsadm",
            Need::KubeProxy(_) => "a real kube-proxy",
        }
    }

    /// How to get it.
    pub fn how(self) -> &'static str {
        match self {
            Need::Root => {
                "run as root, or with CAP_NET_ADMIN and CAP_SYS_ADMIN (try sudo, or `unshare -Urnm`)"
            }
            Need::NetworkNamespace => "use a kernel with CONFIG_NET_NS, and run as root",
            Need::MountNamespace => {
                "run as root, outside containers that forbid mounts, with /run and /bin/sh there"
            }
            Need::Tun => "modprobe tun, or use a kernel with CONFIG_TUN; in a container pass /dev/net/tun in",
            Need::Veth => "modprobe veth, or use a kernel with CONFIG_VETH",
            Need::Conntrack => {
                "modprobe nf_conntrack_netlink, or use a kernel with CONFIG_NF_CONNTRACK and CONFIG_NF_CT_NETLINK"
            }
            Need::IptablesLegacy => {
                "apt install iptables, and modprobe iptable_nat xt_statistic xt_MASQUERADE, or use a kernel with \
                 CONFIG_IP_NF_IPTABLES_LEGACY, CONFIG_IP_NF_NAT and those matches and targets"
            }
            Need::IptablesNft => {
                "apt install iptables, and modprobe nft_compat nft_chain_nat xt_statistic xt_MASQUERADE, or use a \
                 kernel with CONFIG_NFT_COMPAT and CONFIG_NFT_NAT"
            }
            Need::Nft => {
                "apt install nftables, and modprobe nf_tables nft_chain_nat nft_masq nft_numgen, or use a kernel with \
                 CONFIG_NF_TABLES, CONFIG_NFT_NAT, CONFIG_NFT_MASQ and CONFIG_NFT_NUMGEN"
            }
            Need::IpVs => "modprobe ip_vs, or use a kernel with CONFIG_IP_VS",
            Need::Dummy => "modprobe dummy, or use a kernel with CONFIG_DUMMY",
            Need::IpSet => {
                "apt install ipset, and modprobe ip_set_hash_ipport, or use a kernel with CONFIG_IP_SET and \
                 CONFIG_IP_SET_HASH_IPPORT"
            }
            Need::Bridge => "modprobe bridge, or use a kernel with CONFIG_BRIDGE",
            Need::Ipip => "modprobe ipip, or use a kernel with CONFIG_NET_IPIP",
            Need::Ipvsadm => "apt install ipvsadm, and modprobe ip_vs, or use a kernel with CONFIG_IP_VS",
            Need::KubeProxy(_) => "build it with scripts/kube-proxy VERSION",
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Tries it out, in a throw-away namespace. Changes nothing else, save that the kernel may load a module.
///
/// # Errors
/// What is missing, why, and how to get it.
pub fn check(need: Need) -> Result<Found, Missing> {
    match attempt(need) {
        Ok(detail) => Ok(Found { detail }),
        Err(why) => Err(Missing { what: need.name().into(), why, how: need.how().into() }),
    }
}

/// The program called `name` in `PATH`, else in `/usr/sbin` or `/sbin`, which an ordinary user's `PATH` lacks on Debian.
pub fn find_program(name: &str) -> Option<PathBuf> {
    find_program_in(name, env::var_os("PATH").unwrap_or_default())
}

fn find_program_in(name: &str, path: OsString) -> Option<PathBuf> {
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        // An empty entry means the working directory: not for programs that are run as root.
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|candidate| {
            fs::metadata(candidate).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        })
}

/// What was found, or why not.
fn attempt(need: Need) -> Result<String, String> {
    match need {
        Need::Root => root(),
        Need::NetworkNamespace => network_namespace(),
        Need::MountNamespace => trial(|_| Ok("a private /run".into())),
        Need::Tun => trial(|namespace| {
            Tun::open(namespace, "try", TunOptions::default()).map_err(text)?;
            Ok("/dev/net/tun".into())
        }),
        Need::Veth => trial(veth),
        Need::Conntrack => trial(conntrack),
        Need::IptablesLegacy => trial(|namespace| iptables(namespace, "legacy")),
        Need::IptablesNft => trial(|namespace| iptables(namespace, "nft")),
        Need::Nft => trial(nft),
        Need::IpVs => trial(ipvs),
        Need::Dummy => trial(|namespace| {
            namespace.links(|links| links.add_dummy("try")).map_err(text)?;
            Ok("a link of kind dummy".into())
        }),
        Need::IpSet => trial(|namespace| {
            let ipset = Tool::find(namespace, "ipset", "ipset")?;
            ipset.run(&["create", "try", "hash:ip,port"], "")?;
            ipset.version()
        }),
        Need::Bridge => trial(|namespace| {
            namespace.links(|links| links.add_bridge("try")).map_err(text)?;
            Ok("a link of kind bridge".into())
        }),
        Need::Ipip => trial(|namespace| {
            namespace.links(|links| links.add_ipip("try", Ipv4Addr::LOCALHOST)).map_err(text)?;
            Ok("a link of kind ipip".into())
        }),
        Need::Ipvsadm => trial(|namespace| {
            let ipvsadm = Tool::find(namespace, "ipvsadm", "ipvsadm")?;
            // Also fails if it cannot reach IPVS.
            ipvsadm.version()
        }),
        Need::KubeProxy(minor) => match kube_proxy::find(minor) {
            Some(path) => Ok(path.display().to_string()),
            None => Err(format!("no 1.{minor} in {}", kube_proxy::cache().display())),
        },
    }
}

/// Without general advice: `how` is more precise.
fn text(error: SetupError) -> String {
    match error {
        SetupError::Kernel { action, cause } => format!("{action}: {}", crate::error::answer(&cause)),
        other => other.to_string(),
    }
}

fn trial(f: impl FnOnce(&Namespace) -> Result<String, String>) -> Result<String, String> {
    f(&Namespace::create("trial").map_err(text)?)
}

fn root() -> Result<String, String> {
    let status = fs::read_to_string("/proc/thread-self/status").map_err(|error| format!("/proc: {error}"))?;
    let lacking = lacking_capabilities(&status).ok_or("no CapEff in /proc/thread-self/status")?;
    if lacking.is_empty() {
        return Ok("CAP_NET_ADMIN, CAP_SYS_ADMIN".into());
    }
    Err(format!("this process (uid {}) lacks {}", nix::unistd::geteuid(), lacking.join(" and ")))
}

fn lacking_capabilities(status: &str) -> Option<Vec<&'static str>> {
    // Bit numbers: include/uapi/linux/capability.h.
    const WANTED: [(u32, &str); 2] = [(12, "CAP_NET_ADMIN"), (21, "CAP_SYS_ADMIN")];
    let field = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let effective = u64::from_str_radix(field.trim(), 16).ok()?;
    Some(WANTED.iter().filter(|(bit, _)| effective >> bit & 1 == 0).map(|(_, name)| *name).collect())
}

fn network_namespace() -> Result<String, String> {
    let unshared = thread::Builder::new().name("trial".into()).spawn(crate::namespace::unshare_network);
    let outcome = unshared.map_err(|error| error.to_string())?.join();
    outcome
        .map_err(|_| "the trial thread panicked".to_owned())?
        .map_err(|error| format!("unshare: {error}"))?;
    Ok("unshare(CLONE_NEWNET)".into())
}

fn veth(namespace: &Namespace) -> Result<String, String> {
    let end = |name, last| VethEnd { name, mac: [2, 0, 0, 0, 0, last] };
    let added =
        namespace.links(|links| links.add_veth(end("try", 1), end("peer", 2), namespace.fd().as_fd()));
    added.map_err(text)?;
    Ok("a link of kind veth".into())
}

fn conntrack(namespace: &Namespace) -> Result<String, String> {
    namespace.run(flush_here).map_err(text)?;
    namespace.run(Conntrack::count).map_err(text)?;
    let limit = namespace.sysctl("net.netfilter.nf_conntrack_max").map_err(text)?;
    Ok(format!("nf_conntrack_max {limit}"))
}

fn iptables(namespace: &Namespace, variant: &str) -> Result<String, String> {
    let tool = Tool::find(namespace, &format!("iptables-{variant}"), "iptables")?;
    for needed in ["save", "restore"] {
        Tool::find(namespace, &format!("iptables-{variant}-{needed}"), "iptables")?;
    }
    // A list would succeed without the kernel's matches and targets.
    let rule = "-w 5 -t nat -A POSTROUTING -m comment --comment try -m statistic --mode random --probability 0.5 \
                -j MASQUERADE";
    tool.run(&rule.split_whitespace().collect::<Vec<_>>(), "")?;
    tool.run(&["-w", "5", "-t", "nat", "-S"], "")?;
    tool.version()
}

fn nft(namespace: &Namespace) -> Result<String, String> {
    let tool = Tool::find(namespace, "nft", "nftables")?;
    tool.run(
        &["-f", "-"],
        "add table ip try\nadd chain ip try nat { type nat hook postrouting priority 100; }\n\
         add rule ip try nat numgen random mod 2 0 masquerade\n",
    )?;
    tool.run(&["list", "ruleset"], "")?;
    tool.version()
}

fn ipvs(namespace: &Namespace) -> Result<String, String> {
    match namespace.run(|| generic::family(&mut Requester::open(NETLINK_GENERIC)?, "IPVS")) {
        Ok(_) => {}
        Err(error) if error.raw_os_error() == Some(nix::libc::ENOENT) => {
            return Err("this kernel has no generic netlink family \"IPVS\"".into());
        }
        Err(error) => return Err(format!("generic netlink: {error}")),
    }
    // IP_VS_VERSION_CODE, where /proc has it.
    let about = namespace.run(|| fs::read_to_string("/proc/thread-self/net/ip_vs")).unwrap_or_default();
    Ok(about.lines().next().unwrap_or("generic netlink family IPVS").to_owned())
}

/// A program, run in the throw-away namespace.
struct Tool<'n> {
    namespace: &'n Namespace,
    path: PathBuf,
}

impl<'n> Tool<'n> {
    fn find(namespace: &'n Namespace, name: &str, package: &str) -> Result<Self, String> {
        let missing = || format!("no program {name} in PATH, /usr/sbin or /sbin (package {package})");
        Ok(Tool { namespace, path: find_program(name).ok_or_else(missing)? })
    }

    fn run(&self, arguments: &[&str], input: &str) -> Result<Output, String> {
        let outcome = self.output(arguments, input);
        let command = || format!("`{} {}`", self.path.display(), arguments.join(" "));
        match outcome {
            Ok(output) if output.status.success() => Ok(output),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let said = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>();
                Err(format!("{} failed ({}): {}", command(), output.status, said.join(" / ")))
            }
            Err(error) => Err(format!("{}: {error}", command())),
        }
    }

    /// `input` must fit a pipe (64 KiB).
    fn output(&self, arguments: &[&str], input: &str) -> io::Result<Output> {
        let mut command = Command::new(&self.path);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.namespace.spawn(&mut command)?;
        if let Some(mut pipe) = child.stdin.take() {
            // If the program ends without reading, its exit status tells why.
            let _ = pipe.write_all(input.as_bytes());
        }
        child.wait_with_output()
    }

    fn version(&self) -> Result<String, String> {
        let output = self.run(&["--version"], "")?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().next().unwrap_or_default().trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_need_is_listed_once_with_a_way_to_get_it() {
        let mut sorted = Need::ALL.to_vec();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted, Need::ALL, "in the order of declaration");
        assert_eq!(Need::ALL.last(), Some(&Need::Ipvsadm), "the last one declared");
        for need in Need::ALL {
            assert!(need.how().len() > 20, "{need}");
        }
    }

    #[test]
    fn what_is_missing_reads_as_a_sentence() {
        let missing = Missing { what: "IPVS".into(), why: "no family".into(), how: Need::IpVs.how().into() };
        assert_eq!(
            missing.to_string(),
            "IPVS is missing: no family; modprobe ip_vs, or use a kernel with CONFIG_IP_VS"
        );
    }

    #[test]
    fn capabilities_are_read_bit_by_bit() {
        let lacking = |line| lacking_capabilities(line);
        assert_eq!(lacking("Name:\tx\nCapEff:\t000001ffffffffff\n"), Some(vec![]));
        assert_eq!(lacking("CapEff:\t0000000000001000"), Some(vec!["CAP_SYS_ADMIN"]));
        assert_eq!(lacking("CapEff:\t0000000000200000"), Some(vec!["CAP_NET_ADMIN"]));
        assert_eq!(lacking("CapPrm:\t0"), None);
    }

    #[test]
    fn programs_are_executable_files_in_absolute_directories() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("svcbench-try");
        fs::write(&file, "").unwrap();
        let path = || directory.path().as_os_str().to_owned();
        assert_eq!(find_program_in("svcbench-try", path()), None, "not executable");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find_program_in("svcbench-try", path()), Some(file));
        assert_eq!(find_program_in("svcbench-try", "".into()), None);
        assert!(find_program_in("sh", "".into()).is_some(), "beyond PATH");
    }
}
