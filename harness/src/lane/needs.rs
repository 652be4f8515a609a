//! What this kernel must offer for a lab, and for the modes of a sweep.

use std::collections::BTreeMap;

use dataplane::Mode;
use netns_setup::Need;

use crate::sweep::Sweep;

/// Needs of every lab, whatever the mode.
pub const LAB_NEEDS: [Need; 5] =
    [Need::Root, Need::NetworkNamespace, Need::MountNamespace, Need::Tun, Need::Veth];

/// Why this machine cannot run any cell.
#[derive(Debug, thiserror::Error)]
#[error("this machine cannot run any cell:\n{0}")]
pub struct Unable(pub String);

/// Modes of a sweep that cannot run on this kernel with its background rules, with the reason.
pub fn unable_in(sweep: &Sweep) -> BTreeMap<Mode, String> {
    unable(&sweep.modes, |mode| sweep.background.map_or(Vec::new(), |background| background.needs(mode)))
}

/// Modes that cannot run on this kernel, with the reason.
pub fn unable_modes(modes: &[Mode]) -> BTreeMap<Mode, String> {
    unable(modes, |_| Vec::new())
}

fn unable(modes: &[Mode], more: impl Fn(Mode) -> Vec<Need>) -> BTreeMap<Mode, String> {
    let mut known: BTreeMap<Need, Option<String>> = BTreeMap::new();
    let mut reasons = BTreeMap::new();
    for &mode in modes {
        let missing = mode.needs().iter().chain(&more(mode)).find_map(|&need| {
            known
                .entry(need)
                .or_insert_with(|| {
                    netns_setup::check(need).err().map(|m| format!("{}: {}; {}", m.what, m.why, m.how))
                })
                .clone()
        });
        if let Some(reason) = missing {
            reasons.insert(mode, reason);
        }
    }
    reasons
}

/// What stands in the way of any lab, as text; `None`: nothing.
pub fn lab_obstacles() -> Option<String> {
    let missing: Vec<String> = LAB_NEEDS
        .iter()
        .filter_map(|&need| netns_setup::check(need).err())
        .map(|missing| format!("  {}: {}; {}", missing.what, missing.why, missing.how))
        .collect();
    (!missing.is_empty()).then(|| missing.join("\n"))
}
