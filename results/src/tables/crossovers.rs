//! From how many Services on one mode costs more than another, for every pair.

use super::sync::SYNCS;
use crate::crossover::{Between, crossover};
use crate::curves::Curves;
use crate::groups::Groups;
use crate::names::{is_control, metric, position, workload};
use crate::table::Table;
use crate::text::thousands;

/// One row for each figure and pair of modes that were measured at two scales at least.
pub(super) fn crossovers(groups: &Groups<'_>) -> Table {
    let remark = "In lookups and connections: of the last Service. To overtake is to cost more from there on, up to the largest \
                  scale measured; nothing is said beyond it. Between two scales figures run straight, those of syncs in \
                  logarithms. The interval holds those numbers of Services at which a 95% t test over blocks does not tell the \
                  modes apart; there is none with one block. “At most” and “beyond”: they are not told apart up to the end of what was \
                  measured.";
    let columns = ["figure", "endpoints", "modes", "crossover", "blocks"];
    let mut table = Table::new("Crossovers", remark, 4, &columns);
    let probe = (workload::PACKET_PROBE, metric::LOOKUP_FIRST_PACKET, position::LAST, Between::Lines);
    let connect = (workload::TCP_CRR, metric::RESPONSE_TIME, position::LAST, Between::Lines);
    let syncs = SYNCS.map(|name| (name, metric::APPLY, position::NONE, Between::Logarithms));
    for (name, metric, position, between) in [probe, connect].into_iter().chain(syncs) {
        let Some(curves) = Curves::of(groups, name, metric, position, |row| row.p50) else { continue };
        let curves = curves.keep(|mode| !is_control(mode));
        for (index, (first, ours)) in curves.modes.iter().enumerate() {
            for (second, theirs) in curves.modes.iter().skip(index + 1) {
                let Some(found) =
                    crossover(ours, theirs, between).filter(|found| found.range.0 < found.range.1)
                else {
                    continue;
                };
                table.rows.push(vec![
                    name.to_owned(),
                    thousands(curves.endpoints),
                    format!("{first}, {second}"),
                    found.in_words(first, second),
                    thousands(found.blocks as u64),
                ]);
            }
        }
    }
    table
}
