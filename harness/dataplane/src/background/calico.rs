//! Calico: Felix's chains, in the iptables dataplane.
//!
//! Source: Calico v3.28, `felix/rules` (`static.go`, `dispatch.go`, `endpoints.go`, `policy.go`, `nat.go`), as the
//! Tigera operator sets it up: VXLAN between nodes, outgoing NAT, `ChainInsertMode` Insert, Kubernetes
//! NetworkPolicies. Chains that nothing leads to are not written, and so the failsafe chains are missing: there is no
//! host endpoint. Policies have a selector each, and so none are gathered in group chains (cali-gi-, cali-go-).
//!
//! In nftables mode, too, these rules are iptables' (iptables-nft): the nftables dataplane (`nftablesMode`, a
//! technology preview in v3.29) has to be asked for.
//!
//! What a packet of a lab meets, first packets and others alike: it comes from no `cali*` device and goes to none, as
//! one from another node to another node would. In raw six rules of cali-PREROUTING; in mangle PREROUTING up to four,
//! one for known flows; in FORWARD the six of cali-FORWARD, without those of any pod; if kube-proxy's KUBE-FORWARD
//! has not accepted it, two more at the end, the last of which sets a mark by which mangle POSTROUTING returns at
//! once. First packets meet one rule in nat PREROUTING and four in POSTROUTING. In IPVS mode they come through INPUT
//! and OUTPUT: there the chain that marks packets with the endpoint that they came from is walked as a tree of device
//! names.

mod chains;
mod endpoints;
mod rules;

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Deserialize;
use services::bounded::within;

use self::chains::{Chains, KNOWN, NAMESPACE, NETS, VXLAN};
use self::endpoints::Workload;
use self::rules::{Rule, clear, hashed, hashed_appends, if_clear, if_set, jump, mark, rule};
use super::ruleset::{Hook, HookPosition, PlannedTable, Ruleset, Set};

/// Its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calico {
    /// Pods on the node. 0 to 1,000.
    #[serde(deserialize_with = "within::<_, 0, 1000>")]
    pub endpoints: u32,
    /// NetworkPolicies that select a pod, for both directions; the ten pods of a namespace share theirs. 0 to 100.
    #[serde(default, deserialize_with = "within::<_, 0, 100>")]
    pub policies: u32,
    /// Rules of a policy in each direction: from or to the pods that a selector finds, at one port. 1 to 100.
    #[serde(default = "one", deserialize_with = "within::<_, 1, 100>")]
    pub rules: u32,
}

fn one() -> u32 {
    1
}

/// Other nodes of the cluster, as far as sets have them.
const PEERS: u32 = 3;
const HOST_ENDPOINT_ACCEPTED: &str = "Host endpoint policy accepted packet.";
const POLICY_ACCEPTED: &str = "Policy explicitly accepted packet.";

/// Where it runs.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// The node's address.
    pub node: Ipv4Addr,
    /// All pods: its IP pool.
    pub pool: Ipv4Net,
    /// Whether kube-proxy is in IPVS mode, which Felix sees by its dummy link (`KubeIPVSSupportEnabled`).
    pub ipvs: bool,
}

impl Calico {
    /// Its rules and sets.
    pub fn ruleset(self, place: Site) -> Ruleset {
        let workloads: Vec<Workload> = (0..self.endpoints).map(Workload::new).collect();
        let namespaces = self.endpoints.div_ceil(NAMESPACE);
        let mut filter = static_filter(place.ipvs);
        endpoints::dispatch(&workloads, place.ipvs, &mut filter);
        for workload in &workloads {
            endpoints::chains(workload, self.policies, &mut filter);
        }
        let mut sets = static_sets(place);
        for namespace in 0..namespaces {
            endpoints::profiles(namespace, &mut filter);
            for policy in 0..self.policies {
                sets.push(endpoints::policy(namespace, policy, self.rules, &mut filter));
            }
        }
        Ruleset {
            sets,
            tables: vec![raw(), mangle(place.ipvs), nat(), filter.table("filter", filter_hooks())],
        }
    }
}

/// A jump from a built-in chain to Calico's of the same name, before everything else.
fn hook(chain: &'static str) -> Hook {
    Hook { chain, place: HookPosition::Top, rules: hashed(chain, &[jump(&format!("cali-{chain}"))]) }
}

fn filter_hooks() -> Vec<Hook> {
    let accepted = if_set(mark::ACCEPT, "--jump ACCEPT").comment(POLICY_ACCEPTED);
    let last = [accepted, rule("--jump MARK --set-mark 0x10000/0x10000")];
    let last =
        Hook { chain: "FORWARD", place: HookPosition::Bottom, rules: hashed_appends("FORWARD", &last) };
    vec![hook("INPUT"), hook("FORWARD"), hook("OUTPUT"), last]
}

/// Packets from workloads must have come where their source is.
fn raw() -> PlannedTable {
    let mut chains = Chains::default();
    let untracked = || rule("-p udp --dport 4789 --jump NOTRACK");
    chains.add(
        "cali-PREROUTING",
        &[
            clear(mark::ALL),
            untracked(),
            rule("--in-interface cali+ --jump MARK --set-mark 0x40000/0x40000"),
            if_set(mark::SCRATCH, "--jump cali-rpf-skip"),
            if_set(mark::SCRATCH, "-m rpfilter --invert --validmark --jump DROP"),
            if_clear(mark::SCRATCH, "--jump cali-from-host-endpoint"),
            if_set(mark::ACCEPT, "--jump ACCEPT"),
        ],
    );
    chains.add(
        "cali-OUTPUT",
        &[
            clear(mark::ALL),
            jump("cali-to-host-endpoint"),
            untracked(),
            if_set(mark::ACCEPT, "--jump ACCEPT"),
        ],
    );
    chains.add_empty(&["rpf-skip", "from-host-endpoint", "to-host-endpoint"]);
    chains.table("raw", vec![hook("PREROUTING"), hook("OUTPUT")])
}

fn mangle(ipvs: bool) -> PlannedTable {
    let mut chains = Chains::default();
    chains.add(
        "cali-PREROUTING",
        &[
            rule(format!("{KNOWN} --jump ACCEPT")),
            if_set(mark::ACCEPT, "--jump ACCEPT"),
            jump("cali-from-host-endpoint"),
            if_set(mark::ACCEPT, "--jump ACCEPT").comment(HOST_ENDPOINT_ACCEPTED),
        ],
    );
    let mut postrouting = vec![if_set(mark::ACCEPT, "--jump RETURN")];
    if ipvs {
        postrouting.push(from_endpoint("--jump RETURN"));
    }
    postrouting.extend([
        clear(mark::ALL),
        rule("-m conntrack --ctstate DNAT --jump cali-to-host-endpoint"),
        if_set(mark::ACCEPT, "--jump RETURN").comment(HOST_ENDPOINT_ACCEPTED),
    ]);
    chains.add("cali-POSTROUTING", &postrouting);
    chains.add_empty(&["from-host-endpoint", "to-host-endpoint"]);
    chains.table("mangle", vec![hook("PREROUTING"), hook("POSTROUTING")])
}

fn nat() -> PlannedTable {
    let mut chains = Chains::default();
    chains.add("cali-PREROUTING", &[jump("cali-fip-dnat")]);
    chains.add("cali-OUTPUT", &[jump("cali-fip-dnat")]);
    let wrong_source = "--out-interface vxlan.calico -m addrtype ! --src-type LOCAL --limit-iface-out \
                        -m addrtype --src-type LOCAL --jump MASQUERADE --random-fully";
    chains.add("cali-POSTROUTING", &[jump("cali-fip-snat"), jump("cali-nat-outgoing"), rule(wrong_source)]);
    let outgoing = "-m set --match-set cali40masq-ipam-pools src -m set ! --match-set cali40all-ipam-pools dst \
                    --jump MASQUERADE --random-fully";
    chains.add("cali-nat-outgoing", &[rule(outgoing)]);
    chains.add_empty(&["fip-dnat", "fip-snat"]);
    chains.table("nat", vec![hook("PREROUTING"), hook("OUTPUT"), hook("POSTROUTING")])
}

/// `action` if the packet has the mark of an endpoint, or that of none.
fn from_endpoint(action: &str) -> Rule {
    rule(format!("-m mark ! --mark 0/{} {action}", mark::ENDPOINT))
}

/// The chains that do not depend on pods.
fn static_filter(ipvs: bool) -> Chains {
    let mut chains = Chains::default();
    chains.add(
        "cali-FORWARD",
        &[
            clear(mark::ALL_BUT_ACCEPT),
            if_clear(mark::ACCEPT, "--jump cali-from-hep-forward"),
            rule("--in-interface cali+ --jump cali-from-wl-dispatch"),
            rule("--out-interface cali+ --jump cali-to-wl-dispatch"),
            jump("cali-to-hep-forward"),
            jump("cali-cidr-block"),
        ],
    );
    chains.add("cali-INPUT", &input(ipvs));
    chains.add("cali-OUTPUT", &output(ipvs));
    let to_host = rule("--jump ACCEPT").comment("Configured DefaultEndpointToHostAction");
    chains.add("cali-wl-to-host", &[jump("cali-from-wl-dispatch"), to_host]);
    chains.add_empty(&[
        "cidr-block",
        "from-hep-forward",
        "to-hep-forward",
        "from-host-endpoint",
        "to-host-endpoint",
    ]);
    if ipvs {
        ipvs_filter(&mut chains);
    }
    chains
}

fn input(ipvs: bool) -> Vec<Rule> {
    let vxlan = |rest: &str, comment: &str| rule(format!("{VXLAN} {rest}")).comment(comment);
    let mut rules = vec![
        vxlan(
            "-m set --match-set cali40all-vxlan-net src -m addrtype --dst-type LOCAL --jump ACCEPT",
            "Allow IPv4 VXLAN packets from allowed hosts",
        ),
        vxlan("-m addrtype --dst-type LOCAL --jump DROP", "Drop IPv4 VXLAN packets from non-allowed hosts"),
    ];
    if ipvs {
        rules.extend([clear(mark::ENDPOINT), jump("cali-forward-check"), from_endpoint("--jump RETURN")]);
    }
    rules.extend([
        rule("--in-interface cali+ --goto cali-wl-to-host"),
        if_set(mark::ACCEPT, "--jump ACCEPT"),
        clear(mark::ALL),
        jump("cali-from-host-endpoint"),
        if_set(mark::ACCEPT, "--jump ACCEPT").comment(HOST_ENDPOINT_ACCEPTED),
    ]);
    rules
}

fn output(ipvs: bool) -> Vec<Rule> {
    let mut rules = vec![if_set(mark::ACCEPT, "--jump ACCEPT")];
    if ipvs {
        rules.push(from_endpoint("--goto cali-forward-endpoint-mark"));
    }
    let vxlan = "-m addrtype --src-type LOCAL -m set --match-set cali40all-vxlan-net dst --jump ACCEPT";
    rules.extend([
        rule("--out-interface cali+ --jump RETURN"),
        rule(format!("{VXLAN} {vxlan}")).comment("Allow IPv4 VXLAN packets to other allowed hosts"),
        clear(mark::ALL),
        rule("-m conntrack ! --ctstate DNAT --jump cali-to-host-endpoint"),
        if_set(mark::ACCEPT, "--jump ACCEPT").comment(HOST_ENDPOINT_ACCEPTED),
    ]);
    rules
}

/// IPVS forwards packets through INPUT and OUTPUT, where the device that they came by is not known any more: it is
/// put into the mark.
fn ipvs_filter(chains: &mut Chains) {
    let node_port = |protocol: &str| {
        rule(format!(
            "-p {protocol} -m multiport --destination-ports 30000:32767 -m set --match-set cali40this-host dst \
             --goto cali-set-endpoint-mark"
        ))
        .comment("To kubernetes NodePort service")
    };
    let service = rule("-m set ! --match-set cali40this-host dst --jump cali-set-endpoint-mark");
    chains.add(
        "cali-forward-check",
        &[
            rule(format!("{KNOWN} --jump RETURN")),
            node_port("tcp"),
            node_port("udp"),
            service.comment("To kubernetes service"),
        ],
    );
    let (no_endpoint, mask) = (mark::NO_ENDPOINT, mark::ENDPOINT);
    chains.add(
        "cali-forward-endpoint-mark",
        &[
            rule(format!("-m mark ! --mark {no_endpoint}/{mask} --jump cali-from-endpoint-mark")),
            rule("--out-interface cali+ --jump cali-to-wl-dispatch"),
            jump("cali-to-hep-forward"),
            clear(mask),
            if_set(mark::ACCEPT, "--jump ACCEPT").comment(POLICY_ACCEPTED),
        ],
    );
}

/// Its pool, this node and some others.
fn static_sets(place: Site) -> Vec<Set> {
    let peers = (1..=PEERS).map(|peer| Ipv4Addr::from(u32::from(place.node) + peer).to_string()).collect();
    let set = |name: &str, kind, entries| Set { name: format!("cali40{name}"), kind, entries };
    vec![
        set("all-ipam-pools", NETS, vec![place.pool.to_string()]),
        set("masq-ipam-pools", NETS, vec![place.pool.to_string()]),
        set("all-vxlan-net", NETS, peers),
        set(
            "this-host",
            "hash:ip family inet maxelem 1048576",
            vec![place.node.to_string(), "127.0.0.1".into()],
        ),
    ]
}
