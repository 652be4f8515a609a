//! Cells of these tables.

use crate::groups::Group;
use crate::record::{Record, Unit};
use crate::stats::Medians;
use crate::systems::{At, PLAN, Systems};
use crate::table::{Cell, Source, Table};
use crate::text::thousands;

/// Which figure of a row.
pub(super) type Field = fn(&Record) -> Option<u64>;

/// What all tables are written from.
pub(super) struct Writer<'s, 'a, 'm> {
    pub(super) systems: &'s Systems<'a>,
    /// The version of svcbench's plans; empty: not known.
    pub(super) plan: &'s str,
    pub(super) medians: &'m mut Medians,
}

impl Writer<'_, '_, '_> {
    /// The figure of one cell; a dash where there is none.
    pub(super) fn figure(&mut self, workload: &str, metric: &str, at: &At<'_>, field: Field) -> Cell {
        let group = self.systems.cell(workload, metric, at);
        self.of_group(group, field)
    }

    pub(super) fn of_group(&mut self, group: Option<&Group<'_>>, field: Field) -> Cell {
        let found = group.and_then(|group| {
            let unit = group.measured.first()?.unit;
            Some((group.estimate(self.medians, field)?, unit, group.number))
        });
        match found {
            Some((estimate, unit, number)) => {
                let text = self.systems.groups.quantity(unit).show_estimate(estimate);
                Cell::figure(text, estimate.median, Source::Group(number))
            }
            None => "—".into(),
        }
    }

    /// A time that was calculated from rows, one group of which stands for them.
    pub(super) fn time(&self, value: f64, group: usize) -> Cell {
        let text = self.systems.groups.quantity(Unit::Ns).show(value);
        Cell::figure(text, value, Source::Group(group))
    }

    /// What a system is called.
    pub(super) fn name(&self, column: &str) -> Cell {
        if column == PLAN {
            return format!("{PLAN} {}", self.plan).trim_end().to_owned().into();
        }
        self.systems.label(column).into()
    }

    /// Mode, system and Services, as rows begin.
    pub(super) fn names(&self, at: &At<'_>) -> Vec<Cell> {
        vec![at.mode.into(), self.name(at.system), thousands(at.services).into()]
    }
}

/// Adds a row, unless it has no figure. `names`: how many of its cells are names.
pub(super) fn push(table: &mut Table, row: Vec<Cell>, names: usize) {
    if row.iter().skip(names).any(|cell| cell.origin.is_some()) {
        table.push(row);
    }
}

/// Leaves out columns of figures in which there is none.
pub(super) fn without_empty(table: Table) -> Table {
    let has = |column: usize| {
        column < table.left || table.rows.iter().any(|row| row.get(column).is_some_and(|cell| cell != "—"))
    };
    let kept: Vec<usize> = (0..table.columns.len()).filter(|column| has(*column)).collect();
    let pick = |cells: &Vec<String>| kept.iter().filter_map(|column| cells.get(*column).cloned()).collect();
    let origins = table.origins.iter().filter_map(|((row, column), origin)| {
        Some(((*row, kept.iter().position(|own| own == column)?), *origin))
    });
    Table {
        columns: pick(&table.columns),
        rows: table.rows.iter().map(pick).collect(),
        origins: origins.collect(),
        ..table.clone()
    }
}
