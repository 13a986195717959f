//! Reading whose cells are users' already, before the first cell is filled.

use super::job::Job;
use super::proof::{drainer, reader};
use super::{RunError, Stop};
use crate::layout::{Layout, Target};
use crate::monitor::Stage;
use crate::split::Splitter;
use crate::state::ChangeRow;
use crate::write::{Seeder, WriteError};

/// Notes that one transaction settles, at most.
const NOTES: u64 = 500;
/// Rows that one transaction looks at, at most.
const RANGE_ROWS: u64 = 2000;

/// Seeds the users' keys of `target`, unless that has been done. Begins again after a stop, which
/// does no harm: a key is noted once.
pub(super) fn seed(
    job: &mut Job<'_>,
    target: &Target,
    change: &mut ChangeRow,
) -> Result<Option<Stop>, RunError> {
    if change.seeded {
        return Ok(None);
    }
    let seeder = Seeder::new(target);
    let stopped = loop {
        let result = match seeder.by_clock() {
            Some(_) => seed_clock(job, &seeder, change),
            None => seed_rows(job, target, &seeder),
        };
        match result {
            // Rows may have been renumbered: begin again.
            Err(RunError::Write(WriteError::SchemaChanged)) => job.look_again(target)?,
            other => break other?,
        };
    };
    if stopped.is_some() {
        return Ok(stopped);
    }
    settle(job, target, change)
}

/// Ends the seeding. In a plain table the notes made meanwhile are settled first, the last of them
/// in the transaction that ends it: from then on each is read as a change to what was seeded.
fn settle(
    job: &mut Job<'_>,
    target: &Target,
    change: &mut ChangeRow,
) -> Result<Option<Stop>, RunError> {
    let mut seeded = change.clone();
    seeded.seeded = true;
    let drainer = drainer(job.migration.id.as_str(), target);
    loop {
        if let Err(stop) = job.pace.before_batch(&mut job.session)? {
            return Ok(Some(stop));
        }
        let done = job.session.transact_again(|conn| {
            let notes = match target.layout {
                Layout::Plain => drainer.settle_in(conn, NOTES)?,
                Layout::CrSqlite(_) => 0,
            };
            if notes < NOTES {
                seeded.save(conn)?;
            }
            Ok(notes)
        })?;
        let notes = job.pace.after_batch(done, 0, 0);
        if notes < NOTES {
            *change = seeded;
            return Ok(None);
        }
    }
}

fn seed_rows(
    job: &mut Job<'_>,
    target: &Target,
    seeder: &Seeder<'_>,
) -> Result<Option<Stop>, RunError> {
    job.pace.stage(Stage::Seeding, 0, change_total(job, target)?);
    let conn = reader(&job.db)?;
    let rows = job.pace.tuning().batch_rows_max.min(RANGE_ROWS);
    let mut splitter = Splitter::new(&conn, &target.table, rows, None);
    while let Some(range) = splitter.next_range()? {
        if let Err(stop) = job.pace.before_batch(&mut job.session)? {
            return Ok(Some(stop));
        }
        let done = seeder.seed_range(&mut job.session, &range)?;
        job.pace.after_batch(done, range.rows, 0);
        job.pace.passed(range.rows);
    }
    Ok(None)
}

fn change_total(job: &Job<'_>, target: &Target) -> Result<u64, RunError> {
    let changes = ChangeRow::of(job.session.conn(), job.id())?;
    Ok(changes.iter().find(|c| c.n == target.n).map_or(0, |c| c.rows_total))
}

/// Reads the clock table in slices of key numbers; only slices that hold rows of the column take
/// the write lock.
fn seed_clock(
    job: &mut Job<'_>,
    seeder: &Seeder<'_>,
    change: &mut ChangeRow,
) -> Result<Option<Stop>, RunError> {
    const SLICE_KEYS: i64 = 4000;
    let Some(cr) = seeder.by_clock() else {
        return Ok(None);
    };
    let conn = reader(&job.db)?;
    let end = seeder.clock_end(&conn, cr)?;
    job.pace.stage(Stage::Seeding, 0, end.unsigned_abs());
    let mut after = -1;
    while after < end {
        let slice = (after, (after + SLICE_KEYS).min(end));
        let rows = slice.1.abs_diff(slice.0);
        if seeder.slice_has_rows(&conn, cr, slice)? {
            if let Err(stop) = job.pace.before_batch(&mut job.session)? {
                return Ok(Some(stop));
            }
            let done = seeder.seed_slice(&mut job.session, cr, slice, change)?;
            job.pace.after_batch(done, rows, 0);
        }
        job.pace.passed(rows);
        after = slice.1;
    }
    Ok(None)
}
