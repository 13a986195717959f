//! `run --deltas`: what of a job concerns the chain of deltas that is written beside it. A shipper on
//! a thread of its own trails the fill; here is what is checked before anything is written, what the
//! job tells the shipper, and what it forgets once that is durable.
//!
//! The writer never waits for the shipper: the database is the queue between them.

mod board;
mod place;
mod shipper;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use rusqlite::Connection;

use self::board::{Board, Work};
use self::place::Place;
use self::shipper::Shipper;
use super::export::{begin_stream, check_keys, nothing_to_ship, ownership, whole};
use super::job::Job;
use super::ready;
use super::segments::Segments;
use super::{Destination, RunError, RunOptions, RunReport, Stop, shapes};
use crate::db::Doing;
use crate::delta::{ChainHeader, ChainWriter, DeltaError, Scope};
use crate::layout::{Delivery, Target, reship_schema, reship_schema_drop};
use crate::migration::{Change, Migration};
use crate::monitor::{Monitor, Stage};
use crate::plan::{PlanError, Resolved, ResolvedChange};
use crate::scan::{Bound, Ownership};
use crate::split::Position;
use crate::state::{self, ChangeRow, MigrationRow, Phase, ShippedRow};
use crate::write::{Prepared, Reship};

/// How long the job idles between two looks at what the shipper has done, to hear signals and to
/// look after its lease.
const IDLE: Duration = Duration::from_micros(100);
/// How much the shipper stands back where there are fewer cores than threads: of two cores it takes
/// what the writer and the prover leave, and does not slow them.
const NICE: i32 = 15;
/// Rounds of deriving what others note while rows are shipped.
const ROUNDS: u32 = 5;
/// How long one that follows, and is stopped, waits for its chain to be whole.
const LAST_WAIT: Duration = Duration::from_secs(10);
/// What a stream is called in the database.
const STREAM: &str = "-";

/// An output that is ready, before anything is written to the database.
pub(super) struct Opened {
    writer: ChainWriter,
    header: ChainHeader,
    place: String,
    /// Set where the shipper is to leave a stream that takes nothing.
    leave: Arc<AtomicBool>,
}

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

/// Opens the chain for a run, and checks everything about it. Only reads the database.
pub(super) fn open(
    conn: &Connection,
    migration: &Migration,
    resolved: &[ResolvedChange],
    destination: Destination,
) -> Result<Opened, RunError> {
    let id = migration.id.as_str();
    let exists = state::exists(conn)?;
    let known = if exists { ChangeRow::of(conn, id)? } else { Vec::new() };
    let row = if exists { ShippedRow::read(conn, id)? } else { None };
    let phase = if exists { MigrationRow::read(conn, id)?.map(|row| row.phase) } else { None };
    super::run::check_may_run(id, phase, row.is_some())?;
    let delivery = |index: usize, target: &Target| {
        let known = known.get(index).and_then(|change| Delivery::from_name(&change.delivery));
        known.unwrap_or(target.delivery)
    };
    let mut deliveries = Vec::new();
    let mut chain_shapes = Vec::new();
    for (index, change) in resolved.iter().enumerate() {
        let Some(Resolved { target, .. }) = change.column() else {
            return Err(no_values(migration, index).into());
        };
        let is_shipped = delivery(index, target) == Delivery::Derive;
        if is_shipped {
            check_keys(conn, migration, target)?;
        }
        deliveries.push(delivery(index, target));
        chain_shapes.push(shapes::shape(target, is_shipped));
    }
    if !chain_shapes.iter().any(shapes::is_shipped) {
        return Err(nothing_to_ship(migration, deliveries.into_iter()));
    }
    let header = ChainHeader::new(migration, rusqlite::version(), Scope::All, chain_shapes);
    let leave = Arc::new(AtomicBool::new(false));
    let (writer, place) = match destination {
        Destination::Stream(stream) => (begin_stream(stream, &header, &leave)?, STREAM.to_owned()),
        Destination::Folder(dir) => {
            let writer = ChainWriter::resume(&dir, &header)?;
            check_chain(migration, &header, &writer, row.as_ref(), &dir.display().to_string())?;
            let place = dir.canonicalize().unwrap_or(dir);
            (writer, place.display().to_string())
        }
    };
    if phase == Some(Phase::Closed) && writer.last_ordinal() == 0 {
        return Err(RunError::refused(
            id,
            "it is closed here, and only the folder that it was shipped into can be completed",
            "`dotfill export` writes a chain of a closed migration",
        ));
    }
    Ok(Opened { writer, header, place, leave })
}

/// Refuses a folder whose chain this database does not feed.
fn check_chain(
    migration: &Migration,
    header: &ChainHeader,
    writer: &ChainWriter,
    row: Option<&ShippedRow>,
    dir: &str,
) -> Result<(), RunError> {
    let refused = |problem: String, remedy: &str| {
        Err(RunError::refused(migration.id.as_str(), problem, remedy))
    };
    let is_ours = row.is_some_and(|row| {
        writer.digest_of(row.ordinal).is_some_and(|digest| digest[..] == row.digest[..])
    });
    if writer.last_ordinal() == 0 || is_ours {
        return Ok(());
    }
    if writer.ends_in_manifest() {
        return refused(whole(&dir), "ship into another folder, or apply this one");
    }
    let mut begun = (0..header.shapes.len()).filter_map(|change| writer.checkpoint(change));
    if begun.any(|checkpoint| Place::read(checkpoint).is_none()) {
        return refused(
            format!("{dir} holds a part of an export"),
            "`dotfill export` with that folder continues it; or ship into another folder",
        );
    }
    refused(
        format!("{dir} holds a part of a chain that this database does not feed"),
        "name the folder that was named before, or a new one: that gets all rows",
    )
}

impl Opened {
    /// Lets the job know of its chain, and starts the shipper.
    pub(super) fn start<'s>(
        self,
        job: &mut Job<'_>,
        size: &'s RunOptions,
        monitor: &'s dyn Monitor,
    ) -> Result<Ready<'s>, RunError> {
        let Self { writer, header, place, leave } = self;
        let id = job.id().to_owned();
        let before = ShippedRow::read(job.session.conn(), &id)?;
        let is_new = writer.last_ordinal() == 0;
        let begun: Vec<Option<i64>> = (0..header.shapes.len())
            .map(|change| match Place::read(writer.checkpoint(change)?)? {
                Place::After(last) => Some(last),
                Place::Walk(_) => Some(0),
            })
            .collect();
        let last_id = begun.iter().flatten().copied().max().unwrap_or(0);
        let (known_id, walked) =
            before.filter(|_| !is_new).map_or((0, 0), |row| (row.last_id, row.walked));
        let row = ShippedRow {
            migration: id,
            place,
            ordinal: writer.last_ordinal(),
            digest: writer.stats().digest.to_vec(),
            last_id: last_id.max(known_id),
            walked,
        };
        job.session.transact_again(|conn| Ok(row.save(conn)?))?;
        let shipped: Vec<bool> = header.shapes.iter().map(shapes::is_shipped).collect();
        let walked = usize::try_from(walked).unwrap_or(usize::MAX);
        let ship = Ship {
            board: Board::new(shipped.len(), writer.stats().clone()),
            row: parking_lot::Mutex::new(row),
            begun,
            walked,
            shipped,
            leave,
        };
        let ids = ship.begun.clone();
        let segments = Segments::new(writer, monitor, size.segments);
        Ok(Ready { ship: Arc::new(ship), segments, header, walked, ids, size })
    }
}

/// A shipper that can begin.
pub(super) struct Ready<'s> {
    pub ship: Arc<Ship>,
    segments: Segments<'s>,
    header: ChainHeader,
    walked: usize,
    ids: Vec<Option<i64>>,
    size: &'s RunOptions,
}

impl<'s> Ready<'s> {
    /// Begins to ship, on a thread of its own. `failed` is set where it fails.
    pub(super) fn spawn<'scope>(
        self,
        scope: &'scope std::thread::Scope<'scope, '_>,
        db: std::path::PathBuf,
        gate: Arc<RwLock<()>>,
        failed: Arc<AtomicBool>,
    ) -> ScopedJoinHandle<'scope, Result<(), RunError>>
    where
        's: 'scope,
    {
        let Self { ship, segments, header, walked, ids, size } = self;
        scope.spawn(move || {
            // Writer and prover come first: the chain takes what they leave. Where the system
            // refuses, only that is lost.
            if let Err(error) = rustix::process::setpriority_process(None, NICE) {
                tracing::debug!("the thread that writes deltas keeps its priority: {error}");
            }
            // Set by a panic too.
            let failing = Failing(&failed);
            let shipper = Shipper {
                db: &db,
                board: &ship.board,
                header: &header,
                segments,
                size: size.segments,
                gate: &gate,
                walked,
                ids,
            };
            let result = shipper.run();
            if result.is_ok() {
                std::mem::forget(failing);
            }
            result
        })
    }
}

struct Failing<'f>(&'f AtomicBool);

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
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

fn no_values(migration: &Migration, index: usize) -> PlanError {
    let (kind, remedy) = match migration.changes.get(index) {
        Some(Change::Index(_)) => (
            "index",
            "run without --deltas, or give the index a migration of its own: each replica \
             builds it for itself",
        ),
        _ => ("or_set", "run without --deltas: each replica derives the adds for itself"),
    };
    PlanError::refused(
        migration.at(index, "kind"),
        format!("kind = {kind:?} cannot be shipped by this version"),
        remedy,
    )
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
    let ready::Ready::Column(Prepared { target, .. }) = ready else { return Ok(()) };
    let id = job.id().to_owned();
    let reship = Reship::new(target, &id);
    // Of a change that the chain has nothing of, every row is shipped anew.
    let anew = if change >= ship.walked { i64::MAX } else { 0 };
    let through = ship.begun[change].unwrap_or(anew);
    job.session.transact_again(|conn| {
        if !Reship::is_kept(conn, target.n)? {
            let what = "create the table of rows to ship again";
            conn.execute_batch(&reship_schema(target)).doing(what)?;
        }
        Ok(reship.forget(conn, through)?)
    })?;
    job.session.accept_schema()?;
    let ownership = ownership(job.session.conn(), target, phase, true)?;
    let target = Arc::new(target.clone());
    ship.board.begin(change, Work { target, ownership, bound: None, passed: 0 });
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
        ready::Ready::OrSet(_) | ready::Ready::Index(_) => Ok(None),
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
    Ok(vec![("rows_pending", pending.to_string())])
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
