//! The slopes of every lane in one table: beside one another, never computed with one another.

use crate::findings::Finding;
use crate::groups::Groups;
use crate::names::{metric, workload};
use crate::record::Unit;
use crate::table::{Cell, Source, Table};
use crate::text::thousands;

/// One platform's groups and what they say about lookups.
#[derive(Debug, Clone, Copy)]
pub struct LaneFindings<'a> {
    /// The rows.
    pub groups: &'a Groups<'a>,
    /// [`crate::findings::findings`] of `groups`.
    pub findings: &'a [Finding],
}

/// Slopes in words: one row per lane and finding; a column names the lane if there are several.
pub fn headline(lanes: &[LaneFindings<'_>]) -> Table {
    let several = lanes.len() > 1;
    let mut remark =
        "Lookup of the last Service at the smallest and the largest scale; slope by Theil-Sen over the \
                      positions first, middle and last of every scale, with a 95% interval over blocks. In \
                      the iptables modes each of these Services is one rule of the list that packets walk, \
                      KUBE-SERVICES: there the slope is per rule."
            .to_owned();
    if several {
        remark += " Lanes differ in clock, kernel or hypervisor: compare modes within a lane, never figures of two \
                   lanes.";
    }
    let columns = [
        "lane",
        "mode",
        "verdict",
        "at the smallest scale",
        "at the largest scale",
        "slope per Service",
        "blocks",
    ];
    let columns = if several { &columns[..] } else { &columns[1..] };
    let mut table = Table::new("Lookup in short", &remark, if several { 3 } else { 2 }, columns);
    for lane in lanes {
        let quantity = lane.groups.quantity(Unit::Ns);
        for finding in lane.findings {
            let end = |index: usize| {
                let (services, value) = finding.ends[index];
                let text = format!("{} at {}", quantity.show(value), thousands(services));
                Cell::figure(text, value, Source::Group(finding.groups[index]))
            };
            let mut row: Vec<Cell> =
                if several { vec![lane.groups.platform.label().into()] } else { Vec::new() };
            row.extend([finding.mode.as_str().into(), finding.verdict.as_str().into(), end(0), end(1)]);
            let all = lane.groups.first_of(workload::PACKET_PROBE, metric::LOOKUP_FIRST_PACKET);
            row.push(match (finding.slope_in(quantity), finding.slope, all) {
                (Some((value, interval)), Some(slope), Some(all)) => {
                    Cell::figure(value + &interval, slope.per_service, Source::Metric(all))
                }
                _ => "—".into(),
            });
            row.push(finding.slope.map_or_else(String::new, |slope| slope.n.to_string()).into());
            table.push(row);
        }
    }
    table
}
