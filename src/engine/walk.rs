//! What differs between one change of two replicas at hand: each table is read once; then, of tables
//! that are stored in the order of the same key, the ranges whose sums differ; of others, all rows
//! once more, of which those in differing leaves are kept. Memory is bounded; what does not fit is
//! kept in a temporary database.

mod ranges;
mod unmatched;

use parking_lot::Mutex;

use self::ranges::groups;
use self::unmatched::{Found, Side, Unmatched};
use super::RunError;
use super::difference::{DiffFile, Difference, RowVerdict};
use super::examine::Replica;
use super::proof::{Findings, reader};
use super::subject::Subject;
use crate::db::{Datum, DbError, to_json};
use crate::split::{Position, Range};
use crate::verify::{LeafSet, RowFacts, compare_leaves};

/// Differences of each kind that are shown.
const SHOWN: usize = 5;
/// Leaves of the trees of two replicas at hand, at least: rows of differing leaves are kept.
const LEAVES_MIN: u64 = 4096;
/// The same, at most: each takes 32 bytes.
const LEAVES_MAX: u64 = 1 << 16;
/// Rows of a leaf that are aimed at.
const LEAF_ROWS: u64 = 64;

/// What a walk over one change of two replicas found.
#[derive(Debug)]
pub(super) struct Walked {
    pub here: Proven,
    pub there: Proven,
    pub in_flight: u64,
    pub diverged: u64,
    /// The first of each kind, diverged ones first.
    pub differences: Vec<Difference>,
}

/// What one of the replicas holds: what its proof found, and the sum of its source hashes.
#[derive(Debug)]
pub(super) struct Proven {
    pub findings: Findings,
    pub sources: u128,
}

/// The rows of one change of two replicas.
pub(super) struct Walk<'w> {
    pub here: &'w Replica<'w>,
    pub there: &'w Replica<'w>,
    pub index: usize,
    pub threads: usize,
    /// Bytes of differing rows that are kept in memory.
    pub bytes_max: u64,
}

/// The differences so far.
struct Differing<'d> {
    subject: &'d Subject,
    diff: Option<&'d mut DiffFile>,
    in_flight: u64,
    diverged: u64,
    shown: Vec<(Vec<Datum>, RowVerdict)>,
}

impl Differing<'_> {
    fn add(&mut self, (key, verdict, count): Found) -> Result<(), DbError> {
        match verdict {
            RowVerdict::Diverged => self.diverged += count,
            RowVerdict::InFlight => self.in_flight += count,
        }
        if let Some(diff) = self.diff.as_deref_mut() {
            diff.push(self.subject, &key, verdict)?;
        }
        if self.shown.iter().filter(|(_, v)| *v == verdict).count() < SHOWN {
            self.shown.push((key, verdict));
        }
        Ok(())
    }
}

impl Walk<'_> {
    /// Finds the rows that differ.
    pub(super) fn run(&self, diff: Option<&mut DiffFile>) -> Result<Walked, RunError> {
        let subject = self.subject();
        let mut differing =
            Differing { subject, diff, in_flight: 0, diverged: 0, shown: Vec::new() };
        let (here, there) = if self.is_ordered() {
            self.by_ranges(&mut differing)?
        } else {
            self.by_leaves(&mut differing)?
        };
        let Differing { in_flight, diverged, mut shown, .. } = differing;
        shown.sort_by_key(|(_, verdict)| *verdict);
        Ok(Walked { here, there, in_flight, diverged, differences: self.show(shown)? })
    }

    fn subject(&self) -> &Subject {
        &self.here.changes[self.index].subject
    }

    fn by_ranges(&self, differing: &mut Differing<'_>) -> Result<(Proven, Proven), RunError> {
        let (here, there) = self.read_ranges()?;
        for group in groups(&here, &there, self.bytes_max) {
            let unmatched = self.unmatched(&|keep| self.rows_of_group(&group, keep))?;
            unmatched.finish(&mut |found| differing.add(found))?;
        }
        let proven =
            |side: ranges::Ranges| Proven { findings: side.findings, sources: side.sources };
        Ok((proven(here), proven(there)))
    }

    fn by_leaves(&self, differing: &mut Differing<'_>) -> Result<(Proven, Proven), RunError> {
        let (index, threads, leaves) = (self.index, self.threads, self.leaves());
        let (here, ours) = self.here.tree(index, threads, leaves)?;
        let (there, theirs) = self.there.tree(index, threads, leaves)?;
        let unlike = compare_leaves(&ours.leaves, &theirs.leaves).differing;
        let unlike: LeafSet = unlike.into_iter().collect();
        if !unlike.is_empty() {
            let read = |keep: Keep<'_>| {
                for (side, replica) in [(Side::Here, self.here), (Side::There, self.there)] {
                    let sink = |_: &Range, rows: &[RowFacts]| keep(side, rows);
                    replica.rows_of(index, threads, leaves, &unlike, &sink)?;
                }
                Ok(())
            };
            // Where rows were renumbered meanwhile, all of them are read again.
            let unmatched = self
                .here
                .steadily(index, || self.there.steadily(index, || self.unmatched(&read)))?;
            unmatched.finish(&mut |found| differing.add(found))?;
        }
        let proven = |findings, sources| Proven { findings, sources };
        Ok((proven(here, ours.sources), proven(there, theirs.sources)))
    }

    /// Leaves of the trees of both: a power of two.
    fn leaves(&self) -> usize {
        let rows = |replica: &Replica<'_>| replica.changes[self.index].rows_total;
        let rows = rows(self.here).max(rows(self.there));
        let leaves = (rows / LEAF_ROWS).clamp(LEAVES_MIN, LEAVES_MAX).next_power_of_two();
        usize::try_from(leaves).unwrap_or(1)
    }

    /// The rows, of those that `read` hands on, that have no equal on the other side.
    fn unmatched(
        &self,
        read: &dyn Fn(Keep<'_>) -> Result<(), RunError>,
    ) -> Result<Unmatched, RunError> {
        let unmatched = Mutex::new(Unmatched::new(self.bytes_max));
        let failed = Mutex::new(None);
        read(&|side, rows| {
            if let Err(error) = unmatched.lock().add(side, rows) {
                failed.lock().get_or_insert(error);
            }
        })?;
        match failed.into_inner() {
            Some(error) => Err(error.into()),
            None => Ok(unmatched.into_inner()),
        }
    }

    /// Looks up what each side holds.
    fn show(&self, rows: Vec<(Vec<Datum>, RowVerdict)>) -> Result<Vec<Difference>, RunError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let sides = [self.here, self.there].map(|replica| -> Result<_, DbError> {
            Ok((reader(&replica.db)?, &replica.changes[self.index].subject))
        });
        let [here, there] = sides;
        let (here, there) = (here?, there?);
        let shown = rows.into_iter().map(|(key, verdict)| {
            Ok(Difference {
                table: self.subject().table().name.clone(),
                column: self.subject().column().to_owned(),
                key: key.iter().map(to_json).collect(),
                verdict,
                here: here.1.held(&here.0, &key)?,
                there: there.1.held(&there.0, &key)?,
                key_sql: Position(key).to_string(),
            })
        });
        shown.collect()
    }
}

/// Takes rows of a side, with their keys; called by any of the readers.
type Keep<'k> = &'k (dyn Fn(Side, &[RowFacts]) + Sync);
