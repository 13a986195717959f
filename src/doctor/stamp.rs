//! Values of ours that a full `crsql_commit_alter` has given clock rows.
//!
//! cr-sqlite's alter writes a clock row, at version 1 and of the local site, for every cell that
//! has a value and no clock row, all under one `db_version` that others may have seen already. The
//! cells are then indistinguishable from users': they lose to later writes only, and are not
//! derived again.
//!
//! While a change is open this is exact: a cell with such a clock row that is neither among the
//! users' keys nor noted. Once it is closed those keys are gone, and what tells is that one
//! `db_version` owns at least half of the table.

use rusqlite::Connection;

use super::{Finding, Patient, shell};
use crate::db::quote::{ident, text};
use crate::db::{DbError, Doing, Table};
use crate::layout::crsqlite::CrTable;
use crate::state::{ChangeRow, Phase};

pub(super) fn examine(
    patient: &Patient<'_>,
    table: &Table,
    cr: &CrTable,
    change: &ChangeRow,
) -> Result<Finding, DbError> {
    let name = format!("{}.{}", change.table, change.column);
    let stamped = match change.phase {
        Phase::Closed => closed(&patient.conn, cr, change)?,
        _ if !change.seeded || !has_tables(patient, change)? => 0,
        _ => open(&patient.conn, table, cr, change)?,
    };
    if stamped == 0 {
        return Ok(Finding::ok(
            format!("clock rows of {name}"),
            "none for the values that were derived: cr-sqlite's own sync does not carry them, a \
             replica that joins later derives them itself or takes them by `dotfill apply`, and a full crsql_commit_alter would \
             stamp them",
        ));
    }
    let what = format!("stamped cells of {name}");
    let detail = format!(
        "{stamped} derived values were stamped with clock rows of version 1 by a full \
         crsql_commit_alter: they are change records now, under a db_version that replicas which \
         have seen it never ask for, and count as users' cells, which nobody derives again"
    );
    Ok(match change.phase {
        Phase::Closed => Finding::ok(what, detail),
        _ => Finding::owed(
            what,
            detail,
            format!(
                "{} (and on every other replica, so that all of them stop deriving)",
                shell::dotfill("run", &change.migration, patient.db) + " --close"
            ),
        ),
    })
}

fn has_tables(patient: &Patient<'_>, change: &ChangeRow) -> Result<bool, DbError> {
    let tables = patient.ours("table")?;
    let has = |name: String| tables.contains(&name);
    Ok(has(format!("_dotfill_dirty_{}", change.n)) && has(format!("_dotfill_user_{}", change.n)))
}

fn open(
    conn: &Connection,
    table: &Table,
    cr: &CrTable,
    change: &ChangeRow,
) -> Result<u64, DbError> {
    let (clock, pks, column) = (&cr.clock, &cr.pks, ident(&change.column));
    let keys = |left: &dyn Fn(usize, &str) -> String, operator: &str| {
        let pairs = table.key.iter().enumerate().map(|(i, key)| {
            let name = ident(&key.name);
            format!("{} {operator} {pks}.{name}", left(i + 1, &name))
        });
        pairs.collect::<Vec<_>>().join(" AND ")
    };
    let noted = |side: &str| {
        let condition = keys(&|i, _| format!("s.k{i}"), "IS");
        format!("NOT EXISTS (SELECT 1 FROM {side}_{} AS s WHERE {condition})", change.n)
    };
    let row = keys(&|_, name| format!("{}.{name}", table.sql()), "=");
    let sql = format!(
        "SELECT count(*) FROM {clock} CROSS JOIN {pks} ON {pks}.__crsql_key = {clock}.key \
         WHERE {clock}.col_name = {} AND {clock}.site_id = 0 AND {clock}.col_version = 1 \
         AND {} AND {} AND EXISTS (SELECT 1 FROM {} WHERE {row} AND {column} IS NOT NULL)",
        text(&change.column),
        noted("_dotfill_user"),
        noted("_dotfill_dirty"),
        table.sql()
    );
    conn.query_row(&sql, [], |row| row.get(0)).doing("look for stamped cells")
}

fn closed(conn: &Connection, cr: &CrTable, change: &ChangeRow) -> Result<u64, DbError> {
    let sql = format!(
        "SELECT coalesce(max(cells), 0) FROM (SELECT count(*) AS cells FROM {} \
         WHERE col_name = {} AND site_id = 0 AND col_version = 1 GROUP BY db_version)",
        cr.clock,
        text(&change.column)
    );
    let most: u64 = conn.query_row(&sql, [], |row| row.get(0)).doing("look for stamped cells")?;
    let many = most >= 10 && most.saturating_mul(2) >= change.rows_total;
    Ok(if many { most } else { 0 })
}
