//! What was wrong with the machine when the run began.

use crate::environment::{Severity, Warning};
use crate::table::Table;

/// One row per warning, in the order of the environment record.
pub(crate) fn warnings(warnings: &[Warning]) -> Table {
    let remark = "As found when the run began. Unreliable figures of the wall clock are noisy or biased; those that differ are \
                  comparable only with runs where it was the same. Instructions of an emulated guest depend on none of it.";
    let mut table = Table::new(
        "Warnings about the machine",
        remark,
        5,
        &["warning", "figures", "found", "why", "how to fix it"],
    );
    for Warning { name, severity, what, why, how } in warnings {
        let severity = match severity {
            Severity::Unreliable => "unreliable",
            Severity::Differs => "differs",
        };
        table.rows.push([name, severity, what, why, how].map(|text: &str| text.to_owned()).to_vec());
    }
    table
}
