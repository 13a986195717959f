//! What can be wrong with a migration file. Owns the messages; the checks are elsewhere.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::id::MigrationIdError;

/// How much of a text from the file a message repeats, in characters.
const QUOTED_CHARS_MAX: usize = 80;

/// A place in a file, shown as `FILE:LINE`, or `FILE` where no line is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as the caller named it.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.path.display()),
            None => write!(f, "{}", self.path.display()),
        }
    }
}

/// A part of the migration file that has keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Section {
    /// Before the first header.
    Top,
    /// `[budget]`.
    Budget,
    /// One `[[change]]`.
    Change,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Top => "at the top of the file",
            Self::Budget => "in [budget]",
            Self::Change => "in [[change]]",
        })
    }
}

/// Why a migration file was refused. Each message names the place, the key and the remedy.
///
/// For every variant the caller's decision is the same: stop before anything is written (exit
/// code 2); trying again without an edit gives the same answer. Only [`Self::Unreadable`] may
/// heal by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are what the message of their variant shows")]
pub enum MigrationError {
    /// There is no such file.
    #[error("{path}: there is no such migration file; check the path")]
    Missing { path: PathBuf },
    /// The path leads to a directory.
    #[error("{path}: this is a directory; name the migration file in it")]
    Directory { path: PathBuf },
    /// The operating system refused to open or read the file.
    #[error("{path}: cannot read the migration file: {source}; check the path and its permissions")]
    Unreadable { path: PathBuf, source: io::Error },
    /// The file is larger than any sensible migration.
    #[error("{path}: a migration file has at most {bytes_max} bytes; is this the right file?")]
    TooLarge { path: PathBuf, bytes_max: usize },
    /// The file is not text.
    #[error("{at}: byte {offset} is not UTF-8; save the file as UTF-8")]
    NotUtf8 { at: Place, offset: usize },
    /// The file is not TOML.
    #[error("{at}: not valid TOML: {problem}; correct {excerpt}")]
    Syntax { at: Place, problem: String, excerpt: String },
    /// A key or a section is given twice.
    #[error("{at}: {} is given twice; {remedy}", quoted(.key))]
    DuplicateKey { at: Place, key: String, remedy: &'static str },
    /// A key that means nothing where it stands.
    #[error("{at}: unknown key {} {section}; {hint}", quoted(.key))]
    UnknownKey { at: Place, key: String, section: Section, hint: String },
    /// A key without which the section means nothing.
    #[error("{at}: missing key {key:?} {section}; add {example}")]
    MissingKey { at: Place, key: &'static str, section: Section, example: &'static str },
    /// A value of another TOML type.
    #[error("{at}: {key:?} must be {want}, not {got}; {remedy}")]
    WrongType {
        at: Place,
        key: &'static str,
        want: &'static str,
        got: &'static str,
        remedy: String,
    },
    /// A migration id with other characters, or of another length.
    #[error("{at}: \"id\": {source}")]
    BadId { at: Place, source: MigrationIdError },
    /// A text that is empty, too long or holds characters that it must not hold.
    #[error("{at}: {key:?} {problem}")]
    BadText { at: Place, key: &'static str, problem: &'static str },
    /// A table or column name that dotfill does not touch.
    #[error("{at}: {key:?} is {}, which {problem}", quoted(.name))]
    BadIdentifier { at: Place, key: &'static str, name: String, problem: &'static str },
    /// A type that is more, or less, than a plain type name.
    #[error("{at}: \"type\" is {}, which {problem}", quoted(.type_name))]
    BadType { at: Place, type_name: String, problem: String },
    /// A word that is none of those allowed for the key.
    #[error("{at}: {key:?} cannot be {}; {hint}", quoted(.got))]
    UnknownWord { at: Place, key: &'static str, got: String, hint: String },
    /// A word that the format knows and this version of dotfill does not do.
    #[error("{at}: {key} = {got:?} is not yet supported by this version; {remedy}")]
    NotYet { at: Place, key: &'static str, got: &'static str, remedy: &'static str },
    /// Two keys of one change that contradict each other.
    #[error("{at}: {problem}; {remedy}")]
    Conflict { at: Place, problem: &'static str, remedy: &'static str },
    /// A budget that is no limit.
    #[error("{at}: {key:?}: {problem}")]
    BadBudget { at: Place, key: &'static str, problem: String },
    /// The file asks for nothing.
    #[error("{at}: there is no [[change]]; add one with kind, table, column and type")]
    NoChange { at: Place },
    /// The file asks for too much.
    #[error("{at}: [[change]] number {} is one too many; split the file in two", .changes_max + 1)]
    TooManyChanges { at: Place, changes_max: usize },
    /// Two tables, views or indexes of one change that have the same name.
    #[error(
        "{at}: {key:?} is {}, which {other:?} names already; give each a name of its own",
        quoted(.name)
    )]
    SharedName { at: Place, key: &'static str, name: String, other: &'static str },
    /// What one change makes, another one makes, reads or fills.
    #[error(
        "{at}: {key:?} is {}, which the [[change]] at line {line_first} names too; give what is \
         made a name of its own, or move one of the two to another migration",
        quoted(.name)
    )]
    ClashingChanges { at: Place, key: &'static str, name: String, line_first: u64 },
    /// Two changes fill the same column.
    #[error(
        "{at}: column {} of table {} is already filled by the [[change]] at line {line_first}; \
         merge the two",
        quoted(.column), quoted(.table)
    )]
    RepeatedColumn { at: Place, table: String, column: String, line_first: u64 },
}

/// `text` in double quotes, with control characters escaped and its end cut off when long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}
