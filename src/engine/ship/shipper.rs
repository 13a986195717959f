//! The shipper: walks over the rows that the fill has committed, encodes those that are ours, and
//! writes them as segments, then those that were derived again. Reads the database only.

use std::path::Path;

use parking_lot::RwLock;

use super::board::{Board, Order, Work};
use super::feed::Fed;
use super::place::{Place, Walk, after};
use crate::db::Datum;
use crate::delta::ChainHeader;
use crate::engine::RunError;
use crate::engine::export::passing_reader;
use crate::engine::proof::reader;
use crate::engine::segments::{SegmentSize, Segments, encode};
use crate::engine::shapes;
use crate::scan::{Bound, ExportReader, Next};
use crate::write::Reship;

/// Keys that are read again in one snapshot.
const KEYS: usize = 4096;

/// The shipper of one run.
pub(super) struct Shipper<'s> {
    pub db: &'s Path,
    pub board: &'s Board,
    pub header: &'s ChainHeader,
    pub segments: Segments<'s>,
    pub size: SegmentSize,
    /// Held while a snapshot is.
    pub gate: &'s RwLock<()>,
    /// Changes from the first one on whose walk an earlier run has done.
    pub walked: usize,
    /// By change, the id through which keys were shipped again.
    pub ids: Vec<Option<i64>>,
}

/// Says that the shipper is gone, whether it returned or panicked.
struct Leaving<'s>(&'s Board);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.gone();
    }
}

impl Shipper<'_> {
    /// Ships until the job says that it is done.
    pub(super) fn run(mut self) -> Result<(), RunError> {
        let _leaving = Leaving(self.board);
        for change in 0..self.header.shapes.len() {
            if shapes::is_shipped(&self.header.shapes[change]) && change >= self.walked {
                let Some(work) = self.board.wait_for_change(change) else { return Ok(()) };
                if !self.walk(change, &work)? {
                    return Ok(());
                }
            }
            self.walked = self.walked.max(change + 1);
            self.report();
        }
        let mut done = 0;
        loop {
            match self.board.wait_for_order(done) {
                Order::Again(number) => {
                    self.all_again()?;
                    done = number;
                    self.board.done_again(number);
                }
                Order::Finish(facts) => {
                    let stats = self.segments.finish(&facts)?;
                    self.board.finished(stats);
                    return Ok(());
                }
                Order::End => return Ok(()),
            }
        }
    }

    /// Where the walk over a change goes on; `None` where it is done.
    fn place(&self, change: usize, stable: bool) -> Option<Walk> {
        match self.segments.chain().checkpoint(change).and_then(Place::read) {
            None => Some(Walk { schema: (!stable).then_some(0), ..Walk::default() }),
            Some(Place::Walk(walk)) => Some(walk),
            Some(Place::After(_)) => None,
        }
    }

    /// Walks over the rows of a change behind the fill; false where the job ends.
    fn walk(&mut self, change: usize, work: &Work) -> Result<bool, RunError> {
        let stable = work.target.table.scan.stable;
        let Some(mut walk) = self.place(change, stable) else { return Ok(true) };
        let conn = passing_reader(self.db)?;
        let rows = ExportReader::new(&conn, &work.target, work.ownership);
        let block = self.size.block_rows.max(1);
        // Rows are counted as the fill counts them, so that few are read for nothing.
        let (mut taken, mut wanted) = (self.segments.chain().rows(change), 0);
        let mut fed = None;
        loop {
            let Some((bound, schema, passed)) = self.board.wait_for_rows(change, wanted) else {
                return Ok(false);
            };
            if matches!(bound, Bound::Through(_)) && walk.schema.is_some_and(|s| s != schema) {
                self.walk_again(change, &mut walk, schema);
            }
            fed = self.board.take_feed(change).map(Fed::new).or(fed);
            let (after, schema) = (walk.after.as_ref(), walk.schema);
            let block_fed = fed.as_mut().and_then(|fed| fed.block(after, schema, block));
            let next = if let Some((through, found)) = block_fed {
                Next::Rows(through, found)
            } else {
                fed = None;
                let _reading = self.gate.read();
                rows.read_next(after, &bound, block, schema)?
            };
            match next {
                Next::Rows(through, found) => {
                    taken += found.passed;
                    wanted = taken + block;
                    self.segments.add(encode(self.header, change, &found)?);
                    walk.after = Some(through);
                    if self.segments.is_full() {
                        self.push_walk(change, &walk)?;
                    }
                }
                Next::TooFew => {
                    wanted = passed.max(taken) + block / 4 + 1;
                    taken = wanted.saturating_sub(block);
                }
                Next::Nothing => break,
                Next::Renumbered(now) => {
                    self.walk_again(change, &mut walk, now);
                    // The fill finds it out too, and begins again.
                    wanted = passed + 1;
                }
            }
        }
        if !self.segments.is_empty() {
            self.push_walk(change, &walk)?;
        }
        Ok(true)
    }

    /// Rows may have other positions than before, under this version of the schema: the walk begins
    /// anew.
    fn walk_again(&mut self, change: usize, walk: &mut Walk, schema: i64) {
        self.segments.clear();
        let again = self.segments.chain().checkpoint(change).is_some();
        *walk = Walk { after: None, schema: Some(schema), again };
    }

    fn push_walk(&mut self, change: usize, walk: &Walk) -> Result<(), RunError> {
        if let Some(checkpoint) = walk.checkpoint() {
            self.segments.push(change, &checkpoint)?;
        }
        self.report();
        Ok(())
    }

    fn report(&self) {
        let chain = self.segments.chain();
        self.board.report(chain.stats(), |durable| {
            durable.ordinal = chain.last_ordinal();
            durable.digest = chain.stats().digest;
            durable.walked = self.walked;
            durable.ids.clone_from(&self.ids);
        });
    }

    /// Ships the present values of all rows that were derived again.
    fn all_again(&mut self) -> Result<(), RunError> {
        for change in 0..self.header.shapes.len() {
            if let Some(work) = self.board.change(change) {
                self.again(change, &work)?;
            }
        }
        Ok(())
    }

    fn again(&mut self, change: usize, work: &Work) -> Result<(), RunError> {
        let conn = reader(self.db)?;
        let rows = ExportReader::new(&conn, &work.target, work.ownership);
        let reship = Reship::new(&work.target, self.header.migration.as_str());
        let mut last = self.ids[change].unwrap_or(0);
        loop {
            let noted = {
                let _reading = self.gate.read();
                reship.after(&conn, last, KEYS)?
            };
            let is_last = noted.len() < KEYS;
            let (ids, keys): (Vec<i64>, Vec<Vec<Datum>>) = noted.into_iter().unzip();
            let mut done = 0;
            while done < keys.len() {
                let found = {
                    let _reading = self.gate.read();
                    rows.read_keys(&keys[done..])?
                };
                self.segments.add(encode(self.header, change, &found)?);
                done += usize::try_from(found.passed.max(1)).unwrap_or(usize::MAX);
                last = ids[done.min(ids.len()) - 1];
                if self.segments.is_full() {
                    self.push_again(change, last)?;
                }
            }
            if is_last {
                self.push_again(change, last)?;
                break;
            }
        }
        Ok(())
    }

    /// Keys through this id were looked at again.
    fn push_again(&mut self, change: usize, last: i64) -> Result<(), RunError> {
        if !self.segments.is_empty() {
            self.segments.push(change, &after(last))?;
        }
        if last > self.ids[change].unwrap_or(0) {
            self.ids[change] = Some(last);
            self.report();
        }
        Ok(())
    }
}
