//! The rows of differing leaves of two replicas at hand: which keys differ, and what each side
//! holds. Keeps the rows of a group of leaves in memory, never more than a bound.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::RunError;
use super::difference::{DiffFile, Difference, RowVerdict, held};
use super::examine::Replica;
use super::proof::reader;
use crate::db::{Datum, DbError, to_json};
use crate::layout::Target;
use crate::split::{Position, Range};
use crate::verify::{LeafSet, RowFacts, Tree};

/// Bytes of rows that are kept at once, about.
const GROUP_BYTES: u64 = 64 << 20;
/// Bytes that a row takes besides its key, about.
const ROW_BYTES: u64 = 160;
/// Differences of each kind that are shown.
const SHOWN: usize = 5;

/// What a walk over the differing leaves of one change found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub in_flight: u64,
    pub diverged: u64,
    /// The first of each kind, diverged ones first.
    pub differences: Vec<Difference>,
}

/// Source hash and value hash of a row.
type Hashes = (u128, u128);
/// The rows of one side that have no equal on the other, by encoded key. Rows may share a key that
/// holds a NULL.
type Rows = HashMap<Box<[u8]>, Vec<Hashes>>;

/// The rows of one change of two replicas.
pub(super) struct Walk<'w> {
    pub here: &'w Replica<'w>,
    pub there: &'w Replica<'w>,
    pub index: usize,
    pub threads: usize,
}

impl Walk<'_> {
    /// Finds the rows that differ in the `differing` leaves of the two trees.
    pub(super) fn run(
        &self,
        ours: &Tree,
        theirs: &Tree,
        differing: &[usize],
        mut diff: Option<&mut DiffFile>,
    ) -> Result<Walked, RunError> {
        let mut walked = Walked::default();
        let bytes = |leaf: usize| {
            let side = |tree: &Tree| tree.key_bytes[leaf] + tree.leaves[leaf].rows * ROW_BYTES;
            side(ours) + side(theirs)
        };
        let mut shown = Vec::new();
        for group in groups(differing, bytes) {
            let rows = self.rows(&group, ours.leaves.len())?;
            for (key, verdict, count) in differences(rows) {
                match verdict {
                    RowVerdict::Diverged => walked.diverged += count,
                    RowVerdict::InFlight => walked.in_flight += count,
                }
                if let Some(diff) = diff.as_deref_mut() {
                    diff.push(self.target(), &key, verdict)?;
                }
                if shown.iter().filter(|(_, v)| *v == verdict).count() < SHOWN {
                    shown.push((key, verdict));
                }
            }
        }
        shown.sort_by_key(|(_, verdict)| *verdict);
        walked.differences = self.show(shown)?;
        Ok(walked)
    }

    fn target(&self) -> &Target {
        &self.here.changes[self.index].target
    }

    /// The rows of some leaves that one side has and the other has not, or not alike.
    fn rows(&self, wanted: &LeafSet, leaves: usize) -> Result<(Rows, Rows), RunError> {
        let (index, threads) = (self.index, self.threads);
        self.here.steadily(index, || {
            self.there.steadily(index, || {
                let (ours, theirs) = (Mutex::new(Rows::new()), Mutex::new(Rows::new()));
                let keep = |_: &Range, rows: &[RowFacts]| {
                    let mut ours = ours.lock();
                    for (key, hashes) in keyed(rows) {
                        ours.entry(key.into()).or_default().push(hashes);
                    }
                };
                self.here.rows_of(index, threads, leaves, wanted, &keep)?;
                let cancel = |_: &Range, rows: &[RowFacts]| {
                    let (mut ours, mut theirs) = (ours.lock(), theirs.lock());
                    for (key, hashes) in keyed(rows) {
                        if !take(&mut ours, key, hashes) {
                            theirs.entry(key.into()).or_default().push(hashes);
                        }
                    }
                };
                self.there.rows_of(index, threads, leaves, wanted, &cancel)?;
                Ok((ours.into_inner(), theirs.into_inner()))
            })
        })
    }

    /// Looks up what each side holds.
    fn show(&self, rows: Vec<(Vec<Datum>, RowVerdict)>) -> Result<Vec<Difference>, RunError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let sides = [self.here, self.there].map(|replica| -> Result<_, DbError> {
            Ok((reader(&replica.db)?, &replica.changes[self.index].target))
        });
        let [here, there] = sides;
        let (here, there) = (here?, there?);
        let shown = rows.into_iter().map(|(key, verdict)| {
            Ok(Difference {
                table: self.target().table.name.clone(),
                column: self.target().column.clone(),
                key: key.iter().map(to_json).collect(),
                verdict,
                here: held(&here.0, here.1, &key)?,
                there: held(&there.0, there.1, &key)?,
                key_sql: Position(key).to_string(),
            })
        });
        shown.collect()
    }
}

/// Leaves in groups whose rows fit into memory; a group has one leaf at least.
fn groups(leaves: &[usize], bytes: impl Fn(usize) -> u64) -> Vec<LeafSet> {
    let mut groups: Vec<LeafSet> = Vec::new();
    let mut left = 0;
    for leaf in leaves {
        let size = bytes(*leaf);
        match groups.last_mut() {
            Some(group) if size <= left => {
                group.insert(*leaf);
                left -= size;
            }
            _ => {
                groups.push(LeafSet::from([*leaf]));
                left = GROUP_BYTES.saturating_sub(size);
            }
        }
    }
    groups
}

/// The rows whose keys were kept.
fn keyed(rows: &[RowFacts]) -> impl Iterator<Item = (&[u8], Hashes)> {
    rows.iter().filter_map(|row| Some((row.key.as_deref()?, (row.sources, row.values))))
}

/// Takes a row of that key and those hashes out; false where there is none.
fn take(rows: &mut Rows, key: &[u8], hashes: Hashes) -> bool {
    let Some(found) = rows.get_mut(key) else { return false };
    let Some(at) = found.iter().position(|other| *other == hashes) else { return false };
    found.swap_remove(at);
    if found.is_empty() {
        rows.remove(key);
    }
    true
}

/// The keys that differ, in order, each with its verdict and how many rows of that key have it.
fn differences((ours, mut theirs): (Rows, Rows)) -> Vec<(Vec<Datum>, RowVerdict, u64)> {
    let mut found = Vec::new();
    let mut add = |key: &[u8], here: Vec<Hashes>, there: Vec<Hashes>| {
        let (diverged, in_flight) = tell_apart(here, there);
        let counts = [(RowVerdict::Diverged, diverged), (RowVerdict::InFlight, in_flight)];
        for (verdict, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            found.push((decode(key), verdict, count));
        }
    };
    for (key, here) in ours {
        let there = theirs.remove(&key).unwrap_or_default();
        add(&key, here, there);
    }
    for (key, there) in theirs {
        add(&key, Vec::new(), there);
    }
    found.sort_by(|(a, x, _), (b, y, _)| in_order(a, b).then(x.cmp(y)));
    found
}

/// Of rows of one key: those with a counterpart of the same source, and the others.
fn tell_apart(here: Vec<Hashes>, mut there: Vec<Hashes>) -> (u64, u64) {
    let (mut diverged, mut alone) = (0, 0);
    for (sources, _) in here {
        match there.iter().position(|(other, _)| *other == sources) {
            Some(at) => {
                there.swap_remove(at);
                diverged += 1;
            }
            None => alone += 1,
        }
    }
    (diverged, alone.max(there.len() as u64))
}

fn decode(mut bytes: &[u8]) -> Vec<Datum> {
    let mut key = Vec::new();
    while let Some((datum, rest)) = Datum::decode(bytes) {
        key.push(datum);
        bytes = rest;
    }
    key
}

/// The order of keys for people: NULLs, numbers, texts, blobs.
fn in_order(a: &[Datum], b: &[Datum]) -> std::cmp::Ordering {
    let class = |datum: &Datum| match datum {
        Datum::Null => 0,
        Datum::Integer(_) => 1,
        Datum::Real(_) => 2,
        Datum::Text(_) => 3,
        Datum::Blob(_) => 4,
    };
    let one = |a: &Datum, b: &Datum| match (a, b) {
        (Datum::Integer(a), Datum::Integer(b)) => a.cmp(b),
        (Datum::Real(a), Datum::Real(b)) => a.total_cmp(b),
        (Datum::Text(a), Datum::Text(b)) | (Datum::Blob(a), Datum::Blob(b)) => a.cmp(b),
        _ => class(a).cmp(&class(b)),
    };
    a.iter().zip(b).map(|(a, b)| one(a, b)).find(|o| o.is_ne()).unwrap_or(a.len().cmp(&b.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_fit_into_memory_and_have_every_leaf_once() {
        let third = GROUP_BYTES / 3 + 1;
        let found = groups(&[1, 2, 3, 5, 8], |leaf| if leaf == 5 { 3 * third } else { third });
        let want = [vec![1, 2], vec![3], vec![5], vec![8]];
        assert_eq!(found, want.map(|leaves| leaves.into_iter().collect::<LeafSet>()));
        assert!(groups(&[], |_| 1).is_empty());
    }

    #[test]
    fn rows_of_one_key_are_told_apart_by_their_sources() {
        assert_eq!(tell_apart(vec![(1, 1)], vec![(1, 2)]), (1, 0));
        assert_eq!(tell_apart(vec![(1, 1)], vec![(2, 1)]), (0, 1));
        assert_eq!(tell_apart(vec![(1, 1), (2, 2), (3, 3)], vec![(3, 4)]), (1, 2));
        assert_eq!(tell_apart(Vec::new(), vec![(3, 4), (3, 4)]), (0, 2));
    }
}
