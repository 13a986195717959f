//! `rollback` and `forget`: our cells back to NULL, and our traces removed.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};
use serde::Serialize;

use super::claim::{held, held_by};
use super::job::{Job, Purpose};
use super::or_set::{self, Cleared};
use super::ready::Ready;
use super::{Outcome, RunError, RunOptions, Stop, fed, modes};
use crate::db::{self, Doing};
use crate::layout::or_set::set_note_schema_drop;
use crate::layout::{
    Delivery, FillSql, Filter, Target, note_schema_drop, pending_schema_drop, reship_schema_drop,
};
use crate::lease::{Attempt, Claim, Fence, Lease, acquire};
use crate::migration::Migration;
use crate::monitor::{Monitor, Stage};
use crate::plan::ResolvedChange;
use crate::split::Splitter;
use crate::state::{
    self, AppliedRow, ChangeRow, IndexRow, MigrationRow, Phase, QuarantineFilter, QuarantineRow,
    SetRow, ShippedRow,
};
use crate::throttle::SystemClock;
use crate::write::{Drainer, Prepared, Then, WriteError, any_dirty, connect};

/// Notes that one transaction takes.
const LAST_NOTES: u64 = 500;

/// Rows that one transaction clears at most.
const RANGE_ROWS: u64 = 1000;

/// What rolling back did.
#[derive(Clone, Debug, Serialize)]
pub struct RollbackReport {
    /// The migration.
    pub migration: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ended early, where it did.
    pub reason: Option<String>,
    /// Cells set back to NULL, and adds of ours that were deleted.
    pub rows_cleared: u64,
    /// Tables of ours that were kept, and why; and what became of indexes.
    pub kept: Vec<String>,
    /// Seconds in all.
    pub seconds: f64,
}

/// Refuses a migration that this database has never run; writes nothing.
pub(super) fn check_known(db: &Path, migration: &Migration) -> Result<(), RunError> {
    let conn = db::open(db, db::Access::Read)?;
    let id = migration.id.as_str();
    let known = state::exists(&conn)? && MigrationRow::read(&conn, id)?.is_some();
    if known {
        return Ok(());
    }
    Err(RunError::refused(
        id,
        format!("{} has never run it", db.display()),
        "`dotfill status` lists the migrations of a database",
    ))
}

/// Rolls a migration back that is not closed yet: our cells to NULL, users' cells kept, the
/// columns kept, our triggers dropped.
///
/// # Errors
/// [`RunError`]; the same call continues.
pub fn rollback(
    db: &Path,
    migration: &Migration,
    options: &RunOptions,
    monitor: &dyn Monitor,
) -> Result<RollbackReport, RunError> {
    check_known(db, migration)?;
    let clock = SystemClock::new();
    let mut job = Job::begin_for(Purpose::Tend, db, migration, options, &clock, monitor)?;
    let result = roll_back(&mut job);
    job.end()?;
    let (stop, cleared) = result?;
    Ok(RollbackReport {
        migration: migration.id.to_string(),
        outcome: if stop.is_some() { Outcome::Interrupted } else { Outcome::Complete },
        reason: stop.as_ref().map(Stop::reason),
        rows_cleared: cleared.removed,
        kept: cleared.kept,
        seconds: job.started.elapsed().as_secs_f64(),
    })
}

fn roll_back(job: &mut Job<'_>) -> Result<(Option<Stop>, Cleared), RunError> {
    let id = job.id().to_owned();
    match MigrationRow::read(job.session.conn(), &id)?.map(|row| row.phase) {
        Some(Phase::RolledBack) => return Ok((None, Cleared::default())),
        Some(Phase::Closed)
            if job.resolved.iter().all(|change| matches!(change, ResolvedChange::Index(_))) =>
        {
            return Err(RunError::refused(
                &id,
                "it is closed: its indexes are there to stay",
                "`DROP INDEX` those that nobody needs",
            ));
        }
        Some(Phase::Closed) => {
            return Err(RunError::refused(
                &id,
                "it is closed: which cells are ours is no longer known",
                "write the old values as a user, or restore a backup",
            ));
        }
        _ => {}
    }
    modes::check_may_end(job, modes::Ending::RollBack)?;
    let known = ChangeRow::of(job.session.conn(), &id)?;
    if let Some(change) = known.iter().find(|c| c.counters.change_records_written > 0) {
        return Err(RunError::refused(
            &id,
            format!(
                "{} change records were published, and cannot be called back from the replicas \
                 that have merged them",
                change.counters.change_records_written
            ),
            "write the old values as a user",
        ));
    }
    job.session
        .transact_again(|conn| Ok(MigrationRow::set_phase(conn, &id, Phase::RollingBack, None)?))?;
    let mut cleared = Cleared::default();
    for index in (0..known.len().min(job.resolved.len())).rev() {
        // A set that is rolled back has nothing left to be made ready.
        if known[index].phase == Phase::RolledBack {
            continue;
        }
        let stop = match Ready::prepare(job, index)? {
            Ready::Column(mut ready) => roll_back_column(job, &mut ready, &mut cleared.removed)?,
            Ready::OrSet(mut ready) => or_set::roll_back(job, &mut ready, &mut cleared)?,
            Ready::Index(mut ready) => super::index::roll_back(job, &mut ready, &mut cleared)?,
        };
        if stop.is_some() {
            return Ok((stop, cleared));
        }
    }
    let sets = job.resolved.iter().any(|change| matches!(change, ResolvedChange::OrSet(_)));
    let what = if sets { "cells set to NULL, or adds deleted" } else { "cells set to NULL" };
    let what = [format!("{} {what}", cleared.removed)].into_iter().chain(cleared.kept.clone());
    let what = what.collect::<Vec<_>>().join("; ");
    job.session.transact_again(|conn| {
        MigrationRow::set_phase(conn, &id, Phase::RolledBack, None)?;
        AppliedRow::remove(conn, &id)?;
        ShippedRow::remove(conn, &id)?;
        Ok(state::event(conn, &id, "rolled-back", &what)?)
    })?;
    Ok((None, cleared))
}

fn roll_back_column(
    job: &mut Job<'_>,
    ready: &mut Prepared,
    cleared: &mut u64,
) -> Result<Option<Stop>, RunError> {
    fed::reopen(job, &ready.target, &mut ready.change)?;
    if ready.target.delivery.writes_cells()
        && let Some(stop) = clear(job, ready, cleared)?
    {
        return Ok(Some(stop));
    }
    drop_change(job, ready)
}

/// Sets the cells that are ours to NULL, from the first row on; again where rows may have been
/// renumbered meanwhile.
pub(super) fn clear(
    job: &mut Job<'_>,
    ready: &mut Prepared,
    cleared: &mut u64,
) -> Result<Option<Stop>, RunError> {
    if let Some(stop) = super::seed::seed(job, &ready.target, &mut ready.change)? {
        return Ok(Some(stop));
    }
    loop {
        match clear_ranges(job, &ready.target, &mut ready.change, cleared) {
            Err(RunError::Write(WriteError::SchemaChanged)) => job.look_again(&ready.target)?,
            other => return other,
        };
    }
}

fn clear_ranges(
    job: &mut Job<'_>,
    target: &Target,
    change: &mut ChangeRow,
    cleared: &mut u64,
) -> Result<Option<Stop>, RunError> {
    let sql = FillSql::new(target);
    let drainer = Drainer::new(target, job.migration.id.as_str(), Then::Clear);
    job.pace.stage(Stage::Clearing, 0, change.rows_total);
    let conn = super::proof::reader(&job.db)?;
    let rows = job.pace.tuning().batch_rows_max.min(RANGE_ROWS);
    let mut splitter = Splitter::new(&conn, &target.table, rows, None);
    while let Some(range) = splitter.next_range()? {
        if let Err(stop) = job.pace.before_batch(&mut job.session)? {
            return Ok(Some(stop));
        }
        if any_dirty(job.session.conn(), target.n)? {
            let done = drainer.drain(&mut job.session, change, LAST_NOTES)?;
            job.pace.after_batch(done, 0, 0);
        }
        let statement = sql.clear(range.bounded(), Filter { dirty: true, user: true });
        let done = job.session.transact(|conn| {
            conn.prepare_cached(&statement)
                .and_then(|mut s| s.execute(rusqlite::params_from_iter(range.parameters())))
                .map(|n| n as u64)
                .doing("set our cells to NULL")
                .map_err(WriteError::from)
        })?;
        *cleared += job.pace.after_batch(done, range.rows, 0);
        job.pace.passed(range.rows);
    }
    Ok(None)
}

/// Drops what we added for a change: triggers and side tables, and a generated column of ours,
/// which holds nothing. Rows that are noted still were passed over, and are cleared first; the
/// last of them in the transaction that drops the triggers.
pub(super) fn drop_change(
    job: &mut Job<'_>,
    ready: &mut Prepared,
) -> Result<Option<Stop>, RunError> {
    let Prepared { target, change } = ready;
    let drainer = Drainer::new(target, job.migration.id.as_str(), Then::Clear);
    loop {
        if let Err(stop) = job.pace.before_batch(&mut job.session)? {
            return Ok(Some(stop));
        }
        if drop_drained(job, target, change, &drainer)? {
            job.session.accept_schema()?;
            return Ok(None);
        }
    }
}

/// Clears some noted rows; where no more are left, drops the triggers too and returns true.
fn drop_drained(
    job: &mut Job<'_>,
    target: &Target,
    change: &mut ChangeRow,
    drainer: &Drainer<'_>,
) -> Result<bool, RunError> {
    let generated = target.delivery == Delivery::Virtual && change.column_added;
    let column = format!("ALTER TABLE {} DROP COLUMN {}", target.table.sql(), target.column_sql());
    let mut after = change.clone();
    after.phase = Phase::RolledBack;
    let done = job.session.transact_again(|conn| {
        if target.delivery.writes_cells() {
            drainer.drain_in(conn, LAST_NOTES)?;
            if any_dirty(conn, target.n)? {
                return Ok(false);
            }
        }
        conn.execute_batch(&note_schema_drop(after.n)).doing("drop our triggers")?;
        conn.execute_batch(&pending_schema_drop(after.n)).doing("drop our tables")?;
        conn.execute_batch(&reship_schema_drop(after.n)).doing("drop our tables")?;
        if generated && target.table.column(&target.column).is_some() {
            conn.execute_batch(&column).doing("drop our generated column")?;
        }
        after.save(conn)?;
        Ok(true)
    })?;
    let dropped = job.pace.after_batch(done, 0, 0);
    if dropped {
        *change = after;
    }
    Ok(dropped)
}

/// As [`forget_with`], with the usual options.
///
/// # Errors
/// As [`forget_with`].
pub fn forget(db: &Path, id: &str) -> Result<ForgetReport, RunError> {
    forget_with(db, id, &RunOptions::default())
}

/// What forgetting left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ForgetReport {
    /// The migration.
    pub migration: String,
    /// Triggers that stay, and refuse local writes of an old form that is no more.
    pub validators: Vec<String>,
    /// Tables of ours that stay because those triggers look at them.
    pub tables_kept: Vec<String>,
}

/// Removes every trace of a migration that is closed, rolled back, fed by deltas, or has failed and
/// left nothing, where nothing of it waits in quarantine; and with the last one our tables themselves. Only `lease`, `no_wait` and `cancel`
/// of the options count.
///
/// # Errors
/// [`RunError::Held`] while another process is at work, [`RunError::Refused`] while the migration is
/// open or unfinished; nothing was changed then.
pub fn forget_with(db: &Path, id: &str, options: &RunOptions) -> Result<ForgetReport, RunError> {
    let mut conn = connect(db, None)?;
    if !state::exists(&conn)? {
        return Err(unknown(db, id));
    }
    let forgettable = check_forgettable(&conn, db, id);
    match (held_by(&conn, id)?, &forgettable) {
        (Some(holder), Err(RunError::Refused { .. })) => return Err(held(&conn, id, &holder)?),
        (Some(holder), _) if options.no_wait => return Err(held(&conn, id, &holder)?),
        _ => forgettable?,
    }
    let claim = Claim { migration: id, lease: options.lease, expired: None };
    let clock = SystemClock::new();
    let begin =
        |conn: &Connection| check_forgettable(conn, db, id).and_then(|()| Ok(state::create(conn)?));
    let lease = match acquire(&mut conn, claim, &clock, &options.cancel, &begin)? {
        Attempt::Taken(lease) => lease,
        Attempt::Held(holder) => return Err(held(&conn, id, &holder)?),
    };
    let done = remove(&mut conn, id, &lease, options);
    if done.is_err() {
        lease.release(&conn)?;
    }
    done
}

fn unknown(db: &Path, id: &str) -> RunError {
    RunError::refused(
        id,
        format!("{} does not know it", db.display()),
        "`dotfill status` lists the migrations of a database",
    )
}

fn check_forgettable(conn: &Connection, db: &Path, id: &str) -> Result<(), RunError> {
    let row = MigrationRow::read(conn, id)?.ok_or_else(|| unknown(db, id))?;
    let is_over = match row.phase {
        Phase::Closed | Phase::RolledBack | Phase::Applied => true,
        Phase::Failed => ChangeRow::of(conn, id)?.is_empty(),
        Phase::Filling | Phase::Open | Phase::Applying | Phase::RollingBack => false,
    };
    if is_over {
        modes::refuse_pending(conn, id)?;
        return refuse_waiting(conn, id);
    }
    Err(RunError::refused(
        id,
        format!("it is {}", row.phase),
        "`dotfill close` it, or `dotfill rollback` it, first",
    ))
}

/// The forgetting transaction.
fn remove(
    conn: &mut Connection,
    id: &str,
    lease: &Lease,
    options: &RunOptions,
) -> Result<ForgetReport, RunError> {
    let what = "forget a migration";
    let tx = db::begin_unless(conn, TransactionBehavior::Immediate, what, &options.cancel)?;
    if lease.check(&tx, None)? == Fence::Replaced {
        return Err(WriteError::Replaced.into());
    }
    // Something may have been refused since the lease was taken.
    refuse_waiting(&tx, id)?;
    let changes = ChangeRow::of(&tx, id)?;
    let validators = modes::stay(&tx, id, changes.len())?;
    for change in changes {
        tx.execute_batch(&note_schema_drop(change.n)).doing(what)?;
        tx.execute_batch(&set_note_schema_drop(change.n)).doing(what)?;
        SetRow::remove(&tx, change.n)?;
        IndexRow::remove(&tx, change.n)?;
        crate::phase::forget(&tx, change.n)?;
        tx.execute_batch(&pending_schema_drop(change.n)).doing(what)?;
        tx.execute_batch(&reship_schema_drop(change.n)).doing(what)?;
    }
    AppliedRow::remove(&tx, id)?;
    state::forget_refusals(&tx, id)?;
    ShippedRow::remove(&tx, id)?;
    for (table, column) in [
        ("_dotfill_changes", "migration"),
        ("_dotfill_lease", "migration"),
        ("_dotfill_runner", "migration"),
        ("_dotfill_events", "migration"),
        ("_dotfill_migrations", "id"),
    ] {
        tx.execute(&format!("DELETE FROM {table} WHERE {column} = ?1"), [id]).doing(what)?;
    }
    if MigrationRow::all(&tx)?.is_empty() {
        state::drop_all(&tx)?;
    }
    let tables_kept = state::tables_in_use(&tx)?;
    tx.commit().doing(what)?;
    Ok(ForgetReport { migration: id.to_owned(), validators, tables_kept })
}

/// Refuses to forget what was never decided: rows that wait in quarantine, buffered operations.
/// With the last migration, those of none go too.
fn refuse_waiting(conn: &Connection, id: &str) -> Result<(), RunError> {
    let migration = (MigrationRow::all(conn)?.len() > 1).then(|| id.to_owned());
    let buffered = state::buffered_operations(conn, migration.as_deref())?;
    let waiting = QuarantineRow::count(conn, &QuarantineFilter { migration, waiting_only: true })?;
    if waiting > 0 {
        return Err(RunError::refused(
            id,
            format!("refused operations or writes wait in quarantine: {waiting}"),
            "`dotfill quarantine export` keeps them, `dotfill quarantine drop --all` gives them up",
        ));
    }
    if buffered > 0 {
        return Err(RunError::refused(
            id,
            format!("buffered operations wait: {buffered}"),
            "`dotfill quarantine drop --buffered` gives them up",
        ));
    }
    Ok(())
}
