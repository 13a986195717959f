//! `apply`: a chain of delta segments, written into a replica that derives nothing, or lacks some
//! of what it derives. One thread decodes, one writes at the job's pace, one proves what was
//! written from the data.

mod again;
mod begin;
mod chain;
mod end;
mod feed;
mod follow;
mod implied;
mod ready;
mod report;
mod sets;
mod tally;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Sender, bounded};
use parking_lot::Mutex;

pub use self::report::{ApplyReport, UnlikeRange};

use self::again::AgainKeys;
use self::chain::{check_shapes, migration, open};
use self::feed::{Batch, Fed, Feed, Position};
use self::implied::Resolver;
use self::ready::Ready;
use self::tally::{Tally, Task, prove, prove_slice};
use super::job::{Applying, Job, Purpose};
use super::proof::reader;
use super::subject::Subject;
use super::wal::checkpointer;
use super::{RunError, RunOptions, Stop, fed, seed, shapes};
use crate::db::{Datum, Table};
use crate::delta::{ChainReader, Scope};
use crate::layout::crsqlite::CrTable;
use crate::layout::{Overwrite, Target};
use crate::monitor::{Monitor, Stage};
use crate::state::AppliedRow;
use crate::throttle::SystemClock;
use crate::write::{AppliedCount, Applier, Place, Prepared, Slice, WriteError, pending_rows};

/// Batches on their way to the prover.
const PROOF_QUEUE: usize = 4;
/// Rounds of writing again what a proof found missing.
const ROUNDS: u32 = 5;
/// Tries to write one batch while others change the schema, or note more than it settles.
const TRIES: u32 = 1000;
/// Remembered rows that one transaction looks at, at most.
const PENDING_ROWS: u64 = 2000;

/// Where deltas come from.
pub enum Deltas {
    /// A folder of segments.
    Folder(PathBuf),
    /// One stream of them.
    Stream(Box<dyn Read + Send>),
}

/// Applies a chain of delta segments to one replica.
///
/// # Errors
/// [`RunError`]. A folder that is damaged, or does not fit, is refused before anything is written.
/// What was committed stays, and the same call continues from there.
pub fn apply(
    db: &Path,
    deltas: Deltas,
    options: &RunOptions,
    monitor: &dyn Monitor,
) -> Result<ApplyReport, RunError> {
    let folder = match &deltas {
        Deltas::Folder(dir) => Some(dir.clone()),
        Deltas::Stream(_) => None,
    };
    let (chain, known) = open(deltas, &options.cancel)?;
    let header = chain.header().clone();
    let migration = migration(&header)?;
    let shipped: Vec<bool> = header.shapes.iter().map(shapes::is_shipped).collect();
    check_shapes(db, &migration, &header)?;
    let clock = SystemClock::new();
    let partial = header.scope == Scope::Some;
    let purpose = Purpose::Apply(Applying { shipped: &shipped, partial });
    let mut job = Job::begin_for(purpose, db, &migration, options, &clock, monitor)?;
    let result =
        Apply::begin(&mut job, &header, known.stats, folder.as_deref()).and_then(|mut apply| {
            if let Some(dir) = folder.as_deref().filter(|_| known.comes_again) {
                apply.again = AgainKeys::of_folder(dir, &apply.tables())?;
            }
            apply.run(chain)
        });
    let ended = match &result {
        // Somebody else has the lease now: nothing of it is ours to give back.
        Err(RunError::Write(WriteError::Replaced)) => Ok(()),
        _ => job.end(),
    };
    let mut report = result?;
    ended?;
    report.finish(&job)?;
    Ok(report)
}

/// What a replica is to the migration whose values it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replica {
    /// It derives nothing: its phase is `applying`, then `applied`.
    Fed,
    /// It derives, and stays open: only what it lacks is filled.
    Derives,
    /// It has derived, and stays closed: what differs is written where nobody else owns the cell.
    Closed,
}

/// One change.
struct Change {
    ready: Ready,
    /// What belongs to the table of the objects of a set where it is one of cr-sqlite.
    objects: Option<CrTable>,
    /// True where values of it are in the chain.
    is_shipped: bool,
    overwrite: Overwrite,
}

/// One apply, as it goes.
struct Apply<'r, 'a> {
    job: &'r mut Job<'a>,
    /// By change.
    changes: Vec<Change>,
    /// How far the chain is done; not kept of one that holds only some rows.
    reached: Option<AppliedRow>,
    replica: Replica,
    /// True while everything that is there was applied and found, up to a manifest.
    is_idle: bool,
    /// What `PRAGMA data_version` said when it was last looked whether objects have arrived.
    data_version: Option<i64>,
    /// True where an earlier call has applied and proven this chain, as far as it was then.
    was_proven: bool,
    /// The keys that came again, or will as far as is known: of a folder, those of the whole chain.
    again: AgainKeys,
    report: ApplyReport,
}

impl Apply<'_, '_> {
    fn run(mut self, chain: ChainReader) -> Result<ApplyReport, RunError> {
        for change in self.changes.iter_mut().filter(|change| change.is_shipped) {
            let Prepared { target, change } = match &mut change.ready {
                Ready::Column(ready) => ready,
                Ready::OrSet(ready) => {
                    sets::begin(self.job, &ready.target)?;
                    continue;
                }
            };
            fed::begin(self.job, target, change)?;
            if let Some(stop) = seed::seed(self.job, target, change)? {
                return Ok(self.report.stopped(&stop));
            }
            if self.replica != Replica::Derives
                && let Some(stop) = fed::settle(self.job, target, change)?
            {
                return Ok(self.report.stopped(&stop));
            }
        }
        let (total, done) = (self.report.rows_total.unwrap_or(0), 0);
        self.job.pace.stage(Stage::Applying, done, total);
        let (ended, mut tally) = self.feed(chain)?;
        self.mend(&mut tally)?;
        self.report.count(&tally);
        match ended {
            // One that follows is only ever stopped; what it has done is done.
            Ended::Stopped(stop) if self.is_followed_to_the_end(&tally) => {
                return Ok(self.complete()?.stopped(&stop));
            }
            Ended::Stopped(_) if self.job.options.follow && self.report.lacks_keys() => {
                return Ok(self.report.unlike());
            }
            Ended::Stopped(stop) => return Ok(self.report.stopped(&stop)),
            Ended::Whole | Ended::Unfinished => {}
        }
        if let Some(stop) = self.fill_pending()? {
            return Ok(self.report.stopped(&stop));
        }
        if let Some(stop) = self.derive_noted()? {
            return Ok(self.report.stopped(&stop));
        }
        if let Some(stop) = self.clear_orphans()? {
            return Ok(self.report.stopped(&stop));
        }
        if tally.proven() != self.report.rows {
            return Err(self.not_proven(&tally));
        }
        if self.report.lacks_keys() {
            return Ok(self.report.unlike());
        }
        match ended {
            Ended::Whole => self.complete(),
            Ended::Unfinished | Ended::Stopped(_) => Ok(self.report.unfinished()),
        }
    }

    /// Writes and proves the whole chain, as far as it goes.
    fn feed(&mut self, chain: ChainReader) -> Result<(Ended, Tally), RunError> {
        let db = self.job.db.clone();
        let gate = Arc::clone(&self.job.pace.gate);
        let targets: Vec<(Subject, Overwrite)> =
            self.changes.iter().map(|c| (c.ready.subject(), c.overwrite)).collect();
        let tables = targets.iter().map(|(subject, _)| subject.table());
        let resolver = Resolver::open(&db, tables, Arc::clone(&gate))?;
        let tally = Mutex::new(Tally::default());
        let kicked = self.job.pace.wal.kicked();
        let (end, ended) = bounded::<()>(0);
        let result = std::thread::scope(|scope| {
            let (send, tasks) = bounded::<Task>(PROOF_QUEUE);
            // No receiver stays on this thread: when the prover is gone, sending to it fails.
            let (db, targets, gate, tally) = (&db, &targets, &gate, &tally);
            let prover = scope.spawn(move || prove(db, targets, &tasks, gate, tally));
            let checkpoints = scope.spawn(|| checkpointer(db, &kicked, &ended));
            let reached = self.reached.as_ref().map(Position::of);
            let feed = Feed::start(chain, reached, resolver, self.job.options.follow);
            let written = self.write_all(feed, &send, tally);
            drop((send, end));
            let panicked = |_| RunError::Panicked { doing: "applying" };
            let results = [
                prover.join().map_err(panicked)?,
                checkpoints.join().map_err(panicked)?.map_err(RunError::from),
            ];
            let written = written?;
            results.into_iter().collect::<Result<Vec<()>, _>>()?;
            Ok::<_, RunError>(written)
        })?;
        Ok((result, tally.into_inner()))
    }

    fn write_all(
        &mut self,
        mut feed: Feed,
        proofs: &Sender<Task>,
        tally: &Mutex<Tally>,
    ) -> Result<Ended, RunError> {
        loop {
            let rows = match self.job.pace.before_batch(&mut self.job.session)? {
                Ok(rows) => rows,
                Err(stop) => return Ok(Ended::Stopped(stop)),
            };
            match feed.next(rows)? {
                Fed::Batch(batch) => {
                    self.resume_after_idle()?;
                    self.report.fed(&batch);
                    self.comes_again(&batch)?;
                    if batch.is_done {
                        self.passed(&batch)?;
                    } else {
                        self.write(&batch)?;
                    }
                    self.job.pace.passed(batch.rows);
                    // A prover that is gone has said why; it is heard when it is joined.
                    if proofs.send((batch.change, batch.slices)).is_err() {
                        return Ok(Ended::Unfinished);
                    }
                }
                Fed::Unlike(unlike) => self.unlike(&unlike)?,
                Fed::Waiting => {
                    self.job.pace.idle(&mut self.job.session, Duration::from_millis(1))?;
                }
                Fed::Idle(end) => {
                    self.report.end(end);
                    let proven = tally.lock().proven() == self.report.rows;
                    if let Some(stop) =
                        self.follow(end.whole && proven && !self.report.lacks_keys())?
                    {
                        return Ok(Ended::Stopped(stop));
                    }
                }
                Fed::End(end) => {
                    self.report.end(end);
                    return Ok(if end.whole { Ended::Whole } else { Ended::Unfinished });
                }
            }
            self.stage_is_done();
            let unproven = std::mem::take(&mut tally.lock().unproven);
            for (change, slice) in unproven {
                let mut superseded = 0;
                let slice = self.rewrite(change, slice, &mut superseded)?;
                tally.lock().superseded += superseded;
                if proofs.send((change, vec![slice])).is_err() {
                    return Ok(Ended::Unfinished);
                }
            }
        }
    }

    /// Ends the job where the part of the rows that was asked for is done.
    #[expect(clippy::cast_precision_loss, reason = "a percentage")]
    fn stage_is_done(&mut self) {
        let (Some(percent), Some(total)) =
            (self.job.pace.tuning().stage_percent, self.report.rows_total)
        else {
            return;
        };
        if 100.0 * self.report.rows as f64 / total.max(1) as f64 >= percent {
            self.job.pace.stop(Stop::Stage(format!("--stage {percent} % of the rows are done")));
        }
    }

    /// Counts a batch that an earlier call has written.
    fn passed(&mut self, batch: &Batch) -> Result<(), RunError> {
        if let Some(shipped) = self.changes.get_mut(batch.change)
            && self.replica == Replica::Fed
        {
            shipped.ready.change_mut().counters.rows_passed += batch.rows;
        }
        // No transaction of ours shows others that we live.
        self.job.pace.idle(&mut self.job.session, Duration::from_millis(1))?;
        Ok(())
    }

    /// Writes a batch, with the position that it reaches.
    fn write(&mut self, batch: &Batch) -> Result<(), RunError> {
        let reached = self.reached.as_ref().map(|before| batch.reached.row(before));
        let passed = if self.replica == Replica::Fed { batch.rows } else { 0 };
        let count = match self.only_last(batch)? {
            Some(slices) => self.write_slices(batch.change, &slices, reached.as_ref(), passed)?,
            None => self.write_slices(batch.change, &batch.slices, reached.as_ref(), passed)?,
        };
        self.report.wrote(&count);
        self.reached = reached;
        Ok(())
    }

    /// The last value of each row, where one that is overwritten later would stay: what is there is
    /// not overwritten in a replica that derives.
    fn only_last(&self, batch: &Batch) -> Result<Option<Vec<Slice>>, RunError> {
        if self.replica != Replica::Derives || self.again.is_empty(batch.change) {
            return Ok(None);
        }
        let last = |slice: &Slice| self.again.last_of(batch.change, slice.clone());
        Ok(Some(batch.slices.iter().map(last).collect::<Result<_, _>>()?))
    }

    /// Remembers the keys of a batch that come again.
    fn comes_again(&mut self, batch: &Batch) -> Result<(), RunError> {
        let Some(shipped) = self.changes.get(batch.change).filter(|_| batch.is_again) else {
            return Ok(());
        };
        for slice in &batch.slices {
            self.again.add(batch.change, shipped.ready.table(), slice)?;
        }
        Ok(())
    }

    fn tables(&self) -> Vec<Table> {
        self.changes.iter().map(|change| change.ready.table().clone()).collect()
    }

    /// Writes rows again that a proof found missing, but for those whose key came again meanwhile;
    /// returns them for another proof.
    fn rewrite(
        &mut self,
        change: usize,
        slice: Slice,
        superseded: &mut u64,
    ) -> Result<Slice, RunError> {
        let rows = slice.range.len();
        let slice = self.again.last_of(change, slice)?;
        *superseded += (rows - slice.range.len()) as u64;
        let most = usize::try_from(PENDING_ROWS).unwrap_or(usize::MAX);
        for start in slice.range.clone().step_by(most) {
            let range = start..(start + most).min(slice.range.end);
            let part = Slice { range, ..slice.clone() };
            let count = self.write_slices(change, &[part], None, 0)?;
            self.report.wrote(&count);
        }
        Ok(slice)
    }

    fn write_slices(
        &mut self,
        change: usize,
        slices: &[Slice],
        reached: Option<&AppliedRow>,
        passed: u64,
    ) -> Result<AppliedCount, RunError> {
        let (shipped, change) = match self.changes.get_mut(change) {
            None => return Ok(AppliedCount::default()),
            Some(Change { ready: Ready::OrSet(_), .. }) => {
                return self.write_sets(change, slices, reached, passed);
            }
            Some(Change { ready: Ready::Column(ready), overwrite, .. }) => (*overwrite, ready),
        };
        let Prepared { target, change } = change;
        let applier = Applier::new(target, self.job.migration.id.as_str(), shipped);
        let rows: u64 = slices.iter().map(|slice| slice.range.len() as u64).sum();
        for _ in 0..TRIES {
            match applier.write(&mut self.job.session, slices, change, reached, passed) {
                Ok(done) => {
                    let bytes = done.value.written * row_bytes(target);
                    let count = self.job.pace.after_batch(done, rows, bytes);
                    if !count.again {
                        return Ok(count);
                    }
                }
                Err(WriteError::SchemaChanged) => {
                    self.job.look_again(target)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(RunError::refused(
            self.job.id(),
            "others note changed rows faster than they can be settled",
            "repeat the command at a quieter time: it continues where it stopped",
        ))
    }

    /// Writes again what the proofs found missing, and proves it, until nothing is.
    fn mend(&mut self, tally: &mut Tally) -> Result<(), RunError> {
        let conn = reader(&self.job.db)?;
        for _ in 0..ROUNDS {
            for (change, slice) in std::mem::take(&mut tally.unproven) {
                let slice = self.rewrite(change, slice, &mut tally.superseded)?;
                let Some(shipped) = self.changes.get(change) else { continue };
                let proof =
                    prove_slice(&conn, &shipped.ready.subject(), shipped.overwrite, &slice)?;
                tally.add(change, &slice, &proof);
            }
            if tally.unproven.is_empty() {
                return Ok(());
            }
        }
        Err(self.not_proven(tally))
    }

    fn not_proven(&self, tally: &Tally) -> RunError {
        let first = tally.unproven.first();
        let table = first.and_then(|(change, _)| self.changes.get(*change));
        RunError::NotProven {
            table: table.map_or_else(String::new, |c| c.ready.table().name.clone()),
            rows: tally.unproven.iter().map(|(_, slice)| slice.range.len() as u64).sum(),
            example: first.map_or_else(String::new, |(_, slice)| {
                let key: Vec<String> =
                    slice.rows.key(0).map(|v| Datum::from(v).to_string()).collect();
                key.join(", ")
            }),
            rounds: ROUNDS,
        }
    }

    /// Writes remembered values whose row has arrived since.
    fn fill_pending(&mut self) -> Result<Option<Stop>, RunError> {
        let mut pending = 0;
        for index in 0..self.changes.len() {
            if !self.changes[index].is_shipped {
                continue;
            }
            let conn = reader(&self.job.db)?;
            let waiting = self.waiting(index);
            let mut after: Option<Vec<Datum>> = None;
            loop {
                if let Err(stop) = self.job.pace.before_batch(&mut self.job.session)? {
                    return Ok(Some(stop));
                }
                let rows = waiting.after(&conn, after.as_deref(), PENDING_ROWS)?;
                if rows.is_empty() {
                    break;
                }
                after = Some(rows.key(rows.len() - 1).map(Into::into).collect());
                let place = Place::new(0, 0);
                let slice = Slice { range: 0..rows.len(), rows: Arc::new(rows), place };
                let count = self.write_slices(index, &[slice], None, 0)?;
                self.report.wrote(&count);
                self.report.rows_deleted += count.deleted;
            }
            pending += pending_rows(&conn, self.changes[index].ready.change().n)?;
        }
        self.report.rows_pending = pending;
        Ok(None)
    }
}

/// How the chain ended.
enum Ended {
    Whole,
    Unfinished,
    Stopped(Stop),
}

/// What writing one cell weighs, for --bytes-per-second: the record is rewritten.
fn row_bytes(target: &Target) -> u64 {
    64 + 16 * target.table.columns.len() as u64
}
