//! What applying does otherwise for sets: the adds of objects instead of cells.

use rusqlite::Connection;

use super::ready::Ready;
use super::{Apply, Change, Replica, TRIES};
use crate::db::quote::ident;
use crate::db::{Datum, DbError, Doing, Table};
use crate::delta::Rows;
use crate::engine::job::Job;
use crate::engine::proof::reader;
use crate::engine::{RunError, Stop};
use crate::layout::crsqlite::CrTable;
use crate::layout::or_set::SetTarget;
use crate::layout::{Overwrite, Target, pending_schema, pending_schema_drop};
use crate::state::AppliedRow;
use crate::write::{
    AppliedCount, Applier, PreparedSet, SetApplier, Slice, WriteError, pending_rows,
};

/// Keys of adds without an object that one transaction looks at.
const ORPHANS: u64 = 500;

/// Makes one set ready to have shipped adds written.
pub(super) fn begin(job: &mut Job<'_>, target: &SetTarget) -> Result<(), RunError> {
    let schema = pending_schema(target.n, &target.table);
    job.session.transact_again(|conn| {
        Ok(conn.execute_batch(&schema).doing("create the table of sets without an object")?)
    })?;
    Ok(job.session.accept_schema()?)
}

/// Drops the table of what waits where nothing does, inside the caller's transaction.
pub(super) fn end_notes(conn: &Connection, target: &SetTarget) -> Result<(), WriteError> {
    if pending_rows(conn, target.n)? == 0 {
        conn.execute_batch(&pending_schema_drop(target.n)).doing("drop our tables")?;
    }
    Ok(())
}

/// True where an object has arrived whose set waits for it.
pub(super) fn has_arrived(conn: &Connection, target: &SetTarget) -> Result<bool, DbError> {
    SetApplier::new(target, None, Overwrite::Differing).has_arrived(conn)
}

/// What waits of a change, of either kind.
pub(super) enum Waiting {
    Column(Box<Target>, String, Overwrite),
    OrSet(Box<SetTarget>),
}

impl Waiting {
    /// At most `limit` rows after a key.
    pub(super) fn after(
        &self,
        conn: &Connection,
        key: Option<&[Datum]>,
        limit: u64,
    ) -> Result<Rows, DbError> {
        match self {
            Self::Column(target, migration, overwrite) => {
                Applier::new(target, migration, *overwrite).pending(conn, key, limit)
            }
            Self::OrSet(target) => {
                SetApplier::new(target, None, Overwrite::Differing).pending(conn, key, limit)
            }
        }
    }
}

impl Apply<'_, '_> {
    pub(super) fn waiting(&self, change: usize) -> Waiting {
        let Change { ready, overwrite, .. } = &self.changes[change];
        match ready {
            Ready::Column(ready) => {
                let target = Box::new(ready.target.clone());
                Waiting::Column(target, self.job.id().to_owned(), *overwrite)
            }
            Ready::OrSet(ready) => Waiting::OrSet(Box::new(ready.target.clone())),
        }
    }

    /// As `write_slices`, of a set.
    pub(super) fn write_sets(
        &mut self,
        change: usize,
        slices: &[Slice],
        reached: Option<&AppliedRow>,
        passed: u64,
    ) -> Result<AppliedCount, RunError> {
        let Some(Change { ready: Ready::OrSet(ready), objects, overwrite, .. }) =
            self.changes.get_mut(change)
        else {
            return Ok(AppliedCount::default());
        };
        let PreparedSet { target, change, .. } = ready;
        let applier = SetApplier::new(target, objects.as_ref(), *overwrite);
        let rows: u64 = slices.iter().map(|slice| slice.range.len() as u64).sum();
        for _ in 0..TRIES {
            let before = change.counters.rows_written;
            match applier.write(&mut self.job.session, slices, change, reached, passed) {
                Ok(done) => {
                    let adds = change.counters.rows_written - before;
                    let bytes = adds * (40 + 16 * target.table.key.len() as u64);
                    return Ok(self.job.pace.after_batch(done, rows.max(adds), bytes));
                }
                Err(WriteError::SchemaChanged) => look_again(self.job, target)?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(WriteError::SchemaChanged.into())
    }

    /// Deletes the adds of ours of objects that are not here any more: no chain tells of them.
    pub(super) fn clear_orphans(&mut self) -> Result<Option<Stop>, RunError> {
        if self.replica != Replica::Fed || self.reached.is_none() {
            return Ok(None);
        }
        for index in 0..self.changes.len() {
            let Change { ready: Ready::OrSet(ready), objects, is_shipped: true, .. } =
                &self.changes[index]
            else {
                continue;
            };
            let (target, objects) = (ready.target.clone(), objects.clone());
            if let Some(stop) = clear_orphans_of(self.job, &target, objects.as_ref())? {
                return Ok(Some(stop));
            }
        }
        Ok(None)
    }
}

fn clear_orphans_of(
    job: &mut Job<'_>,
    target: &SetTarget,
    objects: Option<&CrTable>,
) -> Result<Option<Stop>, RunError> {
    let applier = SetApplier::new(target, objects, Overwrite::Differing);
    let conn = reader(&job.db)?;
    let mut after: Option<Vec<Datum>> = None;
    loop {
        let keys = applier.orphans(&conn, after.as_deref(), ORPHANS)?;
        let Some(last) = keys.last() else { return Ok(None) };
        after = Some(last.clone());
        loop {
            if let Err(stop) = job.pace.before_batch(&mut job.session)? {
                return Ok(Some(stop));
            }
            match applier.clear(&mut job.session, &keys) {
                Err(WriteError::SchemaChanged) => look_again(job, target)?,
                done => {
                    job.pace.after_batch(done?, keys.len() as u64, 0);
                    break;
                }
            }
        }
    }
}

/// After a schema change by somebody else: the objects must be told as before, and the tables of the
/// new form be there. The old form need not.
fn look_again(job: &mut Job<'_>, target: &SetTarget) -> Result<(), RunError> {
    job.session.accept_schema()?;
    let conn = job.session.conn();
    let mut now = Table::read(conn, &target.table.name)?;
    now.walk_by_key();
    let adds = Table::read(conn, &target.adds)?;
    let keys = target.table.key.len();
    let same =
        now.key == target.table.key && adds.key.len() == keys + 2 && adds.columns.len() == keys + 2;
    if same {
        return Ok(());
    }
    Err(RunError::refused(
        job.id(),
        format!(
            "table {} or {} was altered while the job was running",
            target.table.sql(),
            ident(&target.adds)
        ),
        "look at the change, then repeat the command",
    ))
}
