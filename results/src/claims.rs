//! What people say about Services and proxy modes, and whether it is so on the machine that was measured.
//!
//! Each claim has a rule, which the doc comment of its function states with its source. A rule is applied to one lane (one
//! [`World`]) at a time; figures of two lanes are never mixed. What a rule needs and a run does not have is named in the verdict.

mod adding;
mod forwarding;
mod lock;
mod lookup;
mod measure;
pub(crate) use self::measure::{Curves, percent};
mod modes;
mod rewrite;
mod rules;
mod shares;
mod shown;

use std::cell::OnceCell;

use serde::Serialize;

pub use self::shown::{markdown, table, text};
use crate::environment::Environment;
use crate::findings::{Finding, findings};
use crate::groups::Groups;
use crate::names::PROXY_MODES;
use crate::record::{Clock, Record, Unit};
use crate::stats::{Interval, Medians};
use crate::text::{Quantity, thousands};

/// A claim and what each lane says of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Claim {
    /// A short name, for scripts.
    pub id: &'static str,
    /// As people state it.
    pub statement: &'static str,
    /// One for each lane that settles it; where none does, one that says what is missing.
    pub settled: Vec<Settled>,
}

/// What one lane says of a claim.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settled {
    /// Clock, kernel and what it ran on; empty where no lane has anything to do with the claim.
    pub lane: String,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What was measured, in words.
    pub measured: String,
    /// The same as numbers.
    pub figures: Vec<Figure>,
    /// Where to look.
    pub shown_by: Vec<Shown>,
}

/// Whether a claim is so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It is.
    Holds,
    /// It is not.
    DoesNotHold,
    /// It is in part, or from some number of Services on.
    Depends {
        /// On what, in words that follow "depends on".
        on: String,
    },
    /// The rows do not settle it.
    NotShown {
        /// What is missing, and what would show it.
        missing: String,
    },
}

impl Verdict {
    /// The verdict in one or two words.
    pub const fn name(&self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::DoesNotHold => "does not hold",
            Verdict::Depends { .. } => "depends",
            Verdict::NotShown { .. } => "not shown",
        }
    }

    /// What it depends on, or what is missing; else empty.
    pub fn detail(&self) -> &str {
        match self {
            Verdict::Depends { on } => on,
            Verdict::NotShown { missing } => missing,
            Verdict::Holds | Verdict::DoesNotHold => "",
        }
    }
}

/// A figure that a verdict rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What it is, with mode and scale.
    pub what: String,
    /// Median over blocks, or a count.
    pub value: f64,
    /// `ns`, `instructions`, `count`, `bytes`, `per_second` or `ratio`.
    pub unit: &'static str,
    /// Lower end of its 95% interval; absent where there is none.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Number of blocks.
    pub blocks: usize,
}

impl Figure {
    fn new(
        what: impl Into<String>,
        unit: &'static str,
        value: f64,
        interval: Option<Interval>,
        blocks: usize,
    ) -> Self {
        let (low, high) = (interval.map(|interval| interval.low), interval.map(|interval| interval.high));
        Figure { what: what.into(), value, unit, low, high, blocks }
    }
}

/// Which plot and rows show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// File of the plot in the run's folder; absent where only a table shows it.
    pub plot: Option<String>,
    /// Column `workload` of the rows.
    pub workload: &'static str,
    /// Column `metric`.
    pub metric: &'static str,
    /// Column `mode`.
    pub modes: Vec<String>,
    /// Column `services`.
    pub services: Vec<u32>,
}

/// One lane and what is known about it.
pub(crate) struct Lane<'a> {
    groups: &'a Groups<'a>,
    passport: Option<&'a Environment>,
    /// From 0, in report order: figures of later lanes are numbered.
    index: usize,
    /// What lookups say, reckoned when a rule first asks.
    findings: OnceCell<Vec<Finding>>,
}

impl Lane<'_> {
    fn findings(&self) -> &[Finding] {
        self.findings.get_or_init(|| findings(self.groups, &mut Medians::new()))
    }

    fn clock(&self) -> Clock {
        self.groups.world.clock
    }

    fn quantity(&self, unit: Unit) -> Quantity {
        self.groups.quantity(unit)
    }

    /// Unit of times, for [`Figure::unit`].
    fn tick(&self) -> &'static str {
        match self.clock() {
            Clock::Wall => "ns",
            Clock::Instructions => "instructions",
        }
    }

    /// The version whose rules were planned; empty: unknown.
    fn kube_proxy(&self) -> &str {
        self.passport.map_or("", |passport| &passport.kube_proxy)
    }

    fn plot(&self, name: &str) -> Option<String> {
        let number = if self.index == 0 { String::new() } else { format!("-{}", self.index + 1) };
        Some(format!("{name}{number}.svg"))
    }

    fn settled(
        &self,
        verdict: Verdict,
        measured: String,
        figures: Vec<Figure>,
        shown_by: Vec<Shown>,
    ) -> Settled {
        Settled { lane: self.groups.world.label(), verdict, measured, figures, shown_by }
    }

    fn not_shown(&self, missing: impl Into<String>) -> Settled {
        let verdict = Verdict::NotShown { missing: missing.into() };
        self.settled(verdict, String::new(), Vec::new(), Vec::new())
    }
}

/// A claim with its rule. A rule gives `None` where the lane has no row that has to do with the claim.
struct Rule {
    id: &'static str,
    statement: &'static str,
    /// What to do where no lane has such rows.
    needs: &'static str,
    settle: fn(&Lane<'_>) -> Option<Settled>,
}

const LOOKUPS: &str =
    "lookups: a sweep with [lookup], positions first, middle and last, and three blocks at least";
const COLD: &str = "cold full syncs: a sweep with [sync] and the operation cold";
const CHANGES: &str = "cold, replace-endpoint and noop in [sync]";
const ADDING: &str = "append and add-service in [sync]";
const IPVS: &str = "ipvs in modes, with [lookup] and [sync]; where this kernel lacks IPVS, --kernel guest measures it in a guest";
const DIRECTOR: &str = "connections through a director: a sweep with [forwarding] and methods nat, dr and tun; where this kernel \
                        lacks IPVS, --kernel guest measures them";

const RULES: [Rule; 15] = [
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
];

/// Every claim, settled by `lanes`: these in the order of the report, which numbers their plots by it.
pub fn claims(lanes: &[&Groups<'_>], environment: &Environment) -> Vec<Claim> {
    let lanes: Vec<Lane<'_>> = lanes
        .iter()
        .enumerate()
        .map(|(index, groups)| Lane {
            groups,
            passport: environment.of(groups.world),
            index,
            findings: OnceCell::new(),
        })
        .collect();
    RULES
        .iter()
        .map(|rule| Claim { id: rule.id, statement: rule.statement, settled: settle(rule, &lanes) })
        .collect()
}

fn settle(rule: &Rule, lanes: &[Lane<'_>]) -> Vec<Settled> {
    let all: Vec<Settled> = lanes.iter().filter_map(rule.settle).collect();
    let is_open = |settled: &Settled| matches!(settled.verdict, Verdict::NotShown { .. });
    if all.is_empty() {
        let verdict = Verdict::NotShown { missing: rule.needs.to_owned() };
        let nothing = Settled {
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
    let worlds = crate::report::lanes(records, environment);
    claims(&worlds.iter().collect::<Vec<_>>(), environment)
}

/// Modes joined for a sentence: `a`, `a and b`, `a, b and c`.
fn listed<S: AsRef<str>>(names: &[S]) -> String {
    match names {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [most @ .., last] => {
            let most: Vec<&str> = most.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", most.join(", "), last.as_ref())
        }
    }
}

fn services(count: u32) -> String {
    if count == 1 { "1 Service".to_owned() } else { format!("{} Services", thousands(count)) }
}

/// Whether a mode is one of kube-proxy's, as kube-proxy programs it.
fn is_kube_proxy(mode: &str) -> bool {
    PROXY_MODES.contains(&mode) && mode != crate::names::IPVS_BATCHED
}
