//! `export`: the cells of a proven migration that are ours, as a chain of delta segments. Readers
//! encode in parallel over ranges of keys; one thread writes in order. The database is only read.

mod checkpoint;
mod implied;
mod only;
mod pool;
mod source;

pub(super) use self::pool::passing_reader;
pub(super) use self::source::{check_keys, nothing_to_ship, ownership, set_ownership};

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use serde::Serialize;

use self::checkpoint::{Checkpoint, LeftOut};
use self::implied::{Piece, Region};
use self::only::Only;
use self::pool::{Encoded, LastTurn, Leaving, Reading, Turns, split};
use self::source::{Source, check_phase, sources};
use super::proof::reader;
use super::segments::{SegmentSize, Segments};
use super::subject::Subject;
use super::{Outcome, RunError, epoch};
use crate::delta::{ChainHeader, ChainWriter, NullSink, PatientSink, SameSink, Scope, StreamSink};
use crate::migration::Migration;
use crate::monitor::{Monitor, Progress, Stage};
use crate::scan::Ownership;
use crate::split::Position;
use crate::state::MigrationRow;
use crate::verify::KeysReport;

/// Ranges that readers may be ahead of the writer, for each of them.
const WINDOW: usize = 4;
/// How often the writer looks for a signal, and for readers that are gone.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often progress is shown at most.
const SHOW: Duration = Duration::from_millis(100);

/// How an export is to be done.
#[derive(Clone, Debug, Default)]
pub struct ExportOptions {
    /// Readers; 0 is one per core.
    pub threads: usize,
    /// Only the rows that this file names, one JSON object a line, as `verify --diff` writes them.
    pub only: Option<PathBuf>,
    /// What `dotfill digest --keys` said on the replica that the deltas are for: keys that it has are
    /// not shipped.
    pub keys_of: Option<KeysReport>,
    /// Set from a signal handler: the export ends after its segment, resumable in a folder.
    pub cancel: Arc<AtomicBool>,
}

/// Where an export goes.
pub enum Destination {
    /// A folder of segments: a new one, or one with a part of the same chain, which is continued; or
    /// with that whole chain, which is compared.
    Folder(PathBuf),
    /// One stream.
    Stream(Box<dyn Write + Send>),
}

/// What an export did, as in `export --json`.
#[derive(Clone, Debug, Serialize)]
pub struct ExportReport {
    /// The migration.
    pub migration: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ended early, where it did.
    pub reason: Option<String>,
    /// Rows in the chain.
    pub rows: u64,
    /// Of these, rows whose keys the receiver must have. Of this call.
    pub rows_implied: u64,
    /// Rows that are noted and wait to be derived again: left out of the chain.
    pub rows_pending: u64,
    /// Rows whose cell is, or may be, a user's: left out, they travel by themselves.
    pub rows_user: u64,
    /// Rows that `only` names and that are not here. Of this call.
    pub rows_missing: u64,
    /// Segments in the chain.
    pub segments: u64,
    /// Bytes of the chain.
    pub delta_bytes: u64,
    /// Bytes of the chain per row.
    pub bytes_per_row: f64,
    /// The digest that names the chain, where it is whole.
    pub digest: Option<String>,
    /// Seconds in all.
    pub seconds: f64,
}

/// Exports a migration that is proven here.
///
/// # Errors
/// [`RunError::Refused`] where there is nothing to export, or the folder holds something else;
/// else when rows cannot be read or segments not be written. What was written is sound, and the
/// same call continues a folder.
pub fn export(
    db: &Path,
    migration: &Migration,
    destination: Destination,
    options: &ExportOptions,
    monitor: &dyn Monitor,
) -> Result<ExportReport, RunError> {
    let began = Instant::now();
    let mut conn = reader(db)?;
    let phase = check_phase(&conn, db, migration)?;
    let sources = sources(&mut conn, migration, phase)?;
    let only = match &options.only {
        Some(path) => Some(Only::open(path, migration.id.as_str(), &sources)?),
        None => None,
    };
    let regions = match &options.keys_of {
        Some(keys) => implied::regions(db, migration, &sources, keys, options, monitor)?,
        None => Vec::new(),
    };
    let shapes = sources.iter().map(Source::shape).collect();
    let scope = if only.is_some() { Scope::Some } else { Scope::All };
    let header = ChainHeader::new(migration, rusqlite::version(), scope, shapes);
    let (writer, whole) = match open(destination, &header, migration, &options.cancel)? {
        Opened::Writer(writer) => (writer, None),
        Opened::Whole(whole) => (whole.again(&header)?, Some(whole)),
    };
    let mut export = Export {
        db,
        header: &header,
        threads: super::job::threads(options.threads),
        cancel: &options.cancel,
        monitor,
        segments: Segments::new(writer, monitor, SegmentSize::default()),
        through: None,
        regions,
        implied: 0,
        epoch: epoch::fact(&conn, migration)?,
        user: 0,
        noted: 0,
        missing: 0,
        before: LeftOut::default(),
        progress: Progress { phase: Stage::Exporting, ..Progress::default() },
        shown: Instant::now(),
    };
    let done = match &only {
        Some(only) => export.only(&sources, only),
        None => export.all(&sources),
    };
    // Where somebody closed the migration meanwhile, its marks are gone.
    if let Err(RunError::Db(_)) = &done {
        let now = MigrationRow::read(&conn, migration.id.as_str())?.map(|row| row.phase);
        if now != Some(phase) {
            return Err(RunError::refused(
                migration.id.as_str(),
                "its phase changed while it was exported",
                "repeat the command: it continues",
            ));
        }
    }
    let result = done.and_then(|complete| export.report(migration, !complete, began));
    match whole {
        None => result,
        Some(whole) => whole.judge(migration, result),
    }
}

/// Where an export goes, once that is looked at.
enum Opened {
    /// A chain that is begun or continued.
    Writer(ChainWriter),
    /// A folder with a whole one.
    Whole(Whole),
}

/// A folder that holds a whole chain: an export that was killed after its last file and is repeated
/// is done if it would write that very chain, byte for byte; else it does not belong here.
struct Whole {
    dir: PathBuf,
    /// Keeps others from writing.
    writer: ChainWriter,
    differs: Arc<AtomicBool>,
}

impl Whole {
    /// A writer that compares.
    fn again(&self, header: &ChainHeader) -> Result<ChainWriter, RunError> {
        let sink = SameSink::new(self.dir.clone(), Arc::clone(&self.differs));
        match ChainWriter::create(Box::new(sink), header) {
            // Another header: that is told when the chain is judged.
            Err(_) if self.differs.load(Ordering::Relaxed) => {
                Ok(ChainWriter::create(Box::new(NullSink), header)?)
            }
            other => Ok(other?),
        }
    }

    fn judge(
        self,
        migration: &Migration,
        result: Result<ExportReport, RunError>,
    ) -> Result<ExportReport, RunError> {
        let digest = hex(&self.writer.stats().digest);
        let is_another = match &result {
            Ok(report) => report.digest.as_ref().is_some_and(|now| *now != digest),
            Err(_) => false,
        };
        if is_another || self.differs.load(Ordering::Relaxed) {
            return Err(RunError::refused(
                migration.id.as_str(),
                format!("{}, not the one that this would write now", whole(&self.dir.display())),
                "export into another folder, or apply this one",
            ));
        }
        result
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn open(
    destination: Destination,
    header: &ChainHeader,
    migration: &Migration,
    cancel: &Arc<AtomicBool>,
) -> Result<Opened, RunError> {
    let refused = |problem: String, remedy: &str| {
        Err(RunError::refused(migration.id.as_str(), problem, remedy))
    };
    let dir = match destination {
        Destination::Stream(stream) => {
            return begin_stream(stream, header, cancel).map(Opened::Writer);
        }
        Destination::Folder(dir) => dir,
    };
    let writer = ChainWriter::resume(&dir, header)?;
    if writer.ends_in_manifest() {
        let differs = Arc::new(AtomicBool::new(false));
        return Ok(Opened::Whole(Whole { dir, writer, differs }));
    }
    let dir = dir.display();
    let mut begun = (0..header.shapes.len()).filter_map(|change| writer.checkpoint(change));
    if begun.clone().any(|checkpoint| Checkpoint::parse(checkpoint).is_none()) {
        return refused(
            format!("{dir} holds a part of the deltas of a run"),
            "`dotfill run --deltas` with that folder continues them; or export into another folder",
        );
    }
    if header.scope == Scope::Some && begun.next().is_some() {
        return refused(
            format!("{dir} holds a part of an earlier export of some rows"),
            "remove it, or export into another folder",
        );
    }
    Ok(Opened::Writer(writer))
}

/// What a folder that needs nothing more holds.
pub(super) fn whole(dir: &impl std::fmt::Display) -> String {
    format!("{dir} holds a whole chain of it already")
}

/// A new chain in a stream, which is left where it takes nothing after `cancel` was set.
pub(super) fn begin_stream(
    stream: Box<dyn Write + Send>,
    header: &ChainHeader,
    cancel: &Arc<AtomicBool>,
) -> Result<ChainWriter, RunError> {
    let sink = Box::new(StreamSink::new("standard output", stream));
    let sink = PatientSink::new(sink, Arc::clone(cancel));
    Ok(ChainWriter::create(Box::new(sink), header)?)
}

/// One export, as it goes.
struct Export<'e> {
    db: &'e Path,
    header: &'e ChainHeader,
    threads: usize,
    cancel: &'e AtomicBool,
    monitor: &'e dyn Monitor,
    segments: Segments<'e>,
    /// The end of what is gathered for the next segment, and that of the piece it lies in.
    through: Option<(Position, Option<Position>)>,
    /// Where the receiver has the same keys, by change; of none where nothing is known.
    regions: Vec<Vec<Region>>,
    implied: u64,
    user: u64,
    noted: u64,
    missing: u64,
    /// What the manifest says of the epoch of sets.
    epoch: Option<(&'static str, String)>,
    /// What had been left out before the change at hand.
    before: LeftOut,
    progress: Progress,
    shown: Instant,
}

impl Export<'_> {
    /// False where it was told to stop.
    fn all(&mut self, sources: &[Source]) -> Result<bool, RunError> {
        self.progress.rows_total =
            sources.iter().filter(|s| s.ownership.is_some()).map(|s| s.rows_total).sum();
        for (change, source) in sources.iter().enumerate() {
            let Some(ownership) = source.ownership else { continue };
            if !self.change(change, &source.subject, ownership)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn change(
        &mut self,
        change: usize,
        subject: &Subject,
        ownership: Ownership,
    ) -> Result<bool, RunError> {
        self.before = LeftOut { user: self.user, noted: self.noted };
        let mut from = (None, None);
        let chain = self.segments.chain();
        if let Some(begun) = chain.checkpoint(change).and_then(Checkpoint::parse) {
            from = (Some(begun.through), begun.piece);
            self.user += begun.left_out.user;
            self.noted += begun.left_out.noted;
        }
        self.progress.rows_done += self.segments.chain().rows(change);
        let (db, header, threads) = (self.db, self.header, self.threads);
        let regions = self.regions.get_mut(change).map(std::mem::take).unwrap_or_default();
        let (failed, turns) = (&AtomicBool::new(false), &Turns::default());
        let table = subject.table();
        let reading = Reading { db, header, change, subject, ownership, turns };
        std::thread::scope(|scope| {
            let (send_range, ranges) = bounded::<(u64, Piece)>(threads * 2);
            let (send, encoded) = bounded(threads * 2);
            let (ticket, tickets) = bounded::<()>(threads * WINDOW);
            for _ in 0..threads * WINDOW {
                let _ = ticket.try_send(());
            }
            let from = (from, regions.as_slice());
            let splitter = scope.spawn(move || split(db, table, from, &send_range, &tickets));
            let readers: Vec<_> = (0..threads)
                .map(|_| {
                    let (ranges, send) = (ranges.clone(), send.clone());
                    scope.spawn(move || {
                        let mut leaving = Leaving(failed, false);
                        let result = reading.read(&ranges, &send);
                        leaving.1 = result.is_ok();
                        result
                    })
                })
                .collect();
            drop((ranges, send));
            let last = LastTurn(turns);
            let written = self.write(change, (&encoded, turns), &ticket, failed);
            drop((encoded, ticket, last));
            let panicked = |_| RunError::Panicked { doing: "exporting" };
            let mut results = vec![splitter.join().map_err(panicked)?.map_err(RunError::from)];
            for reader in readers {
                results.push(reader.join().map_err(panicked)?);
            }
            let complete = written?;
            results.into_iter().collect::<Result<Vec<()>, _>>()?;
            Ok(complete)
        })
    }

    /// Writes what the readers send, in order; false where it was told to stop.
    fn write(
        &mut self,
        change: usize,
        (encoded, turns): (&Receiver<(u64, Encoded)>, &Turns),
        ticket: &Sender<()>,
        failed: &AtomicBool,
    ) -> Result<bool, RunError> {
        let mut early: BTreeMap<u64, VecDeque<Encoded>> = BTreeMap::new();
        let mut next = 0;
        loop {
            match encoded.recv_timeout(LOOK_EVERY) {
                Ok((number, part)) => early.entry(number).or_default().push_back(part),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            while let Some(part) = early.get_mut(&next).and_then(VecDeque::pop_front) {
                if part.piece.is_none() {
                    early.remove(&next);
                    next += 1;
                    // The splitter may have ended already.
                    let _ = ticket.try_send(());
                }
                turns.took(part.bytes(), next);
                self.add(part);
                if self.segments.is_full() {
                    self.push(change)?;
                }
            }
            // What a reader that is gone was to send never comes; its error is told when it is joined.
            // What is gathered is left: where segments end does not depend on when that was.
            if failed.load(Ordering::Relaxed) || self.cancel.load(Ordering::Relaxed) {
                return Ok(false);
            }
        }
        self.push(change)?;
        Ok(true)
    }

    /// Writes the segment that is gathered, where there is anything.
    fn push(&mut self, change: usize) -> Result<(), RunError> {
        let Some((through, piece)) = self.through.take() else { return Ok(()) };
        let left_out =
            LeftOut { user: self.user - self.before.user, noted: self.noted - self.before.noted };
        self.segments.push(change, &Checkpoint { through, left_out, piece }.to_string())
    }

    /// Adds a part to the segment that is gathered.
    fn add(&mut self, range: Encoded) {
        self.user += range.user;
        self.noted += range.noted;
        self.implied += range.implied;
        self.progress.rows_done += range.passed;
        self.segments.add(range.blocks);
        self.through = Some((range.through, range.piece));
        if self.shown.elapsed() >= SHOW {
            self.shown = Instant::now();
            self.monitor.progress(&self.progress);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    fn report(
        self,
        migration: &Migration,
        stopped: bool,
        began: Instant,
    ) -> Result<ExportReport, RunError> {
        let mut report = ExportReport {
            migration: migration.id.to_string(),
            outcome: if stopped { Outcome::Interrupted } else { Outcome::Complete },
            reason: stopped.then(|| "interrupted by a signal".to_owned()),
            rows: self.segments.chain().stats().rows.iter().sum(),
            rows_implied: self.implied,
            rows_pending: self.noted,
            rows_user: self.user,
            rows_missing: self.missing,
            segments: 0,
            delta_bytes: 0,
            bytes_per_row: 0.0,
            digest: None,
            seconds: 0.0,
        };
        let mut stats = self.segments.chain().stats().clone();
        if !stopped {
            let mut facts = vec![("rows_pending", self.noted.to_string())];
            facts.extend(self.epoch);
            stats = self.segments.finish(&facts)?;
            report.digest = Some(hex(&stats.digest));
        }
        report.segments = u64::from(stats.segments);
        report.delta_bytes = stats.bytes;
        report.bytes_per_row = stats.bytes as f64 / report.rows.max(1) as f64;
        report.seconds = began.elapsed().as_secs_f64();
        Ok(report)
    }
}
