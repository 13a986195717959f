//! `digest`: what the rows of a replica hold, small enough to be sent to another one.

use std::path::Path;

use super::RunError;
use super::examine::Replica;
use super::proof::Findings;
use super::watch::{LookOptions, Watch};
use crate::migration::Migration;
use crate::monitor::{Monitor, Stage};
use crate::verify::{ChangeDigest, DigestReport, Leaf, RangeDigest, leaves_of, root};

/// The digest tree of every change of a proven migration. Writes nothing and needs no lease.
///
/// # Errors
/// [`RunError::Refused`] where the migration is not proven yet; [`RunError::Interrupted`]; else when
/// rows cannot be read.
pub fn digest(
    db: &Path,
    migration: &Migration,
    options: &LookOptions,
    monitor: &dyn Monitor,
) -> Result<DigestReport, RunError> {
    let watch = Watch::new(Stage::Proving, "reading rows", &options.cancel, monitor);
    let replica = Replica::open(db, migration, &watch)?;
    replica.must_derive()?;
    replica.must_have_values()?;
    let mut sums = Sums::new(&replica, migration)?;
    let leaves = leaves_of(replica.changes.len());
    for index in 0..replica.changes.len() {
        let (findings, tree) = replica.tree(index, options.threads, leaves)?;
        sums.add(&replica, index, &findings, tree.sources, tree.leaves);
    }
    watch.end();
    Ok(sums.finish())
}

/// A digest as it grows, change by change.
pub(super) struct Sums {
    report: DigestReport,
    values: RangeDigest,
    sources: u128,
}

impl Sums {
    pub(super) fn new(replica: &Replica<'_>, migration: &Migration) -> Result<Self, RunError> {
        let report = DigestReport {
            format: DigestReport::format(),
            migration: migration.id.to_string(),
            migration_digest: blake3::Hash::from(migration.digest).to_hex().to_string(),
            phase: replica.row.phase.to_string(),
            rows: 0,
            rows_pending: replica.pending()?,
            rows_different: 0,
            rows_skipped: 0,
            digest: String::new(),
            sources_digest: String::new(),
            dotfill_version: env!("CARGO_PKG_VERSION").to_owned(),
            sqlite_version: rusqlite::version().to_owned(),
            proof_sqlite_version: replica.proof_sqlite_version(),
            changes: Vec::new(),
        };
        Ok(Self { report, values: RangeDigest::default(), sources: 0 })
    }

    /// Adds what was found of a change, with the sum of source hashes, and the leaves to keep.
    pub(super) fn add(
        &mut self,
        replica: &Replica<'_>,
        index: usize,
        found: &Findings,
        sources: u128,
        leaves: Vec<Leaf>,
    ) {
        let subject = &replica.changes[index].subject;
        let proof = &found.proof;
        self.report.rows += proof.digest.rows;
        self.report.rows_different += proof.unproven;
        self.report.rows_skipped += proof.skipped;
        self.values += proof.digest;
        self.sources = self.sources.wrapping_add(sources);
        self.report.changes.push(ChangeDigest {
            table: subject.table().name.clone(),
            column: subject.column().to_owned(),
            shape: subject.shape(),
            rows: proof.digest.rows,
            digest: proof.digest.to_hex(),
            high: (high(proof.digest.values), high(sources)),
            leaves,
        });
    }

    /// The digest of the migration's meaning, as hexadecimal digits.
    pub(super) fn migration_digest(&self) -> &str {
        &self.report.migration_digest
    }

    pub(super) fn finish(mut self) -> DigestReport {
        self.report.digest = self.values.to_hex();
        self.report.sources_digest = root(self.values.rows, self.sources);
        self.report
    }
}

fn high(sum: u128) -> u64 {
    (sum >> 64) as u64
}
