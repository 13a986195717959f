//! `verify --against`: this replica beside another one, or beside what `dotfill digest` printed
//! there. Writes nothing but the list of differing keys, where that was asked for.

use std::fs::metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde::Serialize;

use super::difference::{DiffFile, Difference};
use super::digest::Sums;
use super::examine::Replica;
use super::judge::{Judged, Pair, judge};
use super::proof::Findings;
use super::walk::Walk;
use super::watch::Watch;
use super::{RunError, VerifyReport};
use crate::db::is_database;
use crate::migration::Migration;
use crate::monitor::{Monitor, Stage};
use crate::verify::{Compared, DigestReport, Tree, compare_leaves, leaves_of};

/// Bytes of differing rows that are kept in memory.
const MEMORY_BYTES: u64 = 64 << 20;

/// What a replica is compared with.
#[derive(Clone, Debug)]
pub enum Against {
    /// What `dotfill digest` printed on another replica.
    Digest {
        /// Where it was read from, for people.
        name: String,
        /// The digest.
        digest: Box<DigestReport>,
    },
    /// The database file of another replica.
    Replica(PathBuf),
}

/// How a comparison is to be made.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// Threads that read; 0 is one per core.
    pub threads: usize,
    /// Where all differing keys are written to, as newline-delimited JSON; none by default.
    pub diff: Option<PathBuf>,
    /// Set from a signal handler: the comparison ends with [`RunError::Interrupted`].
    pub cancel: Arc<AtomicBool>,
    /// Bytes of differing rows that are kept in memory, 64 MiB by default; more of them are kept in
    /// a temporary file, where `SQLite` has its own.
    pub memory_bytes_max: u64,
}

impl Default for CompareOptions {
    fn default() -> Self {
        Self {
            threads: 0,
            diff: None,
            cancel: Arc::new(AtomicBool::new(false)),
            memory_bytes_max: MEMORY_BYTES,
        }
    }
}

/// What a comparison found, as members of `verify --json`.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The other replica's file, or where its digest was read from.
    pub against: String,
    /// Rows whose existence, source or user's value is not the same on both replicas.
    pub rows_in_flight: u64,
    /// Rows with the same source and another value.
    pub rows_diverged: u64,
    /// True where these two counts are lower bounds: a digest names no rows.
    pub in_flight_is_lower_bound: bool,
    /// Rows of the other replica.
    pub rows_there: u64,
    /// Its rows whose cell is ours, is not noted, and differs from the derived value.
    pub rows_different_there: u64,
    /// Its keys that wait to be derived again.
    pub rows_pending_there: u64,
    /// The digest of its rows.
    pub digest_there: String,
    /// What else is to be known, in words.
    pub notes: Vec<String>,
    /// Some of the rows that differ, with what each side holds; none of a digest.
    pub differences: Vec<Difference>,
}

/// Proves a migration again and compares the replica with another one. A run may go on meanwhile on
/// either of them, and what it does may show as rows in flight.
///
/// # Errors
/// [`RunError::Refused`] where the two cannot be compared, before a row is read;
/// [`RunError::Interrupted`]; else when rows cannot be read, or the list of keys cannot be written.
pub fn verify_against(
    db: &Path,
    migration: &Migration,
    against: &Against,
    options: &CompareOptions,
    monitor: &dyn Monitor,
) -> Result<VerifyReport, RunError> {
    let began = Instant::now();
    let watch = Watch::new(Stage::Comparing, "comparing", &options.cancel, monitor);
    let (here, other) = open(db, migration, against, &watch)?;
    let mut comparing = Comparing {
        id: migration.id.to_string(),
        report: VerifyReport::new(migration),
        sums: Sums::new(&here, migration)?,
        compared: Compared::default(),
        differences: Vec::new(),
        threads: options.threads,
    };
    let mut report = match other {
        Other::Digest(name, digest) => {
            comparing.with_digest(&here, name, digest, options)?;
            comparing.finish((&here, None), name.to_owned(), digest.clone())
        }
        Other::Replica(there) => {
            let digest = comparing.with_replica(&here, &there, migration, options)?;
            comparing.finish((&here, Some(&there)), there.db.display().to_string(), digest)
        }
    };
    watch.end();
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

/// The other side of a comparison.
enum Other<'a> {
    /// Where its digest was read from, and the digest.
    Digest(&'a str, &'a DigestReport),
    /// The replica at hand.
    Replica(Box<Replica<'a>>),
}

/// Opens the replica and the other one, if that is at hand: both for their values alone where one
/// of them cannot derive.
fn open<'a>(
    db: &Path,
    migration: &Migration,
    against: &'a Against,
    watch: &'a Watch<'a>,
) -> Result<(Replica<'a>, Other<'a>), RunError> {
    let here = Replica::open(db, migration, watch)?;
    here.must_have_values()?;
    let path = match against {
        Against::Replica(path) => path,
        Against::Digest { name, digest } => {
            here.must_derive()?;
            return Ok((here, Other::Digest(name, digest)));
        }
    };
    if same_file(db, path) {
        return Err(RunError::refused(
            migration.id.as_str(),
            format!("{} is the replica itself", path.display()),
            "give --against another replica's file, or what `dotfill digest` printed there",
        ));
    }
    let there = Replica::open(path, migration, watch)?;
    if here.cannot_derive.is_none() && there.cannot_derive.is_none() {
        return Ok((here, Other::Replica(Box::new(there))));
    }
    let there = Box::new(there.by_values(migration)?);
    Ok((here.by_values(migration)?, Other::Replica(there)))
}

/// A comparison under way.
struct Comparing {
    id: String,
    report: VerifyReport,
    sums: Sums,
    compared: Compared,
    differences: Vec<Difference>,
    threads: usize,
}

impl Comparing {
    fn refused(&self, problem: impl Into<String>, remedy: &str) -> RunError {
        RunError::refused(&self.id, problem, remedy)
    }

    /// Compares with a digest of another replica.
    fn with_digest(
        &mut self,
        here: &Replica<'_>,
        name: &str,
        there: &DigestReport,
        options: &CompareOptions,
    ) -> Result<(), RunError> {
        if options.diff.is_some() {
            return Err(self.refused(
                format!("a digest ({name}) does not say which rows differ"),
                "give --against the other replica's database file to have --diff list them",
            ));
        }
        let leaves = leaves_of(here.changes.len());
        self.check_fits(here, name, there, leaves)?;
        for index in 0..here.changes.len() {
            let tree = self.prove_here(here, index, leaves)?;
            self.compared += &compare_leaves(&tree.leaves, &there.changes[index].leaves);
        }
        Ok(())
    }

    /// Refuses a digest of something else.
    fn check_fits(
        &self,
        here: &Replica<'_>,
        name: &str,
        there: &DigestReport,
        leaves: usize,
    ) -> Result<(), RunError> {
        if there.migration != self.id {
            return Err(self.refused(
                format!("{name} is a digest of migration {}", there.migration),
                "make one with `dotfill digest` of the same migration",
            ));
        }
        if there.migration_digest != self.sums.migration_digest() {
            return Err(self.refused(
                format!("{name} is of a replica that has run another file under that id"),
                "compare replicas that have run the same migration file",
            ));
        }
        if there.changes.len() != here.changes.len() {
            return Err(self.refused(
                format!("{name} has {} changes, not {}", there.changes.len(), here.changes.len()),
                "make it anew with `dotfill digest`",
            ));
        }
        for (known, change) in here.changes.iter().zip(&there.changes) {
            if known.subject.shape() != change.shape {
                return Err(self.other_shape(&change.table, name));
            }
            if change.leaves.len() != leaves {
                return Err(self.refused(
                    format!("{name} has {} leaves a change, not {leaves}", change.leaves.len()),
                    "make it anew with the same release of dotfill",
                ));
            }
        }
        Ok(())
    }

    fn other_shape(&self, table: &str, name: &str) -> RunError {
        self.refused(
            format!("table {table} of {name} has another shape than here"),
            "key columns, their types and collations, and the columns that the expression reads \
             must be alike; compare the two schemas",
        )
    }

    /// The local proof of one change, kept in the report, and its tree.
    fn prove_here(
        &mut self,
        here: &Replica<'_>,
        index: usize,
        leaves: usize,
    ) -> Result<Tree, RunError> {
        let (findings, tree) = here.tree(index, self.threads, leaves)?;
        self.found(here, index, &findings, tree.sources);
        Ok(tree)
    }

    /// Keeps the local proof of one change in the report.
    fn found(&mut self, here: &Replica<'_>, index: usize, findings: &Findings, sources: u128) {
        self.report.add(&here.changes[index].subject, findings);
        self.sums.add(here, index, findings, sources, Vec::new());
    }

    /// Compares with another replica at hand; returns what it holds.
    fn with_replica(
        &mut self,
        here: &Replica<'_>,
        there: &Replica<'_>,
        migration: &Migration,
        options: &CompareOptions,
    ) -> Result<DigestReport, RunError> {
        for (ours, theirs) in here.changes.iter().zip(&there.changes) {
            if ours.subject.shape() != theirs.subject.shape() {
                let name = there.db.display().to_string();
                return Err(self.other_shape(&theirs.subject.table().name, &name));
            }
        }
        let mut diff = self.create_diff(options.diff.as_deref())?;
        let mut sums = Sums::new(there, migration)?;
        for index in 0..here.changes.len() {
            let (threads, bytes_max) = (self.threads, options.memory_bytes_max);
            let walk = Walk { here, there, index, threads, bytes_max };
            let found = walk.run(diff.as_mut())?;
            self.found(here, index, &found.here.findings, found.here.sources);
            sums.add(there, index, &found.there.findings, found.there.sources, Vec::new());
            self.compared.in_flight += found.in_flight;
            self.compared.diverged += found.diverged;
            self.differences.extend(found.differences);
        }
        if let Some(diff) = diff {
            diff.finish()?;
        }
        Ok(sums.finish())
    }

    fn create_diff(&self, path: Option<&Path>) -> Result<Option<DiffFile>, RunError> {
        let Some(path) = path else { return Ok(None) };
        if path.exists() && is_database(path)? {
            return Err(self.refused(
                format!("--diff {} is a database, which would be overwritten", path.display()),
                "name another file",
            ));
        }
        let created = DiffFile::create(path).map_err(|error| {
            let remedy = "name a file in a folder that you may write to";
            self.refused(format!("cannot create {}: {error}", path.display()), remedy)
        })?;
        Ok(Some(created))
    }

    fn finish(
        self,
        (here, other): (&Replica<'_>, Option<&Replica<'_>>),
        against: String,
        there: DigestReport,
    ) -> VerifyReport {
        let mut report = self.report;
        let (ours, exact) = (self.sums.finish(), other.is_some());
        let name = here.db.display().to_string();
        let values_only = [Some(here), other].into_iter().flatten().find_map(|replica| {
            let problem = replica.cannot_derive.as_ref()?;
            Some(format!("{} cannot derive: {problem}", replica.db.display()))
        });
        let pair = Pair { here: (&name, &ours), there: (&against, &there), values_only };
        let Judged { verdict, reason, notes } = judge(&pair, &self.compared, exact);
        let known: Vec<String> = self.differences.iter().map(Difference::example).collect();
        report.examples.retain(|example| !known.contains(example));
        report.examples.splice(0..0, known);
        report.verdict = verdict;
        report.reason = reason;
        report.rows_pending = ours.rows_pending;
        report.digest = ours.digest;
        report.comparison = Some(Comparison {
            against,
            rows_in_flight: self.compared.in_flight,
            rows_diverged: self.compared.diverged,
            in_flight_is_lower_bound: !exact && !self.compared.is_none(),
            rows_there: there.rows,
            rows_different_there: there.rows_different,
            rows_pending_there: there.rows_pending,
            digest_there: there.digest,
            notes,
            differences: self.differences,
        });
        report
    }
}

fn same_file(one: &Path, other: &Path) -> bool {
    let (Ok(one), Ok(other)) = (metadata(one), metadata(other)) else { return false };
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}
