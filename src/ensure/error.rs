//! Why an index was not proven. Each variant is a decision for the caller: mend the file or the
//! URL, look after the rows, wait, or try again.

use super::Fault;
use super::verdict::Verdict;

/// Why [`super::ensure`] did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnsureError {
    /// The URL cannot be used; nothing was connected to. Holds no password.
    #[error("--url cannot be used: {problem}")]
    Url {
        /// What is wrong with it.
        problem: String,
    },
    /// The server is not one that we know; nothing was written.
    #[error("the server is {version:?}: {problem}")]
    Server {
        /// What it says that it is.
        version: String,
        /// Why that will not do.
        problem: String,
    },
    /// No connection, within the time that there was for it.
    #[error(
        "{fault}; tried for {seconds:.0} s; whether the server runs and takes this user is what to \
         look after, then repeat the command"
    )]
    Unreachable {
        /// The last failure.
        fault: Fault,
        /// How long it was tried.
        seconds: f64,
    },
    /// The change cannot be made on this server, whatever its rows are; nothing was written.
    #[error("{at}: {index:?}: {problem}")]
    Refused {
        /// `FILE:LINE`.
        at: String,
        /// The index; the table where the change is none of an index.
        index: String,
        /// Why, and what helps.
        problem: String,
    },
    /// An index of that name is there and is another one; nothing was changed.
    #[error("{0}")]
    Different(Box<Difference>),
    /// The build has failed for good: here, or at somebody else's whom we waited for.
    #[error("index {index:?}: {}{}", verdict.message, if *earlier {
        " (found by an earlier call; nothing was tried now)"
    } else { "" })]
    Failed {
        /// The index.
        index: String,
        /// How.
        verdict: Box<Verdict>,
        /// True where it had failed before this call began.
        earlier: bool,
    },
    /// Somebody else is at it, and the caller did not want to wait.
    #[error("index {index:?} is not proven: {state}")]
    Held {
        /// The index.
        index: String,
        /// Who, and how far.
        state: String,
    },
    /// The time is over.
    #[error(
        "index {index:?} is not proven after {seconds:.0} s: {state}; the same command \
         {}", if *building { "attaches to it" } else { "goes on" }
    )]
    Timeout {
        /// The index.
        index: String,
        /// How long was waited, in seconds.
        seconds: f64,
        /// What was found last.
        state: String,
        /// Whether somebody, or the server for us, goes on building.
        building: bool,
    },
    /// A signal came; what was begun has been taken back, or is told.
    #[error("index {index:?} is not proven: interrupted by a signal; {state}")]
    Interrupted {
        /// The index.
        index: String,
        /// What is left, and who goes on.
        state: String,
    },
    /// The server failed to answer a question.
    #[error("index {index:?}: {fault}")]
    Answer {
        /// The index.
        index: String,
        /// What it said.
        fault: Fault,
    },
}

/// Two definitions under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `FILE:LINE`.
    pub at: String,
    /// The index.
    pub index: String,
    /// What differs, a sentence each.
    pub differences: Vec<String>,
    /// The statement that would make what is there.
    pub found: String,
    /// The statement that would make what is wanted, in the server's words.
    pub wanted: String,
    /// Its name for `DROP INDEX`.
    pub drop: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { at, index, differences, found, wanted, drop } = self;
        write!(
            f,
            "{at}: index {index:?} is there with another definition: {}; found: {found}; wanted: \
             {wanted}; give the index another name in the file, or remove the one that is there: \
             DROP INDEX CONCURRENTLY {drop}",
            differences.join("; ")
        )
    }
}
