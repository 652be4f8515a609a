//! How many connections a node's tables hold.

use netns_setup::{Conntrack, Namespace};

use crate::connection_tables;

/// Entries of a node's connection tables; a table that this kernel has not is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Of connection tracking, those being set up and torn down included.
    pub conntrack: Option<u64>,
    /// Of IPVS.
    pub ipvs: Option<u64>,
}

impl Tables {
    /// Those of `node` now. IPVS lists its connections one by one: some microseconds for each.
    pub fn of(node: &Namespace) -> Self {
        Self {
            conntrack: node.run(Conntrack::count).ok(),
            ipvs: connection_tables::ipvs_connections(node).ok(),
        }
    }

    /// How many more there are than `before`, of those tables that both could read.
    pub fn growth(&self, before: &Self) -> Self {
        let of = |after: Option<u64>, before: Option<u64>| Some(after?.saturating_sub(before?));
        Self { conntrack: of(self.conntrack, before.conntrack), ipvs: of(self.ipvs, before.ipvs) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_tables_that_are_there_grow() {
        let before = Tables { conntrack: Some(3), ipvs: None };
        let after = Tables { conntrack: Some(10), ipvs: Some(4) };
        assert_eq!(after.growth(&before), Tables { conntrack: Some(7), ipvs: None });
        assert_eq!(before.growth(&after).conntrack, Some(0));
    }

    proptest! {
        #[test]
        fn any_tables_have_a_growth(before: (Option<u64>, Option<u64>), after: (Option<u64>, Option<u64>)) {
            let of = |(conntrack, ipvs)| Tables { conntrack, ipvs };
            prop_assert!(of(after).growth(&of(before)).conntrack <= after.0);
        }
    }
}
