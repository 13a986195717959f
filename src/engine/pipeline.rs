//! The threads of a fill and the channels between them.
//!
//! ```text
//! splitter -> [readers ->] writer -> provers
//!                            \-> checkpointer
//! ```
//! Every channel is bounded. A stage ends when the channel that it reads from is closed, or when
//! nobody reads what it writes; so the writer, which owns the inner ends, ends all of them by
//! dropping those. A stage that fails closes its channel, and its error is found when it is joined.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam::channel::{Receiver, Sender, bounded};
use parking_lot::{Mutex, RwLock};

use super::fill::Filled;
use super::job::Job;
use super::proof::{Findings, Task, prove_ranges, reader};
use super::wal::checkpointer;
use super::{RunError, Stop, drain};
use crate::db::{DbError, Doing};
use crate::layout::{Delivery, Target};
use crate::scan::{ChangeBatch, RowReader, ScanError};
use crate::split::{Position, Range, Splitter};
use crate::state::ChangeRow;
use crate::write::{Filler, any_dirty};

/// Rows of a range as it is cut; the writer joins ranges to batches.
const GRAIN_ROWS: u64 = 250;
/// Rows of a range that a reader derives.
const READER_ROWS: u64 = 1000;
/// Rows that are proven together.
const PROOF_ROWS: u64 = 8000;
/// Ranges on their way to the writer or the readers.
const QUEUE: usize = 64;
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
enum Input {
    Range(Range),
    Derived(ChangeBatch),
}

/// What the side threads share.
struct Shared<'s> {
    db: &'s Path,
    target: &'s Target,
    gate: &'s RwLock<()>,
    /// The number of drains that have been committed.
    epoch: AtomicU64,
    rows_total: AtomicU64,
    findings: Mutex<Findings>,
    /// A reader is gone before its time: the others end, so that nothing piles up.
    failed: AtomicBool,
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
    pub(super) fn run(&self, job: &mut Job<'_>, change: &mut ChangeRow) -> Result<Filled, RunError> {
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
            let provers: Vec<_> = (1..readers.max(2))
                .map(|_| {
                    let tasks = proof_tasks.clone();
                    let findings = &shared.findings;
                    scope.spawn(move || {
                        prove_ranges(shared.db, shared.target, &tasks, shared.gate, findings)
                    })
                })
                .collect();
            drop(proof_tasks);
            let (ranges_send, ranges) = bounded::<(u64, Range)>(QUEUE);
            let start = self.start.clone();
            let splitter = scope.spawn(move || split(shared, grain, start, &ranges_send));
            let (inputs, pool) = match self.mode {
                Mode::Writer => (Inputs::Ranges(ranges), Vec::new()),
                Mode::Readers => {
                    let (send, derived) = bounded(readers * 2);
                    let pool = (0..readers)
                        .map(|_| {
                            let (ranges, send) = (ranges.clone(), send.clone());
                            scope.spawn(move || derive(shared, &ranges, &send))
                        })
                        .collect();
                    (Inputs::Derived { derived, next: 0, early: BTreeMap::new() }, pool)
                }
            };
            let written = Writer::new(self, shared, inputs, proof_send, change).run(job);
            drop(end);
            let mut results = vec![
                joined(splitter.join(), "splitting"),
                joined(checkpoints.join(), "checkpointing"),
                joined(counter.join(), "counting rows"),
            ];
            results.extend(pool.into_iter().map(|reader| joined(reader.join(), "deriving")));
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

    fn grain(&self, job: &Job<'_>) -> u64 {
        let records = job.pace.tuning().records_per_transaction.max(1);
        match (self.mode, self.target.delivery) {
            (_, Delivery::Native) => records.min(GRAIN_ROWS),
            (Mode::Readers, _) => READER_ROWS,
            (Mode::Writer, _) => GRAIN_ROWS,
        }
    }
}

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
) -> Result<(), DbError> {
    let conn = reader(shared.db)?;
    let mut splitter = Splitter::new(&conn, &shared.target.table, grain, start);
    for number in 0.. {
        let range = {
            let _reading = shared.gate.read();
            splitter.next()?
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
            Ok(batch) => Input::Derived(batch),
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

/// The writer's input, in the order of the ranges.
enum Inputs {
    Ranges(Receiver<(u64, Range)>),
    Derived { derived: Receiver<(u64, Input)>, next: u64, early: BTreeMap<u64, Input> },
}

impl Inputs {
    fn next(&mut self) -> Option<Input> {
        match self {
            Self::Ranges(ranges) => ranges.recv().ok().map(|(_, range)| Input::Range(range)),
            Self::Derived { derived, next, early } => loop {
                if let Some(input) = early.remove(next) {
                    *next += 1;
                    return Some(input);
                }
                let (number, input) = derived.recv().ok()?;
                early.insert(number, input);
            },
        }
    }
}

/// The single writer's loop.
struct Writer<'w> {
    pipeline: &'w Pipeline<'w>,
    shared: &'w Shared<'w>,
    inputs: Inputs,
    proofs: Option<Sender<Task>>,
    unproven: Option<Range>,
    change: &'w mut ChangeRow,
    /// Drains, with the number of the batch after which they were made.
    drains: VecDeque<(u64, u64)>,
    batches: u64,
}

impl<'w> Writer<'w> {
    fn new(
        pipeline: &'w Pipeline<'w>,
        shared: &'w Shared<'w>,
        inputs: Inputs,
        proofs: Sender<Task>,
        change: &'w mut ChangeRow,
    ) -> Self {
        let proofs = pipeline.prove.then_some(proofs);
        let drains = VecDeque::new();
        Self { pipeline, shared, inputs, proofs, unproven: None, change, drains, batches: 0 }
    }

    /// Writes until the input ends. Dropping the writer ends the other stages.
    fn run(mut self, job: &mut Job<'_>) -> Result<Option<Stop>, RunError> {
        let mut filler = Filler::new(self.pipeline.target, self.change.clone());
        let result = self.write_all(job, &mut filler);
        *self.change = filler.change;
        if let Ok(None) = result {
            self.prove(None, None);
        }
        result
    }

    fn write_all(
        &mut self,
        job: &mut Job<'_>,
        filler: &mut Filler<'_>,
    ) -> Result<Option<Stop>, RunError> {
        let mut waiting: Option<Input> = None;
        loop {
            let rows = match job.pace.before_batch(&mut job.session)? {
                Ok(rows) => rows,
                Err(stop) => return Ok(Some(stop)),
            };
            let Some(input) = self.gather(job, &mut waiting, rows) else { return Ok(None) };
            self.write(job, filler, input, rows)?;
            self.drain(job, filler)?;
            self.limits(job, filler);
        }
    }

    /// The next batch: ranges are joined until they have about `rows` rows.
    fn gather(&mut self, job: &Job<'_>, waiting: &mut Option<Input>, rows: u64) -> Option<Input> {
        let most = match self.pipeline.target.delivery {
            Delivery::Native => rows.min(job.pace.tuning().records_per_transaction.max(1)),
            Delivery::Virtual | Delivery::Elide | Delivery::Derive => rows,
        };
        let mut joined = match waiting.take().or_else(|| self.inputs.next())? {
            Input::Range(range) => range,
            derived @ Input::Derived(_) => return Some(derived),
        };
        while joined.rows < most {
            match self.inputs.next() {
                Some(Input::Range(next)) if joined.rows + next.rows <= most => joined.join(next),
                other => {
                    *waiting = other;
                    break;
                }
            }
        }
        Some(Input::Range(joined))
    }

    fn write(
        &mut self,
        job: &mut Job<'_>,
        filler: &mut Filler<'_>,
        input: Input,
        rows: u64,
    ) -> Result<(), RunError> {
        match input {
            Input::Derived(batch) => {
                let done = filler.apply(&mut job.session, &batch)?;
                self.passed(job, done, batch.range, Some(batch.digest));
            }
            Input::Range(range) if range.rows > rows.saturating_mul(2) => {
                self.write_in_parts(job, filler, &range, rows)?;
            }
            Input::Range(range) => {
                let done = filler.fill(&mut job.session, &range)?;
                self.passed(job, done, range, None);
            }
        }
        Ok(())
    }

    /// Rows that are so large that even one range would hold the lock for too long.
    fn write_in_parts(
        &mut self,
        job: &mut Job<'_>,
        filler: &mut Filler<'_>,
        range: &Range,
        rows: u64,
    ) -> Result<(), RunError> {
        let mut after = range.after.clone();
        let mut left = range.rows;
        while left > 0 {
            let table = &self.pipeline.target.table;
            let part =
                Splitter::new(job.session.conn(), table, rows.min(left), after.clone()).next()?;
            let Some(mut part) = part else { break };
            if part.rows >= left {
                part.through = range.through.clone();
            }
            left = left.saturating_sub(part.rows.max(1));
            after = Some(part.through.clone());
            let done = filler.fill(&mut job.session, &part)?;
            self.passed(job, done, part, None);
        }
        Ok(())
    }

    fn passed(
        &mut self,
        job: &mut Job<'_>,
        done: crate::write::Committed<crate::write::BatchCount>,
        range: Range,
        digest: Option<crate::verify::RangeDigest>,
    ) {
        let rows = range.rows;
        let bytes = done.value.written * self.pipeline.row_bytes();
        job.pace.after_batch(done, rows, bytes);
        job.pace.total(self.shared.rows_total.load(Ordering::Relaxed));
        job.pace.passed(rows);
        self.batches += 1;
        self.prove(Some(range), digest);
    }

    /// Hands committed ranges to the provers: derived ones as they are, others joined; with
    /// neither, what is left.
    fn prove(&mut self, range: Option<Range>, digest: Option<crate::verify::RangeDigest>) {
        let Some(proofs) = &self.proofs else { return };
        let ready = match (range, digest, &mut self.unproven) {
            (Some(range), None, Some(before)) if before.rows < PROOF_ROWS => {
                before.join(range);
                None
            }
            (Some(range), None, before) => before.replace(range),
            (None, _, before) => before.take(),
            (Some(range), Some(digest), before) => {
                if let Some(before) = before.take() {
                    // A prover that is gone has failed: its error is found when it is joined.
                    let _ = proofs.send((before, None));
                }
                let _ = proofs.send((range, Some(digest)));
                None
            }
        };
        if let Some(ready) = ready {
            let _ = proofs.send((ready, None));
        }
    }

    /// Takes some of the keys that others have noted meanwhile.
    fn drain(&mut self, job: &mut Job<'_>, filler: &mut Filler<'_>) -> Result<(), RunError> {
        if !any_dirty(job.session.conn(), self.pipeline.target.n)? {
            return Ok(());
        }
        if let Ok(drained) = drain::drain_known(job, self.pipeline.target, &mut filler.change)? {
            let epoch = self.shared.epoch.load(Ordering::Relaxed) + 1;
            if self.pipeline.mode == Mode::Readers {
                filler.note_drained(drained.keys, epoch);
                self.drains.push_back((epoch, self.batches));
            }
            self.shared.epoch.store(epoch, Ordering::Release);
        }
        // No batch that was read before a drain can still be on its way after all queues have
        // been emptied once.
        let queued = (QUEUE * 8) as u64;
        while let Some((epoch, _)) =
            self.drains.pop_front_if(|(_, batch)| *batch + queued < self.batches)
        {
            filler.forget_drained(epoch);
        }
        Ok(())
    }

    /// Ends the job where a budget or the stage that was asked for is passed.
    fn limits(&self, job: &mut Job<'_>, filler: &Filler<'_>) {
        let counters = &filler.change.counters;
        let total = self.shared.rows_total.load(Ordering::Relaxed);
        if let Some(percent) = job.pace.tuning().stage_percent {
            #[expect(clippy::cast_precision_loss, reason = "a percentage")]
            let done = 100.0 * counters.rows_passed as f64 / total.max(1) as f64;
            if total > 0 && done >= percent {
                job.pace.stop(Stop::Stage(format!("--stage {percent} % of the rows are done")));
            }
        }
        if let Some(why) = super::run::over_budget(job, counters) {
            job.pace.stop(Stop::Budget(why));
        }
    }
}

impl Pipeline<'_> {
    /// What writing one cell weighs, for --bytes-per-second: the record is rewritten.
    fn row_bytes(&self) -> u64 {
        64 + 16 * self.target.table.columns.len() as u64
    }
}
