//! `verify`: the proof of a whole migration, made again without a lease and without a write.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use super::examine::Replica;
use super::index::IndexProof;
use super::proof::Findings;
use super::subject::Subject;
use super::watch::{LookOptions, Watch};
use super::{Comparison, RunError, SetReport};
use crate::layout::IndexTarget;
use crate::migration::Migration;
use crate::monitor::{Monitor, Stage};
use crate::state::Phase;
use crate::verify::RangeDigest;

/// What a proof says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every cell that is ours holds the derived value; and both replicas hold the same.
    Equal,
    /// Some cell that is ours holds something else, or replicas with equal sources hold different
    /// values.
    Diverged,
    /// Cells differ, and whether they are ours is no longer known; or changes are on their way
    /// between the replicas.
    Inconclusive,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Equal => "equal",
            Self::Diverged => "diverged",
            Self::Inconclusive => "inconclusive",
        })
    }
}

/// What a proof found, as in `verify --json`.
#[derive(Clone, Debug, Serialize)]
pub struct VerifyReport {
    /// The migration.
    pub migration: String,
    /// What the proof says.
    pub verdict: Verdict,
    /// Why nothing is proven, where nothing is.
    pub reason: Option<String>,
    /// Rows that were looked at.
    pub rows_compared: u64,
    /// Rows whose cell is ours, is not noted, and differs from the derived value.
    pub rows_different: u64,
    /// Rows whose expression fails and is skipped.
    pub rows_skipped: u64,
    /// Keys that others changed and that wait to be derived again: nothing is said of them.
    pub rows_pending: u64,
    /// `TABLE: KEY` of some of the rows that differ.
    pub examples: Vec<String>,
    /// The digest of all tables' rows.
    pub digest: String,
    /// The `SQLite` that evaluated the expressions.
    pub sqlite_version: String,
    /// Seconds in all.
    pub seconds: f64,
    /// The changes, one by one.
    pub changes: Vec<ChangeVerdict>,
    /// What the comparison with another replica found, where there was one.
    #[serde(flatten)]
    pub comparison: Option<Comparison>,
}

/// What a proof found for one change.
#[derive(Clone, Debug, Serialize)]
pub struct ChangeVerdict {
    /// The table.
    pub table: String,
    /// The column, or the name of the index.
    pub column: String,
    /// Rows that were looked at.
    pub rows_compared: u64,
    /// Rows that differ.
    pub rows_different: u64,
    /// The digest of the table's rows; empty for an index.
    pub digest: String,
    /// The keys of some of the rows that differ.
    pub examples: Vec<String>,
    /// More about a set; absent for a column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<SetReport>,
    /// More about an index; absent for a column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<IndexVerdict>,
}

/// What a proof found for an index.
#[derive(Clone, Debug, Serialize)]
pub struct IndexVerdict {
    /// Entries that it has.
    pub entries: u64,
    /// True where every row was looked up in it, and not only counted.
    pub integrity: bool,
    /// What is wrong with it, where something is.
    pub problem: Option<String>,
}

/// Proves a migration again. Writes nothing and needs no lease; a run may go on meanwhile.
///
/// # Errors
/// [`RunError::Refused`] where the migration is not proven yet; [`RunError::Interrupted`]; else when
/// rows cannot be read.
pub fn verify(
    db: &Path,
    migration: &Migration,
    options: &LookOptions,
    monitor: &dyn Monitor,
) -> Result<VerifyReport, RunError> {
    let watch = Watch::new(Stage::Proving, "proving", &options.cancel, monitor);
    let replica = Replica::open(db, migration, &watch)?;
    replica.must_derive()?;
    prove(&replica, migration, options, &watch)
}

/// As [`verify`], of a replica that was fed; `None` where it cannot derive.
pub(super) fn verify_fed(
    db: &Path,
    migration: &Migration,
    options: &LookOptions,
    monitor: &dyn Monitor,
) -> Result<Option<VerifyReport>, RunError> {
    let watch = Watch::new(Stage::Proving, "proving", &options.cancel, monitor);
    let replica = Replica::open(db, migration, &watch)?;
    if replica.cannot_derive.is_some() {
        return Ok(None);
    }
    prove(&replica, migration, options, &watch).map(Some)
}

fn prove(
    replica: &Replica<'_>,
    migration: &Migration,
    options: &LookOptions,
    watch: &Watch<'_>,
) -> Result<VerifyReport, RunError> {
    let began = Instant::now();
    let mut report = VerifyReport::new(migration);
    report.rows_pending = replica.pending()?;
    let mut digest = RangeDigest::default();
    for (index, change) in replica.changes.iter().enumerate() {
        let findings = replica.prove(index, options.threads)?;
        digest += findings.proof.digest;
        report.add(&change.subject, &findings);
    }
    for target in &replica.indexes {
        let proof = replica.prove_index(target, options.integrity)?;
        report.add_index(target, &proof, options.integrity);
    }
    report.digest = digest.to_hex();
    report.judge(replica.row.phase);
    report.judge_indexes();
    report.wait_for(replica.undecided()?);
    watch.end();
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

impl VerifyReport {
    pub(super) fn new(migration: &Migration) -> Self {
        Self {
            migration: migration.id.to_string(),
            verdict: Verdict::Inconclusive,
            reason: None,
            rows_compared: 0,
            rows_different: 0,
            rows_skipped: 0,
            rows_pending: 0,
            examples: Vec::new(),
            digest: String::new(),
            sqlite_version: rusqlite::version().to_owned(),
            seconds: 0.0,
            changes: Vec::new(),
            comparison: None,
        }
    }

    pub(super) fn add(&mut self, subject: &Subject, findings: &Findings) {
        let proof = &findings.proof;
        let table = &subject.table().name;
        let examples: Vec<String> = proof.examples.iter().map(ToString::to_string).collect();
        self.rows_compared += proof.digest.rows;
        self.rows_different += proof.unproven;
        self.rows_skipped += proof.skipped;
        self.examples.extend(examples.iter().map(|key| format!("{table}: {key}")));
        self.changes.push(ChangeVerdict {
            table: table.clone(),
            column: subject.column().to_owned(),
            rows_compared: proof.digest.rows,
            rows_different: proof.unproven,
            digest: proof.digest.to_hex(),
            examples,
            set: findings.set.clone(),
            index: None,
        });
    }

    fn add_index(&mut self, target: &IndexTarget, proof: &IndexProof, integrity: bool) {
        let table = &target.table.name;
        let examples: Vec<String> = proof.examples.iter().map(ToString::to_string).collect();
        self.rows_compared += proof.rows;
        self.rows_different += proof.unproven();
        self.examples.extend(examples.iter().map(|key| format!("{table}: {key}")));
        let problem = proof.problem(target);
        let index = IndexVerdict { entries: proof.entries, integrity, problem };
        self.changes.push(ChangeVerdict {
            table: table.clone(),
            column: target.name.clone(),
            rows_compared: proof.rows,
            rows_different: proof.unproven(),
            digest: String::new(),
            examples,
            set: None,
            index: Some(index),
        });
    }

    /// An index is followed by `SQLite` itself, in every phase: what is wrong with it is no matter of
    /// time.
    fn judge_indexes(&mut self) {
        let indexes = self.changes.iter().filter_map(|change| change.index.as_ref());
        let problems: Vec<String> = indexes.filter_map(|index| index.problem.clone()).collect();
        if !problems.is_empty() {
            self.verdict = Verdict::Diverged;
            self.reason = Some(problems.join("; "));
        }
    }

    /// Nothing is proven while old-format writes wait for a decision: another replica may have
    /// decided them.
    pub(super) fn wait_for(&mut self, undecided: u64) {
        if undecided > 0 && self.verdict == Verdict::Equal {
            self.verdict = Verdict::Inconclusive;
            self.reason = Some(format!(
                "{undecided} old writes are pending or wait in quarantine: `dotfill run` and \
                 `dotfill quarantine` decide them"
            ));
        }
    }

    pub(super) fn judge(&mut self, phase: Phase) {
        let unsure = match phase {
            Phase::Closed => Some(
                "the migration is closed: rows are no longer followed, so a source may have \
                 changed since, and whose a cell is may not be known",
            ),
            Phase::Applied => Some(
                "the values were applied from deltas, and sources are not followed: one may have \
                 changed since; `dotfill run` derives, `dotfill apply` takes newer deltas",
            ),
            Phase::Filling
            | Phase::Open
            | Phase::Applying
            | Phase::RollingBack
            | Phase::RolledBack
            | Phase::Failed => None,
        };
        self.verdict = match (self.rows_different, unsure) {
            (0, _) => Verdict::Equal,
            (_, None) => Verdict::Diverged,
            (_, Some(reason)) => {
                self.reason = Some(reason.to_owned());
                Verdict::Inconclusive
            }
        };
    }
}
