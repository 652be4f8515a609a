//! What a process is, as far as `/proc` still tells: those that take the lock often live for milliseconds only.

use std::fs;

/// A process.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Process {
    /// Its number in our pid namespace.
    pub pid: u32,
    /// Its command line, or its name in brackets; empty: it was gone before it could be looked at.
    pub command: String,
    /// Name of the process that started it; empty: not known.
    pub parent: String,
    /// First twelve digits of its container's identifier; empty: it is in none that is known.
    pub container: String,
}

/// Longer command lines are cut.
const LONGEST: usize = 160;

impl Process {
    /// Looks.
    pub fn look(pid: u32) -> Self {
        let read = |of: u32, name: &str| fs::read(format!("/proc/{of}/{name}")).unwrap_or_default();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let name = |of| text(read(of, "comm")).trim_end().to_owned();
        let command = match command(&read(pid, "cmdline")) {
            line if line.is_empty() => Some(name(pid)).filter(|name| !name.is_empty()),
            line => Some(line),
        };
        let parent = parent(&text(read(pid, "stat"))).map(name).unwrap_or_default();
        let container = container(&text(read(pid, "cgroup"))).unwrap_or_default();
        Self { pid, command: command.unwrap_or_default(), parent, container }
    }

    /// In words: `iptables -w 5 -t nat -N X [4711, of kubelet, container 0123456789ab]`.
    pub fn in_words(&self) -> String {
        let Self { pid, command, parent, container } = self;
        let command = if command.is_empty() { "(gone)" } else { command };
        let mut words = format!("{command} [{pid}");
        if !parent.is_empty() {
            words += &format!(", of {parent}");
        }
        if !container.is_empty() {
            words += &format!(", container {container}");
        }
        words + "]"
    }

    /// The program alone: `iptables-restore`.
    pub fn program(&self) -> &str {
        let first = self.command.split(' ').next().unwrap_or_default();
        match first.rsplit('/').next() {
            Some(name) if !name.is_empty() => name,
            _ => "(gone)",
        }
    }
}

/// Arguments, separated by zero bytes, as one printable line.
fn command(bytes: &[u8]) -> String {
    let words = bytes.split(|&byte| byte == 0).filter(|word| !word.is_empty());
    let words: Vec<_> = words.map(String::from_utf8_lossy).collect();
    let line = results::text::printable(&words.join(" "));
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line,
    }
}

/// The parent's number from `/proc/PID/stat`: the second field after the name, which may itself hold brackets.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok().filter(|&pid| pid > 0)
}

/// The identifier of 64 hexadecimal digits that container runtimes name their cgroups by.
fn container(cgroup: &str) -> Option<String> {
    let mut parts = cgroup.split(|c: char| !c.is_ascii_hexdigit());
    parts.rfind(|part| part.len() == 64).map(|id| id[..12].to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn arguments_become_one_line() {
        assert_eq!(command(b"/usr/sbin/iptables\0-w\x005\0-A\0X\0"), "/usr/sbin/iptables -w 5 -A X");
        assert_eq!(command(b"a\x1b[31m\0"), "a [31m", "nothing that a terminal would obey");
        assert_eq!(command(&[b'x'; 500]).len(), LONGEST + 4);
        let process = Process { pid: 7, command: command(b"/usr/sbin/iptables\0-L\0"), ..Process::default() };
        assert_eq!(
            (process.program(), process.in_words().as_str()),
            ("iptables", "/usr/sbin/iptables -L [7]")
        );
        assert_eq!(Process::default().program(), "(gone)");
    }

    #[test]
    fn parents_and_containers_are_found() {
        assert_eq!(parent("4711 (a) b (c) S 42 4711 4711 0"), Some(42));
        let id = "0123456789abcdef".repeat(4);
        let kubernetes = format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope\n");
        assert_eq!(container(&kubernetes).as_deref(), Some("0123456789ab"));
        assert_eq!(container("0::/system.slice/kubelet.service\n"), None);
    }

    #[test]
    fn this_test_is_a_process() {
        let process = Process::look(std::process::id());
        assert!(!process.command.is_empty() && !process.parent.is_empty(), "{process:?}");
        assert_eq!(Process::look(u32::MAX).in_words(), format!("(gone) [{}]", u32::MAX));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "\\PC{0,200}") {
            prop_assert!(!command(&bytes).contains('\n'));
            let _ = (parent(&text), container(&text));
        }
    }
}
