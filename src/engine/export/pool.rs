//! The threads that cut a table into ranges, read them and encode them.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::channel::{Receiver, Sender};
use parking_lot::{Condvar, Mutex};

use crate::db::{DbError, Doing, Table};
use crate::delta::{ChainHeader, EncodedBlock};
use crate::engine::RunError;
use crate::engine::proof::reader;
use crate::engine::rows::RowsReader;
use crate::engine::segments::encode;
use crate::engine::subject::Subject;
use crate::scan::{Exported, Ownership};
use crate::split::{Position, Range};

use super::implied::{Cutter, Piece, Region};

/// What was read and encoded of a piece.
pub(super) struct Encoded {
    pub through: Position,
    /// The end of the piece, where this is not its last part.
    pub piece: Option<Position>,
    pub blocks: Vec<EncodedBlock>,
    /// Rows whose keys the receiver must have.
    pub implied: u64,
    pub user: u64,
    pub noted: u64,
    pub passed: u64,
}

impl Encoded {
    pub(super) fn bytes(&self) -> usize {
        self.blocks.iter().map(EncodedBlock::byte_len).sum()
    }
}

/// Bytes of blocks that wait for those before them, from which on only who has these may send: a
/// reader holds one part more.
const AHEAD_BYTES: usize = 16 << 20;

/// Whose turn it is to be written.
#[derive(Default)]
pub(super) struct Turns {
    /// The piece that is written, and the bytes that wait.
    now: Mutex<(u64, usize)>,
    changed: Condvar,
}

impl Turns {
    /// Waits until a part of a piece may be sent.
    fn wait(&self, number: u64, bytes: usize) {
        let mut now = self.now.lock();
        while now.0 < number && now.1 >= AHEAD_BYTES {
            self.changed.wait(&mut now);
        }
        now.1 += bytes;
    }

    /// A part was taken, of the piece at hand; `next` is that piece, or the one after it.
    pub(super) fn took(&self, bytes: usize, next: u64) {
        let mut now = self.now.lock();
        *now = (next, now.1.saturating_sub(bytes));
        self.changed.notify_all();
    }
}

/// Has nobody wait any longer, however writing ends.
pub(super) struct LastTurn<'t>(pub &'t Turns);

impl Drop for LastTurn<'_> {
    fn drop(&mut self) {
        self.0.now.lock().0 = u64::MAX;
        self.0.changed.notify_all();
    }
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
    table: &Table,
    (from, regions): ((Option<Position>, Option<Position>), &[Region]),
    pieces: &Sender<(u64, Piece)>,
    tickets: &Receiver<()>,
) -> Result<(), DbError> {
    let conn = passing_reader(db)?;
    let mut cutter = Cutter::new(&conn, table, from, regions)?;
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

/// What readers read, and for what.
#[derive(Clone, Copy)]
pub(super) struct Reading<'r> {
    pub db: &'r Path,
    pub header: &'r ChainHeader,
    pub change: usize,
    pub subject: &'r Subject,
    pub ownership: Ownership,
    pub turns: &'r Turns,
}

impl Reading<'_> {
    /// Reads and encodes pieces until there are none, or nobody listens.
    pub(super) fn read(
        self,
        pieces: &Receiver<(u64, Piece)>,
        encoded: &Sender<(u64, Encoded)>,
    ) -> Result<(), RunError> {
        let conn = passing_reader(self.db)?;
        let rows = RowsReader::new(&conn, self.subject, self.ownership);
        for (number, Piece { range, implied }) in pieces {
            let mut left = Some(range);
            while let Some(range) = left {
                let (found, rest) =
                    if implied { rows.read_implied(&range)? } else { rows.read(&range)? };
                left = rest;
                let part = self.encode(range, &found, implied, left.as_ref())?;
                drop(found);
                self.turns.wait(number, part.bytes());
                if encoded.send((number, part)).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn encode(
        self,
        range: Range,
        found: &Exported,
        implied: bool,
        rest: Option<&Range>,
    ) -> Result<Encoded, RunError> {
        let blocks = encode(self.header, self.change, found)?;
        let told: u64 = found.blocks.iter().map(|rows| rows.len() as u64).sum();
        let piece = rest.map(|rest| rest.through.clone());
        let through = rest.and_then(|rest| rest.after.clone()).unwrap_or(range.through);
        let (user, noted, passed) = (found.user, found.noted, found.passed);
        let implied = if implied { told } else { 0 };
        Ok(Encoded { through, piece, blocks, implied, user, noted, passed })
    }
}
