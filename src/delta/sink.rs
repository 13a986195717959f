//! Where the files of a chain go: a folder, or one continuous stream.
//!
//! # Invariants
//! In a folder a file is complete and synced before it has its name, and the folder is synced
//! before [`Sink::put`] returns: after a power cut there is the whole file or none.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use parking_lot::Mutex;

use super::error::DeltaError;
use super::file::FileName;

/// Takes the files of a chain, in order.
pub trait Sink: Send {
    /// The folder or stream, for messages.
    fn place(&self) -> String;

    /// Takes one file; a folder keeps it even if the power fails once this has returned.
    ///
    /// # Errors
    /// [`DeltaError::Io`]; the file is then not there under its name.
    fn put(&mut self, name: FileName, bytes: &[u8]) -> Result<(), DeltaError>;
}

/// The beginning of names of files that are being written.
pub(super) const TEMPORARY: &str = ".dotfill-";

/// A folder.
///
/// Whoever writes into it holds an advisory lock on the folder itself, which leaves nothing behind
/// and ends with the process; on a file system without such locks nobody is kept out.
#[derive(Debug)]
pub struct DirectorySink {
    dir: PathBuf,
    _lock: Option<File>,
}

impl DirectorySink {
    /// A new chain in `dir`, which is made where it is absent.
    ///
    /// # Errors
    /// [`DeltaError::Exists`] where it holds one already; [`DeltaError::Busy`]; [`DeltaError::Io`].
    pub fn create(dir: &Path) -> Result<Self, DeltaError> {
        make_folder(dir)?;
        let sink = Self::open(dir)?;
        if names(dir)?.is_empty() { Ok(sink) } else { Err(DeltaError::Exists { place: show(dir) }) }
    }

    /// A folder that may hold a chain already.
    ///
    /// # Errors
    /// [`DeltaError::Busy`] where somebody else writes into it; [`DeltaError::Io`].
    pub(super) fn open(dir: &Path) -> Result<Self, DeltaError> {
        let folder = File::open(dir).map_err(DeltaError::io("open the folder", show(dir)))?;
        let lock = match folder.try_lock() {
            Ok(()) => Some(folder),
            Err(TryLockError::WouldBlock) => return Err(DeltaError::Busy { place: show(dir) }),
            // Where folders cannot be locked, a second writer is found when it names its first file.
            Err(TryLockError::Error(_)) => None,
        };
        Ok(Self { dir: dir.to_owned(), _lock: lock })
    }
}

/// Makes a folder and those above it, where they are absent, durably.
pub(super) fn make_folder(dir: &Path) -> Result<(), DeltaError> {
    let absent: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.exists()).collect();
    fs::create_dir_all(dir).map_err(DeltaError::io("make the folder", show(dir)))?;
    for made in absent {
        match made.parent() {
            Some(above) if !above.as_os_str().is_empty() => sync_folder(above)?,
            _ => sync_folder(Path::new("."))?,
        }
    }
    Ok(())
}

fn sync_folder(dir: &Path) -> Result<(), DeltaError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(DeltaError::io("sync the folder", show(dir)))
}

/// Writes a file anew, to the disk.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

impl Sink for DirectorySink {
    fn place(&self) -> String {
        show(&self.dir)
    }

    fn put(&mut self, name: FileName, bytes: &[u8]) -> Result<(), DeltaError> {
        let path = self.dir.join(name.to_string());
        let temporary = self.dir.join(format!("{TEMPORARY}{name}"));
        if path.exists() {
            // Two writers: the other one's chain goes on from here.
            return Err(DeltaError::Exists { place: show(&path) });
        }
        write(&temporary, bytes).map_err(DeltaError::io("write", show(&temporary)))?;
        fs::rename(&temporary, &path).map_err(DeltaError::io("name the file", show(&path)))?;
        sync_folder(&self.dir)
    }
}

/// A path in messages.
pub(super) fn show(path: &Path) -> String {
    path.display().to_string()
}

/// The files of a chain in a folder, by ordinal.
pub(super) fn names(dir: &Path) -> Result<Vec<FileName>, DeltaError> {
    let list = || -> io::Result<Vec<FileName>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            names.extend(entry?.file_name().to_str().and_then(FileName::parse));
        }
        names.sort_unstable();
        Ok(names)
    };
    list().map_err(DeltaError::io("list the folder", show(dir)))
}

/// A stream: the files one after the other, each flushed when it is whole.
#[derive(Debug)]
pub struct StreamSink<W> {
    place: String,
    out: W,
}

impl<W: Write + Send> StreamSink<W> {
    /// Writes to `out`, called `place` in messages.
    pub fn new(place: impl Into<String>, out: W) -> Self {
        Self { place: place.into(), out }
    }
}

impl<W: Write + Send> Sink for StreamSink<W> {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn put(&mut self, _: FileName, bytes: &[u8]) -> Result<(), DeltaError> {
        self.out
            .write_all(bytes)
            .and_then(|()| self.out.flush())
            .map_err(DeltaError::io("write to", self.place.clone()))
    }
}

/// How often a writer that waits for a slow sink looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long a sink that takes nothing is waited for once its writer is to end.
const PATIENCE: Duration = Duration::from_secs(2);

type Put = (FileName, Vec<u8>);

/// A sink that may take nothing for as long as it likes, as a pipe does whose reader sleeps: who
/// writes to it can be told to end, and then leaves it behind.
pub struct PatientSink {
    place: String,
    files: Sender<Put>,
    done: Receiver<Result<(), DeltaError>>,
    cancel: Arc<AtomicBool>,
}

impl PatientSink {
    /// Puts files into `sink` on a thread of its own, until `cancel` is set.
    #[must_use]
    pub fn new(mut sink: Box<dyn Sink>, cancel: Arc<AtomicBool>) -> Self {
        let place = sink.place();
        let (files, puts) = bounded::<Put>(1);
        let (send, done) = bounded(1);
        // Nobody waits for this thread: it may be writing to a pipe that nobody reads.
        std::thread::spawn(move || {
            for (name, bytes) in puts {
                if send.send(sink.put(name, &bytes)).is_err() {
                    return;
                }
            }
        });
        Self { place, files, done, cancel }
    }
}

impl Sink for PatientSink {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn put(&mut self, name: FileName, bytes: &[u8]) -> Result<(), DeltaError> {
        let gone = || DeltaError::Latched { place: self.place.clone() };
        self.files.send((name, bytes.to_vec())).map_err(|_| gone())?;
        let mut cancelled: Option<Instant> = None;
        loop {
            match self.done.recv_timeout(LOOK_EVERY) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.cancel.load(Ordering::Relaxed)
                && cancelled.get_or_insert_with(Instant::now).elapsed() >= PATIENCE
            {
                return Err(DeltaError::Stuck { place: self.place.clone() });
            }
        }
    }
}

/// Takes everything and keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullSink;

impl Sink for NullSink {
    fn place(&self) -> String {
        "nowhere".to_owned()
    }

    fn put(&mut self, _: FileName, _: &[u8]) -> Result<(), DeltaError> {
        Ok(())
    }
}

/// Files by name, in the order in which they came.
pub type Recorded = Vec<(FileName, Vec<u8>)>;

/// Keeps everything in memory; clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemorySink {
    files: Arc<Mutex<Recorded>>,
}

impl MemorySink {
    /// What it took so far.
    #[must_use]
    pub fn files(&self) -> Recorded {
        self.files.lock().clone()
    }

    /// What it took so far as a stream.
    #[must_use]
    pub fn stream(&self) -> Vec<u8> {
        self.files.lock().iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect()
    }
}

impl Sink for MemorySink {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn put(&mut self, name: FileName, bytes: &[u8]) -> Result<(), DeltaError> {
        self.files.lock().push((name, bytes.to_vec()));
        Ok(())
    }
}
