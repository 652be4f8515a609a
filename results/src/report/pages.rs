//! What the pages of a report say, before they are written.

use super::node::Node;
use crate::advice::Advice;
use crate::claims::Claim;
use crate::environment::Environment;
use crate::findings::Finding;
use crate::groups::Groups;
use crate::record::Clock;
use crate::series::Figure;
use crate::table::Table;

/// What the pages say about one lane: one platform of rows.
pub(super) struct Chapter<'a> {
    pub heading: String,
    /// The line of its environment record.
    pub caption: String,
    pub findings: Vec<Finding>,
    /// The controls' lookups in one sentence; empty if there are none.
    pub controls: String,
    pub advice: Option<Advice>,
    pub figures: Vec<Figure>,
    pub tables: Vec<Table>,
    pub lost: Table,
    /// That its syncs are of svcbench's plans; empty if there are none.
    pub plans: String,
    /// Its real kube-proxies.
    pub node: Option<Node>,
    /// What the figures and tables leave out; empty: nothing.
    pub thinned: String,
    pub groups: Groups<'a>,
}

impl Chapter<'_> {
    pub(super) fn clock(&self) -> Clock {
        self.groups.platform.clock
    }
}

/// Everything that the pages are made of.
pub(super) struct Pages<'a> {
    pub environment: &'a Environment,
    pub sweep: Option<&'a str>,
    pub tally: [u64; 3],
    /// Slopes of all lanes.
    pub headline: Table,
    /// What people say, and whether it is so.
    pub claims: Vec<Claim>,
    pub chapters: Vec<Chapter<'a>>,
    /// Whether the chapters need headings: there are several, or the only one is not of the host.
    pub headings: bool,
    pub platforms_left_out: usize,
}

/// Name of the figure that stands before all others.
pub(super) const LOOKUP: &str = "lookup";

/// Name of the figure of plans' syncs.
pub(super) const SYNC: &str = "sync";

/// Names and headings of the figures that stand before everything else.
pub(super) const THREE: [(&str, &str); 3] =
    [(LOOKUP, "Lookup"), (SYNC, "Rule sync"), ("lock", "The xtables lock")];

/// How to read a figure, by its name.
pub(super) fn how_to_read(figure: &str, clock: Clock) -> &'static str {
    match (figure, clock) {
        (LOOKUP, _) => {
            "Left: a line that climbs is a lookup that walks a list; a level line is a lookup that does not. The legend \
             gives each mode's slope with its 95% interval. Right: \
             in one and the same list, the later a Service stands the longer its lookup. The grey controls are what \
             the same packet costs without any Service: compare with dnat, not with zero."
        }
        (SYNC, _) => {
            "Both axes are logarithmic. Full sync is kube-proxy's start on an empty kernel; partial sync is what one change \
             costs at that size; append is one command or message. They are three different figures: read each panel by itself."
        }
        ("lock", Clock::Wall) => {
            "Solid lines are the typical wait, thin dashed ones the slowest in a hundred. Where a line nears five \
             seconds, other users of iptables on the node start to fail; crosses count those that did."
        }
        ("lock", Clock::Instructions) => {
            "Solid lines are the typical wait, thin dashed ones the slowest in a hundred. The guest has one processor: \
             whoever waits waits while the others execute, so a wait is the instructions of everybody else, and idle \
             time that the clock skipped. The guest's second is 10⁹ instructions, so that “-w 5” gives up after 5 G; \
             crosses count those that did."
        }
        ("lock-contenders", _) => {
            "The same as in the figure before, at one number of Services, by how many programs want the lock at the same \
             time. Doubling them doubles the wait where each has to wait for all others; where the line is level, the \
             holder's sync is what everybody waits for."
        }
        ("kube-proxy-join", _) => {
            "One line for each kube-proxy. It begins where kube-proxy is started, with an empty kernel: reading its \
             configuration, listing all objects and the first sync are in it."
        }
        ("programming-latency", _) => {
            "Solid lines are the typical change, thin dashed ones the slowest in a hundred. In iptables and nftables mode \
             kube-proxy waits a second from the end of a sync to the next: a change that comes meanwhile waits for the rest of \
             it. What is above the red line is the sync itself."
        }
        ("first-sync" | "change-sync", _) => {
            "The length of a bar is the whole sync, and its axis begins at zero. Blue, generating, is kube-proxy’s own process: \
             none of its programs runs meanwhile. All other pieces are its programs. The plan’s bar is the same sync by \
             svcbench’s own plan, in which that process is missing."
        }
        (churn, _) if churn.starts_with("churn") => {
            "Syncs are real; when each begins follows kube-proxy's rate limit. A mode whose marks are few and high takes \
             long for each sync and carries many changes in one: until it has ended, traffic goes by the old rules. Marks \
             that run on for long after the others are changes that waited."
        }
        _ => {
            "What a client sees for a whole new connection: both TCP stacks and every packet, of which only the first \
             is looked up. Solid is p50, thin dashed p99."
        }
    }
}
