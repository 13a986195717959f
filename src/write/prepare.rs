//! The first transaction of a change: the column, the side tables, the triggers and the change's
//! own row come into being together, or not at all.

use rusqlite::Connection;

use super::{Session, WriteError};
use crate::db::quote::ident;
use crate::db::{Doing, Table};
use crate::layout::crsqlite::add_column;
use crate::layout::{Delivery, Layout, Target, note_schema};
use crate::plan::Resolved;
use crate::state::{self, ChangeRow, Counters, MigrationRow, Phase};

/// A change that is ready to be filled.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// What is filled, with its number.
    pub target: Target,
    /// Its state.
    pub change: ChangeRow,
}

/// Makes a change ready, or finds it as an earlier run left it.
///
/// # Errors
/// As [`Session::transact`]; nothing was changed then.
pub fn prepare(
    session: &mut Session<'_>,
    resolved: Resolved,
    migration: &str,
    position: usize,
) -> Result<Prepared, WriteError> {
    let position = i64::try_from(position).unwrap_or(i64::MAX);
    let known = ChangeRow::of(session.conn(), migration)?;
    let known = known.into_iter().find(|c| c.position == position);
    let Resolved { mut target, column_exists, .. } = resolved;
    let change = if let Some(change) = known {
        change
    } else {
        let made = session
            .transact(|conn| create(conn, &mut target, !column_exists, migration, position))?;
        session.accept_schema()?;
        made.value
    };
    target.n = change.n;
    target.delivery = Delivery::from_name(&change.delivery).unwrap_or(target.delivery);
    target.overwrite = !change.column_added && matches!(target.layout, Layout::CrSqlite(_));
    target.table = Table::read(session.conn(), &target.table.name)?;
    Ok(Prepared { target, change })
}

fn create(
    conn: &Connection,
    target: &mut Target,
    add: bool,
    migration: &str,
    position: i64,
) -> Result<ChangeRow, WriteError> {
    target.n = state::next_change_number(conn)?;
    if add {
        let definition = definition(target);
        match (&target.layout, target.delivery) {
            // cr-sqlite does not know generated columns: its triggers stay as they are.
            (Layout::Plain, _) | (Layout::CrSqlite(_), Delivery::Virtual) => conn
                .execute_batch(&format!(
                    "ALTER TABLE {} ADD COLUMN {definition}",
                    target.table.sql()
                ))
                .doing(format!("add a column to {}", target.table.sql()))?,
            (Layout::CrSqlite(_), _) => add_column(conn, &target.table, &definition)?,
        }
        target.table = Table::read(conn, &target.table.name)?;
    }
    let cells = target.delivery.writes_cells();
    if cells {
        conn.execute_batch(&note_schema(target)).doing("create the triggers that note keys")?;
    }
    let phase = match MigrationRow::read(conn, migration)?.map(|row| row.phase) {
        Some(Phase::Applying) => Phase::Applying,
        _ => Phase::Filling,
    };
    let change = ChangeRow {
        n: target.n,
        migration: migration.to_owned(),
        position,
        table: target.table.name.clone(),
        column: target.column.clone(),
        delivery: target.delivery.as_str().to_owned(),
        phase,
        column_added: add,
        seeded: add || !cells,
        filled: !cells,
        null_clocks: false,
        checkpoint: None,
        checkpoint_schema: None,
        rows_total: 0,
        counters: Counters::default(),
    };
    change.insert(conn)?;
    let added = if add { "added and " } else { "" };
    let detail = format!(
        "{}.{} {added}open, delivery {}",
        target.table.sql(),
        ident(&target.column),
        target.delivery
    );
    state::event(conn, migration, "change-opened", &detail)?;
    Ok(change)
}

/// The definition of the column that is added.
fn definition(target: &Target) -> String {
    let name = format!("{} {}", ident(&target.column), target.type_name);
    match (target.delivery, &target.constant) {
        (Delivery::Virtual, _) => {
            format!("{name} GENERATED ALWAYS AS (\n{}\n) VIRTUAL", target.derived())
        }
        (Delivery::Elide, Some(value)) if *value != crate::db::Datum::Null => {
            format!("{name} DEFAULT {value}")
        }
        _ => name,
    }
}
