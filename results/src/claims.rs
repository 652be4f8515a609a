//! What people say about Services and proxy modes, and whether it is so on the machine that was measured.
//!
//! Each claim has a rule, which the doc comment of its function states with its source. A rule is applied to one lane (one
//! [`crate::platform::Platform`]) at a time; figures of two lanes are never mixed. What a rule needs and a run does not have is named in the verdict.

mod adding;
mod claim;
mod evidence;
mod forwarding;
mod latency;
mod lock;
mod lookup;
mod measure;
mod modes;
mod rewrite;
mod rules;
mod shares;
mod shown;
mod versions;

use std::cell::OnceCell;

pub use self::claim::{Claim, ClaimVerdict, LaneVerdict, MeasuredValue, Reference};
use self::evidence::Evidence;
pub(crate) use self::measure::percent;
pub use self::shown::{markdown, table, text};
use crate::environment::Environment;
use crate::groups::Groups;
use crate::lanes::lanes;
use crate::record::Record;

/// A claim with its rule. A rule gives `None` where the lane has no row that has to do with the claim.
struct Rule {
    id: &'static str,
    statement: &'static str,
    /// What to do where no lane has such rows.
    needs: &'static str,
    settle: fn(&Evidence<'_>) -> Option<LaneVerdict>,
}

const LOOKUPS: &str =
    "lookups: a sweep with [lookup], positions first, middle and last, and three blocks at least";
const COLD: &str = "cold full syncs: a sweep with [sync] and the operation cold";
const CHANGES: &str = "cold, replace-endpoint and noop in [sync]";
const ADDING: &str = "append and add-service in [sync]";
const IPVS: &str = "ipvs in modes, with [lookup] and [sync]; where this kernel lacks IPVS, --kernel guest measures it in a guest";
const DIRECTOR: &str = "connections through a director: a sweep with [forwarding] and methods nat, dr and tun; where this kernel \
                        lacks IPVS, --kernel guest measures them";

const SYSTEMS: &str =
    "real kube-proxies: systems and [system] in the sweep, as svcbench run kube-proxy has them";
const VERSIONS: &str = "nftables in modes, kube-proxy:1.36 (or older) and kube-proxy:1.37 in systems, changes and three blocks at least \
                        in [system]: svcbench run versions";
const ONE_ENDPOINT: &str = "endpoints = 1, nftables in modes, kube-proxy:1.36 (or older) and kube-proxy:1.37 in systems, and [system]";

const RULES: [Rule; 19] = [
    Rule {
        id: "iptables-lookup-linear",
        statement: "iptables lookup is O(n)",
        needs: LOOKUPS,
        settle: lookup::iptables_is_linear,
    },
    Rule {
        id: "ipvs-lookup-constant",
        statement: "IPVS lookup is O(1)",
        needs: IPVS,
        settle: lookup::ipvs_is_constant,
    },
    Rule {
        id: "modes-equal-below-1000",
        statement: "Below 1,000 Services the modes do not differ",
        needs: LOOKUPS,
        settle: modes::equal_below,
    },
    Rule {
        id: "modes-differ-from-5000",
        statement: "Above 5,000 Services the modes do differ",
        needs: LOOKUPS,
        settle: modes::differ_above,
    },
    Rule {
        id: "iptables-rewrites-everything",
        statement: "An iptables change rewrites everything",
        needs: CHANGES,
        settle: rewrite::everything,
    },
    Rule {
        id: "endpoint-rewrites-service",
        statement: "Each endpoint change rewrites all of a Service's probabilities",
        needs: CHANGES,
        settle: rewrite::probabilities,
    },
    Rule {
        id: "iptables-add-minutes-5000",
        statement: "Adding one Service takes minutes at 5,000 Services in iptables",
        needs: ADDING,
        settle: adding::minutes_at_5_000,
    },
    Rule {
        id: "iptables-add-hours-20000",
        statement: "Adding one Service takes hours at 20,000 Services in iptables",
        needs: ADDING,
        settle: adding::hours_at_20_000,
    },
    Rule {
        id: "ipvs-add-constant",
        statement: "Adding one Service takes the same time at any number of Services in IPVS",
        needs: IPVS,
        settle: adding::constant_in_ipvs,
    },
    Rule {
        id: "lock-timeouts-from-5000",
        statement: "From 5,000 Services on: “Another app is currently holding the xtables lock. Stopped waiting after 5s”",
        needs: "waits for the xtables lock: a sweep with [lock] and iptables-legacy in modes",
        settle: lock::timeouts_from_5_000,
    },
    Rule {
        id: "rules-product",
        statement: "Rules per node = Services × endpoints",
        needs: COLD,
        settle: rules::product,
    },
    Rule {
        id: "ipvs-rules-constant",
        statement: "IPVS still needs iptables, but a constant number of rules",
        needs: IPVS,
        settle: rules::constant_in_ipvs,
    },
    Rule {
        id: "equal-shares",
        statement: "One endpoint in three gets 1/3 of the traffic although the rules say 0.333, 0.5, 1",
        needs: "shares of endpoints: any sweep with [lookup] and two endpoints at least, measured with this version",
        settle: shares::equal,
    },
    Rule {
        id: "dr-return-traffic",
        statement: "LVS direct routing spares the director the return traffic",
        needs: DIRECTOR,
        settle: forwarding::direct_routing,
    },
    Rule {
        id: "tun-encapsulation",
        statement: "LVS tunnels cross subnets at the price of encapsulation",
        needs: DIRECTOR,
        settle: forwarding::tunnel,
    },
    Rule {
        id: "latency-min-sync-period",
        statement: "Programming latency is bound by minSyncPeriod, not by the sync",
        needs: SYSTEMS,
        settle: latency::bound_by_min_sync_period,
    },
    Rule {
        id: "sync-is-programs",
        statement: "A sync's time is spent in iptables and nft, not in kube-proxy itself",
        needs: SYSTEMS,
        settle: latency::syncs_are_programs,
    },
    Rule {
        id: "netlink-listing-1.37",
        statement: "kube-proxy 1.37 lists nftables over netlink, so that a change costs less",
        needs: VERSIONS,
        settle: versions::netlink_listing,
    },
    Rule {
        id: "one-endpoint-no-map-1.37",
        statement: "Since 1.37 a Service with one endpoint has no map in nftables",
        needs: ONE_ENDPOINT,
        settle: versions::no_map_for_one_endpoint,
    },
];

/// Every claim, settled by `lanes`: these in the order of the report, which numbers their plots by it.
pub fn claims(lanes: &[&Groups<'_>], environment: &Environment) -> Vec<Claim> {
    let lanes: Vec<Evidence<'_>> = lanes
        .iter()
        .enumerate()
        .map(|(index, groups)| Evidence {
            groups,
            environment: environment.of(groups.platform),
            index,
            findings: OnceCell::new(),
        })
        .collect();
    RULES
        .iter()
        .map(|rule| Claim { id: rule.id, statement: rule.statement, settled: settle(rule, &lanes) })
        .collect()
}

fn settle(rule: &Rule, lanes: &[Evidence<'_>]) -> Vec<LaneVerdict> {
    let all: Vec<LaneVerdict> = lanes.iter().filter_map(rule.settle).collect();
    let is_open = |settled: &LaneVerdict| matches!(settled.verdict, ClaimVerdict::NotShown { .. });
    if all.is_empty() {
        let verdict = ClaimVerdict::NotShown { missing: rule.needs.to_owned() };
        let nothing = LaneVerdict {
            lane: String::new(),
            verdict,
            measured: String::new(),
            figures: Vec::new(),
            shown_by: Vec::new(),
        };
        return vec![nothing];
    }
    // What one lane lacks does not matter where another has it.
    if all.iter().any(|settled| !is_open(settled)) {
        return all.into_iter().filter(|settled| !is_open(settled)).collect();
    }
    all
}

/// Every claim, settled by the rows of a run.
pub fn claims_of(records: &[Record], environment: &Environment) -> Vec<Claim> {
    let platforms = lanes(records, environment);
    claims(&platforms.iter().collect::<Vec<_>>(), environment)
}
