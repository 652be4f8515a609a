//! Pods on the node: how a packet finds the chains of its pod, and what stands in them.

use std::net::Ipv4Addr;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::super::ruleset::Set;
use super::chains::{Chains, KNOWN, NAMESPACE, NETS, VXLAN};
use super::rules::{Rule, chain_name, clear, if_clear, if_set, jump, mark, rule, selector_set};

/// Pods that a policy's rule lets in.
const SELECTED: u32 = 10;

/// A pod.
pub(super) struct Workload {
    namespace: u32,
    /// Its device on the node: `cali` and eleven hexadecimal digits of a hash of its name.
    device: String,
}

impl Workload {
    pub(super) fn new(number: u32) -> Self {
        let namespace = number / NAMESPACE;
        let hash = Sha256::digest(format!("{}.pod-{number}", self::namespace(namespace)));
        Self { namespace, device: format!("cali{}", &HEXLOWER.encode(&hash)[..11]) }
    }
}

fn namespace(number: u32) -> String {
    format!("ns-{number}")
}

fn policy_name(namespace: u32, policy: u32) -> String {
    format!("{}/knp.default.policy-{policy}", self::namespace(namespace))
}

/// The tree of device names: chains for those that share the first character in which all differ, where there is more
/// than one.
pub(super) fn dispatch(workloads: &[Workload], ipvs: bool, chains: &mut Chains) {
    let mut devices: Vec<&str> = workloads.iter().map(|workload| workload.device.as_str()).collect();
    devices.sort_unstable();
    let unknown = || vec![rule("--jump DROP").comment("Unknown interface")];
    tree(&devices, "cali-from-wl-dispatch", "--in-interface", "cali-fw-", &unknown(), chains);
    tree(&devices, "cali-to-wl-dispatch", "--out-interface", "cali-tw-", &unknown(), chains);
    if ipvs {
        endpoint_marks(&devices, chains);
    }
}

fn tree(devices: &[&str], root: &str, by: &str, prefix: &str, last: &[Rule], chains: &mut Chains) {
    let (children, mut rules) = branches(devices, root, by, prefix, last);
    rules.extend_from_slice(last);
    children.into_iter().for_each(|(name, rules)| chains.add(name, &rules));
    chains.add(root, &rules);
}

/// The chains below the root, and the root's rules.
fn branches(
    devices: &[&str],
    root: &str,
    by: &str,
    prefix: &str,
    last: &[Rule],
) -> (Vec<(String, Vec<Rule>)>, Vec<Rule>) {
    let common = common_prefix(devices);
    let leaf = |device: &str| rule(format!("{by} {device} --goto {}", chain_name(prefix, device)));
    let (mut children, mut rules) = (Vec::new(), Vec::new());
    // A device whose name is no longer than what all share is alone.
    for group in devices.chunk_by(|one, other| one.as_bytes().get(common) == other.as_bytes().get(common)) {
        match group {
            [device] => rules.push(leaf(device)),
            [first, ..] => {
                let shared = &first[..=common];
                let name = format!("{root}-{}", &shared[common..]);
                rules.push(rule(format!("{by} {shared}+ --goto {name}")));
                let leaves = group.iter().map(|device| leaf(device));
                children.push((name, leaves.chain(last.iter().cloned()).collect()));
            }
            [] => {}
        }
    }
    (children, rules)
}

fn common_prefix(devices: &[&str]) -> usize {
    let (Some(first), Some(last)) = (devices.first(), devices.last()) else { return 0 };
    first.bytes().zip(last.bytes()).take_while(|(one, other)| one == other).count()
}

/// Marks by which IPVS' packets are known again, and chains that set and read them.
fn endpoint_marks(devices: &[&str], chains: &mut Chains) {
    let (children, mut rules) =
        branches(devices, "cali-set-endpoint-mark", "--in-interface", "cali-sm-", &[]);
    let (no_endpoint, mask) = (mark::NO_ENDPOINT, mark::ENDPOINT);
    rules.extend([
        rule("--in-interface cali+ --jump DROP").comment("Unknown endpoint"),
        rule(format!("--jump MARK --set-mark {no_endpoint}/{mask}")).comment("Non-Cali endpoint mark"),
    ]);
    children.into_iter().for_each(|(name, rules)| chains.add(name, &rules));
    chains.add("cali-set-endpoint-mark", &rules);
    let marks = marks(devices);
    for (device, mark) in devices.iter().zip(&marks) {
        chains
            .add(chain_name("cali-sm-", device), &[rule(format!("--jump MARK --set-mark {mark:#x}/{mask}"))]);
    }
    let known = devices.iter().zip(&marks).map(|(device, mark)| {
        rule(format!("-m mark --mark {mark:#x}/{mask} --goto {}", chain_name("cali-fw-", device)))
    });
    let unknown = rule("--jump DROP").comment("Unknown interface");
    chains.add("cali-from-endpoint-mark", &known.chain([unknown]).collect::<Vec<_>>());
}

/// Twelve bits for each endpoint, from a hash of its device's name or the next that is free
/// (`felix/rules/epmark.go`). Of 4,096 marks 0 is no mark, and 1 is that of packets from elsewhere.
fn marks(devices: &[&str]) -> Vec<u32> {
    const MARKS: u32 = 1 << 12;
    let mut taken = vec![false; MARKS as usize];
    taken[0] = true;
    taken[1] = true;
    let mut place = |device: &str| {
        let free =
            (0..MARKS).map(|step| fnv(device).wrapping_add(step) % MARKS).find(|at| !taken[*at as usize]);
        // There are fewer devices than marks.
        let free = free.unwrap_or_default();
        taken[free as usize] = true;
        free << 20
    };
    devices.iter().map(|device| place(device)).collect()
}

/// FNV-1, 32 bits (Go's `hash/fnv`, `New32`).
fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash: u32, byte| hash.wrapping_mul(0x0100_0193) ^ u32::from(byte))
}

/// The two chains of a pod: what goes to it, what comes from it.
pub(super) fn chains(workload: &Workload, policies: u32, chains: &mut Chains) {
    let directions = [("cali-tw-", "cali-pi-", "cali-pri-"), ("cali-fw-", "cali-po-", "cali-pro-")];
    for (prefix, policy_prefix, profile_prefix) in directions {
        let mut rules = vec![
            rule(format!("{KNOWN} --jump ACCEPT")),
            rule("-m conntrack --ctstate INVALID --jump DROP"),
            clear(mark::VERDICT),
        ];
        if prefix == "cali-fw-" {
            rules.push(
                rule(format!("{VXLAN} --jump DROP"))
                    .comment("Drop VXLAN encapped packets originating in workloads"),
            );
            rules.push(
                rule("-p 4 --jump DROP").comment("Drop IPinIP encapped packets originating in workloads"),
            );
        }
        for policy in 0..policies {
            let chain = chain_name(policy_prefix, &policy_name(workload.namespace, policy));
            rules.push(if_clear(mark::PASS, &format!("--jump {chain}")));
            rules.push(if_set(mark::ACCEPT, "--jump RETURN").comment("Return if policy accepted"));
        }
        if policies > 0 {
            rules.push(if_clear(mark::PASS, "--jump DROP").comment("Drop if no policies passed packet"));
        }
        for profile in profile_names(workload.namespace) {
            rules.push(jump(&chain_name(profile_prefix, &profile)));
            rules.push(if_set(mark::ACCEPT, "--jump RETURN").comment("Return if profile accepted"));
        }
        rules.push(rule("--jump DROP").comment("Drop if no profiles matched"));
        chains.add(chain_name(prefix, &workload.device), &rules);
    }
}

/// A pod has the profile of its namespace and that of its service account.
fn profile_names(namespace: u32) -> [String; 2] {
    let namespace = self::namespace(namespace);
    [format!("kns.{namespace}"), format!("ksa.{namespace}.default")]
}

/// Profiles of a namespace: it accepts all, its service account says nothing.
pub(super) fn profiles(namespace: u32, chains: &mut Chains) {
    for (prefix, direction) in [("cali-pri-", "ingress"), ("cali-pro-", "egress")] {
        for (profile, text) in profile_names(namespace).iter().zip([ACCEPT, ""]) {
            let rule = rule(text).comment(format!("Profile {profile} {direction}"));
            chains.add(chain_name(prefix, profile), &[rule]);
        }
    }
}

const ACCEPT: &str = "--jump MARK --set-mark 0x10000/0x10000";

/// The two chains of a policy, and the set of pods that its rules let in.
pub(super) fn policy(namespace: u32, policy: u32, count: u32, chains: &mut Chains) -> Set {
    let name = policy_name(namespace, policy);
    let set = selector_set(&format!("{name} peers"));
    let directions = [("cali-pi-", "ingress", "src"), ("cali-po-", "egress", "dst")];
    for (prefix, direction, side) in directions {
        let mut rules = Vec::new();
        for number in 0..count {
            let protocol = if number.is_multiple_of(2) { "tcp" } else { "udp" };
            let port = 8_000 + number;
            let matched = format!(
                "-p {protocol} -m set --match-set {set} {side} -m multiport --destination-ports {port} {ACCEPT}"
            );
            let matched = rule(matched);
            rules.push(match number {
                0 => matched.comment(format!("Policy {name} {direction}")),
                _ => matched,
            });
            rules.push(if_set(mark::ACCEPT, "--jump RETURN"));
        }
        // A return at the end does nothing, and is left out.
        rules.pop();
        chains.add(chain_name(prefix, &name), &rules);
    }
    // Of 198.18.0.0/15, which is for benchmarks: no pod of a lab is among them.
    let first = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + (namespace * 100 + policy) * SELECTED % (1 << 17);
    let entries = (first..first + SELECTED).map(|address| Ipv4Addr::from(address).to_string()).collect();
    Set { name: set, kind: NETS, entries }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dispatch_is_that_of_a_real_node() {
        // A node with Calico 3.28.0: the hash of the last rule depends on all before it.
        let devices = [
            "cali1dac8782bdb",
            "cali3579be14420",
            "cali6945b3c77c1",
            "cali6f60a778e0b",
            "cali868a4e4c0db",
            "cali9d04617f188",
        ];
        let mut chains = Chains::default();
        let unknown = [rule("--jump DROP").comment("Unknown interface")];
        tree(&devices, "cali-from-wl-dispatch", "--in-interface", "cali-fw-", &unknown, &mut chains);
        let last: Vec<_> =
            chains.0.iter().map(|(name, rules)| (name.as_str(), rules.last().unwrap())).collect();
        assert!(
            matches!(last[..], [
            ("cali-from-wl-dispatch-6", child),
            ("cali-from-wl-dispatch", root),
        ] if child.contains("cali:BloWYvybf6fUB-zQ") && root.contains("cali:CPCo32RHIaeTT15t")),
            "{last:?}"
        );
    }

    #[test]
    fn marks_differ_and_are_never_those_that_mean_something_else() {
        let devices: Vec<String> = (0..1_000).map(|number| Workload::new(number).device).collect();
        let devices: Vec<&str> = devices.iter().map(String::as_str).collect();
        let marks = marks(&devices);
        assert!(marks.iter().all(|mark| *mark > 0x100000 && mark & 0xfffff == 0));
        assert_eq!(marks.iter().collect::<std::collections::HashSet<_>>().len(), devices.len());
    }
}
