//! `--limits FILE`: a tuning that can be changed while the job runs.
//!
//! Owns when the file is read again and what happens when that fails. What it may say is in
//! `limits_parse`.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::TuningError;
use super::limits_parse;
use super::tuning::Tuning;

/// A limits file has a dozen lines; more is another file.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// A limits file that a job follows. A key that the file does not hold has the value of its flag.
///
/// Replace the file by renaming another one over it: one that is written in place may be read
/// half-written.
#[derive(Debug)]
pub struct LimitsFile {
    path: PathBuf,
    /// What the flags say.
    base: Tuning,
    /// What the job was last told.
    told: Tuning,
    /// The state of the file when it was last read, and the reason to pause that it gave.
    seen: Option<Stamp>,
    reason: Option<String>,
}

impl LimitsFile {
    /// Reads the limits file at `path`; `base` is what the flags say. Returns the tuning to start
    /// with.
    ///
    /// # Errors
    /// Any [`TuningError`]; nothing was touched, and the remedy is an edit of the file.
    pub fn open(path: &Path, base: Tuning) -> Result<(Self, Tuning), TuningError> {
        let stamp = Stamp::of(path).map_err(|source| unreadable(path, source))?;
        let tuning = read(path, &base)?;
        let file = Self {
            path: path.to_owned(),
            base,
            told: tuning.clone(),
            seen: Some(stamp),
            reason: None,
        };
        Ok((file, tuning))
    }

    /// Reads the file again when its times, size or inode changed. Called before each
    /// batch, and during pauses; otherwise it costs one look at the file. `Some` is a tuning that
    /// differs from the last one given.
    ///
    /// # Errors
    /// The reason to pause, for as long as the file is missing or cannot be understood. The last
    /// tuning stays the one in force.
    pub fn refresh(&mut self) -> Result<Option<Tuning>, String> {
        let stamp = match Stamp::of(&self.path) {
            Ok(stamp) => stamp,
            Err(source) => {
                self.seen = None;
                return Err(reason(&unreadable(&self.path, source)));
            }
        };
        if self.seen == Some(stamp) {
            return self.reason.clone().map_or(Ok(None), Err);
        }
        // The stamp is older than what is read: a change in between is read once more.
        self.seen = Some(stamp);
        let tuning = read(&self.path, &self.base);
        if matches!(tuning, Err(TuningError::Unreadable { .. })) {
            // It may become readable without any change of its own.
            self.seen = None;
        }
        self.reason = tuning.as_ref().err().map(reason);
        let tuning = tuning.map_err(|error| reason(&error))?;
        if tuning == self.told {
            return Ok(None);
        }
        self.told = tuning.clone();
        Ok(Some(tuning))
    }
}

/// What tells that a file changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    /// Also moves when a tool keeps the modification time.
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        require_file(&metadata)?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// A pipe would block the job, and a directory has no text.
fn require_file(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
}

fn read(path: &Path, base: &Tuning) -> Result<Tuning, TuningError> {
    let text = read_text(path).map_err(|source| unreadable(path, source))?;
    limits_parse::limits(&text, path, base)
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut file = File::open(path)?.take(FILE_BYTES_MAX + 1);
    file.read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let problem = format!("it has more than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok(text)
}

fn unreadable(path: &Path, source: io::Error) -> TuningError {
    let path = path.to_owned();
    TuningError::Unreadable { path, source }
}

fn reason(error: &TuningError) -> String {
    format!("limits {error}")
}
