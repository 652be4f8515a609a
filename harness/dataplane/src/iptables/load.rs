//! The same state as after a cold full sync, in whatever pieces are quickest.

use services::service_set::ServiceSet;

use super::form::Form;
use super::input::{input, inputs_in_pieces};
use super::jumps::Present;
use super::tools;
use crate::plan::{Phase, Step};

/// Services in one transaction of iptables-nft, whose time grows with the square of a transaction's chains (linear
/// scans of its chain list, iptables 1.8.9): 10,000 x 10 take a quarter of an hour in one
/// transaction and seconds in pieces of this size.
pub(crate) const PIECE: usize = 50;

/// Its steps. `piece`: Services in one transaction; `None`: all of them, as iptables-legacy copies the whole table at
/// every transaction.
pub(crate) fn steps(form: &impl Form, to: &ServiceSet, piece: Option<usize>) -> Vec<Step> {
    let comments = form.comments(to);
    let restore = |input| tools::restore(form.node(), Phase::Restore, input);
    let mut steps = Vec::new();
    match piece {
        // Jumps last: until a chain can be reached from a hook, nf_tables need not walk it at every
        // commit (nft_table_validate, net/netfilter/nf_tables_api.c).
        Some(piece) => {
            let inputs = inputs_in_pieces(form, to, piece, comments);
            steps.extend(inputs.into_iter().map(restore));
            steps.extend(form.start(Present::Chains));
            steps.extend(form.jumps(Present::Chains));
        }
        // Jumps first: each costs a copy of what is there.
        None => {
            steps.extend(form.start(Present::Nothing));
            steps.extend(form.jumps(Present::Nothing));
            let ports = form.ports(to.services(), |_| true);
            steps.push(restore(input(form, &ports, comments, &[])));
        }
    }
    steps
}
