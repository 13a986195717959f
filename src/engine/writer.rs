//! The single writer's loop: takes what the splitter or the readers send, in order, writes it at
//! the job's pace, hands it to the provers, and drains what others note meanwhile.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;

use crossbeam::channel::{Receiver, Sender};

use super::job::Job;
use super::pipeline::{Input, Mode, Pipeline, QUEUE, Shared, WINDOW};
use super::proof::Task;
use super::{RunError, Stop, drain};
use crate::layout::Delivery;
use crate::split::Range;
use crate::state::ChangeRow;
use crate::verify::Checked;
use crate::write::{BatchCount, Committed, Filler, any_dirty};

/// Rows that are proven together.
const PROOF_ROWS: u64 = 8000;

/// The writer's input, in the order of the ranges.
pub(super) enum Inputs {
    Ranges(Receiver<(u64, Range)>),
    Derived {
        derived: Receiver<(u64, Input)>,
        next: u64,
        early: BTreeMap<u64, Input>,
        /// One goes back to the splitter for each range that was taken.
        tickets: Sender<()>,
    },
}

impl Inputs {
    /// What readers derive, at most [`WINDOW`] ranges ahead.
    pub(super) fn derived(derived: Receiver<(u64, Input)>, tickets: Sender<()>) -> Self {
        for _ in 0..WINDOW {
            let _ = tickets.try_send(());
        }
        Self::Derived { derived, next: 0, early: BTreeMap::new(), tickets }
    }

    fn next(&mut self) -> Option<Input> {
        match self {
            Self::Ranges(ranges) => ranges.recv().ok().map(|(_, range)| Input::Range(range)),
            Self::Derived { derived, next, early, tickets } => loop {
                if let Some(input) = early.remove(next) {
                    *next += 1;
                    // The splitter may have ended already.
                    let _ = tickets.try_send(());
                    return Some(input);
                }
                let (number, input) = derived.recv().ok()?;
                early.insert(number, input);
            },
        }
    }
}

/// The single writer's loop.
pub(super) struct Writer<'w> {
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
    pub(super) fn new(
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
    pub(super) fn run(mut self, job: &mut Job<'_>) -> Result<Option<Stop>, RunError> {
        let mut filler = Filler::new(self.pipeline.target, self.change.clone());
        let result = self.write_all(job, &mut filler);
        *self.change = filler.change;
        if let Ok(None) = result {
            self.prove(None, None);
            job.pace.wal.copy_now();
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
            let rows = match self.pipeline.target.delivery {
                Delivery::Native => rows.min(job.pace.tuning().records_per_transaction.max(1)),
                Delivery::Virtual | Delivery::Elide | Delivery::Derive => rows,
            };
            let Some(input) = self.gather(&mut waiting, rows) else {
                return Ok(None);
            };
            // Counted meanwhile: whoever asks how far we are reads it beside the checkpoint.
            filler.change.rows_total = self.shared.rows_total.load(Ordering::Relaxed);
            self.write(job, filler, input, rows, &mut waiting)?;
            self.drain(job, filler)?;
            self.limits(job, filler);
        }
    }

    /// The next batch: ranges are joined until they have about `rows` rows.
    fn gather(&mut self, waiting: &mut Option<Input>, rows: u64) -> Option<Input> {
        let mut joined = match waiting.take().or_else(|| self.inputs.next())? {
            Input::Range(range) => range,
            derived @ Input::Derived { .. } => return Some(derived),
        };
        while joined.rows < rows {
            match self.inputs.next() {
                Some(Input::Range(next)) if joined.rows + next.rows <= rows => joined.join(next),
                other => {
                    *waiting = other;
                    break;
                }
            }
        }
        Some(Input::Range(joined))
    }

    /// Writes the batch, or as much of it as one transaction may have: the rest waits.
    fn write(
        &mut self,
        job: &mut Job<'_>,
        filler: &mut Filler<'_>,
        input: Input,
        rows: u64,
        waiting: &mut Option<Input>,
    ) -> Result<(), RunError> {
        match input {
            Input::Derived { batch, whole } => {
                let (batch, rest) = if self.is_too_large(job, batch.rows.len() as u64, rows) {
                    batch.split_at(rows)
                } else {
                    (batch, None)
                };
                let done = filler.apply(&mut job.session, &batch)?;
                self.passed(job, filler, done, &batch.range);
                match rest {
                    Some(batch) => *waiting = Some(Input::Derived { batch, whole }),
                    None => self.done(whole, Some(batch.digest)),
                }
            }
            Input::Range(range) => {
                let (range, rest) = if self.is_too_large(job, range.rows, rows) {
                    range.cut(job.session.conn(), &self.pipeline.target.table, rows)?
                } else {
                    (range, None)
                };
                let done = filler.fill(&mut job.session, &range)?;
                self.passed(job, filler, done, &range);
                self.done(range, None);
                if let Some(rest) = rest {
                    *waiting = Some(Input::Range(rest));
                }
            }
        }
        Ok(())
    }

    /// True for more rows than a transaction may have; a little more than is polite may pass.
    fn is_too_large(&self, job: &Job<'_>, found: u64, rows: u64) -> bool {
        let limit = match self.pipeline.target.delivery {
            Delivery::Native => rows,
            Delivery::Virtual | Delivery::Elide | Delivery::Derive => {
                job.pace.tuning().batch_rows_max
            }
        };
        found > rows.saturating_mul(2) || found > limit
    }

    /// A transaction with the rows of `range` is committed.
    fn passed(
        &mut self,
        job: &mut Job<'_>,
        filler: &Filler<'_>,
        done: Committed<BatchCount>,
        range: &Range,
    ) {
        let rows = range.rows;
        if let Some(ship) = &job.ship {
            let schema = job.session.schema_version();
            ship.filled(&filler.change, Some(&range.through), schema, rows);
        }
        let bytes = done.value.written * self.pipeline.row_bytes();
        job.pace.after_batch(done, rows, bytes);
        job.pace.total(self.shared.rows_total.load(Ordering::Relaxed));
        job.pace.passed(rows);
    }

    /// All rows of an input are committed.
    fn done(&mut self, range: Range, digest: Option<Checked>) {
        self.batches += 1;
        self.prove(Some(range), digest);
    }

    /// Hands committed ranges to the provers: derived ones as they are, others joined; with
    /// neither, what is left.
    fn prove(&mut self, range: Option<Range>, digest: Option<Checked>) {
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
