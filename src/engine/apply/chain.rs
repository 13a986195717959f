//! Opening a chain, and everything about it that is checked before anything is written.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam::channel::{RecvTimeoutError, bounded};

use super::Deltas;
use crate::delta::{
    ChainHeader, ChainReader, ChainStats, Coming, DirectorySource, FileKind, FileName, Item,
    StreamSource,
};
use crate::engine::proof::reader;
use crate::engine::{RunError, shapes};
use crate::migration::{Change, Migration};
use crate::plan::{PlanError, no_values, resolve_shipped, resolve_shipped_set};
use crate::state::AppliedRow;

/// How often a signal is looked for while a stream has not begun.
const LOOK: Duration = Duration::from_millis(20);

/// What is known of a chain before any of it is applied.
#[derive(Default)]
pub(super) struct Known {
    /// What it holds, where it is whole.
    pub stats: Option<ChainStats>,
    /// True where rows come again.
    pub comes_again: bool,
}

/// Opens a chain; of a folder everything is verified first.
pub(super) fn open(deltas: Deltas, cancel: &AtomicBool) -> Result<(ChainReader, Known), RunError> {
    match deltas {
        Deltas::Stream(stream) => {
            let source = StreamSource::new("standard input", stream);
            Ok((begin(source, cancel)?, Known::default()))
        }
        Deltas::Folder(dir) => {
            let known = verify(&dir, cancel)?;
            Ok((ChainReader::open(Box::new(DirectorySource::open(&dir)))?, known))
        }
    }
}

/// Verifies a folder, as far as it goes, without decompressing anything.
fn verify(dir: &Path, cancel: &AtomicBool) -> Result<Known, RunError> {
    let mut chain = ChainReader::open_directory(dir)?;
    let mut known = Known::default();
    while let Some(item) = chain.next_item()? {
        if let Item::Segment(segment) = item {
            known.comes_again |= segment.coming() == Some(Coming::Again);
        }
        if cancel.load(Ordering::Relaxed) {
            return Err(RunError::Interrupted { doing: "verifying the deltas" });
        }
    }
    known.stats = chain.is_whole().then(|| chain.stats().clone());
    Ok(known)
}

/// Waits for the beginning of a stream, which may never come, or for a signal.
fn begin(
    source: StreamSource<Box<dyn Read + Send>>,
    cancel: &AtomicBool,
) -> Result<ChainReader, RunError> {
    let (send, begun) = bounded(1);
    // Nobody waits for this thread: it may be reading from a pipe that says nothing.
    std::thread::spawn(move || {
        // Who was interrupted needs no chain.
        let _ = send.send(ChainReader::open(Box::new(source)));
    });
    loop {
        match begun.recv_timeout(LOOK) {
            Ok(chain) => return Ok(chain?),
            Err(RecvTimeoutError::Timeout) if cancel.load(Ordering::Relaxed) => {
                return Err(RunError::Interrupted { doing: "waiting for deltas" });
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(RunError::Panicked { doing: "reading deltas" });
            }
        }
    }
}

/// True where the file that an earlier call came to is in this folder.
pub(super) fn is_of(dir: &Path, reached: &AppliedRow) -> bool {
    let name = FileName { ordinal: reached.ordinal, kind: FileKind::Segment };
    let end = -i64::try_from(reached.digest.len()).unwrap_or(0);
    let mut digest = Vec::new();
    let read = File::open(dir.join(name.to_string())).and_then(|mut file| {
        file.seek(SeekFrom::End(end))?;
        file.read_to_end(&mut digest)
    });
    // What cannot be read is not the same; reading the chain says why.
    read.is_ok() && !digest.is_empty() && digest == reached.digest
}

/// The migration that a chain carries.
pub(super) fn migration(header: &ChainHeader) -> Result<Migration, RunError> {
    let name = format!("{}.toml", header.migration);
    let migration =
        Migration::parse(&header.migration_text, Path::new(&name)).map_err(PlanError::Migration)?;
    let sound = migration.id == header.migration
        && migration.digest == header.migration_digest
        && migration.changes.len() == header.shapes.len();
    if sound {
        return Ok(migration);
    }
    Err(RunError::refused(
        header.migration.as_str(),
        "the deltas were made by a release of dotfill that reads the migration file differently",
        "export them again with this release",
    ))
}

/// Refuses rows of another table than this replica has.
pub(super) fn check_shapes(
    db: &Path,
    migration: &Migration,
    header: &ChainHeader,
) -> Result<(), RunError> {
    let mut conn = reader(db)?;
    for (index, shape) in header.shapes.iter().enumerate() {
        if !shapes::is_shipped(shape) {
            continue;
        }
        let (table, problem) = match migration.changes.get(index) {
            Some(Change::OrSet(_)) => {
                let target = resolve_shipped_set(&conn, migration, index)?.target;
                (target.table.sql(), shapes::misfit_of_set(shape, &target))
            }
            Some(Change::Index(_)) => return Err(no_values(migration, index).into()),
            Some(Change::Column(_)) | None => {
                let target = resolve_shipped(&mut conn, migration, index)?.target;
                (target.table.sql(), shapes::misfit(shape, &target))
            }
        };
        if let Some(problem) = problem {
            return Err(RunError::refused(
                migration.id.as_str(),
                format!("the deltas do not fit table {table}: {problem}"),
                "give the table the same key and column type as where they were exported",
            ));
        }
    }
    Ok(())
}
