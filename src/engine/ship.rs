//! `run --deltas`: what of a job concerns the chain of deltas that is written beside it. A shipper on
//! a thread of its own trails the fill; here is what is checked before anything is written, what the
//! job tells the shipper, and what it forgets once that is durable.
//!
//! The writer never waits for the shipper: the database is the queue between them.

mod board;
mod feed;
mod open;
mod place;
mod shipper;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use self::board::{Board, Work};
pub(super) use self::feed::{Closing, Feed};
pub(super) use self::open::{Opened, open};
use super::export::{ownership, set_ownership};
use super::job::Job;
use super::ready;
use super::subject::Subject;
use super::{RunError, RunReport, Stop, epoch};
use crate::db::Doing;
use crate::delta::DeltaError;
use crate::layout::{Delivery, reship_schema, reship_schema_drop};
use crate::monitor::Stage;
use crate::plan::ResolvedChange;
use crate::scan::{Bound, Ownership};
use crate::split::Position;
use crate::state::{self, ChangeRow, Phase, ShippedRow};
use crate::write::Reship;

/// How long the job idles between two looks at what the shipper has done, to hear signals and to
/// look after its lease.
const IDLE: Duration = Duration::from_micros(100);
/// Rounds of deriving what others note while rows are shipped.
const ROUNDS: u32 = 5;
/// How long one that follows, and is stopped, waits for its chain to be whole.
const LAST_WAIT: Duration = Duration::from_secs(10);
/// What a stream is called in the database.
const STREAM: &str = "-";

/// The job's hold on its shipper.
pub(super) struct Ship {
    board: Board,
    row: parking_lot::Mutex<ShippedRow>,
    /// By change: the id through which keys were shipped again; `None` where the chain has nothing of
    /// the change.
    begun: Vec<Option<i64>>,
    /// Changes from the first one on whose walk an earlier run has done.
    walked: usize,
    shipped: Vec<bool>,
    leave: Arc<AtomicBool>,
}

/// Ends the shipper when the job is over, however it ends.
pub(super) struct Ending(pub Arc<Ship>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.leave.store(true, Ordering::Relaxed);
        self.0.board.end();
    }
}

/// What the job tells while it fills.
impl Ship {
    /// Rows of a change are filled as far as `through`, `rows` more than before.
    pub(super) fn filled(
        &self,
        change: &ChangeRow,
        through: Option<&Position>,
        schema: i64,
        rows: u64,
    ) {
        let bound = through.map(|through| Bound::Through(through.clone()));
        self.board.filled(index(change), bound, schema, rows);
    }

    /// Where a fill of a change may give the rows that it proves.
    pub(super) fn feed(&self, change: &ChangeRow) -> Option<Arc<Feed>> {
        self.board.feed(index(change))
    }

    /// All rows of a change are filled.
    pub(super) fn is_filled(&self, change: &ChangeRow, schema: i64) {
        self.board.filled(index(change), Some(Bound::End), schema, 0);
    }

    /// Adds what the chain holds to a report.
    pub(super) fn report(&self, report: &mut RunReport) {
        let stats = self.board.stats();
        report.delta_rows = stats.rows.iter().sum();
        report.delta_bytes = stats.bytes;
        report.delta_digest = self
            .board
            .is_finished()
            .then(|| stats.digest.iter().map(|byte| format!("{byte:02x}")).collect());
    }
}

fn index(change: &ChangeRow) -> usize {
    usize::try_from(change.position).unwrap_or(usize::MAX)
}

/// True where positions in the table of a change survive a change of the schema.
fn is_stable(change: &ResolvedChange) -> bool {
    change.column().is_none_or(|change| change.target.table.scan.stable)
}

/// Before a change is prepared: where positions of the one before do not survive that, its walk is
/// waited for.
pub(super) fn before_change(job: &mut Job<'_>, change: usize) -> Result<Option<Stop>, RunError> {
    let Some(ship) = job.ship.clone() else { return Ok(None) };
    let unstable = |i: usize| ship.shipped[i] && !is_stable(&job.resolved[i]);
    if (0..change).any(unstable)
        && let Some(stop) = wait(job, &ship, |board| board.walked() >= change)?
    {
        return Ok(Some(stop));
    }
    forget(job, &ship)?;
    Ok(None)
}

/// A change is prepared: from now on its drains remember what is to be shipped again, and it is
/// walked as far as it is filled.
pub(super) fn begin_change(
    job: &mut Job<'_>,
    change: usize,
    ready: &ready::Ready,
    phase: Phase,
) -> Result<(), RunError> {
    let Some(ship) = job.ship.clone().filter(|ship| ship.shipped[change]) else { return Ok(()) };
    let subject = match ready {
        ready::Ready::Column(ready) => Subject::Column(Box::new(ready.target.clone())),
        ready::Ready::OrSet(ready) => Subject::OrSet(Box::new(ready.target.clone())),
        ready::Ready::Index(_) => return Ok(()),
    };
    let n = subject.n();
    let reship = Reship::new(n, subject.table());
    // Of a change that the chain has nothing of, every row is shipped anew.
    let anew = if change >= ship.walked { i64::MAX } else { 0 };
    let through = ship.begun[change].unwrap_or(anew);
    job.session.transact_again(|conn| {
        if !Reship::is_kept(conn, n)? {
            let what = "create the table of rows to ship again";
            conn.execute_batch(&reship_schema(n, subject.table())).doing(what)?;
        }
        Ok(reship.forget(conn, through)?)
    })?;
    job.session.accept_schema()?;
    let conn = job.session.conn();
    let ownership = match &subject {
        Subject::Column(target) => ownership(conn, target, phase, true)?,
        Subject::OrSet(target) => set_ownership(conn, target)?,
    };
    let subject = Arc::new(subject);
    ship.board.begin(change, Work { subject, ownership, bound: None, passed: 0, feed: None });
    Ok(())
}

/// Waits until the shipper is as far as `is_there` says.
fn wait(
    job: &mut Job<'_>,
    ship: &Ship,
    is_there: impl Fn(&Board) -> bool,
) -> Result<Option<Stop>, RunError> {
    let mut shown = ship.board.stats().rows.iter().sum::<u64>();
    while !is_there(&ship.board) {
        let rows = ship.board.stats().rows.iter().sum::<u64>();
        job.pace.passed(rows - std::mem::replace(&mut shown, rows));
        // A shipper that is gone has said why; it is heard when it is joined.
        if ship.board.is_gone() && !is_there(&ship.board) {
            return Ok(Some(Stop::Interrupted));
        }
        ship.board.pause();
        if job.pace.idle(&mut job.session, IDLE)? {
            return Ok(Some(Stop::Interrupted));
        }
    }
    Ok(None)
}

/// Forgets the keys that are durable in the chain.
pub(super) fn forget(job: &mut Job<'_>, ship: &Ship) -> Result<(), RunError> {
    let Some(durable) = ship.board.take_durable() else { return Ok(()) };
    let mut row = ship.row.lock().clone();
    (row.ordinal, row.digest) = (durable.ordinal, durable.digest.to_vec());
    row.walked = u32::try_from(durable.walked).unwrap_or(u32::MAX).max(row.walked);
    row.last_id = durable.ids.iter().flatten().copied().max().unwrap_or(0).max(row.last_id);
    let numbers = numbers(job)?;
    job.session.transact_again(|conn| {
        for (n, last) in numbers.iter().zip(&durable.ids) {
            if let Some(last) = last {
                let sql = format!("DELETE FROM _dotfill_reship_{n} WHERE id <= ?1");
                conn.execute(&sql, [last]).doing("forget rows that were shipped again")?;
            }
        }
        Ok(row.save(conn)?)
    })?;
    *ship.row.lock() = row;
    Ok(())
}

/// The numbers of the changes.
fn numbers(job: &Job<'_>) -> Result<Vec<i64>, RunError> {
    Ok(ChangeRow::of(job.session.conn(), job.id())?.iter().map(|change| change.n).collect())
}

/// Waits until every row that is filled was looked at.
pub(super) fn walk_rest(
    job: &mut Job<'_>,
    prepared: &[ready::Ready],
) -> Result<Option<Stop>, RunError> {
    let Some(ship) = job.ship.clone() else { return Ok(None) };
    let changes = prepared.iter().zip(&ship.shipped).filter(|(_, shipped)| **shipped);
    let total = changes.map(|(ready, _)| ready.change().rows_total).sum();
    job.pace.stage(Stage::Exporting, ship.board.stats().rows.iter().sum(), total);
    wait(job, &ship, |board| board.walked() >= prepared.len())
}

/// Ships everything that is left, deriving meanwhile what others note.
pub(super) fn ship_rest(
    job: &mut Job<'_>,
    prepared: &mut [ready::Ready],
) -> Result<Option<Stop>, RunError> {
    let Some(ship) = job.ship.clone() else { return Ok(None) };
    if let Some(stop) = walk_rest(job, prepared)? {
        return Ok(Some(stop));
    }
    for _ in 0..ROUNDS {
        let mut left = 0;
        for ready in prepared.iter_mut() {
            match ready.drain_all(job)? {
                Err(stop) => return Ok(Some(stop)),
                Ok(notes) => left += notes,
            }
        }
        if let Some(stop) = ship_again(job, &ship, prepared, Phase::Open)? {
            return Ok(Some(stop));
        }
        if left == 0 {
            break;
        }
    }
    Ok(None)
}

/// Ships what was derived again until now.
fn ship_again(
    job: &mut Job<'_>,
    ship: &Ship,
    prepared: &[ready::Ready],
    phase: Phase,
) -> Result<Option<Stop>, RunError> {
    let order = ship.board.want_again(&ownerships(job, prepared, phase)?);
    if let Some(stop) = wait(job, ship, |board| board.is_done_again(order))? {
        return Ok(Some(stop));
    }
    forget(job, ship)?;
    Ok(None)
}

/// How it is told whose the cells of each change are.
fn ownerships(
    job: &Job<'_>,
    prepared: &[ready::Ready],
    phase: Phase,
) -> Result<Vec<Option<Ownership>>, RunError> {
    let conn = job.session.conn();
    let of = |ready: &ready::Ready| match ready {
        ready::Ready::Column(ready) => match ready.target.delivery {
            Delivery::Derive => ownership(conn, &ready.target, phase, true).map(Some),
            Delivery::Virtual | Delivery::Elide | Delivery::Native => Ok(None),
        },
        ready::Ready::OrSet(ready) => set_ownership(conn, &ready.target).map(Some),
        ready::Ready::Index(_) => Ok(None),
    };
    prepared.iter().map(of).collect()
}

/// Ends the chain: what the closing of the migration derived last, then the manifest; the database
/// forgets the chain.
pub(super) fn finish(
    job: &mut Job<'_>,
    prepared: &[ready::Ready],
    phase: Phase,
) -> Result<Option<Stop>, RunError> {
    let Some(ship) = job.ship.clone() else { return Ok(None) };
    if phase == Phase::Closed
        && let Some(stop) = ship_again(job, &ship, prepared, phase)?
    {
        return Ok(Some(stop));
    }
    ship.board.want_manifest(facts(job, prepared, phase)?);
    if let Some(stop) = wait(job, &ship, Board::is_finished)? {
        return Ok(Some(stop));
    }
    let id = job.id().to_owned();
    let numbers = numbers(job)?;
    let place = ship.row.lock().place.clone();
    job.session.transact_again(|conn| {
        drop_chain(conn, &id, &numbers)?;
        Ok(state::event(conn, &id, "shipped", &format!("a whole chain into {place}"))?)
    })?;
    job.session.accept_schema()?;
    Ok(None)
}

/// What the manifest says of rows that the chain does not have.
fn facts(
    job: &Job<'_>,
    prepared: &[ready::Ready],
    phase: Phase,
) -> Result<Vec<(&'static str, String)>, RunError> {
    let mut pending = 0;
    if phase != Phase::Closed {
        for ready in prepared {
            pending += ready.notes(job.session.conn())?;
        }
    }
    let mut facts = vec![("rows_pending", pending.to_string())];
    facts.extend(epoch::fact(job.session.conn(), job.migration)?);
    Ok(facts)
}

/// Follows one step further: has shipped what was derived again since, and forgets what is durable.
pub(super) fn follow(
    job: &mut Job<'_>,
    prepared: &[ready::Ready],
    some: bool,
) -> Result<(), RunError> {
    let Some(ship) = job.ship.clone() else { return Ok(()) };
    if some {
        ship.board.want_again(&ownerships(job, prepared, Phase::Open)?);
    }
    forget(job, &ship)
}

/// A job that follows was stopped: its chain is made whole, where that takes a short while only. The
/// database goes on remembering, so that the next one continues the chain.
pub(super) fn end_followed(job: &mut Job<'_>, prepared: &[ready::Ready]) -> Result<(), RunError> {
    let Some(ship) = job.ship.clone() else { return Ok(()) };
    let began = Instant::now();
    let comes = |is_there: &dyn Fn(&Board) -> bool| {
        while !is_there(&ship.board) {
            if ship.board.is_gone() || began.elapsed() >= LAST_WAIT {
                return is_there(&ship.board);
            }
            ship.board.pause();
        }
        true
    };
    let changes = prepared.len();
    let order = ship.board.want_again(&ownerships(job, prepared, Phase::Open)?);
    let is_shipped = comes(&|board| board.walked() >= changes && board.is_done_again(order));
    if is_shipped {
        ship.board.want_manifest(facts(job, prepared, Phase::Open)?);
        comes(&Board::is_finished);
    }
    forget(job, &ship)
}

/// Forgets a chain, inside the caller's transaction: nothing is remembered for it any longer.
pub(super) fn drop_chain(
    conn: &Connection,
    migration: &str,
    numbers: &[i64],
) -> Result<(), crate::db::DbError> {
    for n in numbers {
        conn.execute_batch(&reship_schema_drop(*n)).doing("drop our tables")?;
    }
    ShippedRow::remove(conn, migration)
}

/// Forgets the chain of a stream, which nobody can continue.
pub(super) fn forget_stream(job: &mut Job<'_>) -> Result<(), RunError> {
    let id = job.id().to_owned();
    let row = ShippedRow::read(job.session.conn(), &id)?;
    if row.is_none_or(|row| row.place != STREAM) {
        return Ok(());
    }
    let numbers = numbers(job)?;
    job.session.transact_again(|conn| Ok(drop_chain(conn, &id, &numbers)?))?;
    Ok(job.session.accept_schema()?)
}

/// True for a shipper's end that the job itself has asked for.
pub(super) fn is_left(error: &RunError) -> bool {
    matches!(error, RunError::Delta(DeltaError::Stuck { .. }))
}
