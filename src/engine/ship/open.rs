//! Opening the chain of a run, checking everything about it before anything is written, and starting
//! the shipper.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;

use parking_lot::RwLock;
use rusqlite::Connection;

use super::board::Board;
use super::place::Place;
use super::shipper::Shipper;
use super::{STREAM, Ship};
use crate::delta::{ChainHeader, ChainWriter, Scope};
use crate::engine::export::{begin_stream, check_keys, nothing_to_ship, whole};
use crate::engine::job::Job;
use crate::engine::segments::Segments;
use crate::engine::{Destination, RunError, RunOptions, shapes};
use crate::layout::{Delivery, Target};
use crate::migration::Migration;
use crate::monitor::Monitor;
use crate::plan::{ResolvedChange, no_values};
use crate::state::{self, ChangeRow, MigrationRow, Phase, ShippedRow};

/// How much the shipper stands back where there are fewer cores than threads: of two cores it takes
/// what the writer and the prover leave, and does not slow them.
const NICE: i32 = 15;

/// An output that is ready, before anything is written to the database.
pub(in crate::engine) struct Opened {
    writer: ChainWriter,
    header: ChainHeader,
    place: String,
    /// Set where the shipper is to leave a stream that takes nothing.
    leave: Arc<AtomicBool>,
}

/// Opens the chain for a run, and checks everything about it. Only reads the database.
pub(in crate::engine) fn open(
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
    crate::engine::run::check_may_run(id, phase, row.is_some())?;
    let delivery = |index: usize, target: &Target| {
        let known = known.get(index).and_then(|change| Delivery::from_name(&change.delivery));
        known.unwrap_or(target.delivery)
    };
    let mut deliveries = Vec::new();
    let mut chain_shapes = Vec::new();
    for (index, change) in resolved.iter().enumerate() {
        let target = match change {
            ResolvedChange::Column(resolved) => &resolved.target,
            ResolvedChange::OrSet(set) => {
                deliveries.push(Delivery::Derive);
                chain_shapes.push(shapes::shape_of_set(&set.target, true));
                continue;
            }
            ResolvedChange::Index(_) => return Err(no_values(migration, index).into()),
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
    pub(in crate::engine) fn start<'s>(
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
pub(in crate::engine) struct Ready<'s> {
    pub ship: Arc<Ship>,
    segments: Segments<'s>,
    header: ChainHeader,
    walked: usize,
    ids: Vec<Option<i64>>,
    size: &'s RunOptions,
}

impl<'s> Ready<'s> {
    /// Begins to ship, on a thread of its own. `failed` is set where it fails.
    pub(in crate::engine) fn spawn<'scope>(
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
