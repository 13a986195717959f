//! Admission to one database: decides, remembers, buffers, and decides again what was buffered.
//!
//! Owns the transactions, their pace, and when the registry is read again; what is done within one
//! is in `desk`.
//!
//! # Invariants
//! What is handed to the caller was committed before. A re-admission is handed on at least once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use serde_json::Value;

use super::desk::Desk;
use super::error::AdmitError;
use super::known::refused;
use super::operation::Operation;
use super::registry::Registry;
use super::store;
use crate::db::{self, Access, Doing};
use crate::monitor::Monitor;
use crate::state;
use crate::throttle::{Clock, Politeness, SystemClock};

/// The longest time, while others write, that a batch holds the write lock for.
const HOLD: Duration = Duration::from_millis(5);
/// The most operations that one transaction decides.
const BATCH_OPERATIONS_MAX: u64 = 1000;
/// How many buffered operations one transaction decides again.
const READMIT_BATCH: usize = 200;

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmitLimits {
    /// The most operations that are buffered at a time: 10,000. One more is rejected as retryable.
    pub buffered_operations_max: u64,
    /// The most that buffered operations may weigh ([`Operation::weight`]): 64 MiB.
    pub buffered_bytes_max: u64,
    /// How many operations are remembered, the newest ones: 1,000,000, some hundred bytes each. An
    /// older one is forgotten once its decision is for good, was handed on, and does not wait in
    /// quarantine; where it comes again, it is decided anew.
    pub remembered_operations_max: u64,
}

impl Default for AdmitLimits {
    fn default() -> Self {
        Self {
            buffered_operations_max: 10_000,
            buffered_bytes_max: 64 << 20,
            remembered_operations_max: 1_000_000,
        }
    }
}

/// One operation and its decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Admitted {
    /// The operation.
    pub op_id: String,
    /// The decision, as [`super::Decision::to_json`] gives it.
    pub decision: Value,
    /// The number under which it was decided again after it had waited; `None` for one that was
    /// fed. To be told to [`Admission::announced`] when it was handed on.
    pub readmitted: Option<i64>,
}

impl Admitted {
    /// `apply`, `translate`, `buffer` or `reject`.
    #[must_use]
    pub fn word(&self) -> &str {
        self.decision["decision"].as_str().unwrap_or_default()
    }
}

/// Admission to one database.
pub struct Admission<'m> {
    conn: Connection,
    core: Core<'m>,
}

/// What an admission knows, beside its connection.
pub(super) struct Core<'m> {
    registry: Registry,
    /// False where the caller gave the registry: the database is not asked for it.
    of_database: bool,
    limits: AdmitLimits,
    /// `None` until the first transaction.
    data_version: Option<i64>,
    /// True where something may have arrived that buffered operations wait for.
    due: bool,
    /// The number up to which this process has forgotten what is too old to be remembered.
    forgotten: i64,
    politeness: Politeness,
    clock: SystemClock,
    gap: Duration,
    monitor: &'m dyn Monitor,
}

impl<'m> Admission<'m> {
    /// Opens a database and reads its registry.
    ///
    /// # Errors
    /// [`AdmitError::Refused`] where no migration of sets is known there; nothing was written then.
    pub fn open(
        path: &Path,
        limits: AdmitLimits,
        monitor: &'m dyn Monitor,
    ) -> Result<Self, AdmitError> {
        let admission = Self::of_any(path, limits, monitor)?;
        if admission.core.registry.sets().next().is_none() {
            let problem = "it knows no migration of sets, so that no operation could be decided";
            let db = path.display();
            let remedy = format!("`dotfill run MIGRATION --db {db}` first, with kind = \"or_set\"");
            return Err(refused(&admission.conn, problem.to_owned(), &remedy));
        }
        Ok(admission)
    }

    /// As [`Admission::open`], where migrations of sets may also be absent.
    pub(super) fn of_any(
        path: &Path,
        limits: AdmitLimits,
        monitor: &'m dyn Monitor,
    ) -> Result<Self, AdmitError> {
        let conn = db::open(path, Access::Write)?;
        let registry = Registry::of_database(&conn)?;
        Self::new(conn, registry, true, limits, monitor)
    }

    /// As [`Admission::open`], with a registry of the caller's. It has to be given again, or a newer
    /// one, whenever the database is opened again.
    ///
    /// # Errors
    /// When the database is not one, or its `_dotfill_*` tables are of a newer version.
    pub fn with_registry(
        path: &Path,
        registry: Registry,
        limits: AdmitLimits,
        monitor: &'m dyn Monitor,
    ) -> Result<Self, AdmitError> {
        Self::new(db::open(path, Access::Write)?, registry, false, limits, monitor)
    }

    fn new(
        conn: Connection,
        registry: Registry,
        of_database: bool,
        limits: AdmitLimits,
        monitor: &'m dyn Monitor,
    ) -> Result<Self, AdmitError> {
        state::exists(&conn)?;
        let core = Core {
            registry,
            of_database,
            limits,
            data_version: None,
            due: true,
            forgotten: 0,
            politeness: Politeness::new(HOLD, BATCH_OPERATIONS_MAX),
            clock: SystemClock::new(),
            gap: Duration::ZERO,
            monitor,
        };
        Ok(Self { conn, core })
    }

    /// How many operations the next [`Admission::batch`] should have, so that others who write are
    /// not kept waiting.
    #[must_use]
    pub fn batch_operations(&self) -> usize {
        usize::try_from(self.core.politeness.batch_rows()).unwrap_or(usize::MAX)
    }

    /// Decides some operations in one transaction, in their order; one that was decided before is
    /// decided as before. Where others have changed the database, buffered operations are decided
    /// again first. Each operation that this releases follows the one that it waited for.
    ///
    /// # Errors
    /// When the database fails: nothing of the batch was decided.
    pub fn batch(&mut self, operations: &[Operation]) -> Result<Vec<Admitted>, AdmitError> {
        let mut out = self.readmit_if_due()?;
        let (decided, forgotten) = self.transact(operations.len(), |core, tx| {
            let mut desk = core.desk(tx);
            for operation in operations {
                desk.feed(operation)?;
            }
            let keep = core.limits.remembered_operations_max;
            Ok((desk.out, store::forget_old(tx, core.forgotten, keep)?))
        })?;
        self.core.forgotten = forgotten;
        out.extend(decided);
        Ok(out)
    }

    /// As [`Admission::readmit`], where others have changed the database since the last time. To be
    /// called after the last batch.
    ///
    /// # Errors
    /// As [`Admission::readmit`].
    pub fn readmit_if_due(&mut self) -> Result<Vec<Admitted>, AdmitError> {
        if self.core.due { self.readmit() } else { Ok(Vec::new()) }
    }

    /// Decides again everything that is buffered, oldest first, and returns what is no longer; before
    /// it, what an earlier process decided again and did not hand on.
    ///
    /// # Errors
    /// When the database fails; what was committed is returned by the next call.
    pub fn readmit(&mut self) -> Result<Vec<Admitted>, AdmitError> {
        // Whatever others commit from here on makes it due again.
        self.core.due = false;
        if !state::knows_quarantine(&self.conn)? {
            return Ok(Vec::new());
        }
        let mut waiting = store::buffered(&self.conn)?;
        let mut out = self.left_over()?;
        while !waiting.is_empty() {
            let now: BTreeSet<i64> = waiting.drain(..waiting.len().min(READMIT_BATCH)).collect();
            let released = self.transact(now.len(), |core, tx| {
                let mut desk = core.desk(tx);
                desk.decide_again(now)?;
                Ok(desk.out)
            })?;
            out.extend(released);
        }
        Ok(out)
    }

    /// What was decided again and not handed on: a process ended in between.
    fn left_over(&self) -> Result<Vec<Admitted>, AdmitError> {
        let rows = store::unannounced(&self.conn)?;
        let admitted = |(seq, op_id, decision)| Admitted { op_id, decision, readmitted: Some(seq) };
        Ok(rows.into_iter().map(admitted).collect())
    }

    /// To be called when these were handed on: until then, re-admitted ones are returned by every
    /// [`Admission::readmit`], of a later process too.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn announced(&mut self, handed_on: &[Admitted]) -> Result<(), AdmitError> {
        let readmitted: Vec<i64> = handed_on.iter().filter_map(|one| one.readmitted).collect();
        if readmitted.is_empty() {
            return Ok(());
        }
        self.transact(readmitted.len(), |_, tx| {
            readmitted.iter().try_for_each(|seq| store::announce(tx, *seq))?;
            Ok(())
        })
    }

    /// How many operations are buffered, and what they weigh ([`Operation::weight`]).
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn buffered(&self) -> Result<(u64, u64), AdmitError> {
        Ok(if state::knows_quarantine(&self.conn)? { store::load(&self.conn)? } else { (0, 0) })
    }

    /// A write transaction, after the gap that the last one owes to others.
    pub(super) fn transact<T>(
        &mut self,
        operations: usize,
        body: impl FnOnce(&Core<'m>, &Transaction<'_>) -> Result<T, AdmitError>,
    ) -> Result<T, AdmitError> {
        let Self { conn, core } = self;
        core.clock.sleep(std::mem::take(&mut core.gap));
        let what = "decide operations";
        let tx = db::begin(conn, TransactionBehavior::Immediate, what)?;
        let began = core.clock.now().monotonic;
        state::create(&tx)?;
        let foreign = core.refresh(&tx)?;
        let value = body(core, &tx)?;
        core.monitor.commit(false);
        tx.commit().doing(what)?;
        core.monitor.commit(true);
        core.pace(operations, began, foreign);
        Ok(value)
    }
}

impl Core<'_> {
    /// Looks whether others have changed the database, and reads the registry again if so.
    fn refresh(&mut self, tx: &Transaction<'_>) -> Result<bool, AdmitError> {
        let now: i64 = tx
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut s| s.query_row([], |row| row.get(0)))
            .doing("look whether others have written")?;
        if self.data_version == Some(now) {
            return Ok(false);
        }
        // Before the first transaction the registry may be older than the database too.
        if self.of_database {
            self.registry = Registry::of_database(tx)?;
        }
        self.due |= self.data_version.is_some();
        Ok(self.data_version.replace(now).is_some())
    }

    fn pace(&mut self, operations: usize, began: Duration, foreign: bool) {
        let now = self.clock.now().monotonic;
        let hold = now.saturating_sub(began);
        self.politeness.held(u64::try_from(operations).unwrap_or(u64::MAX), hold);
        self.politeness.observe(now, true, foreign, false);
        self.gap = self.politeness.gap(hold);
    }

    /// Where operations are decided within a transaction.
    pub(super) fn desk<'a>(&'a self, tx: &'a Transaction<'_>) -> Desk<'a> {
        Desk {
            conn: tx,
            registry: &self.registry,
            limits: self.limits,
            tables: BTreeMap::new(),
            out: Vec::new(),
        }
    }
}
