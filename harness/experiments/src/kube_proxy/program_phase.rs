//! What a program of kube-proxy's is for, by its name and arguments. Pure.

use kube_proxy::programs::ProgramRun;

/// What its programs do in a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ProgramPhase {
    /// Reading what is installed.
    Listing,
    /// Writing what shall be.
    Writing,
    /// Looking after jumps, canaries and versions, deleting connections.
    Other,
}

/// What a program was started for, by its name and arguments (pkg/util/iptables and sigs.k8s.io/knftables).
pub(super) fn phase(run: &ProgramRun) -> ProgramPhase {
    let has = |word: &str| run.command.split(' ').any(|own| own == word);
    match run.name.as_str() {
        name if name.ends_with("-save") => ProgramPhase::Listing,
        name if name.ends_with("-restore") => ProgramPhase::Writing,
        "nft" if has("list") => ProgramPhase::Listing,
        "nft" if has("-f") && !has("--check") => ProgramPhase::Writing,
        "ipset" if has("list") || has("save") => ProgramPhase::Listing,
        "ipset" if !has("--version") && !has("version") => ProgramPhase::Writing,
        _ => ProgramPhase::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn run(command: &str) -> ProgramRun {
        ProgramRun {
            pid: 1,
            command: command.to_owned(),
            name: command.split(' ').next().unwrap().rsplit('/').next().unwrap().to_owned(),
            started: Instant::now(),
            executed: None,
            ended: None,
            status: None,
            used: None,
        }
    }

    #[test]
    fn programs_are_told_by_what_they_are_asked() {
        for (command, expected) in [
            ("iptables-save -t nat", ProgramPhase::Listing),
            ("ip6tables-restore -w 5 -W 100000 --noflush --counters", ProgramPhase::Writing),
            ("iptables -w 5 -W 100000 -C OUTPUT -t nat -j KUBE-SERVICES", ProgramPhase::Other),
            ("nft --json list map ip kube-proxy service-ips", ProgramPhase::Listing),
            ("nft -f -", ProgramPhase::Writing),
            ("nft --check -f -", ProgramPhase::Other),
            ("nft --version", ProgramPhase::Other),
            ("ipset create KUBE-CLUSTER-IP hash:ip,port family inet", ProgramPhase::Writing),
            ("ipset list -n", ProgramPhase::Listing),
            ("conntrack -D", ProgramPhase::Other),
        ] {
            assert_eq!(phase(&run(command)), expected, "{command}");
        }
    }
}
