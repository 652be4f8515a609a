//! kube-proxy's nftables mode: 1.30, which rewrites its table at every sync, and 1.34 to 1.37, which send only what changed.
//! What differs from version to version is in `form.rs` and `base.rs`.
//!
//! Sources: transactions written by kube-proxy 1.30.5 and 1.37.2 (tests/golden), and pkg/proxy/nftables/proxier.go and its
//! library knftables, as condensed in KUBE_PROXY_FACTS.md, section 4; of 1.34.4, 1.35.4 and 1.36.3 nothing but that source. The
//! table is that of a node where kube-proxy knows no ServiceCIDR and has only its default gates. Health-check node ports
//! are served by kube-proxy itself and have nothing in the table.

mod base;
mod container;
mod counts;
mod elements;
mod form;
mod layout;
mod names;
mod present;
mod restart;
mod scope;
mod stale;
mod words;
mod writer;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use services::service::Family;
use services::service_set::{Diff, ServiceSet};

use self::elements::{Element, Slot};
use self::form::{Endpoints, Form, Listing};
use self::layout::Layout;
use self::names::Names;
use self::present::Present;
use self::restart::{Existing, Kept};
use self::stale::Stale;
use self::words::Words;
use self::writer::{Added, Writer, capacity};
use crate::conntrack;
use crate::contract::{Dataplane, Sync};
use crate::counts::Counts;
use crate::mode::Mode;
use crate::node::Node;
use crate::plan::{Action, Expect, NftList, Phase, Plan, Program, Step};
use crate::unfit::{Unfit, has_mode};

/// Services per transaction when a lab is loaded only to be looked up in: one huge transaction takes
/// time in the square of its anonymous maps (`__nft_set_trans_bind`, net/netfilter/nf_tables_api.c).
const LOAD_CHUNK: usize = 500;
/// About the length of the base table's text.
const BASE_CAPACITY: usize = 8192;
/// An IPv6 address that no Service has (documentation prefix).
const SPARE_IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);

/// Planner of the nftables mode.
pub struct Nftables {
    node: Node,
}

/// What makes kube-proxy write the whole table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    /// It is the first sync of a process.
    First,
    /// It is time.
    Again,
    /// Nothing: only what changed is written.
    No,
}

impl Nftables {
    /// A planner for this node.
    pub const fn new(node: Node) -> Self {
        Self { node }
    }

    const fn form(&self) -> &'static Form {
        Form::of(self.node.kube_proxy)
    }

    const fn words(&self) -> &'static Words {
        Words::of(self.node.family())
    }

    fn sync(&self, from: &ServiceSet, to: &ServiceSet, whole: Whole) -> Plan {
        let diff = Diff::between(from, to);
        let stale = Stale::between(self.form(), from, to, &diff);
        let input = match self.form().is_1_30 {
            true => self.everything(to, whole, &stale),
            false => self.changes(from, to, &diff, whole, &stale),
        };
        let mut steps = self.listings(whole, whole == Whole::First && from.is_empty());
        steps.push(transaction(Phase::Restore, input));
        if self.form().is_1_30 {
            steps.extend(match whole {
                Whole::First => conntrack::cleanup(&ServiceSet::default(), to),
                Whole::Again | Whole::No => conntrack::cleanup_of(from, to, &diff),
            });
        }
        // At least one second later, with the next sync: before Linux 6.2 a deleted map element
        // holds on to its chain for a moment (comment in syncProxyRules).
        let later = stale.later(self.words()).map(|input| transaction(Phase::Cleanup, input));
        Plan { steps, cleanup: later.into_iter().collect(), expect: self.counts(to) }
    }

    /// Reads of the present state before the transaction. `empty`: there is no table yet.
    fn listings(&self, whole: Whole, empty: bool) -> Vec<Step> {
        // nft says so with exit code 1, and knftables goes on; a listing of all tables finds none.
        let list = |args: &[&str], expect| Step::new(Phase::Listing, Program::Nft, args, expect);
        let of_own = if empty { Expect::One } else { Expect::Success };
        let (form, ip) = (self.form(), self.words().ip);
        let mut steps = Vec::new();
        if whole != Whole::No && !form.is_1_30 {
            for container in form.containers {
                let args = ["--json", "list", container.kind(), ip, "kube-proxy", container.name()];
                steps.push(list(&args, of_own));
            }
        }
        match form.listing {
            Listing::AllTables => steps
                .extend(["chains", "sets"].map(|kind| list(&["--json", "list", kind, ip], Expect::Success))),
            Listing::OwnTable => {
                steps.push(list(&["--json", "--terse", "list", "table", ip, "kube-proxy"], of_own));
            }
            Listing::Netlink => steps.extend([NftList::Chains, NftList::Sets].map(|list| {
                let action = Action::NftList { family: self.node.family(), list, has_table: !empty };
                Step::asks(Phase::Listing, action)
            })),
        }
        steps
    }

    /// 1.30: the whole table, whatever there was.
    fn everything(&self, to: &ServiceSet, whole: Whole, stale: &Stale) -> Vec<u8> {
        let mut writer = Writer::new(&self.node, BASE_CAPACITY + capacity(to.services().iter()));
        base::write(&self.node, self.form().base, whole == Whole::First, writer.out());
        for service in to.services() {
            writer.service(&Layout::of(service), &Kept::None, Added::All);
        }
        stale.put_first(self.words(), writer.out());
        writer.into_input()
    }

    /// Newer forms: Services that changed; all of them at a full sync, but without the elements that are there
    /// already, and, as long as every endpoint has a chain, at the first of a process without those that are.
    fn changes(
        &self,
        from: &ServiceSet,
        to: &ServiceSet,
        diff: &Diff,
        whole: Whole,
        stale: &Stale,
    ) -> Vec<u8> {
        let scope = match whole {
            Whole::No => scope::written(from, to, diff),
            Whole::First | Whole::Again => (0..to.len()).collect(),
        };
        let services = || scope.iter().map(|&index| &to.services()[index]);
        let mut writer = Writer::new(&self.node, BASE_CAPACITY + capacity(services()));
        if whole != Whole::No {
            base::write(&self.node, self.form().base, whole == Whole::First, writer.out());
        }
        let keeps = whole == Whole::First && self.form().endpoints == Endpoints::Chains && !from.is_empty();
        let existing = keeps.then(|| Existing::of(from));
        let mut present = Present::before(self.form(), from, to, diff);
        let mut changed = diff.changed.iter().copied().peekable();
        for (&index, service) in scope.iter().zip(services()) {
            let kept = existing.as_ref().map_or(Kept::None, |existing| existing.kept(service));
            let added = match changed.next_if_eq(&index) {
                Some(_) => Added::Missing(&mut present),
                None => Added::None,
            };
            writer.service(&Layout::of(service), &kept, added);
        }
        stale.put_first(self.words(), writer.out());
        present.delete_leftovers(to, self.words(), writer.out());
        writer.into_input()
    }
}

impl Dataplane for Nftables {
    fn plan(&self, from: &ServiceSet, to: &ServiceSet, sync: Sync) -> Plan {
        match sync {
            Sync::Full => self.sync(from, to, Whole::First),
            Sync::Partial => self.sync(from, to, Whole::No),
        }
    }

    fn resync(&self, set: &ServiceSet) -> Option<Plan> {
        Some(self.sync(set, set, Whole::Again))
    }

    fn load(&self, to: &ServiceSet) -> Plan {
        let mut first = Vec::new();
        base::write(&self.node, self.form().base, true, &mut first);
        let chunks = to.services().chunks(LOAD_CHUNK).map(|services| {
            let mut writer = Writer::new(&self.node, capacity(services.iter()));
            for service in services {
                writer.service(&Layout::of(service), &Kept::None, Added::All);
            }
            writer.into_input()
        });
        let steps =
            std::iter::once(first).chain(chunks).map(|input| transaction(Phase::Restore, input)).collect();
        Plan { steps, cleanup: Vec::new(), expect: self.counts(to) }
    }

    fn fits(&self, to: &ServiceSet) -> Result<(), Unfit> {
        has_mode(self.node.kube_proxy, Mode::Nftables)?;
        one_value_each(self.form(), to)
    }

    fn append(&self, to: &ServiceSet) -> Option<Plan> {
        let layout =
            to.services().iter().map(|service| Layout::of(service)).find(|layout| layout.internal)?;
        let service = layout.service;
        let address = match self.node.family() {
            Family::Ipv4 => services::addresses::unused_address(0),
            Family::Ipv6 => IpAddr::V6(SPARE_IPV6),
        };
        let key = format!("{address} . {} . {}", service.protocol.name(), service.cluster.port());
        let mut names = Names::default();
        names.make(service, &[]);
        let (chain, name) = (layout.internal_chain().prefix(), String::from_utf8_lossy(names.base()));
        let add = format!("{{ {key} : goto {chain}{name} }}");
        let delete = format!("{{ {key} }}");
        let nft = |phase, operation, element: &str| {
            let args = [operation, "element", self.words().ip, "kube-proxy", "service-ips", element];
            Step::new(phase, Program::Nft, &args, Expect::Success)
        };
        Some(Plan {
            steps: vec![nft(Phase::Restore, "add", &add)],
            cleanup: vec![nft(Phase::Cleanup, "delete", &delete)],
            expect: self.counts(to),
        })
    }

    fn counts(&self, to: &ServiceSet) -> Counts {
        counts::of(&self.node, to)
    }
}

/// One `nft -f -` as knftables runs it.
fn transaction(phase: Phase, input: Vec<u8>) -> Step {
    Step::new(phase, Program::Nft, &["-f", "-"], Expect::Success).with_input(input)
}

/// An element can lead to one place only: with two Services that want it to lead to different ones, the transaction of
/// 1.30 fails, and newer versions let the one win that they come to last, which is another at every sync.
fn one_value_each(form: &Form, set: &ServiceSet) -> Result<(), Unfit> {
    let mut seen: HashMap<Slot, Element<'_>> = HashMap::with_capacity(2 * set.len());
    for service in set.services() {
        let mut claimed = None;
        elements::of(form, &Layout::of(service), &mut |element| {
            let before = *seen.entry(element.slot).or_insert(element);
            if !before.has_value_of(&element) {
                claimed.get_or_insert((before, element));
            }
        });
        if let Some((first, second)) = claimed {
            return Err(Unfit::Claimed {
                what: second.slot.describe(),
                first: first.service.display_name(),
                second: second.service.display_name(),
            });
        }
    }
    Ok(())
}
