//! What can go wrong with delta segments. Owns no policy: whether to try again is the caller's.

use std::io;

/// Why a chain could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// The operating system failed. Nothing was written after it; the same command continues.
    #[error("cannot {doing} {place}: {source}{}", remedy_for(.source))]
    Io {
        /// What was being done.
        doing: String,
        /// To which file, folder or stream.
        place: String,
        /// What the system said.
        source: io::Error,
    },
    /// Bytes are not what was written.
    #[error("{file} is damaged at byte {offset}: {problem}; copy it again from where it was made")]
    Damaged {
        /// The file, or the part of a stream.
        file: String,
        /// Where in it, in bytes from its beginning: the part that does not fit begins here.
        offset: u64,
        /// What does not fit.
        problem: String,
    },
    /// A file of the chain is not there.
    #[error("{place} has no {file}; copy it from where the deltas were made")]
    Missing {
        /// The folder.
        place: String,
        /// The name that was looked for.
        file: String,
    },
    /// A sound file stands where another belongs.
    #[error(
        "{file} is not the next of its chain at byte {offset}: {problem}; copy the whole folder \
         again"
    )]
    Order {
        /// The file, or the part of a stream.
        file: String,
        /// Where the field stands that does not fit.
        offset: u64,
        /// What does not fit.
        problem: String,
    },
    /// A sound file of something else.
    #[error(
        "{file} is of another {what} at byte {offset}: {got}, not {want}; name the folder of this \
         migration"
    )]
    Foreign {
        /// The file, or the part of a stream.
        file: String,
        /// Where the field stands that does not fit.
        offset: u64,
        /// What differs: migration, migration digest, shape, scope.
        what: &'static str,
        /// What was wanted.
        want: String,
        /// What is there.
        got: String,
    },
    /// Something that a later release writes.
    #[error(
        "{file} has {what} at byte {offset}, which this release of dotfill does not know; read it \
         with a newer one"
    )]
    Unsupported {
        /// The file, or the part of a stream.
        file: String,
        /// Where.
        offset: u64,
        /// The version or the code.
        what: String,
    },
    /// The chain ends without its manifest.
    #[error(
        "{place} ends after file {after} without a manifest: it is still being written, or the \
         rest is missing; repeat the command that writes it"
    )]
    Unfinished {
        /// The folder or stream.
        place: String,
        /// The ordinal of the last file.
        after: u32,
    },
    /// A new chain was to be written where there is one.
    #[error("{place} holds deltas already; name another folder, or remove that one")]
    Exists {
        /// The folder.
        place: String,
    },
    /// Another process writes deltas into the folder.
    #[error("another dotfill writes deltas into {place}; wait for it, or name another folder")]
    Busy {
        /// The folder.
        place: String,
    },
    /// A stream took nothing while its writer was to end.
    #[error("{place} took nothing more, and was left; repeat the command")]
    Stuck {
        /// The stream.
        place: String,
    },
    /// More than the format allows in one piece.
    #[error("{bytes} {what} are too many: at most {limit} fit into one piece of a delta")]
    TooLarge {
        /// What there is too much of: bytes, or rows, of what.
        what: String,
        /// How many there are.
        bytes: u64,
        /// How many there may be.
        limit: u64,
    },
    /// Rows that do not fit the shape that they are said to have.
    #[error("rows do not fit their table: {problem}; this is a fault of dotfill")]
    Shape {
        /// What does not fit.
        problem: String,
    },
    /// An earlier write failed.
    #[error("nothing more is written to {place} after a failure; repeat the command")]
    Latched {
        /// The folder or stream.
        place: String,
    },
}

impl DeltaError {
    /// Names what was being done when the system failed.
    pub(super) fn io(doing: &str, place: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing: doing.to_owned(), place: place.into(), source }
    }
}

fn remedy_for(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull => "; free some disk space and repeat the command",
        io::ErrorKind::PermissionDenied => {
            "; give this user the right to it, then repeat the command"
        }
        io::ErrorKind::BrokenPipe => "; whoever read it has gone: repeat the command",
        _ => "; when that is mended, repeat the command",
    }
}

/// What is wrong with bytes, before anybody knows which file they are of.
#[derive(Debug)]
pub(super) struct Bad {
    /// Where, in bytes from the beginning of the file.
    pub at: usize,
    /// What.
    pub what: Fault,
}

/// The kind of fault.
#[derive(Debug)]
pub(super) enum Fault {
    /// Bytes that no release writes.
    Malformed(&'static str),
    /// A code of a later release.
    Unknown(String),
}

impl Bad {
    /// The error, now that the file is known.
    pub fn of(self, file: &str) -> DeltaError {
        let (file, offset) = (file.to_owned(), self.at as u64);
        match self.what {
            Fault::Malformed(problem) => {
                DeltaError::Damaged { file, offset, problem: problem.to_owned() }
            }
            Fault::Unknown(what) => DeltaError::Unsupported { file, offset, what },
        }
    }
}
