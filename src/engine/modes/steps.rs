//! What each step changes in the database, inside the transaction that also writes the mode down.

use rusqlite::Connection;

use crate::db::Doing;
use crate::layout::or_set::{
    ViewStage, set_note_schema, set_note_schema_drop, set_note_triggers, set_note_triggers_drop,
};
use crate::phase::pending::pending_count;
use crate::phase::set::EpochSet;
use crate::phase::triggers::{Closed, cohort_table, side_tables, side_tables_drop, triggers_drop};
use crate::phase::validator::{self, validator_drop, validator_schema};
use crate::write::{WriteError, any_dirty, replace_view};

/// Applications may write both forms from now on: objects that anybody touches are compared.
pub(super) fn watch(conn: &Connection, set: &EpochSet) -> Result<(), WriteError> {
    let sql = validator_drop(set.target.n) + &validator_schema(set);
    Ok(conn.execute_batch(&sql).doing("create the validator")?)
}

/// Nobody compares any more.
pub(super) fn unwatch(conn: &Connection, set: &EpochSet) -> Result<(), WriteError> {
    Ok(conn.execute_batch(&validator_drop(set.target.n)).doing("drop the validator")?)
}

/// Closes the epoch of those objects that will be in the cohort's table, which is empty still.
pub(super) fn open_cohort(conn: &Connection, set: &EpochSet) -> Result<(), WriteError> {
    let target = &set.target;
    let sql = side_tables(target)
        + &set_note_triggers_drop(target.n)
        + &set_note_triggers(target, Some(&cohort_table(target.n)))
        + &triggers_drop(target.n)
        + &set.triggers(Closed::Cohort).schema();
    Ok(conn.execute_batch(&sql).doing("create the triggers of the cohort")?)
}

/// True where nothing was noted since the gate was evaluated: the forms still agree.
pub(super) fn still_agrees(conn: &Connection, set: &EpochSet) -> Result<bool, WriteError> {
    let n = set.target.n;
    let found = validator::found(conn, n)?;
    Ok(!any_dirty(conn, n)?
        && found.touched == 0
        && found.open == 0
        && pending_count(conn, n)? == 0)
}

/// Closes the epoch of every object: nothing is derived from the old form any more.
pub(super) fn close_epoch(conn: &Connection, set: &EpochSet) -> Result<(), WriteError> {
    let target = &set.target;
    let n = target.n;
    replace_view(conn, target, ViewStage::Alone)?;
    let sql = set_note_schema_drop(n)
        + &validator_drop(n)
        + &triggers_drop(n)
        + &side_tables(target)
        + &format!("DELETE FROM {};\n", cohort_table(n))
        + &set.triggers(Closed::All).schema();
    Ok(conn.execute_batch(&sql).doing("create the triggers of the closed epoch")?)
}

/// Opens the epoch again: the old form is authoritative, and followed.
pub(super) fn reopen(conn: &Connection, set: &EpochSet) -> Result<(), WriteError> {
    let target = &set.target;
    let n = target.n;
    let sql = triggers_drop(n)
        + &side_tables_drop(n)
        + &set_note_schema_drop(n)
        + &set_note_schema(target);
    conn.execute_batch(&sql).doing("drop the triggers of the closed epoch")?;
    replace_view(conn, target, ViewStage::Following)
}
