//! Where figures lead: to the rows behind them, if the page shows them.

use std::collections::BTreeSet;

use crate::groups::{GroupKey, Groups};
use crate::report::pages::Pages;
use crate::table::Source;

/// Groups whose rows the page addresses one by one; those beyond are in records.csv only, which the section says.
pub(super) const MOST_GROUPS: usize = 6_000;
/// Identifier of the section of rows.
pub(super) const ROWS: &str = "rows";

/// Which groups have a place in the page.
pub(super) struct Links<'a> {
    /// First groups of each workload and metric that has a place.
    metrics: BTreeSet<usize>,
    pages: &'a Pages<'a>,
}

impl<'a> Links<'a> {
    pub(super) fn of(pages: &'a Pages<'a>) -> Self {
        let mut links = Links { metrics: BTreeSet::new(), pages };
        let mut metrics = BTreeSet::new();
        for chapter in &links.pages.chapters {
            let firsts = by_metric(&chapter.groups).into_iter().filter_map(|keys| {
                let first = keys.first()?;
                chapter.groups.map.get(first).map(|group| group.number)
            });
            metrics.extend(firsts.filter(|number| *number < MOST_GROUPS));
        }
        links.metrics = metrics;
        links
    }

    /// The address of the rows.
    pub(super) fn to(&self, source: Source) -> String {
        match source {
            Source::Group(number) if number < MOST_GROUPS => format!("#{}", group(number)),
            Source::Metric(number) if self.metrics.contains(&number) => format!("#{}", metric(number)),
            _ => format!("#{ROWS}"),
        }
    }
}

/// The groups of each workload and metric, sorted.
pub(super) fn by_metric<'g>(groups: &'g Groups<'_>) -> Vec<Vec<&'g GroupKey<'g>>> {
    let map: &'g std::collections::BTreeMap<GroupKey<'g>, _> = &groups.map;
    let keys: Vec<&GroupKey<'_>> = map.keys().collect();
    let alike = keys.chunk_by(|a, b| (a.workload, a.metric, a.unit) == (b.workload, b.metric, b.unit));
    alike.map(<[_]>::to_vec).collect()
}

/// Identifier of a group's rows.
pub(super) fn group(number: usize) -> String {
    format!("r{number}")
}

/// Identifier of the rows of a workload and a metric.
pub(super) fn metric(number: usize) -> String {
    format!("m{number}")
}
