//! Two tables that are stored in the order of the same key, compared range by range: only ranges
//! whose sums differ are read again.

use std::collections::HashMap;
use std::iter::Peekable;
use std::path::Path;

use parking_lot::{Mutex, RwLock};

use super::unmatched::ROW_BYTES;
use super::{Side, Walk};
use crate::db::{Datum, DbError, Table};
use crate::engine::RunError;
use crate::engine::examine::{Cut, Replica};
use crate::engine::proof::{Detail, Findings, RANGE_ROWS, Send, reader, split_all};
use crate::engine::subject::Subject;
use crate::split::{Range, Splitter};
use crate::verify::{LeafSet, RowFacts, Tree};

/// The rows of a range of one replica, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    rows: u64,
    sources: u128,
    values: u128,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, rows: &[RowFacts]) {
        self.rows += rows.len() as u64;
        for row in rows {
            self.sources = self.sources.wrapping_add(row.sources);
            self.values = self.values.wrapping_add(row.values);
            self.bytes += row.key_bytes + ROW_BYTES;
        }
    }
}

/// What one replica holds: what its proof found, the sum of its source hashes, and its ranges in
/// order, each with the number of the range of the first replica in which it lies.
pub(super) struct Ranges {
    pub findings: Findings,
    pub sources: u128,
    cuts: Vec<Numbered>,
    sums: Vec<Sum>,
}

/// A range, with the number under which it counts.
type Numbered = (usize, Range);
/// Takes ranges; false where nobody wants more.
type Take<'t> = &'t mut dyn FnMut(Numbered) -> bool;

/// Ranges that differ and whose rows fit into memory together.
pub(super) struct Group {
    here: Vec<Range>,
    there: Vec<Range>,
}

impl Walk<'_> {
    /// True where both tables are stored in the order of their key.
    pub(super) fn is_ordered(&self) -> bool {
        let subject = |replica: &'_ Replica<'_>| match &replica.changes[self.index].subject {
            Subject::Column(target) => Some(target.table.scan.clone()),
            // Objects and adds have no ranges in common: sets are read by leaves.
            Subject::OrSet(_) => None,
        };
        let (here, there) = (subject(self.here), subject(self.there));
        here.as_ref().is_some_and(|scan| scan.stable) && here == there
    }

    /// Reads both tables once.
    pub(super) fn read_ranges(&self) -> Result<(Ranges, Ranges), RunError> {
        let db = &self.here.db;
        let table = self.here.changes[self.index].subject.table();
        let gate = RwLock::new(());
        let here = self.read(self.here, &|send| {
            let mut number = 0..;
            split_all(db, table, &gate, &mut |range| send((number.next().unwrap_or(0), range)))
        })?;
        let cuts: Vec<&Range> = here.cuts.iter().map(|(_, range)| range).collect();
        let (db, table) = (&self.there.db, self.there.changes[self.index].subject.table());
        let there = self.read(self.there, &|send| cut_alike(db, table, &cuts, send))?;
        Ok((here, there))
    }

    /// Reads the ranges that `cut` sends, each with the number under which it counts.
    fn read(
        &self,
        replica: &Replica<'_>,
        cut: &(dyn Fn(Take<'_>) -> Result<(), DbError> + Sync),
    ) -> Result<Ranges, RunError> {
        let ranges = Mutex::new(Vec::new());
        let sums = Mutex::new(HashMap::<String, Sum>::new());
        let tree = Mutex::new(Tree::new(1));
        let cut = |send: Send<'_>| {
            cut(&mut |(number, range)| {
                ranges.lock().push((number, range.clone()));
                send(range)
            })
        };
        let sink = |range: &Range, rows: &[RowFacts]| {
            tree.lock().add(rows);
            sums.lock().entry(range.through.to_text()).or_default().add(rows);
        };
        let detail = Detail { leaves: 1, wanted: None, sink: &sink };
        let findings = replica.look(self.index, self.threads, &cut, Some(&detail))?;
        let (ranges, mut found) = (ranges.into_inner(), sums.into_inner());
        let mut sums = Vec::new();
        for (number, range) in &ranges {
            let sum = found.remove(&range.through.to_text()).unwrap_or_default();
            sums.resize(sums.len().max(number + 1), Sum::default());
            let all: &mut Sum = &mut sums[*number];
            all.rows += sum.rows;
            all.sources = all.sources.wrapping_add(sum.sources);
            all.values = all.values.wrapping_add(sum.values);
            all.bytes += sum.bytes;
        }
        let sources = tree.into_inner().sources;
        Ok(Ranges { findings, sources, cuts: ranges, sums })
    }

    /// Hands the rows of a group, with their keys, to `keep`.
    pub(super) fn rows_of_group(
        &self,
        group: &Group,
        keep: &(dyn Fn(Side, &[RowFacts]) + Sync),
    ) -> Result<(), RunError> {
        let wanted = LeafSet::from([0]);
        for (side, replica, ranges) in
            [(Side::Here, self.here, &group.here), (Side::There, self.there, &group.there)]
        {
            let cut = |send: Send<'_>| {
                let _ = ranges.iter().all(|range| send(range.clone()));
                Ok(())
            };
            let cut: &Cut<'_> = &cut;
            let sink = |_: &Range, rows: &[RowFacts]| keep(side, rows);
            let detail = Detail { leaves: 1, wanted: Some(&wanted), sink: &sink };
            replica.look(self.index, self.threads, cut, Some(&detail))?;
        }
        Ok(())
    }
}

/// Cuts a table where the other one was cut, and finer where it has many more rows there.
fn cut_alike(db: &Path, table: &Table, cuts: &[&Range], send: Take<'_>) -> Result<(), DbError> {
    let conn = reader(db)?;
    for (number, range) in cuts.iter().enumerate() {
        let mut rest = Some((*range).clone());
        while let Some(range) = rest.take() {
            let (first, more) = if holds_few(&range) {
                (range, None)
            } else {
                range.cut(&conn, table, RANGE_ROWS)?
            };
            rest = more;
            if !send((number, first)) {
                return Ok(());
            }
        }
    }
    let after = cuts.last().map(|range| range.through.clone());
    let mut beyond = Splitter::new(&conn, table, RANGE_ROWS, after);
    while let Some(range) = beyond.next_range()? {
        if !send((cuts.len(), range)) {
            break;
        }
    }
    Ok(())
}

/// True where a range of integers has no more numbers than a range should have rows.
fn holds_few(range: &Range) -> bool {
    let after = range.after.as_ref().map(|position| position.0.as_slice());
    match (after, range.through.0.as_slice()) {
        (Some([Datum::Integer(after)]), [Datum::Integer(through)]) => {
            after.abs_diff(*through) <= RANGE_ROWS
        }
        _ => false,
    }
}

/// The ranges whose sums differ, in groups of about `bytes_max`; a group has one at least.
pub(super) fn groups(here: &Ranges, there: &Ranges, bytes_max: u64) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut left = 0;
    let sum = |side: &Ranges, number: usize| side.sums.get(number).copied().unwrap_or_default();
    let (mut ours, mut theirs) = (here.cuts.iter().peekable(), there.cuts.iter().peekable());
    for number in 0..here.sums.len().max(there.sums.len()) {
        let here_ranges = take(&mut ours, number);
        let there_ranges = take(&mut theirs, number);
        let (a, b) = (sum(here, number), sum(there, number));
        if a == b {
            continue;
        }
        let bytes = a.bytes + b.bytes;
        if groups.is_empty() || bytes > left {
            groups.push(Group { here: Vec::new(), there: Vec::new() });
            left = bytes_max.max(bytes);
        }
        left -= bytes;
        if let Some(group) = groups.last_mut() {
            group.here.extend(here_ranges);
            group.there.extend(there_ranges);
        }
    }
    groups
}

/// The next ranges, as long as they have this number.
fn take<'r>(
    ranges: &mut Peekable<impl Iterator<Item = &'r Numbered>>,
    number: usize,
) -> Vec<Range> {
    std::iter::from_fn(|| ranges.next_if(|(n, _)| *n == number)).map(|(_, r)| r.clone()).collect()
}
