//! What came of it, for people and machines.

use serde::Serialize;

/// What [`super::ensure`] has proven.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The migration.
    pub migration: String,
    /// Always `complete`; what is not is an error.
    pub outcome: &'static str,
    /// Where, without a password.
    pub url: String,
    /// Such as `PostgreSQL 15.18`.
    pub server: String,
    /// Whether any of the indexes was built by somebody else, while we waited.
    pub attached: bool,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Each index, in the order of the file.
    pub indexes: Vec<IndexReport>,
}

/// One index that is proven.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IndexReport {
    /// Its name.
    pub index: String,
    /// Its table, with the schema.
    pub table: String,
    /// How it came to be.
    pub how: How,
    /// How many builds this caller began.
    pub attempts: u32,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Its definition, as the server prints it.
    pub definition: String,
}

/// How a proven index came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// It was there, whole and as wanted, when we came.
    Found,
    /// We built it.
    Built,
    /// Somebody else did, and we waited.
    Attached,
}

/// What [`super::survey`] has seen of one index.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IndexStatus {
    /// Its name.
    pub index: String,
    /// Its table, as the file names it.
    pub table: String,
    /// What it is now.
    pub state: State,
    /// Who builds it, or has the build lock.
    pub builder: Option<String>,
    /// How far the build is.
    pub progress: Option<crate::monitor::IndexProgress>,
    /// What it waits for, differs in, or has failed of.
    pub reason: Option<String>,
    /// Keys that several rows have, where that is what failed.
    pub examples: Vec<super::verdict::Example>,
}

/// What an index is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Whole, and as wanted.
    Proven,
    /// Somebody builds it, or has the lock to.
    Building,
    /// A failed build has left it behind.
    Invalid,
    /// Not there.
    Missing,
    /// Another one has its name.
    Different,
    /// It cannot be made here.
    Refused,
    /// A build has failed for good.
    Failed,
}
