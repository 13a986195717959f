//! Proves ranges, each in one short read snapshot.

use rusqlite::{Connection, Row};

use super::facts::Facts;
use super::{Checked, LeafSet, RangeCheck, RangeDigest, RowFacts, RowHasher};
use crate::db::{DbError, Doing, is_row_error};
use crate::layout::{FillSql, Filter, Target};
use crate::scan::{ProvenColumns, ProvenRows};
use crate::split::{Position, Range};

/// What the proof of one range found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RangeProof {
    /// The digest of its rows.
    pub digest: RangeDigest,
    /// Rows whose cell is ours and differs from the derived value, and that nobody has noted.
    pub unproven: u64,
    /// Rows whose cell differs from the derived value, whoever's it is.
    pub differing: u64,
    /// Rows whose expression fails and is to be skipped.
    pub skipped: u64,
    /// The keys of some of the unproven rows.
    pub examples: Vec<Position>,
}

impl RangeProof {
    /// Adds the proof of another range.
    pub fn add(&mut self, other: Self) {
        self.digest += other.digest;
        self.unproven += other.unproven;
        self.differing += other.differing;
        self.skipped += other.skipped;
        let room = 5_usize.saturating_sub(self.examples.len());
        self.examples.extend(other.examples.into_iter().take(room));
    }
}

/// Why a range could not be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A row's expression failed, so nothing is proven of it.
    #[error("the proof of table {table} stopped at row ({key}): {message}")]
    Row {
        /// The table.
        table: String,
        /// The key, as SQL literals.
        key: String,
        /// What `SQLite` said.
        message: String,
    },
}

/// What is done with the rows of a range besides reading and hashing them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Nothing.
    Read,
    /// The expression is evaluated and compared.
    Evaluate,
    /// They are hashed as the readers hashed what they derived.
    Check,
}

/// Proves ranges of one target through one connection.
#[derive(Debug)]
pub struct Prover<'a> {
    conn: &'a Connection,
    target: &'a Target,
    sql: FillSql<'a>,
    hasher: RowHasher,
    check: RangeCheck,
    facts: Option<Facts<'a>>,
    /// What is kept of the rows that are proven, where they are.
    columns: Option<ProvenColumns>,
    kept: Option<ProvenRows>,
}

impl<'a> Prover<'a> {
    /// Proves `target` through `conn`.
    #[must_use]
    pub fn new(conn: &'a Connection, target: &'a Target) -> Self {
        Self {
            conn,
            target,
            sql: FillSql::new(target),
            hasher: RowHasher::new(target),
            check: RangeCheck::default(),
            facts: None,
            columns: None,
            kept: None,
        }
    }

    /// Keeps the rows of each range that is proven from now on, or no longer.
    pub fn keep_rows(&mut self, keep: bool) {
        if keep != self.columns.is_some() {
            self.columns = keep.then(|| ProvenColumns::new(self.target, &self.sql));
        }
    }

    /// The rows of the range that was proven last, where they were kept: all of them hold what is
    /// derived, nobody claims any, and they are not too many.
    pub fn take_rows(&mut self) -> Option<ProvenRows> {
        self.kept.take()
    }

    /// Has the facts of each row collected, for a tree of `leaves` leaves; keys are kept of the
    /// rows of the leaves in `wanted`.
    #[must_use]
    pub fn with_facts(mut self, leaves: usize, wanted: Option<&'a LeafSet>) -> Self {
        self.facts = Some(Facts::new(self.target, &self.sql, leaves, wanted));
        self
    }

    /// The facts of the rows of the range that was proven last.
    #[must_use]
    pub fn facts(&self) -> &[RowFacts] {
        self.facts.as_ref().map_or(&[], Facts::rows)
    }

    /// Proves one range. Where `expected` is what readers derived from the same source values,
    /// and the rows hold just that, no expression is evaluated again (and no facts are collected).
    ///
    /// # Errors
    /// When the rows cannot be read, or a row's expression fails.
    pub fn prove(
        &mut self,
        range: &Range,
        expected: Option<Checked>,
    ) -> Result<RangeProof, ProofError> {
        self.conn.execute_batch("BEGIN").doing("begin a snapshot")?;
        let proof = self.begin_rows(range).and_then(|()| self.prove_in_snapshot(range, expected));
        self.conn.execute_batch("COMMIT").doing("end a snapshot")?;
        proof
    }

    fn begin_rows(&mut self, range: &Range) -> Result<(), ProofError> {
        self.kept = match &self.columns {
            Some(columns) => {
                ProvenRows::begin(self.conn, self.target, columns, range.after.as_ref())?
            }
            None => None,
        };
        Ok(())
    }

    fn prove_in_snapshot(
        &mut self,
        range: &Range,
        expected: Option<Checked>,
    ) -> Result<RangeProof, ProofError> {
        self.facts.iter_mut().for_each(Facts::clear);
        if expected.is_some() {
            let found = self.scan(range, Look::Check)?;
            if Some(self.check.finish()) == expected {
                return Ok(found);
            }
        }
        let mut proof = match self.scan(range, Look::Evaluate) {
            Err(ProofError::Db(DbError::Sql { source, .. })) if is_row_error(&source) => {
                self.facts.iter_mut().for_each(Facts::clear);
                return self.row_by_row(range);
            }
            other => other?,
        };
        if proof.unproven > 0 {
            self.classify(range, &mut proof)?;
        }
        Ok(proof)
    }

    /// Reads the range, hashes it, and counts the cells that differ (all of them, whoever's).
    fn scan(&mut self, range: &Range, look: Look) -> Result<RangeProof, ProofError> {
        let what = format!("prove rows up to {}", range.through);
        let (terms, sources) = (self.sql.range.terms.len(), self.target.sources.len().max(1));
        let key = self.sql.proof_key();
        let sql = self.sql.select_proof(range.bounded(), look == Look::Evaluate);
        let mut statement = self.conn.prepare_cached(&sql).doing(&what)?;
        let parameters = rusqlite::params_from_iter(range.parameters());
        let mut rows = statement.query(parameters).doing(&what)?;
        let mut proof = RangeProof::default();
        self.kept.iter_mut().for_each(ProvenRows::clear);
        while let Some(row) = rows.next().doing(&what)? {
            let differs = differs(row, terms + sources + 1).doing(&what)?;
            proof.unproven += u64::from(differs);
            let cell = row.get_ref(terms + sources).doing(&what)?;
            let digest = self.hasher.row(row, key.clone(), cell).doing(&what)?;
            proof.digest += digest;
            if let Some(facts) = self.facts.as_mut().filter(|_| look != Look::Check) {
                let unlike = differs || look == Look::Read;
                facts.add(row, digest.values, unlike).doing(&what)?;
            }
            if let Some(kept) = &mut self.kept
                && (differs || !kept.add(row, cell).doing(&what)?)
            {
                self.kept = None;
            }
            if look == Look::Check {
                self.check.add(row, terms + sources, cell).doing(&what)?;
            }
        }
        Ok(proof)
    }

    /// Of the cells that differ, keeps those that are ours and not noted; the others are claimed.
    fn classify(&mut self, range: &Range, proof: &mut RangeProof) -> Result<(), ProofError> {
        let what = "look at the rows that differ";
        proof.differing = proof.unproven;
        proof.unproven = 0;
        let terms = self.sql.range.terms.len();
        let sql = self.sql.select_unproven(range.bounded(), self.filter());
        let mut statement = self.conn.prepare_cached(&sql).doing(what)?;
        let parameters = rusqlite::params_from_iter(range.parameters());
        let mut rows = statement.query(parameters).doing(what)?;
        while let Some(row) = rows.next().doing(what)? {
            proof.unproven += 1;
            if let Some(facts) = &mut self.facts {
                facts.nobody_claims(row).doing(what)?;
            }
            if proof.examples.len() < 5 {
                let at = Position::from_row(row, terms).doing(what)?;
                proof.examples.push(at.key(self.conn, &self.target.table)?);
            }
        }
        self.facts.iter_mut().for_each(Facts::claim_others);
        Ok(())
    }

    fn filter(&self) -> Filter {
        let noted = self.target.delivery.writes_cells();
        Filter { dirty: noted, user: noted }
    }

    /// Proves a range in which some row's expression fails, one row at a time.
    fn row_by_row(&mut self, range: &Range) -> Result<RangeProof, ProofError> {
        let mut proof = RangeProof::default();
        self.kept = None;
        for one in range.one_by_one(self.conn, &self.sql.select_keys(range.bounded()))? {
            let mut found = match self.scan(&one, Look::Evaluate) {
                Ok(found) => found,
                Err(ProofError::Db(DbError::Sql { source, .. })) if is_row_error(&source) => {
                    proof.digest += self.underivable(&one, &source)?;
                    proof.skipped += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            proof.digest += found.digest;
            if found.unproven > 0 {
                self.classify(&one, &mut found)?;
            }
            proof.unproven += found.unproven;
            proof.differing += found.differing;
            proof.examples.extend(found.examples);
        }
        proof.examples.truncate(5);
        Ok(proof)
    }

    /// Reads the one row of `range`, whose expression fails; refuses where it is ours and may not be
    /// skipped.
    fn underivable(
        &mut self,
        range: &Range,
        source: &rusqlite::Error,
    ) -> Result<RangeDigest, ProofError> {
        let ours = self.is_ours(range)?;
        if ours && !self.target.skip_errors {
            return Err(ProofError::Row {
                table: self.target.table.name.clone(),
                key: range.through.key(self.conn, &self.target.table)?.to_string(),
                message: crate::db::expr::plain(source),
            });
        }
        let found = self.scan(range, Look::Read)?;
        self.facts.iter_mut().for_each(if ours { Facts::claim_none } else { Facts::claim_others });
        Ok(found.digest)
    }

    /// True where the one row of `range` is neither a user's nor noted.
    fn is_ours(&self, range: &Range) -> Result<bool, DbError> {
        let sql = self.sql.select_unclaimed(range.bounded(), self.filter());
        self.conn
            .prepare_cached(&sql)
            .and_then(|mut s| s.exists(rusqlite::params_from_iter(range.parameters())))
            .doing("look at a row whose expression fails")
    }
}

fn differs(row: &Row<'_>, column: usize) -> rusqlite::Result<bool> {
    row.get(column)
}
