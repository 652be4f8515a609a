//! Worlds, what their kernels hold, and waiting.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use dataplane::{KubeProxy, Mode, Node, Program, Sync};
use lab::stop::Stop;
use lab::testbed::Testbed;
use netns_setup::Namespace;
use services::service_set::{Scale, ServiceSet};

/// Far longer than anything waited for should take, on a busy machine too.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {TIMEOUT:?} in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn scale(services: u32, endpoints: u32) -> Scale {
    Scale { services, endpoints }
}

pub(crate) fn empty(mode: Mode, node: Node) -> Testbed {
    Testbed::build(mode, scale(1, 1), node, 1, &Stop::new()).unwrap()
}

/// A lab in which kube-proxy has just synced these Services.
pub(crate) fn cold(mode: Mode, version: KubeProxy, set: &ServiceSet) -> Testbed {
    let mut testbed = empty(mode, Node::lab(version));
    sync(&mut testbed, set, Sync::Full);
    testbed
}

/// Plans, carries out, and counts.
pub(crate) fn sync(testbed: &mut Testbed, to: &ServiceSet, kind: Sync) {
    let plan = testbed.dataplane.plan(&testbed.set, to, kind);
    testbed.carry_out(&plan, to, None).unwrap();
    testbed.verify_counts().unwrap();
    if testbed.mode().is_ipvs() {
        crate::ipvs::is_the_model(testbed);
    }
}

/// Standard output of a program in a namespace.
pub(crate) fn output(namespace: &Namespace, command: &mut Command) -> String {
    let child = namespace.spawn(command.stdin(Stdio::null()).stdout(Stdio::piped())).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What the kernel holds, listed by the mode's own tool and brought into an order.
pub(crate) fn held(testbed: &Testbed) -> String {
    let tools = testbed.runner.tools();
    match testbed.mode() {
        Mode::IptablesLegacy | Mode::IptablesNft => {
            let mut save = Command::new(tools.path(Program::IptablesSave).unwrap());
            ordered_iptables(&output(&testbed.lab.node, &mut save))
        }
        Mode::Ipvs | Mode::IpvsBatched => {
            let mut save = Command::new(tools.path(Program::IptablesSave).unwrap());
            ordered_iptables(&output(&testbed.lab.node, &mut save)) + &crate::ipvs::listed(testbed)
        }
        _ => {
            let mut list = Command::new(tools.path(Program::Nft).unwrap());
            ordered_nft(&output(&testbed.lab.node, list.args(["list", "ruleset"])))
        }
    }
}

/// Tables and chains sorted; rules of a chain in their order; no times, counters or policies. Built-in chains
/// without rules are left out: iptables-nft makes them when they are first used.
pub(crate) fn ordered_iptables(save: &str) -> String {
    let mut table = "";
    let mut chains: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for line in save.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some((name, policy)) = line.strip_prefix(':').and_then(|rest| rest.split_once(' ')) {
            if policy.starts_with('-') {
                chains.entry((table, name)).or_default();
            }
        } else if let Some((name, rule)) = line.strip_prefix("-A ").and_then(|rest| rest.split_once(' ')) {
            chains.entry((table, name)).or_default().push(rule);
        } else {
            assert!(line.starts_with('#') || line == "COMMIT", "{line}");
        }
    }
    let text = |((table, chain), rules): (&(&str, &str), &Vec<&str>)| {
        rules.iter().fold(format!("{table} {chain}\n"), |text, rule| format!("{text}  {rule}\n"))
    };
    chains.iter().map(text).collect()
}

/// Chains, sets and maps of IPv4 sorted, elements sorted (they come in the order of a hash with a random seed),
/// rules of a chain in their order.
pub(crate) fn ordered_nft(ruleset: &str) -> String {
    let tables = ruleset.split_inclusive("\n}\n").filter(|table| table.starts_with("table ip "));
    let mut blocks = Vec::new();
    for table in tables {
        let (name, body) = table.split_once('\n').unwrap();
        for block in body.split("\n\t}\n") {
            let (rules, elements) = match block.split_once("elements = {") {
                Some((head, elements)) => (head, elements.split(" }").next().unwrap()),
                None => (block, ""),
            };
            let mut elements: Vec<&str> = elements.split(',').map(str::trim).collect();
            elements.sort_unstable();
            blocks.push(format!(
                "{name}\n{}\n{}\n",
                rules.trim_matches('\n').trim_end(),
                elements.join("\n")
            ));
        }
    }
    blocks.sort_unstable();
    blocks.concat()
}
