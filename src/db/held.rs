//! Descriptors of database files and of what lies beside them, which are never closed.
//!
//! POSIX drops every lock that a process holds on a file when the process closes any descriptor of
//! it. If one of these were closed, the connections that we, or the application around us, have
//! already would lose their locks on the database, and the next program to close it would take itself
//! for the last one and delete the WAL that is being written. There is one descriptor per file and
//! process, however many jobs a process runs.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use parking_lot::Mutex;

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    /// To read its content.
    Content,
    /// To ask who has locks on it.
    Locks,
}

/// The file at `path`, which is opened once.
///
/// # Errors
/// When there is none, or it cannot be opened.
pub(super) fn open(path: &Path, used: Use) -> std::io::Result<&'static File> {
    type Known = (Use, u64, u64);
    static HELD: Mutex<BTreeMap<Known, &'static File>> = Mutex::new(BTreeMap::new());
    let mut held = HELD.lock();
    let meta = std::fs::metadata(path)?;
    if let Some(file) = held.get(&(used, meta.dev(), meta.ino())) {
        return Ok(file);
    }
    let mut options = OpenOptions::new();
    options.read(true).write(used == Use::Locks);
    let file: &'static File = Box::leak(Box::new(options.open(path)?));
    let now = file.metadata()?;
    held.insert((used, now.dev(), now.ino()), file);
    Ok(file)
}
