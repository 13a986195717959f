//! A change that is ready to be worked on, of either kind: what every job does with one, whatever it
//! changes.

use super::index::{self, IndexProof};
use super::job::Job;
use super::or_set::{self, SetFindings};
use super::proof::{Findings, drainer, mend, prove_table};
use super::{RunError, Stop, drain, modes};
use crate::db::{DbError, Doing};
use crate::layout::{note_schema_drop, pending_schema_drop};
use crate::phase::set::EpochSet;
use crate::plan::ResolvedChange;
use crate::state::{ChangeRow, Counters, Phase};
use crate::verify::or_set::SetRangeProof;
use crate::verify::{RangeDigest, RangeProof};
use crate::write::{Prepared, PreparedIndex, PreparedSet, WriteError, dirty_rows, prepare};

/// How often preparing begins again because others change the schema.
const TRIES: u32 = 10;

/// A change that is ready.
#[derive(Clone, Debug)]
pub(super) enum Ready {
    Column(Prepared),
    OrSet(PreparedSet),
    Index(PreparedIndex),
}

/// What proving a change found.
pub(super) enum Proven {
    Column(RangeProof),
    OrSet(SetRangeProof),
    Index(IndexProof),
}

impl Proven {
    /// The digest of the rows' values; none of an index, which has no values of its own.
    pub(super) fn digest(&self) -> Option<RangeDigest> {
        match self {
            Self::Column(proof) => Some(proof.digest),
            Self::OrSet(found) => Some(found.proof.digest),
            Self::Index(_) => None,
        }
    }

    /// Rows that were counted.
    pub(super) fn rows(&self) -> u64 {
        match self {
            Self::Column(proof) => proof.digest.rows,
            Self::OrSet(found) => found.proof.digest.rows,
            Self::Index(proof) => proof.rows,
        }
    }
}

/// What draining one batch did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Drained {
    pub notes: u64,
    pub counters: Counters,
}

impl Ready {
    /// Makes change number `index` ready, looking again where the schema was changed meanwhile.
    pub(super) fn prepare(job: &mut Job<'_>, index: usize) -> Result<Self, RunError> {
        match job.resolved[index].clone() {
            ResolvedChange::Column(resolved) => {
                let id = job.id().to_owned();
                for _ in 0..TRIES {
                    match prepare(&mut job.session, (*resolved).clone(), &id, index) {
                        Err(WriteError::SchemaChanged) => job.session.accept_schema()?,
                        other => return Ok(Self::Column(other?)),
                    }
                }
                Err(WriteError::SchemaChanged.into())
            }
            ResolvedChange::OrSet(resolved) => {
                or_set::prepare(job, &resolved, index).map(Self::OrSet)
            }
            ResolvedChange::Index(resolved) => {
                index::prepare(job, &resolved, index).map(Self::Index)
            }
        }
    }

    /// Its state.
    pub(super) fn change(&self) -> &ChangeRow {
        match self {
            Self::Column(ready) => &ready.change,
            Self::OrSet(ready) => &ready.change,
            Self::Index(ready) => &ready.change,
        }
    }

    /// Its state, to be changed.
    pub(super) fn change_mut(&mut self) -> &mut ChangeRow {
        match self {
            Self::Column(ready) => &mut ready.change,
            Self::OrSet(ready) => &mut ready.change,
            Self::Index(ready) => &mut ready.change,
        }
    }

    /// True where others' writes are noted and drained.
    pub(super) fn is_followed(&self) -> bool {
        match self {
            Self::Column(ready) => ready.target.delivery.writes_cells(),
            Self::OrSet(ready) => ready.target.is_followed(),
            // SQLite itself follows.
            Self::Index(_) => false,
        }
    }

    /// Drains what is noted; returns what is left.
    pub(super) fn drain_all(&mut self, job: &mut Job<'_>) -> Result<Result<u64, Stop>, RunError> {
        if !self.is_followed() {
            return Ok(Ok(0));
        }
        match self {
            Self::Column(ready) => drain::drain_all(job, &ready.target, &mut ready.change),
            Self::OrSet(ready) => or_set::drain_all(job, ready),
            Self::Index(_) => Ok(Ok(0)),
        }
    }

    /// Drains one batch.
    pub(super) fn drain_batch(
        &mut self,
        job: &mut Job<'_>,
    ) -> Result<Result<Drained, Stop>, RunError> {
        Ok(match self {
            Self::Column(ready) => {
                let drained = drain::drain_batch(job, &ready.target, &mut ready.change)?;
                drained.map(|d| Drained { notes: d.notes, counters: d.counters })
            }
            Self::OrSet(ready) => or_set::drain_batch(job, ready)?.map(|count| Drained {
                notes: count.notes,
                counters: Counters { rows_written: count.written, ..Counters::default() },
            }),
            Self::Index(_) => Ok(Drained::default()),
        })
    }

    /// Proves the whole change and mends what is missing.
    pub(super) fn prove(&mut self, job: &mut Job<'_>) -> Result<Result<Proven, Stop>, RunError> {
        match self {
            Self::Column(_) => self.prove_from(job, None),
            Self::OrSet(ready) => {
                let findings: SetFindings = match or_set::prove(job, ready)? {
                    Ok(findings) => findings,
                    Err(stop) => return Ok(Err(stop)),
                };
                Ok(or_set::mend(job, ready, findings)?.map(Proven::OrSet))
            }
            Self::Index(ready) => Ok(index::prove(job, ready)?.map(Proven::Index)),
        }
    }

    /// As [`Self::prove`], where the fill of a column has proven the table on its way.
    pub(super) fn prove_from(
        &mut self,
        job: &mut Job<'_>,
        findings: Option<Findings>,
    ) -> Result<Result<Proven, Stop>, RunError> {
        match (self, findings) {
            (Self::Column(Prepared { target, change }), findings) => {
                let findings = match findings {
                    Some(findings) => findings,
                    None => match prove_table(job, target)? {
                        Ok(findings) => findings,
                        Err(stop) => return Ok(Err(stop)),
                    },
                };
                Ok(mend(job, target, change, findings)?.map(Proven::Column))
            }
            (other @ (Self::OrSet(_) | Self::Index(_)), _) => other.prove(job),
        }
    }

    /// Ends the following, inside the closing transaction; `None` where more than `limit` keys are
    /// noted still.
    pub(super) fn finish_in(
        &self,
        conn: &rusqlite::Connection,
        job: &Closing<'_>,
        limit: u64,
    ) -> Result<Option<ChangeRow>, WriteError> {
        let mut change = self.change().clone();
        match self {
            Self::Column(Prepared { target, .. }) if target.delivery.writes_cells() => {
                if dirty_rows(conn, target.n)? > limit {
                    return Ok(None);
                }
                change.counters += drainer(job.migration, target).drain_in(conn, limit)?.counters;
                conn.execute_batch(&note_schema_drop(target.n)).doing("drop our triggers")?;
                conn.execute_batch(&pending_schema_drop(target.n)).doing("drop our tables")?;
            }
            Self::Column(_) | Self::Index(_) => {}
            Self::OrSet(ready) if ready.target.is_followed() => {
                if !or_set::finish_in(conn, ready, limit)? {
                    return Ok(None);
                }
            }
            Self::OrSet(ready) => {
                for set in job.sets.iter().filter(|set| set.target.n == ready.target.n) {
                    if !modes::end_epoch(conn, set)? {
                        return Ok(None);
                    }
                }
            }
        }
        change.phase = Phase::Closed;
        change.save(conn)?;
        Ok(Some(change))
    }

    /// Keys that are noted.
    pub(super) fn notes(&self, conn: &rusqlite::Connection) -> Result<u64, DbError> {
        if self.is_followed() { dirty_rows(conn, self.change().n) } else { Ok(0) }
    }
}

/// What the closing transaction needs to know of its job.
pub(super) struct Closing<'j> {
    /// The migration's id.
    pub migration: &'j str,
    /// Its sets.
    pub sets: Vec<EpochSet>,
}

impl Closing<'_> {
    /// The tables whose closed epoch ends.
    pub(super) fn ended(&self) -> impl Iterator<Item = String> {
        self.sets.iter().filter(|set| !set.target.is_followed()).map(|set| set.target.table.sql())
    }
}
