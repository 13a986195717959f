//! What stands before the first row is written: the column, the side tables, the position.

use std::path::Path;

use super::again::AgainKeys;
use super::chain::is_of;
use super::ready::Ready;
use super::report::ApplyReport;
use super::{Apply, Change, Replica};
use crate::delta::{ChainHeader, ChainStats, Scope};
use crate::engine::job::Job;
use crate::engine::{RunError, shapes};
use crate::layout::Overwrite;
use crate::layout::crsqlite::CrTable;
use crate::plan::{ResolvedChange, no_values};
use crate::state::{AppliedRow, MigrationRow, Phase};
use crate::write::{WriteError, prepare, prepare_fed_set, prepare_set};

impl<'r, 'a> Apply<'r, 'a> {
    /// Makes every change ready: column, side tables, and whose cells are users' already.
    pub(super) fn begin(
        job: &'r mut Job<'a>,
        header: &ChainHeader,
        known: Option<ChainStats>,
        folder: Option<&Path>,
    ) -> Result<Self, RunError> {
        let id = job.id().to_owned();
        let phase = MigrationRow::read(job.session.conn(), &id)?.map(|row| row.phase);
        let partial = header.scope == Scope::Some;
        let replica = match phase {
            Some(Phase::Open) => Replica::Derives,
            Some(Phase::Closed) => Replica::Closed,
            _ => Replica::Fed,
        };
        if phase == Some(Phase::Applied) && !partial {
            job.session.transact_again(|conn| {
                Ok(MigrationRow::set_phase(conn, &id, Phase::Applying, None)?)
            })?;
        }
        let overwrite = match replica {
            Replica::Derives => Overwrite::Missing,
            Replica::Fed | Replica::Closed => Overwrite::Differing,
        };
        let mut changes = Vec::new();
        for (index, shape) in header.shapes.iter().enumerate() {
            let mut ready = prepare_again(job, index, replica)?;
            let is_shipped = shapes::is_shipped(shape);
            if is_shipped && replica == Replica::Fed && !partial {
                let total = known.as_ref().and_then(|stats| stats.rows.get(index));
                ready.change_mut().rows_total = total.copied().unwrap_or(0);
                ready.change_mut().counters.rows_passed = 0;
            }
            let objects = CrTable::find(job.session.conn(), ready.table())?;
            changes.push(Change { ready, objects, is_shipped, overwrite });
        }
        let reached = if partial { None } else { Some(reached(job, folder)?) };
        let (reached, was_proven) = reached.map_or((None, false), |(row, p)| (Some(row), p));
        let report = ApplyReport::new(&id, known.map(|stats| stats.rows.iter().sum()));
        let again = AgainKeys::new();
        Ok(Self {
            job,
            changes,
            reached,
            replica,
            is_idle: false,
            data_version: None,
            was_proven,
            again,
            report,
        })
    }
}

/// How far earlier calls came with this chain, and whether they proved all of it. What was done of
/// another one says nothing of this, and of a stream nobody knows which one it is.
fn reached(job: &mut Job<'_>, folder: Option<&Path>) -> Result<(AppliedRow, bool), RunError> {
    let migration = job.id().to_owned();
    let before = AppliedRow::read(job.session.conn(), &migration)?;
    let before = before.filter(|row| folder.is_some_and(|dir| is_of(dir, row)));
    let was_proven = before.as_ref().is_some_and(|row| row.whole);
    let (ordinal, digest, rows_done) =
        before.map_or((0, Vec::new(), 0), |row| (row.ordinal, row.digest, row.rows_done));
    let place = folder.map_or_else(|| "-".to_owned(), |dir| dir.display().to_string());
    let reached = AppliedRow { migration, place, ordinal, digest, rows_done, whole: false };
    job.session.transact_again(|conn| Ok(reached.save(conn)?))?;
    Ok((reached, was_proven))
}

/// Makes a change ready, looking again where the schema was changed meanwhile.
fn prepare_again(job: &mut Job<'_>, index: usize, replica: Replica) -> Result<Ready, RunError> {
    let id = job.id().to_owned();
    let resolved = job.resolved[index].clone();
    for _ in 0..10 {
        let session = &mut job.session;
        let ready = match &resolved {
            ResolvedChange::Column(resolved) => {
                prepare(session, (**resolved).clone(), &id, index).map(Ready::Column)
            }
            ResolvedChange::OrSet(set) if replica == Replica::Fed => {
                prepare_fed_set(session, set, &id, index).map(Ready::OrSet)
            }
            ResolvedChange::OrSet(set) => prepare_set(session, set, &id, index).map(Ready::OrSet),
            ResolvedChange::Index(_) => return Err(no_values(job.migration, index).into()),
        };
        match ready {
            Err(WriteError::SchemaChanged) => job.session.accept_schema()?,
            other => return Ok(other?),
        }
    }
    Err(WriteError::SchemaChanged.into())
}
