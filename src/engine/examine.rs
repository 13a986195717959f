//! One replica whose proof is made again: what it has run, and each change's rows looked at with
//! several threads. Needs no lease and writes nothing.

use std::path::{Path, PathBuf};

use parking_lot::{Mutex, RwLock};
use rusqlite::Connection;

use super::epoch::ChainEpoch;
use super::fed::is_noted;
use super::index::{self, IndexProof};
use super::proof::{Detail, Findings, ROUNDS, Send, prove_all, reader, split_all};
use super::subject::Subject;
use super::watch::Watch;
use super::{RunError, or_set};
use crate::db::{DbError, Doing};
use crate::layout::or_set::SetTarget;
use crate::layout::{Delivery, IndexTarget, Layout, Target};
use crate::migration::Migration;
use crate::plan::{PlanError, ResolvedChange, resolve_change, resolve_shipped_change};
use crate::split::Range;
use crate::state::{self, ChangeRow, MigrationRow, Phase};
use crate::verify::{LeafSet, RangeProof, RowFacts, Tree};
use crate::write::{WriteError, dirty_rows};

/// Sends ranges to be looked at.
pub(super) type Cut<'c> = dyn Fn(Send<'_>) -> Result<(), DbError> + Sync + 'c;

/// A change that the replica has proven once.
pub(super) struct Known {
    /// Its position in the file.
    position: usize,
    /// What is filled or translated.
    pub subject: Subject,
    /// Rows of the table when it was proven.
    pub rows_total: u64,
    /// True while others' writes are noted.
    noted: bool,
}

impl Known {
    fn new(
        conn: &Connection,
        position: usize,
        mut target: Target,
        change: &ChangeRow,
        phase: Phase,
    ) -> Result<Self, DbError> {
        target.n = change.n;
        target.delivery = Delivery::from_name(&change.delivery).unwrap_or(target.delivery);
        target.overwrite = !change.column_added && matches!(target.layout, Layout::CrSqlite(_));
        // A plain table that was fed goes on noting what others write.
        let noted = target.delivery.writes_cells()
            && match phase {
                Phase::Closed => false,
                Phase::Applied => is_noted(conn, change.n)?,
                _ => true,
            };
        if !noted && target.delivery.writes_cells() {
            // The notes are gone: the clock rows tell whose a cell is, where there are any.
            target.delivery = Delivery::Elide;
        }
        let subject = Subject::Column(Box::new(target));
        Ok(Self { position, subject, rows_total: change.rows_total, noted })
    }

    fn of_set(
        conn: &Connection,
        position: usize,
        mut target: SetTarget,
        change: &ChangeRow,
    ) -> Result<Self, DbError> {
        target.n = change.n;
        let noted = is_noted(conn, change.n)?;
        let subject = Subject::OrSet(Box::new(target));
        Ok(Self { position, subject, rows_total: change.rows_total, noted })
    }
}

/// A replica on which a migration is open or closed.
pub(super) struct Replica<'w> {
    /// The database file.
    pub db: PathBuf,
    /// True where the migration is closed, or was fed by deltas: sources are not followed.
    pub closed: bool,
    /// Its row in our tables.
    pub row: MigrationRow,
    /// Its changes that have values, in order.
    pub changes: Vec<Known>,
    /// Its indexes, in order: each replica has its own.
    pub indexes: Vec<IndexTarget>,
    /// Why it cannot derive, where it was fed because it cannot.
    pub cannot_derive: Option<String>,
    /// True where its cells are not held against what its rows derive.
    values_only: bool,
    conn: Connection,
    watch: &'w Watch<'w>,
}

impl<'w> Replica<'w> {
    /// Looks at what the database at `db` has run.
    ///
    /// # Errors
    /// [`RunError::Refused`] where the migration is not proven there.
    pub(super) fn open(
        db: &Path,
        migration: &Migration,
        watch: &'w Watch<'w>,
    ) -> Result<Self, RunError> {
        let mut conn = reader(db)?;
        let row = check_phase(&conn, db, migration)?;
        // What was fed by deltas is not followed either.
        let closed = matches!(row.phase, Phase::Closed | Phase::Applied);
        let (mut changes, mut indexes, mut cannot_derive) = (Vec::new(), Vec::new(), None);
        let known = ChangeRow::of(&conn, migration.id.as_str())?;
        let epoch = if closed { ChainEpoch::of_fed(&row) } else { None };
        let not_derived = epoch.and_then(ChainEpoch::why_not_derived);
        for (index, change) in known.iter().enumerate() {
            let resolved = match resolve_change(&mut conn, migration, index) {
                Err(PlanError::Refused { problem, .. }) if closed => {
                    cannot_derive.get_or_insert(problem);
                    resolve_shipped_change(&mut conn, migration, index)?
                }
                other => other?,
            };
            changes.push(match resolved {
                ResolvedChange::OrSet(set) => {
                    if let Some(problem) = not_derived {
                        cannot_derive.get_or_insert_with(|| problem.to_owned());
                    }
                    Known::of_set(&conn, index, set.target, change)?
                }
                ResolvedChange::Index(resolved) => {
                    watch.expect(change.rows_total);
                    indexes.push(resolved.target);
                    continue;
                }
                ResolvedChange::Column(column) => {
                    Known::new(&conn, index, column.target, change, row.phase)?
                }
            });
        }
        watch.guard(&mut conn)?;
        watch.expect(changes.iter().map(|change| change.rows_total).sum());
        let (db, values_only) = (db.to_owned(), false);
        Ok(Self { db, closed, row, changes, indexes, cannot_derive, values_only, conn, watch })
    }

    /// The same for a comparison of keys and cells alone.
    pub(super) fn by_values(mut self, migration: &Migration) -> Result<Self, RunError> {
        let known = ChangeRow::of(&self.conn, migration.id.as_str())?;
        for before in &mut self.changes {
            let index = before.position;
            let Some(change) = known.get(index) else { continue };
            *before = match resolve_shipped_change(&mut self.conn, migration, index)? {
                ResolvedChange::Column(column) => {
                    Known::new(&self.conn, index, column.target, change, self.row.phase)?
                }
                ResolvedChange::OrSet(set) => Known::of_set(&self.conn, index, set.target, change)?,
                ResolvedChange::Index(_) => continue,
            };
        }
        Ok(Self { values_only: true, ..self })
    }

    /// Refuses a replica that cannot derive: nothing here says what its cells should hold.
    pub(super) fn must_derive(&self) -> Result<(), RunError> {
        let Some(problem) = &self.cannot_derive else { return Ok(()) };
        Err(RunError::refused(
            &self.row.id,
            format!("{} cannot derive: {problem}", self.db.display()),
            "`dotfill apply` of the whole chain looks for every shipped value and writes what \
             differs; `dotfill verify --against` with the database file of a replica that derives \
             compares the two",
        ))
    }

    /// Refuses a migration of indexes alone: nothing of it can be held against another replica.
    pub(super) fn must_have_values(&self) -> Result<(), RunError> {
        if !self.changes.is_empty() {
            return Ok(());
        }
        Err(RunError::refused(
            &self.row.id,
            "it has indexes only, which each replica builds for itself: there are no values to compare",
            "`dotfill verify` on each replica proves its own",
        ))
    }

    /// The proof of one index; `integrity` looks every row up in it.
    pub(super) fn prove_index(
        &self,
        target: &IndexTarget,
        integrity: bool,
    ) -> Result<IndexProof, RunError> {
        index::prove_on(&self.db, target, integrity, self.watch)
    }

    /// Keys that wait to be derived again.
    pub(super) fn pending(&self) -> Result<u64, DbError> {
        let noted = self.changes.iter().filter(|change| change.noted);
        noted.map(|change| dirty_rows(&self.conn, change.subject.n())).sum()
    }

    /// Old-format writes that wait for a decision.
    pub(super) fn undecided(&self) -> Result<u64, DbError> {
        super::modes::undecided(&self.conn, &self.row.id)
    }

    /// The `SQLite` that evaluated the expressions for the recorded proof.
    pub(super) fn proof_sqlite_version(&self) -> Option<String> {
        let proof: serde_json::Value =
            serde_json::from_str(self.row.proof.as_ref()?).unwrap_or_default();
        Some(proof.get("sqlite_version")?.as_str()?.to_owned())
    }

    /// The local proof of one change.
    pub(super) fn prove(&self, index: usize, threads: usize) -> Result<Findings, RunError> {
        self.steadily(index, || self.look_at_all(index, threads, None))
    }

    /// The local proof of one change and its digest tree.
    pub(super) fn tree(
        &self,
        index: usize,
        threads: usize,
        leaves: usize,
    ) -> Result<(Findings, Tree), RunError> {
        self.steadily(index, || {
            let tree = Mutex::new(Tree::new(leaves));
            let sink = |_: &Range, rows: &[RowFacts]| tree.lock().add(rows);
            let detail = Detail { leaves, wanted: None, sink: &sink };
            let findings = self.look_at_all(index, threads, Some(&detail))?;
            Ok((findings, tree.into_inner()))
        })
    }

    /// Hands the facts of the rows of some leaves, with their keys, to `sink`.
    pub(super) fn rows_of(
        &self,
        index: usize,
        threads: usize,
        leaves: usize,
        wanted: &LeafSet,
        sink: &(dyn Fn(&Range, &[RowFacts]) + Sync),
    ) -> Result<(), RunError> {
        let detail = Detail { leaves, wanted: Some(wanted), sink };
        self.look_at_all(index, threads, Some(&detail))?;
        Ok(())
    }

    fn look_at_all(
        &self,
        index: usize,
        threads: usize,
        detail: Option<&Detail<'_>>,
    ) -> Result<Findings, RunError> {
        let (db, gate) = (&self.db, RwLock::new(()));
        let table = self.changes[index].subject.table();
        let cut = |send: Send<'_>| split_all(db, table, &gate, send);
        self.look(index, threads, &cut, detail)
    }

    /// The local proof of the ranges that `cut` sends; of a set, of all objects.
    pub(super) fn look(
        &self,
        index: usize,
        threads: usize,
        cut: &Cut<'_>,
        detail: Option<&Detail<'_>>,
    ) -> Result<Findings, RunError> {
        let known = &self.changes[index];
        let threads = super::job::threads(threads);
        let (watch, gate) = (Some(self.watch), RwLock::new(()));
        let found = match &known.subject {
            Subject::Column(target) => {
                prove_all(&self.db, target, threads, &gate, cut, detail, watch)
            }
            Subject::OrSet(target) => {
                let (noted, values_only) = (known.noted, self.values_only);
                let set = or_set::Look { db: &self.db, target, noted, values_only, gate: &gate };
                set.prove_all(threads, detail, watch).map(Findings::from)
            }
        };
        let mut findings = self.watch.unless_cancelled(found)?;
        if self.values_only {
            findings.missed.clear();
            findings.proof = RangeProof { digest: findings.proof.digest, ..RangeProof::default() };
            return Ok(findings);
        }
        match &known.subject {
            Subject::Column(target) if self.closed && !known.noted => {
                if matches!(target.layout, Layout::Plain) {
                    findings.proof.unproven = findings.proof.differing;
                }
            }
            Subject::Column(_) | Subject::OrSet(_) => {}
        }
        Ok(findings)
    }

    /// Does `work` again where the table's rows may have been renumbered meanwhile.
    pub(super) fn steadily<T>(
        &self,
        index: usize,
        mut work: impl FnMut() -> Result<T, RunError>,
    ) -> Result<T, RunError> {
        let stable = self.changes[index].subject.table().scan.stable;
        for _ in 0..ROUNDS {
            let before = self.schema_version()?;
            let done = work()?;
            if stable || self.schema_version()? == before {
                return Ok(done);
            }
        }
        Err(WriteError::SchemaChanged.into())
    }

    fn schema_version(&self) -> Result<i64, DbError> {
        self.conn
            .query_row("PRAGMA schema_version", [], |row| row.get(0))
            .doing("read the schema's version")
    }
}

/// The migration's row; refuses a migration that has no proof.
fn check_phase(
    conn: &Connection,
    db: &Path,
    migration: &Migration,
) -> Result<MigrationRow, RunError> {
    let id = migration.id.as_str();
    let db = db.display();
    let row = if state::exists(conn)? { MigrationRow::read(conn, id)? } else { None };
    let Some(row) = row else {
        return Err(RunError::refused(
            id,
            format!("{db} has never run it"),
            "`dotfill run` it there first",
        ));
    };
    if row.digest != migration.digest {
        return Err(RunError::refused(
            id,
            format!("the database {db} has run another file under that id"),
            "verify with the file that was run",
        ));
    }
    match row.phase {
        Phase::Open | Phase::Closed | Phase::Applied => Ok(row),
        phase => Err(RunError::refused(
            id,
            format!("in {db} it is {phase}, and there is no proof to make again"),
            "`dotfill run` fills and proves it first",
        )),
    }
}
