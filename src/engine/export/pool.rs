//! The threads that cut a table into ranges, read them and encode them.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::channel::{Receiver, Sender};

use crate::db::{DbError, Doing};
use crate::delta::{EncodedBlock, Shape};
use crate::engine::RunError;
use crate::engine::proof::reader;
use crate::engine::segments::encode;
use crate::layout::Target;
use crate::scan::{ExportReader, Ownership};
use crate::split::Position;

use super::implied::{Cutter, Piece, Region};

/// A range that was read and encoded.
pub(super) struct Encoded {
    pub through: Position,
    pub blocks: Vec<EncodedBlock>,
    /// Rows whose keys the receiver must have.
    pub implied: u64,
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
pub(in crate::engine) fn passing_reader(db: &Path) -> Result<rusqlite::Connection, DbError> {
    let conn = reader(db)?;
    conn.execute_batch("PRAGMA cache_size = -1024").doing("configure the connection")?;
    Ok(conn)
}

/// Sends the ranges of a table after a key in order, one for each ticket.
pub(super) fn split(
    db: &Path,
    target: &Target,
    (after, regions): (Option<Position>, &[Region]),
    pieces: &Sender<(u64, Piece)>,
    tickets: &Receiver<()>,
) -> Result<(), DbError> {
    let conn = passing_reader(db)?;
    let mut cutter = Cutter::new(&conn, &target.table, after, regions)?;
    for number in 0.. {
        if tickets.recv().is_err() {
            break;
        }
        let Some(piece) = cutter.next_piece()? else { break };
        if pieces.send((number, piece)).is_err() {
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
    pieces: &Receiver<(u64, Piece)>,
    encoded: &Sender<(u64, Encoded)>,
) -> Result<(), RunError> {
    let conn = passing_reader(db)?;
    let rows = ExportReader::new(&conn, target, ownership);
    for (number, Piece { range, implied }) in pieces {
        let found = if implied { rows.read_implied(&range)? } else { rows.read(&range)? };
        let blocks = encode(shape, &found)?;
        let (user, noted) = (found.user, found.noted);
        let told: u64 = found.blocks.iter().map(|rows| rows.len() as u64).sum();
        let (through, passed) = (range.through, range.rows);
        let implied = if implied { told } else { 0 };
        let range = Encoded { through, blocks, implied, user, noted, passed };
        if encoded.send((number, range)).is_err() {
            break;
        }
    }
    Ok(())
}
