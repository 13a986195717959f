//! The threads of a fill and the channels between them.
//!
//! ```text
//! splitter -> readers -> writer
//!                          \-> checkpointer
//! ```
//! Every channel is bounded, and so is what readers derive out of order: a range costs a ticket, which
//! the writer gives back. A stage ends when the channel that it reads from is closed, or when nobody
//! reads what it writes. A reader that fails says so in the place of its range; one that panics says
//! so at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::channel::{Receiver, Sender, bounded};
use parking_lot::RwLock;

use crate::db::{DbError, Doing};
use crate::engine::job::Job;
use crate::engine::proof::reader;
use crate::engine::wal::checkpointer;
use crate::engine::{RunError, Stop};
use crate::layout::or_set::SetTarget;
use crate::scan::or_set::{SetBatch, SetError, SetReader};
use crate::split::{Position, Range, Splitter};
use crate::state::ChangeRow;
use crate::write::dirty_rows;
use crate::write::or_set::SetWriter;

/// Objects of a range that a reader derives.
const RANGE_OBJECTS: u64 = 1000;

/// Ranges that readers may be ahead of the writer.
const WINDOW: usize = 64;

/// Notes at which the fill stops to have them drained.
const NOTES_MAX: u64 = 20_000;

/// Batches between two looks at how many notes there are.
const LOOK_BATCHES: u64 = 64;

/// How a fill ended.
pub(super) enum Filled {
    /// Every object was passed.
    Done,
    /// Others have noted many objects: they are better drained before it goes on.
    Noted,
    /// It stopped early.
    Stopped(Stop),
}

/// One fill of one target.
pub(super) struct Pipeline<'t> {
    pub target: &'t SetTarget,
    pub start: Option<Position>,
}

/// What a reader made of a range.
enum Derived {
    Batch(SetBatch),
    Failed(SetError),
    Panicked,
}

/// What the threads share.
struct Shared<'s> {
    db: &'s Path,
    target: &'s SetTarget,
    gate: &'s RwLock<()>,
    rows_total: AtomicU64,
}

/// Tells the writer when a reader panics.
struct Leaving(Sender<(u64, Derived)>);

impl Drop for Leaving {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Nobody listens any more where the writer has ended.
            let _ = self.0.send((u64::MAX, Derived::Panicked));
        }
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
            rows_total: AtomicU64::new(change.rows_total),
        };
        if job.pace.tuning().stage_percent.is_some() {
            // A part of the rows can only be done of a known number.
            count_rows(&shared)?;
        }
        let (end, ended) = bounded::<()>(0);
        let kicked = job.pace.wal.kicked();
        let readers = job.threads();
        let filled = std::thread::scope(|scope| {
            let shared = &shared;
            let counter = scope.spawn(move || count_rows(shared));
            let checkpoints = scope.spawn(|| checkpointer(shared.db, &kicked, &ended));
            let (ranges_send, ranges) = bounded::<(u64, Range)>(WINDOW);
            let (ticket, tickets) = bounded::<()>(WINDOW);
            let start = self.start.clone();
            let splitter = scope.spawn(move || split(shared, start, &ranges_send, &tickets));
            let (send, derived) = bounded(readers * 2);
            let pool: Vec<_> = (0..readers)
                .map(|_| {
                    let (ranges, send) = (ranges.clone(), send.clone());
                    scope.spawn(move || derive(shared, &ranges, &send))
                })
                .collect();
            drop((ranges, send));
            let input = Input::new(derived, ticket);
            let written = Writer { shared, input, change }.run(job);
            drop(end);
            let mut results = vec![
                joined(splitter.join(), "splitting"),
                joined(checkpoints.join(), "checkpointing"),
                joined(counter.join(), "counting rows"),
            ];
            results.extend(pool.into_iter().map(|reader| joined(reader.join(), "deriving")));
            let written = written?;
            results.into_iter().collect::<Result<Vec<()>, _>>()?;
            Ok::<_, RunError>(written)
        })?;
        change.rows_total = shared.rows_total.load(Ordering::Relaxed);
        if matches!(filled, Filled::Done) {
            job.pace.wal.copy_now();
        }
        Ok(filled)
    }
}

fn joined(
    result: std::thread::Result<Result<(), DbError>>,
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
    start: Option<Position>,
    ranges: &Sender<(u64, Range)>,
    tickets: &Receiver<()>,
) -> Result<(), DbError> {
    let conn = reader(shared.db)?;
    // What is inserted behind it is noted, and drained.
    let table = &shared.target.table;
    let mut splitter = Splitter::new(&conn, table, RANGE_OBJECTS, start).until_now()?;
    for number in 0.. {
        if tickets.recv().is_err() {
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
    derived: &Sender<(u64, Derived)>,
) -> Result<(), DbError> {
    let _leaving = Leaving(derived.clone());
    let conn = reader(shared.db)?;
    let mut reader = SetReader::new(&conn, shared.target);
    for (number, range) in ranges {
        let result = {
            let _reading = shared.gate.read();
            reader.read(&range)
        };
        let result = result.map_or_else(Derived::Failed, Derived::Batch);
        if derived.send((number, result)).is_err() {
            break;
        }
    }
    Ok(())
}

/// What readers derive, in the order of the ranges.
struct Input {
    derived: Receiver<(u64, Derived)>,
    next: u64,
    early: BTreeMap<u64, Derived>,
    tickets: Sender<()>,
}

impl Input {
    fn new(derived: Receiver<(u64, Derived)>, tickets: Sender<()>) -> Self {
        for _ in 0..WINDOW {
            let _ = tickets.try_send(());
        }
        Self { derived, next: 0, early: BTreeMap::new(), tickets }
    }

    fn next(&mut self) -> Result<Option<SetBatch>, RunError> {
        loop {
            let found = match self.early.remove(&self.next) {
                Some(found) => found,
                None => match self.derived.recv() {
                    Err(_) => return Ok(None),
                    Ok((number, found)) if number == self.next || number == u64::MAX => found,
                    Ok((number, found)) => {
                        self.early.insert(number, found);
                        continue;
                    }
                },
            };
            self.next += 1;
            // The splitter may have ended already.
            let _ = self.tickets.try_send(());
            return match found {
                Derived::Batch(batch) => Ok(Some(batch)),
                Derived::Failed(error) => Err(RunError::Write(error.into())),
                Derived::Panicked => Err(RunError::Panicked { doing: "deriving" }),
            };
        }
    }
}

/// The single writer's loop. Dropping it ends the other stages.
struct Writer<'w> {
    shared: &'w Shared<'w>,
    input: Input,
    change: &'w mut ChangeRow,
}

impl Writer<'_> {
    fn run(mut self, job: &mut Job<'_>) -> Result<Filled, RunError> {
        let writer = SetWriter::new(self.shared.target);
        let mut waiting: Option<SetBatch> = None;
        for batches in 1_u64.. {
            let rows = match job.pace.before_batch(&mut job.session)? {
                Ok(rows) => rows,
                Err(stop) => return Ok(Filled::Stopped(stop)),
            };
            let next = match waiting.take() {
                Some(batch) => Some(batch),
                None => self.input.next()?,
            };
            let Some(batch) = next else { break };
            let batch = Self::cut(job, batch, rows, &mut waiting);
            self.write(job, &writer, &batch)?;
            self.limits(job);
            let n = self.shared.target.n;
            if batches.is_multiple_of(LOOK_BATCHES)
                && dirty_rows(job.session.conn(), n)? > NOTES_MAX
            {
                return Ok(Filled::Noted);
            }
        }
        Ok(Filled::Done)
    }

    /// As much of a batch as one transaction may have: the rest waits.
    fn cut(job: &Job<'_>, batch: SetBatch, rows: u64, waiting: &mut Option<SetBatch>) -> SetBatch {
        let adds = batch.adds();
        if adds <= rows.saturating_mul(2) && adds <= job.pace.tuning().batch_rows_max {
            return batch;
        }
        let (batch, rest) = batch.split_at(rows);
        *waiting = rest;
        batch
    }

    fn write(
        &mut self,
        job: &mut Job<'_>,
        writer: &SetWriter<'_>,
        batch: &SetBatch,
    ) -> Result<(), RunError> {
        // Counted meanwhile: whoever asks how far we are reads it beside the checkpoint.
        let total = self.shared.rows_total.load(Ordering::Relaxed);
        self.change.rows_total = total;
        let done = writer.append(&mut job.session, self.change, batch)?;
        if let Some(ship) = &job.ship {
            let (through, schema) = (&batch.range.through, job.session.schema_version());
            ship.filled(self.change, Some(through), schema, batch.range.rows);
        }
        let bytes = done.value.written * self.row_bytes();
        job.pace.after_batch(done, batch.adds(), bytes);
        job.pace.total(total);
        job.pace.passed(batch.range.rows);
        Ok(())
    }

    /// What writing one add weighs, for --bytes-per-second.
    fn row_bytes(&self) -> u64 {
        40 + 16 * self.shared.target.table.key.len() as u64
    }

    /// Ends the job where the stage that was asked for is passed.
    fn limits(&self, job: &mut Job<'_>) {
        let Some(percent) = job.pace.tuning().stage_percent else { return };
        let total = self.shared.rows_total.load(Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "a percentage")]
        let done = 100.0 * self.change.counters.rows_passed as f64 / total.max(1) as f64;
        if total > 0 && done >= percent {
            job.pace.stop(Stop::Stage(format!("--stage {percent} % of the rows are done")));
        }
    }
}
