//! The threads of a fill and the channels between them.
//!
//! ```text
//! splitter -> [readers ->] writer -> provers
//!                            \-> checkpointer
//! ```
//! Every channel is bounded. A stage ends when the channel that it reads from is closed, or when
//! nobody reads what it writes; so the writer, which owns the inner ends, ends all of them by
//! dropping those. A stage that fails closes its channel, and its error is found when it is joined.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Scope, ScopedJoinHandle};

use crossbeam::channel::{Receiver, Sender, bounded};
use parking_lot::{Mutex, RwLock};

use super::RunError;
use super::fill::Filled;
use super::job::Job;
use super::proof::{Findings, Provers, Task, reader};
use super::ship::{Closing, Feed};
use super::wal::checkpointer;
use super::writer::{Inputs, Writer};
use crate::db::{DbError, Doing};
use crate::layout::{Delivery, Target};
use crate::scan::{ChangeBatch, RowReader, ScanError};
use crate::split::{Position, Range, Splitter};
use crate::state::ChangeRow;

/// Rows of a range as it is cut; the writer joins ranges to batches.
const GRAIN_ROWS: u64 = 250;
/// Rows of a range that a reader derives.
const READER_ROWS: u64 = 1000;
/// Ranges that readers may be ahead of the writer, so that what is derived out of order is bounded.
pub(super) const WINDOW: usize = 128;
/// Ranges on their way to the writer or the readers.
pub(super) const QUEUE: usize = 64;
/// Ranges on their way to the provers.
const PROOF_QUEUE: usize = 1024;

/// Who evaluates the expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The writer's ranged UPDATE.
    Writer,
    /// Parallel readers.
    Readers,
}

/// One fill of one target.
pub(super) struct Pipeline<'t> {
    pub target: &'t Target,
    pub mode: Mode,
    pub start: Option<Position>,
    /// Prove each range after it was committed.
    pub prove: bool,
}

/// What reaches the writer, in order.
pub(super) enum Input {
    Range(Range),
    /// Derived rows, or what is left of them, and the range that they were read from.
    Derived {
        batch: ChangeBatch,
        whole: Range,
    },
}

/// What the side threads share.
pub(super) struct Shared<'s> {
    pub db: &'s Path,
    pub target: &'s Target,
    pub gate: &'s RwLock<()>,
    /// The number of drains that have been committed.
    pub epoch: AtomicU64,
    pub rows_total: AtomicU64,
    pub findings: Mutex<Findings>,
    /// A reader is gone before its time: the others end, so that nothing piles up.
    pub failed: AtomicBool,
}

impl<'s> Shared<'s> {
    fn provers(&'s self, feed: Option<&'s Feed>) -> Provers<'s> {
        let Self { db, target, gate, ref findings, .. } = *self;
        Provers { db, target, gate, findings, detail: None, watch: None, feed }
    }
}

/// Says that a reader is gone, whether it returned or panicked.
struct Leaving<'s>(&'s AtomicBool, bool);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.fetch_or(!self.1, Ordering::Relaxed);
    }
}

impl Pipeline<'_> {
    /// Runs the fill. Every thread has ended when this returns.
    pub(super) fn run(
        &self,
        job: &mut Job<'_>,
        change: &mut ChangeRow,
    ) -> Result<Filled, RunError> {
        let (db, gate) = (job.db.clone(), std::sync::Arc::clone(&job.pace.gate));
        let shared = Shared {
            db: &db,
            target: self.target,
            gate: &gate,
            epoch: AtomicU64::new(0),
            rows_total: AtomicU64::new(change.rows_total),
            findings: Mutex::new(Findings::default()),
            failed: AtomicBool::new(false),
        };
        if job.pace.tuning().stage_percent.is_some() {
            // A part of the rows can only be done of a known number.
            count_rows(&shared)?;
        }
        // The shipper hears when all provers have ended, however they do.
        let closing =
            Closing(job.ship.as_ref().filter(|_| self.prove).and_then(|s| s.feed(change)));
        let feed = closing.0.as_deref();
        let (proof_send, proof_tasks) = bounded::<Task>(PROOF_QUEUE);
        let (end, ended) = bounded::<()>(0);
        let kicked = job.pace.wal.kicked();
        let readers = job.threads();
        let grain = self.grain(job);
        let stopped = std::thread::scope(|scope| {
            let shared = &shared;
            let counter = scope.spawn(move || count_rows(shared));
            let checkpoints = scope.spawn(|| checkpointer(shared.db, &kicked, &ended));
            // No receiver stays on this thread: when all provers are gone, sending to them fails.
            let common = shared.provers(feed);
            let provers: Vec<_> = (1..readers.max(2))
                .map(|_| {
                    let tasks = proof_tasks.clone();
                    scope.spawn(move || common.prove(&tasks))
                })
                .collect();
            drop(proof_tasks);
            let (inputs, mut side) = self.inputs(scope, shared, grain, readers);
            let written = Writer::new(self, shared, inputs, proof_send, change).run(job);
            drop(end);
            side.extend([("checkpointing", checkpoints), ("counting rows", counter)]);
            let mut results: Vec<_> =
                side.into_iter().map(|(doing, thread)| joined(thread.join(), doing)).collect();
            results.extend(provers.into_iter().map(|prover| joined(prover.join(), "proving")));
            let written = written?;
            results.into_iter().collect::<Result<Vec<()>, _>>()?;
            Ok::<_, RunError>(written)
        })?;
        change.rows_total = shared.rows_total.load(Ordering::Relaxed);
        let findings = shared.findings.into_inner();
        Ok(match stopped {
            Some(stop) => Filled::Stopped(stop),
            None => Filled::Done(self.prove.then_some(findings)),
        })
    }

    /// What the writer reads from, and the threads that feed it.
    fn inputs<'scope, 's: 'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        shared: &'s Shared<'s>,
        grain: u64,
        readers: usize,
    ) -> (Inputs, Vec<Side<'scope>>) {
        let (ranges_send, ranges) = bounded::<(u64, Range)>(QUEUE);
        let (ticket, tickets) = bounded::<()>(WINDOW);
        let start = self.start.clone();
        let windowed = self.mode == Mode::Readers;
        let splitter = scope
            .spawn(move || split(shared, grain, start, &ranges_send, windowed.then_some(&tickets)));
        let mut side = vec![("splitting", splitter)];
        if self.mode == Mode::Writer {
            return (Inputs::Ranges(ranges), side);
        }
        let (send, derived) = bounded(readers * 2);
        side.extend((0..readers).map(|_| {
            let (ranges, send) = (ranges.clone(), send.clone());
            ("deriving", scope.spawn(move || derive(shared, &ranges, &send)))
        }));
        (Inputs::derived(derived, ticket), side)
    }

    fn grain(&self, job: &Job<'_>) -> u64 {
        let records = job.pace.tuning().records_per_transaction.max(1);
        match (self.mode, self.target.delivery) {
            (_, Delivery::Native) => records.min(GRAIN_ROWS),
            (Mode::Readers, _) => READER_ROWS,
            (Mode::Writer, _) => GRAIN_ROWS,
        }
    }
}

/// A side thread, and what it does.
type Side<'scope> = (&'static str, ScopedJoinHandle<'scope, Result<(), DbError>>);

fn joined<E: Into<RunError>>(
    result: std::thread::Result<Result<(), E>>,
    doing: &'static str,
) -> Result<(), RunError> {
    match result {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(RunError::Panicked { doing }),
    }
}

fn count_rows(shared: &Shared<'_>) -> Result<(), DbError> {
    if shared.rows_total.load(Ordering::Relaxed) > 0 {
        return Ok(());
    }
    let sql = format!("SELECT count(*) FROM {}", shared.target.table.sql());
    let rows: i64 =
        reader(shared.db)?.query_row(&sql, [], |row| row.get(0)).doing("count the rows")?;
    shared.rows_total.store(rows.unsigned_abs(), Ordering::Relaxed);
    Ok(())
}

fn split(
    shared: &Shared<'_>,
    grain: u64,
    start: Option<Position>,
    ranges: &Sender<(u64, Range)>,
    tickets: Option<&Receiver<()>>,
) -> Result<(), DbError> {
    let conn = reader(shared.db)?;
    // What is inserted behind it is noted, and drained.
    let mut splitter = Splitter::new(&conn, &shared.target.table, grain, start).until_now()?;
    for number in 0.. {
        if tickets.is_some_and(|tickets| tickets.recv().is_err()) {
            break;
        }
        let range = {
            let _reading = shared.gate.read();
            splitter.next_range()?
        };
        let Some(range) = range else { break };
        if ranges.send((number, range)).is_err() {
            break;
        }
    }
    Ok(())
}

fn derive(
    shared: &Shared<'_>,
    ranges: &Receiver<(u64, Range)>,
    derived: &Sender<(u64, Input)>,
) -> Result<(), DbError> {
    let mut leaving = Leaving(&shared.failed, false);
    let conn = reader(shared.db)?;
    let mut rows = RowReader::new(&conn, shared.target);
    for (number, range) in ranges {
        if shared.failed.load(Ordering::Relaxed) {
            break;
        }
        let epoch = shared.epoch.load(Ordering::Acquire);
        let result = {
            let _reading = shared.gate.read();
            rows.read(&range, epoch)
        };
        let input = match result {
            Ok(batch) => Input::Derived { batch, whole: range },
            // The writer finds out which row it is, in its transaction.
            Err(ScanError::Row { .. }) => Input::Range(range),
            Err(ScanError::Db(error)) => return Err(error),
        };
        if derived.send((number, input)).is_err() {
            break;
        }
    }
    leaving.1 = true;
    Ok(())
}
