//! What one kind of server can do for one index: the seam between the job, which decides, and
//! [`super::postgres`] and [`super::cockroach`], which ask.

use super::decide::Seen;
use super::verdict::{Example, Verdict};
use super::{EnsureError, Fault};
use crate::monitor::IndexProgress;

/// One index on one server. Every call may fail with a fault of nature `Lost`; after that only
/// [`Backend::connect`] is of use.
pub trait Backend {
    /// Connects, anew where there was a connection. A build lock that was held is not any more.
    ///
    /// # Errors
    /// [`Trouble`].
    fn connect(&mut self) -> Result<(), Trouble>;
    /// Looks at the index, who builds it, and what was said of it.
    ///
    /// # Errors
    /// [`Trouble`]; refused where the server does not take what is wanted.
    fn look(&mut self, depth: Depth) -> Result<Seen, Trouble>;
    /// Takes the build lock if nobody has it; never waits for it. False where somebody was faster.
    ///
    /// # Errors
    /// A [`Fault`].
    fn lock(&mut self) -> Result<bool, Fault>;
    /// Builds or removes the index, and tells how far it is a few times a second.
    ///
    /// # Errors
    /// [`Stop`].
    fn work(&mut self, work: Work, watch: Watch<'_>) -> Result<(), Stop>;
    /// Some keys that several rows have. Empty where that cannot be told in reasonable time.
    fn examples(&mut self, watch: Watch<'_>) -> Vec<Example>;
    /// Writes a verdict down for the others, or removes the one that is there.
    ///
    /// # Errors
    /// A [`Fault`].
    fn settle(&mut self, verdict: Option<&Verdict>) -> Result<(), Fault>;
}

/// Asked a few times a second while a server works: what to do.
pub type Watch<'a> = &'a mut dyn FnMut(Option<&IndexProgress>) -> Go;

/// How much a look may remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What is wanted, in the server's words, is remembered where it was learnt; what is there is
    /// read.
    Light,
    /// Nothing is remembered: everything is read, what is wanted and what is there in one go.
    Whole,
}

/// What a server is to do for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Build the index.
    Build,
    /// Remove what a failed build has left.
    Remove,
}

/// Whether to go on with what takes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// Go on.
    On,
    /// End it on the server too.
    Cancel,
    /// Stop waiting for it, and leave it to the server.
    Leave,
}

/// Why a question was not answered.
#[derive(Debug)]
pub enum Trouble {
    /// It failed.
    Fault(Fault),
    /// It was, and the answer is no.
    Refused(EnsureError),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<EnsureError> for Trouble {
    fn from(error: EnsureError) -> Self {
        Self::Refused(error)
    }
}

/// Why work was not done.
#[derive(Debug)]
pub enum Stop {
    /// It failed.
    Fault(Fault),
    /// The watch said [`Go::Cancel`], and it has ended.
    Cancelled,
    /// The watch said [`Go::Leave`], and the server goes on.
    Left,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
