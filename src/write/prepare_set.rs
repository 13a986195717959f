//! The first transaction of a set's change: the tables of the new form, the view, the side tables,
//! the triggers and the change's own row come into being together, or not at all.

use rusqlite::Connection;

use super::{Session, WriteError};
use crate::db::quote::ident;
use crate::db::{Doing, Table};
use crate::layout::Delivery;
use crate::layout::or_set::{
    SetLayout, SetTarget, ViewStage, adds_schema, removes_schema, set_note_schema, view_schema,
    view_schema_drop,
};
use crate::plan::{ResolvedSet, closed_objects};
use crate::state::{self, ChangeRow, Counters, Phase, SetRow};

/// A set that is ready to be translated.
#[derive(Clone, Debug)]
pub struct PreparedSet {
    /// What is translated, with its number.
    pub target: SetTarget,
    /// Its state.
    pub change: ChangeRow,
    /// What we have made for it.
    pub made: SetRow,
}

/// Makes a set ready, or finds it as an earlier run left it. The caller has checked that tables of
/// cr-sqlite that are missing can be made: the extension is loaded.
///
/// # Errors
/// As [`Session::transact`]; nothing was changed then.
pub fn prepare_set(
    session: &mut Session<'_>,
    resolved: &ResolvedSet,
    migration: &str,
    position: usize,
) -> Result<PreparedSet, WriteError> {
    prepare_as(session, resolved, migration, position, true)
}

/// As [`prepare_set`], for adds that come from elsewhere: nothing is noted, and the view shows the
/// new form alone, so that the old form need not be here.
///
/// # Errors
/// As [`prepare_set`].
pub fn prepare_fed_set(
    session: &mut Session<'_>,
    resolved: &ResolvedSet,
    migration: &str,
    position: usize,
) -> Result<PreparedSet, WriteError> {
    prepare_as(session, resolved, migration, position, false)
}

fn prepare_as(
    session: &mut Session<'_>,
    resolved: &ResolvedSet,
    migration: &str,
    position: usize,
    derives: bool,
) -> Result<PreparedSet, WriteError> {
    let position = i64::try_from(position).unwrap_or(i64::MAX);
    let known = ChangeRow::of(session.conn(), migration)?;
    let known = known.into_iter().find(|c| c.position == position);
    let mut target = resolved.target.clone();
    let change = if let Some(change) = known {
        change
    } else {
        let made = session.transact(|conn| {
            let at = (migration, position);
            create(conn, resolved, &mut target, at, derives)
        })?;
        session.accept_schema()?;
        made.value
    };
    target.n = change.n;
    target.closed = closed_objects(session.conn(), migration)?;
    target.table = Table::read(session.conn(), &target.table.name)?;
    target.table.walk_by_key();
    let made = SetRow::read(session.conn(), change.n)?.unwrap_or_else(|| row(resolved, change.n));
    Ok(PreparedSet { target, change, made })
}

/// What we make, where `resolved` is what is there.
fn row(resolved: &ResolvedSet, n: i64) -> SetRow {
    let target = &resolved.target;
    SetRow {
        n,
        adds: target.adds.clone(),
        removes: target.removes.clone(),
        view: target.view.clone(),
        adds_made: !resolved.tables.adds,
        removes_made: !resolved.tables.removes,
    }
}

fn create(
    conn: &Connection,
    resolved: &ResolvedSet,
    target: &mut SetTarget,
    (migration, position): (&str, i64),
    derives: bool,
) -> Result<ChangeRow, WriteError> {
    target.n = state::next_change_number(conn)?;
    let made = row(resolved, target.n);
    make_tables(conn, target, &made)?;
    made.insert(conn)?;
    if derives {
        conn.execute_batch(&set_note_schema(target)).doing("create the triggers that note keys")?;
    }
    let stage = if derives { ViewStage::Filling } else { ViewStage::Alone };
    replace_view(conn, target, stage)?;
    let change = ChangeRow {
        n: target.n,
        migration: migration.to_owned(),
        position,
        table: target.table.name.clone(),
        column: target.source().to_owned(),
        delivery: Delivery::Derive.as_str().to_owned(),
        phase: Phase::Filling,
        column_added: false,
        seeded: true,
        filled: false,
        null_clocks: false,
        checkpoint: None,
        checkpoint_schema: None,
        rows_total: 0,
        counters: Counters::default(),
    };
    change.insert(conn)?;
    let detail = format!(
        "{}.{} open, as {}, {} and {}",
        target.table.sql(),
        ident(target.source()),
        ident(&target.adds),
        ident(&target.removes),
        ident(&target.view)
    );
    state::event(conn, migration, "change-opened", &detail)?;
    Ok(change)
}

fn make_tables(conn: &Connection, target: &SetTarget, made: &SetRow) -> Result<(), WriteError> {
    let replicated = matches!(target.layout, SetLayout::CrSqlite { .. });
    let adds = adds_schema(&target.table, &target.adds, replicated);
    let removes = removes_schema(&target.removes, replicated);
    for (name, schema, make) in
        [(&target.adds, adds, made.adds_made), (&target.removes, removes, made.removes_made)]
    {
        let what = format!("create table {}", ident(name));
        if !make {
            continue;
        }
        conn.execute_batch(&schema).doing(&what)?;
        if replicated {
            conn.query_row("SELECT crsql_as_crr(?1)", [name], |_| Ok(())).doing(&what)?;
        }
    }
    Ok(())
}

/// Makes the view anew, for `stage`. The caller holds a write transaction.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn replace_view(
    conn: &Connection,
    target: &SetTarget,
    stage: ViewStage,
) -> Result<(), WriteError> {
    let sql = view_schema_drop(target) + &view_schema(target, stage);
    Ok(conn.execute_batch(&sql).doing(format!("create view {}", ident(&target.view)))?)
}
