//! Rules written by hand, in the languages of nft and of iptables.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};

use conformance::oracle::Oracle;
use services::service::{Family, Protocol};

/// What rules are written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    Nft,
    Iptables,
}

impl Tool {
    pub(super) const ALL: [Tool; 2] = [Tool::Nft, Tool::Iptables];
}

/// What a packet was sent to.
#[derive(Clone, Copy, Debug)]
pub(super) enum To {
    Address(SocketAddr),
    /// This port of any address of the node.
    NodePort(u16),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    Drop,
    /// With the tool's default, port unreachable.
    Reject,
    /// With a TCP RST.
    Reset,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// For what comes by a link, and for what the node sends.
    Dnat(To, SocketAddr),
    /// Of what goes to this address, unless it comes from there.
    Masquerade(IpAddr),
    /// Of what goes from an address to itself.
    MasqueradeHairpin(IpAddr),
    /// Of what passes the node, is for it or is sent by it.
    Filter(To, Verdict),
}

/// Puts rules for one protocol in place of all that the tool has made before.
pub(super) fn install(oracle: &Oracle, tool: Tool, family: Family, protocol: Protocol, rules: &[Rule]) {
    let (program, text) = match tool {
        Tool::Nft => ("nft", nft(family, protocol, rules)),
        Tool::Iptables => {
            let program = match family {
                Family::Ipv4 => "iptables-legacy-restore",
                Family::Ipv6 => "ip6tables-legacy-restore",
            };
            (program, iptables(protocol, rules))
        }
    };
    let mut command = Command::new(netns_setup::find_program(program).expect(program));
    if tool == Tool::Nft {
        command.args(["-f", "-"]);
    }
    let mut child = oracle.node().spawn(command.stdin(Stdio::piped()).stderr(Stdio::piped())).unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

fn nft(family: Family, protocol: Protocol, rules: &[Rule]) -> String {
    let ip = match family {
        Family::Ipv4 => "ip",
        Family::Ipv6 => "ip6",
    };
    let protocol = protocol.name();
    let matched = |to: To| match to {
        To::Address(to) => format!("{ip} daddr {} {protocol} dport {}", to.ip(), to.port()),
        To::NodePort(port) => format!("fib daddr type local {protocol} dport {port}"),
    };
    let (mut nat, mut masquerade, mut filter) = (String::new(), String::new(), String::new());
    for &rule in rules {
        match rule {
            Rule::Dnat(to, endpoint) => writeln!(nat, "{} dnat to {endpoint}", matched(to)),
            Rule::Masquerade(to) => writeln!(masquerade, "{ip} daddr {to} {ip} saddr != {to} masquerade"),
            Rule::MasqueradeHairpin(pod) => {
                writeln!(masquerade, "{ip} daddr {pod} {ip} saddr {pod} masquerade")
            }
            Rule::Filter(to, verdict) => {
                let verdict = match verdict {
                    Verdict::Drop => "drop",
                    Verdict::Reject => "reject",
                    Verdict::Reset => "reject with tcp reset",
                };
                writeln!(filter, "{} {verdict}", matched(to))
            }
        }
        .unwrap();
    }
    let mut text = format!("table {ip} t\ndelete table {ip} t\ntable {ip} t {{\n");
    let mut chain = |name: &str, kind: &str, priority: &str, rules: &str| {
        writeln!(text, "chain {name} {{ type {kind} hook {name} priority {priority};\n{rules}}}").unwrap();
    };
    chain("prerouting", "nat", "-100", &nat);
    chain("output", "nat", "-100", &nat);
    chain("postrouting", "nat", "100", &masquerade);
    text += "}\n";
    let mut text = format!("{text}table {ip} f\ndelete table {ip} f\ntable {ip} f {{\n");
    for hook in ["input", "forward", "output"] {
        writeln!(text, "chain {hook} {{ type filter hook {hook} priority 0;\n{filter}}}").unwrap();
    }
    text + "}\n"
}

fn iptables(protocol: Protocol, rules: &[Rule]) -> String {
    let protocol = protocol.name();
    let matched = |to: To| match to {
        To::Address(to) => format!("-d {} -p {protocol} -m {protocol} --dport {}", to.ip(), to.port()),
        To::NodePort(port) => {
            format!("-m addrtype --dst-type LOCAL -p {protocol} -m {protocol} --dport {port}")
        }
    };
    let (mut nat, mut filter) = (String::new(), String::new());
    for &rule in rules {
        match rule {
            Rule::Dnat(to, endpoint) => {
                for chain in ["PREROUTING", "OUTPUT"] {
                    writeln!(nat, "-A {chain} {} -j DNAT --to-destination {endpoint}", matched(to)).unwrap();
                }
            }
            Rule::Masquerade(to) => writeln!(nat, "-A POSTROUTING -d {to} ! -s {to} -j MASQUERADE").unwrap(),
            Rule::MasqueradeHairpin(pod) => {
                writeln!(nat, "-A POSTROUTING -d {pod} -s {pod} -j MASQUERADE").unwrap()
            }
            Rule::Filter(to, verdict) => {
                let target = match verdict {
                    Verdict::Drop => "DROP",
                    Verdict::Reject => "REJECT",
                    Verdict::Reset => "REJECT --reject-with tcp-reset",
                };
                for chain in ["INPUT", "FORWARD", "OUTPUT"] {
                    writeln!(filter, "-A {chain} {} -j {target}", matched(to)).unwrap();
                }
            }
        }
    }
    format!("*nat\n{nat}COMMIT\n*filter\n{filter}COMMIT\n")
}
