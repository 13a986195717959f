//! A replica that is fed by deltas: what makes it ready, what ends it, and how it begins to derive
//! for itself. See `src/state/mod.rs` for the phases.

use super::epoch::ChainEpoch;
use super::job::Job;
use super::verify::verify_fed;
use super::{LookOptions, RunError};
use crate::db::{DbError, Doing};
use crate::layout::or_set::{SetTarget, ViewStage, set_note_schema, set_note_schema_drop};
use crate::layout::{
    Target, note_schema, note_schema_drop, pending_schema, pending_schema_drop, source_trigger,
};
use crate::monitor::Quiet;
use crate::plan::ResolvedChange;
use crate::state::{self, AppliedRow, ChangeRow, MigrationRow, Phase};
use crate::write::{Drainer, Then, WriteError, dirty_rows, pending_rows, replace_view};

/// Notes that one transaction settles at most.
const NOTES: u64 = 500;

/// True while triggers note what others write for change `n`.
pub(super) fn is_noted(conn: &rusqlite::Connection, n: i64) -> Result<bool, DbError> {
    conn.prepare_cached("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")
        .and_then(|mut s| s.exists([format!("_dotfill_dirty_{n}")]))
        .doing("look for the noted keys")
}

/// Has others' writes noted again, where that had ended because cr-sqlite's clock rows tell whose a
/// cell is: they are read anew.
pub(super) fn reopen(
    job: &mut Job<'_>,
    target: &Target,
    change: &mut ChangeRow,
) -> Result<(), RunError> {
    if !target.delivery.writes_cells() || is_noted(job.session.conn(), target.n)? {
        return Ok(());
    }
    let mut after = change.clone();
    after.seeded = false;
    job.session.transact_again(|conn| {
        conn.execute_batch(&note_schema(target)).doing("create the triggers that note keys")?;
        Ok(after.save(conn)?)
    })?;
    job.session.accept_schema()?;
    *change = after;
    Ok(())
}

/// Makes one change ready to have shipped values written.
pub(super) fn begin(
    job: &mut Job<'_>,
    target: &Target,
    change: &mut ChangeRow,
) -> Result<(), RunError> {
    reopen(job, target, change)?;
    let schema = pending_schema(target.n, &target.table);
    job.session.transact_again(|conn| {
        Ok(conn.execute_batch(&schema).doing("create the table of values without a row")?)
    })?;
    Ok(job.session.accept_schema()?)
}

/// Ends the noting of what others write to a table of cr-sqlite, inside the caller's transaction.
pub(super) fn end_notes(conn: &rusqlite::Connection, target: &Target) -> Result<(), WriteError> {
    conn.execute_batch(&note_schema_drop(target.n)).doing("drop our triggers")?;
    if pending_rows(conn, target.n)? == 0 {
        conn.execute_batch(&pending_schema_drop(target.n)).doing("drop our tables")?;
    }
    Ok(())
}

/// A replica that was fed derives for itself from now on: every row is looked at again.
pub(super) fn adopt(job: &mut Job<'_>) -> Result<(), RunError> {
    let id = job.id().to_owned();
    let phase = MigrationRow::read(job.session.conn(), &id)?.map(|row| row.phase);
    if !matches!(phase, Some(Phase::Applying | Phase::Applied)) {
        return Ok(());
    }
    refuse_compacted(job)?;
    let resolved = job.resolved.clone();
    job.session.transact_again(|conn| {
        for mut change in ChangeRow::of(conn, &id)? {
            let position = usize::try_from(change.position).unwrap_or(usize::MAX);
            match resolved.get(position) {
                Some(ResolvedChange::Column(column)) => {
                    let target = Target { n: change.n, ..column.target.clone() };
                    adopt_change(conn, &target, &mut change)?;
                }
                Some(ResolvedChange::OrSet(set)) => {
                    let target = SetTarget { n: change.n, ..set.target.clone() };
                    adopt_set(conn, &target, &mut change)?;
                }
                Some(ResolvedChange::Index(_)) | None => {}
            }
        }
        AppliedRow::remove(conn, &id)?;
        MigrationRow::set_phase(conn, &id, Phase::Filling, None)?;
        Ok(state::event(conn, &id, "adopted", "fed by deltas so far, derives from now on")?)
    })?;
    Ok(job.session.accept_schema()?)
}

/// Refuses to derive from an old form that is gone: every add would be deleted.
fn refuse_compacted(job: &Job<'_>) -> Result<(), RunError> {
    let row = MigrationRow::read(job.session.conn(), job.id())?;
    if row.as_ref().and_then(ChainEpoch::of_fed) != Some(ChainEpoch::Compacted) {
        return Ok(());
    }
    Err(RunError::refused(
        job.id(),
        "it was fed by deltas of sets whose old form is removed, so there is nothing to derive from",
        "`dotfill apply` takes newer deltas; `dotfill close` ends it here",
    ))
}

fn adopt_set(
    conn: &rusqlite::Connection,
    target: &SetTarget,
    change: &mut ChangeRow,
) -> Result<(), WriteError> {
    change.phase = Phase::Filling;
    if !is_noted(conn, target.n)? {
        let what = "create the triggers that note keys";
        conn.execute_batch(&set_note_schema(target)).doing(what)?;
    }
    replace_view(conn, target, ViewStage::Filling)?;
    conn.execute_batch(&pending_schema_drop(target.n)).doing("drop our tables")?;
    change.filled = false;
    change.checkpoint = None;
    change.counters.rows_passed = 0;
    Ok(change.save(conn)?)
}

fn adopt_change(
    conn: &rusqlite::Connection,
    target: &Target,
    change: &mut ChangeRow,
) -> Result<(), WriteError> {
    change.phase = Phase::Filling;
    if target.delivery.writes_cells() {
        if is_noted(conn, target.n)? {
            let missing = source_trigger(target).unwrap_or_default();
            conn.execute_batch(&missing).doing("create the trigger that notes sources")?;
        } else {
            conn.execute_batch(&note_schema(target)).doing("create the triggers that note keys")?;
            change.seeded = false;
        }
        conn.execute_batch(&pending_schema_drop(target.n)).doing("drop our tables")?;
        change.filled = false;
        change.checkpoint = None;
        change.counters.rows_passed = 0;
    }
    Ok(change.save(conn)?)
}

/// Closes what was fed: nothing may be pending, every cell that is ours holds what its row derives,
/// and no trigger is left. Returns the rows that were proven: none where the replica cannot derive,
/// of which `apply` has said all that can be said.
pub(super) fn close(job: &mut Job<'_>) -> Result<u64, RunError> {
    let id = job.id().to_owned();
    let changes = ChangeRow::of(job.session.conn(), &id)?;
    let mut pending = 0;
    for change in &changes {
        pending += pending_rows(job.session.conn(), change.n)?;
    }
    if pending > 0 {
        return Err(RunError::refused(
            &id,
            format!("{pending} values of its deltas wait for rows that have not arrived here"),
            format!(
                "`dotfill apply` again when they have; `dotfill forget {id}` gives up what is missing"
            ),
        ));
    }
    let rows = prove(job)?;
    job.session.transact_again(|conn| {
        for mut change in ChangeRow::of(conn, &id)? {
            conn.execute_batch(&note_schema_drop(change.n)).doing("drop our triggers")?;
            conn.execute_batch(&set_note_schema_drop(change.n)).doing("drop our triggers")?;
            conn.execute_batch(&pending_schema_drop(change.n)).doing("drop our tables")?;
            change.phase = Phase::Closed;
            change.save(conn)?;
        }
        MigrationRow::set_phase(conn, &id, Phase::Closed, None)?;
        Ok(state::event(conn, &id, "closed", "fed by deltas, triggers dropped")?)
    })?;
    job.session.accept_schema()?;
    Ok(rows)
}

/// Compares what was shipped with what the rows derive here, where they can.
fn prove(job: &Job<'_>) -> Result<u64, RunError> {
    let options = LookOptions { threads: job.threads(), ..LookOptions::default() };
    match verify_fed(&job.db, job.migration, &options, &Quiet)? {
        Some(report) if report.rows_different == 0 => Ok(report.rows_compared),
        Some(report) => Err(RunError::refused(
            job.id(),
            format!(
                "{} cells of ours do not hold what their row derives, {} among them, and sources \
                 are not followed here",
                report.rows_different,
                report.examples.first().map_or("", String::as_str)
            ),
            "`dotfill run` derives them, `dotfill apply` takes newer deltas; then close again",
        )),
        // The expression reads what is not here.
        None => Ok(0),
    }
}

/// Settles what others have noted of one change until now: whose each cell is.
pub(super) fn settle(
    job: &mut Job<'_>,
    target: &Target,
    change: &mut ChangeRow,
) -> Result<Option<super::Stop>, RunError> {
    let id = job.id().to_owned();
    let mut left = dirty_rows(job.session.conn(), target.n)?;
    while left > 0 {
        if let Err(stop) = job.pace.before_batch(&mut job.session)? {
            return Ok(Some(stop));
        }
        let drainer = Drainer::new(target, &id, Then::Leave);
        match drainer.drain(&mut job.session, change, NOTES) {
            Err(WriteError::SchemaChanged) => {
                job.look_again(target)?;
            }
            other => {
                let notes = job.pace.after_batch(other?, NOTES, 0).notes;
                left = if notes == 0 { 0 } else { left.saturating_sub(notes) };
            }
        }
    }
    Ok(None)
}
