//! Rows on their way from the provers of a fill to the shipper, so that what a prover has read need
//! not be read again. No prover ever waits here: where the shipper does not keep up, or rows have to be
//! told apart first, the feed ends, and the shipper reads the database from where it is.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::scan::{Exported, ProvenRows};
use crate::split::Position;

/// Bytes of rows that wait, about.
const BYTES_MAX: usize = 16 << 20;
/// Ranges that may be there without the next one among them: several provers overtake one another
/// by a few.
const AHEAD_MAX: usize = 64;

#[derive(Default)]
struct State {
    waiting: Vec<ProvenRows>,
    bytes: usize,
    /// Nothing more comes.
    is_over: bool,
}

/// The rows of one fill.
pub(in crate::engine) struct Feed {
    state: Mutex<State>,
    changed: Condvar,
    /// True where a NULL is a value that was derived.
    nulls: bool,
}

impl Feed {
    pub(super) fn new(nulls: bool) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), nulls }
    }

    /// True as long as rows are of use.
    pub(in crate::engine) fn is_wanted(&self) -> bool {
        !self.state.lock().is_over
    }

    /// Gives the rows of the range that was proven; the feed ends where they are not known or too
    /// many.
    pub(in crate::engine) fn offer(&self, rows: Option<ProvenRows>) {
        let mut state = self.state.lock();
        match rows.filter(|rows| state.bytes + rows.byte_size() <= BYTES_MAX) {
            Some(rows) if !state.is_over => {
                state.bytes += rows.byte_size();
                state.waiting.push(rows);
            }
            _ => state.is_over = true,
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Nothing more comes.
    fn close(&self) {
        self.state.lock().is_over = true;
        self.changed.notify_all();
    }

    /// Waits for the rows after a position; `None` where they do not come.
    fn next(&self, after: Option<&Position>, schema: Option<i64>) -> Option<ProvenRows> {
        let mut state = self.state.lock();
        loop {
            if let Some(i) = state.waiting.iter().position(|rows| rows.is_next(after, schema)) {
                let rows = state.waiting.swap_remove(i);
                state.bytes -= rows.byte_size();
                return Some(rows);
            }
            if state.is_over || state.waiting.len() > AHEAD_MAX {
                return None;
            }
            self.changed.wait(&mut state);
        }
    }
}

/// Closes a feed when its provers are gone, however they end.
pub(in crate::engine) struct Closing(pub Option<Arc<Feed>>);

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(feed) = &self.0 {
            feed.close();
        }
    }
}

/// The shipper's end of a feed.
pub(super) struct Fed {
    feed: Arc<Feed>,
    /// Rows of which some were taken.
    open: Option<ProvenRows>,
}

impl Fed {
    pub(super) fn new(feed: Arc<Feed>) -> Self {
        Self { feed, open: None }
    }

    /// The rows of the next block, cut as a reader of the database cuts it, and the position of the
    /// last one of them; `None` where the feed does not have all of them.
    pub(super) fn block(
        &mut self,
        after: Option<&Position>,
        schema: Option<i64>,
        rows: u64,
    ) -> Option<(Position, Exported)> {
        let mut found = Exported::default();
        let mut after = after.cloned();
        loop {
            let open = self.open.take().filter(|open| open.is_next(after.as_ref(), schema));
            let mut some = match open {
                Some(some) => some,
                None => self.feed.next(after.as_ref(), schema)?,
            };
            let is_full = some.give(&mut found, rows, self.feed.nulls);
            after = some.place();
            self.open = Some(some).filter(|some| !some.is_empty());
            if is_full {
                return after.map(|through| (through, found));
            }
        }
    }
}

/// The provers need not keep what nobody takes.
impl Drop for Fed {
    fn drop(&mut self) {
        self.feed.close();
        let mut state = self.feed.state.lock();
        (state.waiting, state.bytes) = (Vec::new(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Delivery;
    use crate::layout::plans::{Place, places};
    use crate::scan::{Bound, ExportReader, Next, Ownership};
    use crate::split::Splitter;
    use crate::verify::Prover;

    const BLOCK: u64 = 30;

    /// Rows filled, some with a value of a MiB, some with none; and nobody's marks.
    fn filled(place: &Place) {
        place
            .conn
            .execute_batch(
                "UPDATE t SET src = CASE WHEN src % 7 = 0 THEN NULL
                                         WHEN src % 50 = 1 THEN hex(zeroblob(500000)) ELSE src END;
                 UPDATE t SET target = 'v-' || src;
                 DELETE FROM _dotfill_dirty_1; DELETE FROM _dotfill_user_1",
            )
            .expect("rows");
    }

    /// What the provers of ranges of `rows` rows keep, the last range first.
    fn offered(place: &Place, feed: &Feed, rows: u64) {
        let mut splitter = Splitter::new(&place.conn, &place.target.table, rows, None);
        let mut prover = Prover::new(&place.conn, &place.target);
        prover.keep_rows(true);
        let mut kept = Vec::new();
        while let Some(range) = splitter.next_range().expect("a range") {
            let proof = prover.prove(&range, None).expect("a proof");
            assert_eq!(proof.unproven, 0, "{}", place.name);
            kept.push(prover.take_rows());
        }
        kept.into_iter().rev().for_each(|rows| feed.offer(rows));
    }

    fn schema(place: &Place) -> Option<i64> {
        let version = place.conn.query_row("PRAGMA schema_version", [], |row| row.get(0));
        (!place.target.table.scan.stable).then(|| version.expect("a version"))
    }

    fn derived() -> impl Iterator<Item = Place> {
        let derived = |place: &Place| place.target.delivery == Delivery::Derive;
        places().into_iter().filter(move |place| derived(place) && !place.target.overwrite)
    }

    #[test]
    fn blocks_are_those_that_a_reader_of_the_database_makes() {
        for place in derived() {
            filled(&place);
            let schema = schema(&place);
            for (rows, nulls) in [(7, false), (30, true), (45, false)] {
                let feed = Arc::new(Feed::new(nulls));
                offered(&place, &feed, rows);
                feed.close();
                let mut taker = Fed::new(feed);
                let reader =
                    ExportReader::new(&place.conn, &place.target, Ownership::Marks { nulls });
                let (mut after, mut blocks) = (None, 0);
                while let Some((through, found)) = taker.block(after.as_ref(), schema, BLOCK) {
                    let read = reader.read_next(after.as_ref(), &Bound::End, BLOCK, schema);
                    let Ok(Next::Rows(end, read)) = read else { panic!("{}", place.name) };
                    assert_eq!((&through, found.passed), (&end, read.passed), "{}", place.name);
                    assert_eq!(found.blocks, read.blocks, "{}", place.name);
                    (after, blocks) = (Some(through), blocks + 1);
                }
                assert!(blocks >= 500 / BLOCK, "{}: {blocks}", place.name);
            }
        }
    }

    #[test]
    fn rows_that_are_claimed_or_differ_end_the_feed() {
        let claims = [
            "UPDATE t SET target = 'x' WHERE rowid = 400",
            "INSERT INTO _dotfill_dirty_1 (kind, k1) VALUES (0, 1)",
            "INSERT INTO _dotfill_user_1 (k1) VALUES (1)",
        ];
        let place = derived().next().expect("a table with integer keys");
        filled(&place);
        for claim in claims {
            place.conn.execute_batch(claim).expect("a claim");
            let mut splitter = Splitter::new(&place.conn, &place.target.table, 1000, None);
            let range = splitter.next_range().expect("a range").expect("rows");
            let mut prover = Prover::new(&place.conn, &place.target);
            prover.keep_rows(true);
            prover.prove(&range, None).expect("a proof");
            let rows = prover.take_rows();
            assert!(rows.is_none(), "{claim}");
            let feed = Arc::new(Feed::new(false));
            feed.offer(rows);
            assert!(!feed.is_wanted());
            assert!(Fed::new(feed).block(None, None, BLOCK).is_none());
            filled(&place);
        }
    }

    #[test]
    fn what_nobody_takes_is_not_kept() {
        let place = derived().next().expect("a table with integer keys");
        filled(&place);
        let feed = Feed::new(false);
        for _ in 0..100 {
            offered(&place, &feed, 50);
        }
        let state = feed.state.lock();
        assert!(state.is_over && state.bytes <= BYTES_MAX && state.bytes > BYTES_MAX / 2);
        drop(state);
        let feed = Arc::new(feed);
        drop(Fed::new(Arc::clone(&feed)));
        assert!(feed.state.lock().waiting.is_empty());
    }
}
