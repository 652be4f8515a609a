//! At how many Services waiting for the lock passes a limit, in words.

use crate::groups::Groups;
use crate::lock_limit::lock_limits as find;
use crate::names::{metric, workload};
use crate::record::Unit;
use crate::table::{Cell, Source, Table};
use crate::text::thousands;

/// Title of the table.
pub(crate) const LOCK_LIMITS: &str = "Services at which waiting for the xtables lock passes a limit";
/// Nanoseconds, or instructions of a guest: a second, which is a long time for a pod to start, and what `-w 5` waits at most.
const LIMITS: [f64; 2] = [1e9, 5e9];

/// One row per mode and number of contenders that waited for the lock at all.
pub(super) fn lock_limits(groups: &Groups<'_>) -> Table {
    let quantity = groups.quantity(Unit::Ns);
    let headings = LIMITS.map(|limit| format!("p99 passes {}", quantity.show(limit)));
    let mut columns = vec!["mode", "endpoints", "contenders"];
    columns.extend(headings.iter().map(String::as_str));
    columns.push("Services measured");
    let remark = "p99 of contenders' waits, those in vain included: where it passes 5 s, more than one “-w 5” in a hundred \
                  gives up; as waits end there, its number errs towards the larger scale. Measured: interpolated between two \
                  scales, linear in logarithms. Extrapolated: by the line through all scales in logarithms, at least three and \
                  to ten times the largest at most, with a 95% interval from its residuals; it supposes that growth goes on as \
                  it was. Where fewer than a hundred waits were seen, p99 is the longest of them.";
    let mut table = Table::new(LOCK_LIMITS, remark, 3, &columns);
    let all = groups.first_of(workload::XTABLES_LOCK, metric::LOCK_WAIT);
    for limit in find(groups, &LIMITS) {
        let mut row: Vec<Cell> =
            vec![limit.mode.into(), thousands(limit.endpoints).into(), thousands(limit.contenders).into()];
        row.extend(limit.passing.iter().map(|passing| match all {
            Some(all) => Cell::figure(passing.in_words(), passing.services(), Source::Metric(all)),
            None => passing.in_words().into(),
        }));
        let (smallest, largest) = limit.scales;
        row.push(if smallest == largest {
            thousands(largest).into()
        } else {
            format!("{} to {}", thousands(smallest), thousands(largest)).into()
        });
        table.push(row);
    }
    table
}
