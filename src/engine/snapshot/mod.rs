//! `export --snapshot`: the new form of a migration's sets as it is at one moment, for a client that has
//! to begin from it. Writes no database and takes no lease. The lines are in [`lines`].
//!
//! # One snapshot
//! Everything is read in one read transaction. In batches no two lines would need to belong together: a
//! client would see a state that no replica ever had, and `versions` would promise more than the lines
//! hold. The price: the WAL cannot be cut while it lasts, some seconds for a million objects. A reader
//! of standard output that is slow prolongs it; a file does not.

mod lines;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use rusqlite::Connection;
use serde::Serialize;

use super::examine::Replica;
use super::modes::{EpochSet, begun, waiting};
use super::watch::Watch;
use super::{Outcome, RunError};
use crate::db::Doing;
use crate::layout::crsqlite;
use crate::layout::or_set::SetTarget;
use crate::migration::{Change, Migration};
use crate::monitor::{Monitor, Stage};
use crate::phase::PhaseError;
use crate::phase::set::check_has_sets;
use crate::plan::resolve_set;
use crate::state::{Mode, ModeRow};
use lines::Lines;

pub use lines::Counts;

/// Where a snapshot goes.
pub enum SnapshotTo {
    /// A file, which has that name once it is whole; one of that name is replaced then.
    File(PathBuf),
    /// One stream.
    Stream(Box<dyn Write>),
}

/// What was written, as in `export --snapshot --json`.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotReport {
    /// The migration.
    pub migration: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The mode that the snapshot was made in.
    pub mode: Mode,
    /// The file; absent for a stream.
    pub path: Option<PathBuf>,
    /// What the lines hold.
    #[serde(flatten)]
    pub counts: Counts,
    /// The digest of all lines but the last, which says it.
    pub digest: String,
    /// Bytes, the last line included.
    pub bytes: u64,
    /// Seconds in all.
    pub seconds: f64,
}

/// Writes the new form of a proven migration.
///
/// # Errors
/// [`RunError::Refused`] where it has no sets, is not proven, or objects wait to be derived;
/// [`RunError::Interrupted`]; else when the rows cannot be read or the lines not be written. No file of
/// that name is made or changed then.
pub fn snapshot(
    db: &Path,
    migration: &Migration,
    to: SnapshotTo,
    cancel: &Arc<AtomicBool>,
    monitor: &dyn Monitor,
) -> Result<SnapshotReport, RunError> {
    check_has_sets(migration)?;
    let began = Instant::now();
    let watch = Watch::new(Stage::Exporting, "writing the snapshot", cancel, monitor);
    // Refuses what is not proven, or was another file.
    drop(Replica::open(db, migration, &watch)?);
    let (path, result) = match to {
        SnapshotTo::Stream(out) => {
            (None, write(db, migration, out, &watch).map_err(|e| e.at("standard output")))
        }
        SnapshotTo::File(path) => {
            let result = to_file(db, migration, &path, &watch);
            (Some(path), result)
        }
    };
    let (mode, whole) = watch.unless_cancelled(result)?;
    watch.end();
    Ok(SnapshotReport {
        migration: migration.id.to_string(),
        outcome: Outcome::Complete,
        mode,
        path,
        counts: whole.counts,
        digest: whole.digest,
        bytes: whole.bytes,
        seconds: began.elapsed().as_secs_f64(),
    })
}

/// Why a snapshot was not written.
enum Failed {
    Run(RunError),
    Io(io::Error),
}

impl<E: Into<RunError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Run(error.into())
    }
}

impl Failed {
    fn at(self, place: impl Into<PathBuf>) -> RunError {
        match self {
            Self::Run(error) => error,
            Self::Io(source) => RunError::Phase(PhaseError::Io {
                path: place.into(),
                doing: "write",
                source,
                remedy: "make room, or name another file with --snapshot, and repeat the command"
                    .to_owned(),
            }),
        }
    }
}

/// Writes beside the file, and gives it its name once it is whole.
fn to_file(
    db: &Path,
    migration: &Migration,
    path: &Path,
    watch: &Watch<'_>,
) -> Result<(Mode, lines::Whole), RunError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let failed = |error: io::Error| Failed::Io(error).at(path);
    let file = File::create(&temporary).map_err(failed)?;
    let result = write(db, migration, &file, watch).map_err(|e| e.at(path)).and_then(|written| {
        file.sync_all().and_then(|()| fs::rename(&temporary, path)).map_err(failed)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(written)
    });
    if result.is_err() {
        // What matters is said already; a file that is left has a name that nobody reads.
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn write(
    db: &Path,
    migration: &Migration,
    out: impl Write,
    watch: &Watch<'_>,
) -> Result<(Mode, lines::Whole), Failed> {
    let mut conn = super::proof::reader(db)?;
    crsqlite::register(&conn)?;
    watch.guard(&mut conn)?;
    conn.execute_batch("BEGIN").doing("begin a snapshot")?;
    let row = ModeRow::read(&conn, migration.id.as_str())?;
    let sets = sets(&conn, migration)?;
    let noted = waiting(&conn, migration.id.as_str())?;
    if noted > 0 {
        let id = migration.id.as_str();
        return Err(RunError::refused(
            id,
            format!("{noted} objects wait to be derived: the new form lags behind the old one"),
            format!("`dotfill run {id} --db {}` first", db.display()),
        )
        .into());
    }
    let mut lines = Lines::new(BufWriter::new(out));
    lines.header(&conn, migration, &sets, row)?;
    for set in &sets {
        lines.objects(&conn, set, watch)?;
        lines.removes(&conn, set)?;
    }
    let whole = lines.finish(migration)?;
    conn.execute_batch("COMMIT").doing("end a snapshot")?;
    Ok((row.mode, whole))
}

fn sets(conn: &Connection, migration: &Migration) -> Result<Vec<EpochSet>, RunError> {
    let mut targets: Vec<(usize, SetTarget)> = Vec::new();
    for (position, change) in migration.changes.iter().enumerate() {
        if let Change::OrSet(set) = change {
            targets.push((position, resolve_set(conn, migration, position, set)?.target));
        }
    }
    begun(conn, migration, targets)
}
