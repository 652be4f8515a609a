//! A ruleset without what makes no difference to a packet.

use std::collections::BTreeMap;

/// A chain or set, in normal form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// The Service that it belongs to.
    pub service: Option<String>,
    /// What it is, then its rules or elements, each with the Service it is for, where that is another or the chain has none.
    pub lines: Vec<(Option<String>, String)>,
}

/// A ruleset in normal form: chains and sets by their places.
pub type Normal = BTreeMap<String, Object>;
