//! Collects the facts of the rows of one range while it is proven: a cell that differs is claimed
//! or not only once it is known whose it is.

use std::collections::HashSet;

use rusqlite::Row;

use super::{FactHasher, RowColumns, RowFacts};
use crate::db::encode;
use crate::layout::{FillSql, Target};

/// Some leaves of a tree.
pub type LeafSet = HashSet<usize>;

/// A row whose cell differs from the derived value, until it is known whose it is.
#[derive(Debug)]
struct Unlike {
    /// Its place among the rows.
    row: usize,
    /// Its encoded scan key.
    at: Vec<u8>,
    /// Its source hash, should somebody claim it.
    claimed: u128,
}

/// The facts of the rows of one range.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    hasher: FactHasher,
    columns: RowColumns,
    terms: usize,
    wanted: Option<&'a LeafSet>,
    rows: Vec<RowFacts>,
    unlike: Vec<Unlike>,
    unclaimed: HashSet<Vec<u8>>,
}

impl<'a> Facts<'a> {
    pub(super) fn new(
        target: &Target,
        sql: &FillSql<'_>,
        leaves: usize,
        wanted: Option<&'a LeafSet>,
    ) -> Self {
        let terms = sql.range.terms.len();
        let cell = terms + target.sources.len().max(1);
        Self {
            hasher: FactHasher::new(target, leaves),
            columns: RowColumns { key: sql.proof_key(), sources: terms, cell },
            terms,
            wanted,
            rows: Vec::new(),
            unlike: Vec::new(),
            unclaimed: HashSet::new(),
        }
    }

    pub(super) fn rows(&self) -> &[RowFacts] {
        &self.rows
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.unlike.clear();
        self.unclaimed.clear();
    }

    /// Adds a row of `FillSql::select_proof`; `unlike` where its cell is not the derived value.
    pub(super) fn add(
        &mut self,
        row: &Row<'_>,
        values: u128,
        unlike: bool,
    ) -> rusqlite::Result<()> {
        let wanted = self.wanted;
        let keep = |leaf| wanted.is_some_and(|leaves| leaves.contains(&leaf));
        let (facts, claimed) = self.hasher.row(row, &self.columns, values, unlike, keep)?;
        if let Some(claimed) = claimed {
            let at = scan_key(row, self.terms)?;
            self.unlike.push(Unlike { row: self.rows.len(), at, claimed });
        }
        self.rows.push(facts);
        Ok(())
    }

    /// Says of a row, which begins with its scan key, that its cell is ours and not noted.
    pub(super) fn nobody_claims(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        self.unclaimed.insert(scan_key(row, self.terms)?);
        Ok(())
    }

    /// Of the rows that differ, all but those that nobody claims are claimed.
    pub(super) fn claim_others(&mut self) {
        for unlike in self.unlike.drain(..) {
            if !self.unclaimed.contains(&unlike.at) {
                self.rows[unlike.row].sources = unlike.claimed;
            }
        }
        self.unclaimed.clear();
    }

    /// None of the rows that differ is claimed.
    pub(super) fn claim_none(&mut self) {
        self.unlike.clear();
    }
}

fn scan_key(row: &Row<'_>, terms: usize) -> rusqlite::Result<Vec<u8>> {
    let mut key = Vec::new();
    for i in 0..terms {
        encode(row.get_ref(i)?, &mut key);
    }
    Ok(key)
}
