//! Rolling a set back: our adds deleted, the view dropped, and the tables that we made too, where they
//! hold nothing of a user's.

use rusqlite::Connection;

use super::look_again;
use crate::db::quote::ident;
use crate::db::{DbError, Doing, Table};
use crate::engine::fed::is_noted;
use crate::engine::job::Job;
use crate::engine::proof::reader;
use crate::engine::{RunError, Stop};
use crate::layout::crsqlite::CrTable;
use crate::layout::or_set::{SetTarget, ViewStage, set_note_schema_drop, view_schema_drop};
use crate::layout::{pending_schema_drop, reship_schema_drop};
use crate::monitor::Stage;
use crate::scan::or_set::Bounds;
use crate::split::Splitter;
use crate::state::{Phase, SetRow};
use crate::write::or_set::{SetWriter, whole_objects};
use crate::write::{PreparedSet, WriteError, replace_view};

/// Adds that one transaction deletes, about.
const RANGE_ADDS: u64 = 1000;

/// What is left of a set that was rolled back.
#[derive(Debug, Default)]
pub(in crate::engine) struct Cleared {
    /// Adds of ours that were deleted.
    pub removed: u64,
    /// Tables that were kept, and why.
    pub kept: Vec<String>,
}

/// Takes our part of the new form back.
pub(in crate::engine) fn roll_back(
    job: &mut Job<'_>,
    ready: &mut PreparedSet,
    cleared: &mut Cleared,
) -> Result<Option<Stop>, RunError> {
    // A set that was fed has no frontier, and may lack the old form: its adds just go.
    if is_noted(job.session.conn(), ready.target.n)? {
        show_old_form(job, &ready.target)?;
    }
    loop {
        match clear(job, &ready.target, cleared) {
            Err(RunError::Write(WriteError::SchemaChanged)) => look_again(job, &ready.target)?,
            Ok(None) => break,
            other => return other,
        }
    }
    drop_all(job, ready, cleared)?;
    Ok(None)
}

/// While adds go, the view shows the old form of every object.
fn show_old_form(job: &mut Job<'_>, target: &SetTarget) -> Result<(), RunError> {
    let forget = format!("DELETE FROM {}", target.frontier_table());
    job.session.transact_again(|conn| {
        conn.execute_batch(&forget).doing("begin to roll back")?;
        replace_view(conn, target, ViewStage::Filling)
    })?;
    Ok(job.session.accept_schema()?)
}

fn clear(
    job: &mut Job<'_>,
    target: &SetTarget,
    cleared: &mut Cleared,
) -> Result<Option<Stop>, RunError> {
    let writer = SetWriter::new(target);
    job.pace.stage(Stage::Clearing, 0, 0);
    let conn = reader(&job.db)?;
    let mut adds = Table::read(&conn, &target.adds)?;
    adds.walk_by_key();
    let keys = target.table.key.len();
    let mut splitter = Splitter::new(&conn, &adds, RANGE_ADDS, None);
    let mut after = None;
    while let Some(range) = splitter.next_range()? {
        if let Err(stop) = job.pace.before_batch(&mut job.session)? {
            return Ok(Some(stop));
        }
        // An object may go beyond the end of its range of adds, and is cleared whole.
        let bounds = Bounds { after: after.take(), ..whole_objects(&range, keys) };
        let done = writer.clear(&mut job.session, &bounds)?;
        after.clone_from(&bounds.through);
        cleared.removed += job.pace.after_batch(done, range.rows, 0);
        job.pace.passed(range.rows);
    }
    Ok(None)
}

fn drop_all(
    job: &mut Job<'_>,
    ready: &mut PreparedSet,
    cleared: &mut Cleared,
) -> Result<(), RunError> {
    let PreparedSet { target, change, made } = ready;
    let extension = job.options.crsqlite.is_some();
    let mut after = change.clone();
    after.phase = Phase::RolledBack;
    let done = job.session.transact_again(|conn| {
        let sides = set_note_schema_drop(target.n)
            + &pending_schema_drop(target.n)
            + &reship_schema_drop(target.n);
        let sql = view_schema_drop(target) + &sides;
        conn.execute_batch(&sql).doing("drop our view and triggers")?;
        let kept = drop_tables(conn, made, extension)?;
        SetRow::remove(conn, target.n)?;
        after.save(conn)?;
        Ok(kept)
    })?;
    cleared.kept.extend(job.pace.after_batch(done, 0, 0));
    job.session.accept_schema()?;
    *change = after;
    Ok(())
}

/// Drops the tables that we made and that are empty; says which are kept.
fn drop_tables(conn: &Connection, made: &SetRow, extension: bool) -> Result<Vec<String>, DbError> {
    let mut kept = Vec::new();
    for (name, ours) in [(&made.adds, made.adds_made), (&made.removes, made.removes_made)] {
        if !ours {
            continue;
        }
        let Ok(table) = Table::read(conn, name) else { continue };
        let replicated = CrTable::find(conn, &table)?;
        let history = replicated.as_ref().map_or(table.sql(), |cr| cr.clock.clone());
        let any = format!("SELECT 1 FROM {} UNION ALL SELECT 1 FROM {history}", table.sql());
        let any = conn.prepare(&any).and_then(|mut s| s.exists([]));
        if any.doing("look for what users have written")? {
            kept.push(format!("table {} is kept: it holds what users wrote", table.sql()));
            continue;
        }
        match replicated {
            Some(_) if !extension => {
                kept.push(format!("table {} is kept: dropping it takes --crsqlite", table.sql()));
                continue;
            }
            Some(_) => {
                conn.query_row("SELECT crsql_as_table(?1)", [name], |_| Ok(()))
                    .doing(format!("end the replication of {}", table.sql()))?;
            }
            None => {}
        }
        conn.execute_batch(&format!("DROP TABLE {}", ident(name))).doing("drop our tables")?;
    }
    Ok(kept)
}
