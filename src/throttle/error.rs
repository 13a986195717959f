//! What can be wrong with tuning flags, windows and limits files. Owns the messages; the checks are
//! elsewhere.

use std::io;
use std::path::PathBuf;

use crate::migration::Place;

/// Why a tuning was refused.
///
/// At the start of a job the caller's decision is to stop before anything is written (exit code
/// 2). While a job runs, [`super::LimitsFile::refresh`] turns it into the reason of a pause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are what the message of their variant shows")]
pub enum TuningError {
    /// A flag whose value is out of bounds.
    #[error("--{flag} {problem}")]
    Flag { flag: &'static str, problem: String },
    /// A line of a limits file that means nothing, or whose value is out of bounds.
    #[error("{at}: {problem}")]
    File { at: Place, problem: String },
    /// The limits file is missing, or the operating system refused to read it.
    #[error(
        "{}: cannot read the limits file: {source}; check the path and its permissions",
        .path.display()
    )]
    Unreadable { path: PathBuf, source: io::Error },
}

/// Why a text is no window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are what the message of their variant shows")]
pub enum WindowError {
    /// The text has another form.
    #[error(
        "{text:?} is no window; write HH:MM-HH:MM and an optional time zone, such as \
         01:00-05:00[Europe/Berlin]"
    )]
    Form { text: String },
    /// The window opens when it closes.
    #[error("{text:?} closes when it opens; leave the window out to run at any time")]
    Empty { text: String },
    /// There is no such time zone.
    #[error(
        "there is no time zone {zone:?}; write a name of the IANA database, such as \
         Europe/Berlin or UTC"
    )]
    UnknownZone { zone: String },
    /// The machine does not say which time zone it is in.
    #[error(
        "the time zone of this machine cannot be told ({problem}); name one, such as \
         01:00-05:00[UTC]"
    )]
    NoLocalZone { problem: String },
}
