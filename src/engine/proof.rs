//! Proving a whole table with several threads, and deriving again what a proof finds missing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, bounded};
use parking_lot::{Mutex, RwLock};

use super::job::Job;
use super::ship::Feed;
use super::watch::Watch;
use super::{RunError, SetReport, Stop};
use crate::db::{self, Access, DbError, Doing, Table, is_row_error};
use crate::layout::crsqlite;
use crate::layout::{FillSql, Target};
use crate::monitor::{Quiet, Stage};
use crate::split::{Range, Splitter};
use crate::state::ChangeRow;
use crate::verify::{Checked, LeafSet, ProofError, Prover, RangeProof, RowFacts};
use crate::write::{Drainer, Session, Then, WriteError};

/// Rows of one range to prove.
pub(super) const RANGE_ROWS: u64 = 8192;
/// Ranges on their way to the provers.
const QUEUE: usize = 64;
/// How often the job hears the operator while a table is proven, and for how long.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOOK: Duration = Duration::from_millis(1);
/// Rounds of deriving what a proof found missing.
pub(super) const ROUNDS: u32 = 5;

/// A range to prove, with what readers derived for it.
pub(super) type Task = (Range, Option<Checked>);

/// What the provers have found together.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The sum over all ranges.
    pub proof: RangeProof,
    /// The ranges in which something was missing.
    pub missed: Vec<Range>,
    /// More, of a set.
    pub set: Option<SetReport>,
}

/// The facts of rows that a proof collects, for a digest tree.
pub(super) struct Detail<'d> {
    /// Leaves of the tree.
    pub leaves: usize,
    /// Leaves whose rows' keys are kept.
    pub wanted: Option<&'d LeafSet>,
    /// Takes the facts of a range; called by any of the provers.
    pub sink: &'d (dyn Fn(&Range, &[RowFacts]) + Sync),
}

/// A connection for reading, on which the schema's functions are known.
pub(super) fn reader(db: &Path) -> Result<rusqlite::Connection, DbError> {
    let conn = db::open(db, Access::Read)?;
    crsqlite::register(&conn)?;
    Ok(conn)
}

/// What provers of one table have in common.
#[derive(Clone, Copy)]
pub(super) struct Provers<'p> {
    pub db: &'p Path,
    pub target: &'p Target,
    /// Held by each while it holds a snapshot.
    pub gate: &'p RwLock<()>,
    pub findings: &'p Mutex<Findings>,
    /// Gets the rows' facts.
    pub detail: Option<&'p Detail<'p>>,
    /// Hears of it.
    pub watch: Option<&'p Watch<'p>>,
    /// Gets the rows to ship.
    pub feed: Option<&'p Feed>,
}

impl Provers<'_> {
    /// Proves ranges until the channel ends. Any number of threads may do this at once.
    pub(super) fn prove(&self, tasks: &Receiver<Task>) -> Result<(), ProofError> {
        let mut conn = reader(self.db)?;
        if let Some(watch) = self.watch {
            watch.guard(&mut conn)?;
        }
        let mut prover = Prover::new(&conn, self.target);
        if let Some(detail) = self.detail {
            prover = prover.with_facts(detail.leaves, detail.wanted);
        }
        for (range, expected) in tasks {
            prover.keep_rows(self.feed.is_some_and(Feed::is_wanted));
            let proof = {
                let _reading = self.gate.read();
                prover.prove(&range, expected)?
            };
            if let Some(feed) = self.feed {
                feed.offer(prover.take_rows());
            }
            if let Some(detail) = self.detail {
                (detail.sink)(&range, prover.facts());
            }
            if let Some(watch) = self.watch {
                watch.passed(proof.digest.rows);
            }
            let mut findings = self.findings.lock();
            if proof.unproven > 0 {
                findings.missed.push(range);
            }
            findings.proof.add(proof);
        }
        Ok(())
    }
}

/// Takes the ranges that are to be proven, in order; false where nobody wants more.
pub(super) type Send<'s> = &'s mut dyn FnMut(Range) -> bool;

/// Sends the ranges of a whole table; ends early when the provers are gone.
pub(super) fn split_all(
    db: &Path,
    table: &Table,
    gate: &RwLock<()>,
    send: Send<'_>,
) -> Result<(), DbError> {
    let conn = reader(db)?;
    let mut splitter = Splitter::new(&conn, table, RANGE_ROWS, None);
    loop {
        let range = {
            let _reading = gate.read();
            splitter.next_range()?
        };
        let Some(range) = range else { return Ok(()) };
        if !send(range) {
            return Ok(());
        }
    }
}

/// Proves every row of a table, with as many threads as the job may use; again where its rows may
/// have been renumbered meanwhile. Ends early where the operator says so.
pub(super) fn prove_table(
    job: &mut Job<'_>,
    target: &Target,
) -> Result<Result<Findings, Stop>, RunError> {
    for _ in 0..ROUNDS {
        let Some(findings) = prove_once(job, target)? else { return Ok(Err(Stop::Interrupted)) };
        if target.table.scan.stable || !job.session.schema_changed()? {
            return Ok(Ok(findings));
        }
        job.look_again(target)?;
    }
    Err(WriteError::SchemaChanged.into())
}

/// `None` where the job is to end. Meanwhile it looks after its lease.
fn prove_once(job: &mut Job<'_>, target: &Target) -> Result<Option<Findings>, RunError> {
    let total = ChangeRow::of(job.session.conn(), job.id())?
        .iter()
        .find(|c| c.n == target.n)
        .map_or(0, |c| c.rows_total);
    job.pace.stage(Stage::Proving, 0, total);
    let gate = Arc::clone(&job.pace.gate);
    let (db, threads) = (job.db.clone(), job.threads());
    prove_heard(job, |watch| {
        let cut = |send: Send<'_>| split_all(&db, &target.table, &gate, send);
        prove_all(&db, target, threads, &gate, &cut, None, Some(watch))
    })
}

/// Has `prove` work on another thread; `None` where the job is to end, which it hears of. Meanwhile
/// the job looks after its lease.
pub(super) fn prove_heard<T: std::marker::Send>(
    job: &mut Job<'_>,
    prove: impl FnOnce(&Watch<'_>) -> Result<T, RunError> + std::marker::Send,
) -> Result<Option<T>, RunError> {
    if job.pace.asked_to_stop().is_some() {
        return Ok(None);
    }
    let leave = Arc::new(AtomicBool::new(false));
    let watch = Watch::new(Stage::Proving, "proving", &leave, &Quiet);
    let (end, ended) = bounded::<()>(0);
    std::thread::scope(|scope| {
        let watch = &watch;
        let proving = scope.spawn(move || {
            let _end = end;
            prove(watch)
        });
        let heard = hear(job, watch, &ended);
        leave.store(!matches!(heard, Ok(false)), Ordering::Relaxed);
        let proven = proving.join().map_err(|_| RunError::Panicked { doing: "proving" })?;
        Ok(if heard? { None } else { Some(proven?) })
    })
}

/// Waits until the other end is gone, or the job is to end: then true.
fn hear(job: &mut Job<'_>, watch: &Watch<'_>, ended: &Receiver<()>) -> Result<bool, RunError> {
    let mut shown = 0;
    loop {
        let is_over = ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Disconnected);
        let rows = watch.rows();
        job.pace.passed(rows - std::mem::replace(&mut shown, rows));
        if is_over {
            return Ok(false);
        }
        if job.pace.idle(&mut job.session, LOOK)? {
            return Ok(true);
        }
    }
}

/// Proves the ranges of a table that `cut` sends with `threads` readers, each of which holds `gate`
/// while it holds a snapshot, and hands the rows' facts to `detail`, where there is one. `watch`
/// hears of it.
pub(super) fn prove_all(
    db: &Path,
    target: &Target,
    threads: usize,
    gate: &RwLock<()>,
    cut: &(dyn Fn(Send<'_>) -> Result<(), DbError> + Sync),
    detail: Option<&Detail<'_>>,
    watch: Option<&Watch<'_>>,
) -> Result<Findings, RunError> {
    let findings = Mutex::new(Findings::default());
    let provers = Provers { db, target, gate, findings: &findings, detail, watch, feed: None };
    let (send, tasks) = bounded::<Task>(QUEUE);
    std::thread::scope(|scope| {
        let splitter = scope.spawn(move || cut(&mut |range| send.send((range, None)).is_ok()));
        let proving: Vec<_> = (0..threads)
            .map(|_| {
                let tasks = tasks.clone();
                scope.spawn(move || provers.prove(&tasks))
            })
            .collect();
        drop(tasks);
        let panicked = |_| RunError::Panicked { doing: "proving" };
        for prover in proving {
            prover.join().map_err(panicked)??;
        }
        splitter.join().map_err(panicked)??;
        Ok::<_, RunError>(())
    })?;
    Ok(findings.into_inner())
}

/// Derives the rows that a proof found missing, and proves their ranges again, until nothing is
/// missing. Returns the proof as it is then. With `on_error = "skip"`, rows whose value the table
/// refuses are skipped ones.
pub(super) fn mend(
    job: &mut Job<'_>,
    target: &Target,
    change: &mut ChangeRow,
    mut findings: Findings,
) -> Result<Result<RangeProof, Stop>, RunError> {
    for _ in 0..ROUNDS {
        if findings.missed.is_empty() {
            return Ok(Ok(findings.proof));
        }
        if !target.delivery.writes_cells() {
            break;
        }
        for range in std::mem::take(&mut findings.missed) {
            match note(&mut job.session, target, &range) {
                // The ranges may hold other rows now: the next round finds what is missing.
                Err(RunError::Write(WriteError::SchemaChanged)) => {
                    job.look_again(target)?;
                    break;
                }
                other => other?,
            }
        }
        let before = change.counters;
        if let Err(stop) = super::drain::drain_all(job, target, change)? {
            return Ok(Err(stop));
        }
        let refused = change.counters.rows_skipped - before.rows_skipped;
        // They were counted when they were first tried.
        change.counters.rows_skipped = before.rows_skipped;
        findings = match prove_table(job, target)? {
            Ok(findings) => findings,
            Err(stop) => return Ok(Err(stop)),
        };
        let idle = change.counters.rows_written == before.rows_written;
        if target.skip_errors && idle && findings.proof.unproven <= refused {
            findings.proof.skipped += std::mem::take(&mut findings.proof.unproven);
            return Ok(Ok(findings.proof));
        }
    }
    if findings.missed.is_empty() {
        return Ok(Ok(findings.proof));
    }
    Err(RunError::NotProven {
        table: target.table.name.clone(),
        rows: findings.proof.unproven,
        example: findings.proof.examples.first().map(ToString::to_string).unwrap_or_default(),
        rounds: ROUNDS,
    })
}

fn note(session: &mut Session<'_>, target: &Target, range: &Range) -> Result<(), RunError> {
    let sql = FillSql::new(target);
    session.transact(|conn| {
        let insert = |sql: &str| {
            conn.prepare_cached(sql)
                .and_then(|mut s| s.execute(rusqlite::params_from_iter(range.parameters())))
        };
        match insert(&sql.note_unproven(range.bounded())) {
            // Some row's expression fails: the drain tells which.
            Err(error) if is_row_error(&error) => insert(&sql.note_unclaimed(range.bounded())),
            other => other,
        }
        .doing("note rows that the proof found missing")
        .map_err(WriteError::from)
    })?;
    Ok(())
}

/// A drainer that derives.
pub(super) fn drainer<'t>(migration: &str, target: &'t Target) -> Drainer<'t> {
    Drainer::new(target, migration, Then::Derive)
}
