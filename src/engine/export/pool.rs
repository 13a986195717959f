//! The threads that cut a table into ranges, read them and encode them.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::channel::{Receiver, Sender};

use crate::db::{DbError, Doing};
use crate::delta::{DeltaError, EncodedBlock, Shape, encode_block};
use crate::engine::RunError;
use crate::engine::proof::reader;
use crate::layout::Target;
use crate::scan::{ExportReader, Ownership};
use crate::split::{Position, Range, Splitter};

/// Rows of a range, which becomes a block.
const RANGE_ROWS: u64 = 8192;

/// A range that was read and encoded.
pub(super) struct Encoded {
    pub through: Position,
    pub blocks: Vec<EncodedBlock>,
    pub user: u64,
    pub noted: u64,
    pub passed: u64,
}

/// Says that a reader is gone before its time, whether it returned or panicked.
pub(super) struct Leaving<'s>(pub &'s AtomicBool, pub bool);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.fetch_or(!self.1, Ordering::Relaxed);
    }
}

/// A connection for who passes each page once. A large cache would hold nothing that comes again,
/// and push what does out of the processor's; 1 MiB keeps the inner pages of some million rows,
/// which random seeks come back to.
fn passing_reader(db: &Path) -> Result<rusqlite::Connection, DbError> {
    let conn = reader(db)?;
    conn.execute_batch("PRAGMA cache_size = -1024").doing("configure the connection")?;
    Ok(conn)
}

/// Sends the ranges of a table in order, one for each ticket.
pub(super) fn split(
    db: &Path,
    target: &Target,
    after: Option<Position>,
    ranges: &Sender<(u64, Range)>,
    tickets: &Receiver<()>,
) -> Result<(), DbError> {
    let conn = passing_reader(db)?;
    let mut splitter = Splitter::new(&conn, &target.table, RANGE_ROWS, after);
    for number in 0.. {
        if tickets.recv().is_err() {
            break;
        }
        let Some(range) = splitter.next_range()? else { break };
        if ranges.send((number, range)).is_err() {
            break;
        }
    }
    Ok(())
}

/// Reads and encodes ranges until there are none, or nobody listens.
pub(super) fn read(
    db: &Path,
    target: &Target,
    ownership: Ownership,
    shape: &Shape,
    ranges: &Receiver<(u64, Range)>,
    encoded: &Sender<(u64, Encoded)>,
) -> Result<(), RunError> {
    let conn = passing_reader(db)?;
    let rows = ExportReader::new(&conn, target, ownership);
    for (number, range) in ranges {
        let found = rows.read(&range)?;
        let blocks = found
            .blocks
            .iter()
            .map(|rows| encode_block(shape, rows))
            .collect::<Result<Vec<_>, DeltaError>>()?;
        let (user, noted) = (found.user, found.noted);
        let range = Encoded { through: range.through, blocks, user, noted, passed: range.rows };
        if encoded.send((number, range)).is_err() {
            break;
        }
    }
    Ok(())
}
