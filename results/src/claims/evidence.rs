//! A lane as the rules see it.

use std::cell::OnceCell;

use super::claim::{ClaimVerdict, LaneVerdict, MeasuredValue, Reference};
use crate::environment::Environment;
use crate::findings::{Finding, findings};
use crate::groups::Groups;
use crate::record::{Clock, Unit};
use crate::stats::Medians;
use crate::text::Quantity;

/// One lane and what is known about it.
pub(crate) struct Evidence<'a> {
    pub groups: &'a Groups<'a>,
    pub environment: Option<&'a Environment>,
    /// From 0, in report order: figures of later lanes are numbered.
    pub index: usize,
    /// What lookups say, calculated when a rule first asks.
    pub findings: OnceCell<Vec<Finding>>,
}

impl Evidence<'_> {
    pub(super) fn findings(&self) -> &[Finding] {
        self.findings.get_or_init(|| findings(self.groups, &mut Medians::new()))
    }

    pub(super) fn clock(&self) -> Clock {
        self.groups.platform.clock
    }

    pub(super) fn quantity(&self, unit: Unit) -> Quantity {
        self.groups.quantity(unit)
    }

    /// Unit of times, for [`MeasuredValue::unit`].
    pub(super) fn tick(&self) -> &'static str {
        match self.clock() {
            Clock::Wall => "ns",
            Clock::Instructions => "instructions",
        }
    }

    /// The version whose rules were planned; empty: unknown.
    pub(super) fn kube_proxy(&self) -> &str {
        self.environment.map_or("", |environment| &environment.kube_proxy)
    }

    pub(super) fn plot(&self, name: &str) -> Option<String> {
        let number = if self.index == 0 { String::new() } else { format!("-{}", self.index + 1) };
        Some(format!("{name}{number}.svg"))
    }

    pub(super) fn settled(
        &self,
        verdict: ClaimVerdict,
        measured: String,
        figures: Vec<MeasuredValue>,
        shown_by: Vec<Reference>,
    ) -> LaneVerdict {
        LaneVerdict { lane: self.groups.platform.label(), verdict, measured, figures, shown_by }
    }

    pub(super) fn not_shown(&self, missing: impl Into<String>) -> LaneVerdict {
        let verdict = ClaimVerdict::NotShown { missing: missing.into() };
        self.settled(verdict, String::new(), Vec::new(), Vec::new())
    }
}
