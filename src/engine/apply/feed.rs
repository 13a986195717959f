//! The decoder's thread, and what it sends as batches of the size that the writer asks for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::implied::{Resolver, Unlike};
use crate::delta::{ChainHeader, ChainReader, Coming, DeltaError, Item, Keys, Rows, Segment};
use crate::engine::RunError;
use crate::engine::epoch::ChainEpoch;
use crate::state::AppliedRow;
use crate::write::{Place, Slice};

/// Blocks that are decoded ahead of the writer.
const AHEAD: usize = 2;
/// Rows that are proven together where nothing is written.
const DONE_ROWS: usize = 16_384;
/// How long the writer waits for a block before it looks after its lease and for signals.
const WAIT: Duration = Duration::from_millis(50);
/// How often a chain that is followed is looked at for more.
const POLL: Duration = Duration::from_millis(200);

/// A place in a chain: rows of a file that are done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    ordinal: u32,
    digest: Vec<u8>,
    rows_done: u64,
}

impl Position {
    /// Where an earlier call stopped.
    pub(super) fn of(row: &AppliedRow) -> Self {
        Self { ordinal: row.ordinal, digest: row.digest.clone(), rows_done: row.rows_done }
    }

    /// This position, as the row that is kept.
    pub(super) fn row(&self, before: &AppliedRow) -> AppliedRow {
        AppliedRow {
            ordinal: self.ordinal,
            digest: self.digest.clone(),
            rows_done: self.rows_done,
            whole: false,
            ..before.clone()
        }
    }
}

/// Rows of one change that are written, or only proven, together.
pub(super) struct Batch {
    pub change: usize,
    pub slices: Vec<Slice>,
    pub rows: u64,
    /// Where the chain is after it.
    pub reached: Position,
    /// True where an earlier call has written it: it is proven again, and written where it is not
    /// right.
    pub is_done: bool,
    /// True where its rows may have come before.
    pub is_again: bool,
}

/// What comes next.
pub(super) enum Fed {
    Batch(Batch),
    /// A block implies keys which this replica does not have: none of it is fed.
    Unlike(Unlike),
    /// Nothing has come for a while.
    Waiting,
    /// Everything that is there has been fed, and more may come: the chain is followed.
    Idle(End),
    /// Nothing further.
    End(End),
}

/// What a chain holds so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// The last file was a manifest.
    pub whole: bool,
    pub segments: u64,
    pub bytes: u64,
    /// What the last manifest says of the epoch of sets.
    pub epoch: Option<ChainEpoch>,
}

/// A decoded block.
struct Block {
    change: usize,
    ordinal: u32,
    digest: [u8; 32],
    /// Rows of its file before it.
    first: u64,
    is_again: bool,
    rows: Arc<Rows>,
}

enum Sent {
    Block(Block),
    Failed(DeltaError),
    Idle(End),
    End(End),
}

/// A part of a block that waits to be batched.
struct Part {
    change: usize,
    slice: Slice,
    reached: Position,
    is_done: bool,
    is_again: bool,
}

/// Batches of a chain, in order.
pub(super) struct Feed {
    blocks: Receiver<Sent>,
    /// How far earlier calls came, while that is ahead of us.
    done: Position,
    waiting: VecDeque<Part>,
    resolver: Resolver,
    unlike: Option<Unlike>,
    /// What the decoder said last, where nothing came after it.
    idle: Option<End>,
    end: Option<End>,
}

impl Feed {
    /// Starts decoding; earlier calls have come as far as `done`.
    ///
    /// Nobody waits for the decoder's thread to end: it may be reading from a pipe that says nothing.
    /// It ends when it finds that nobody listens. Where the chain is followed, it looks for more now
    /// and then.
    pub(super) fn start(
        chain: ChainReader,
        done: Option<Position>,
        resolver: Resolver,
        follow: bool,
    ) -> Self {
        let (send, blocks) = bounded(AHEAD);
        std::thread::spawn(move || {
            if let Err(error) = decode(chain, follow, &send) {
                // Who no longer listens needs no reason either.
                let _ = send.send(Sent::Failed(error));
            }
        });
        let done = done.unwrap_or_default();
        let waiting = VecDeque::new();
        Self { blocks, done, waiting, resolver, unlike: None, idle: None, end: None }
    }

    /// The next batch of about `rows` rows; of more where they are only to be proven, which locks
    /// nobody out.
    pub(super) fn next(&mut self, rows: u64) -> Result<Fed, RunError> {
        if let Some(unlike) = self.unlike.take() {
            return Ok(Fed::Unlike(unlike));
        }
        let mut rows = usize::try_from(rows).unwrap_or(usize::MAX).max(1);
        let mut batch: Option<Batch> = None;
        loop {
            if batch.is_none()
                && self.has_more()?
                && self.waiting.front().is_some_and(|p| p.is_done)
            {
                rows = rows.max(DONE_ROWS);
            }
            let taken = batch.as_ref().map_or(0, |b| usize::try_from(b.rows).unwrap_or(rows));
            if taken >= rows || !self.has_more()? {
                break;
            }
            let Some(part) = self.waiting.pop_front() else { break };
            if batch.as_ref().is_some_and(|batch| !part.fits(batch)) {
                self.waiting.push_front(part);
                break;
            }
            let (part, rest) = part.cut(rows - taken);
            if let Some(rest) = rest {
                self.waiting.push_front(rest);
            }
            part.join(&mut batch);
        }
        if batch.is_none()
            && let Some(unlike) = self.unlike.take()
        {
            return Ok(Fed::Unlike(unlike));
        }
        Ok(match (batch, self.end, self.idle.take()) {
            (Some(batch), _, _) => Fed::Batch(batch),
            (None, Some(end), _) => Fed::End(end),
            (None, None, Some(end)) => Fed::Idle(end),
            (None, None, None) => Fed::Waiting,
        })
    }

    /// Waits a moment for the next block where none waits here.
    fn has_more(&mut self) -> Result<bool, RunError> {
        while self.waiting.is_empty() && self.end.is_none() && self.unlike.is_none() {
            match self.blocks.recv_timeout(WAIT) {
                Ok(Sent::Block(block)) => self.take(block)?,
                Ok(Sent::End(end)) => self.end = Some(end),
                Ok(Sent::Idle(end)) => {
                    self.idle = Some(end);
                    return Ok(false);
                }
                Ok(Sent::Failed(error)) => return Err(error.into()),
                Err(RecvTimeoutError::Timeout) => return Ok(false),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(RunError::Panicked { doing: "reading deltas" });
                }
            }
        }
        Ok(!self.waiting.is_empty())
    }

    /// A block with its keys, whose first `done` rows earlier calls have written; `None` where it
    /// implies keys that this replica does not have.
    fn with_keys(
        &mut self,
        change: usize,
        rows: Arc<Rows>,
        done: usize,
    ) -> Result<Option<Arc<Rows>>, RunError> {
        let Keys::Implied(implied) = &rows.keys else { return Ok(Some(rows)) };
        if let Some(keys) = self.resolver.resolve(change, &rows)? {
            let values = Arc::unwrap_or_clone(rows).values;
            return Ok(Some(Arc::new(Rows { keys, values })));
        }
        self.unlike = Some(Unlike {
            change,
            first: implied.first.clone(),
            last: implied.last.clone(),
            rows: rows.len() as u64,
            is_done: done == rows.len(),
        });
        Ok(None)
    }

    /// Finds out the keys of a block, and cuts it where earlier calls stopped.
    fn take(&mut self, block: Block) -> Result<(), RunError> {
        let Block { change, ordinal, digest, first, is_again, rows } = block;
        let place = Place::new(ordinal, first);
        if ordinal == self.done.ordinal && self.done.digest != digest {
            // Another chain: what was done of the former says nothing of this one.
            self.done = Position::default();
        }
        let done = match ordinal.cmp(&self.done.ordinal) {
            std::cmp::Ordering::Less => rows.len(),
            std::cmp::Ordering::Equal => {
                let done = self.done.rows_done.saturating_sub(first);
                usize::try_from(done).unwrap_or(usize::MAX).min(rows.len())
            }
            std::cmp::Ordering::Greater => 0,
        };
        let Some(rows) = self.with_keys(change, rows, done)? else { return Ok(()) };
        for (range, is_done) in [(0..done, true), (done..rows.len(), false)] {
            if range.is_empty() {
                continue;
            }
            let reached =
                Position { ordinal, digest: digest.to_vec(), rows_done: first + range.end as u64 };
            let slice = Slice { rows: Arc::clone(&rows), range, place: place.clone() };
            self.waiting.push_back(Part { change, slice, reached, is_done, is_again });
        }
        Ok(())
    }
}

impl Part {
    fn fits(&self, batch: &Batch) -> bool {
        (self.change, self.is_done, self.is_again) == (batch.change, batch.is_done, batch.is_again)
    }

    /// The first `rows` rows, and the rest.
    fn cut(mut self, rows: usize) -> (Self, Option<Self>) {
        let range = self.slice.range.clone();
        if range.len() <= rows {
            return (self, None);
        }
        let middle = range.start + rows;
        let rest = Self {
            change: self.change,
            slice: Slice { range: middle..range.end, ..self.slice.clone() },
            reached: self.reached.clone(),
            ..self
        };
        self.slice.range = range.start..middle;
        self.reached.rows_done -= (range.end - middle) as u64;
        (self, Some(rest))
    }

    fn join(self, batch: &mut Option<Batch>) {
        let Self { change, slice, reached, is_done, is_again } = self;
        let rows = slice.range.len() as u64;
        if let Some(batch) = batch {
            batch.rows += rows;
            batch.reached = reached;
            batch.slices.push(slice);
        } else {
            let slices = vec![slice];
            *batch = Some(Batch { change, slices, rows, reached, is_done, is_again });
        }
    }
}

/// Reads, verifies and decodes the chain until it ends, or nobody listens.
fn decode(mut chain: ChainReader, follow: bool, blocks: &Sender<Sent>) -> Result<(), DeltaError> {
    let header = chain.header().clone();
    let mut epoch = None;
    loop {
        let listened = match chain.next_item()? {
            Some(Item::Segment(segment)) => send_blocks(&segment, &header, blocks)?,
            Some(Item::Manifest(manifest)) => {
                epoch = ChainEpoch::of_facts(&manifest.facts);
                true
            }
            None if follow => {
                let listened = blocks.send(Sent::Idle(end(&chain, epoch))).is_ok();
                std::thread::sleep(POLL);
                listened
            }
            None => {
                // Who no longer listens needs no end either.
                let _ = blocks.send(Sent::End(end(&chain, epoch)));
                false
            }
        };
        if !listened {
            return Ok(());
        }
    }
}

fn end(chain: &ChainReader, epoch: Option<ChainEpoch>) -> End {
    let stats = chain.stats();
    let (whole, segments) = (chain.is_whole(), u64::from(stats.segments));
    End { whole, segments, bytes: stats.bytes, epoch }
}

/// Decodes the blocks of one segment; false where nobody listens.
fn send_blocks(
    segment: &Segment,
    header: &ChainHeader,
    blocks: &Sender<Sent>,
) -> Result<bool, DeltaError> {
    let Some(coming) = segment.coming() else {
        return Err(DeltaError::Unsupported {
            file: segment.name().to_owned(),
            offset: 0,
            what: "rows of which it does not say how they come".to_owned(),
        });
    };
    let mut first = 0;
    for i in 0..segment.blocks() {
        let rows = segment.decode(i, header)?;
        let (count, rows) = (rows.len() as u64, Arc::new(rows));
        let block = Block {
            change: segment.change(),
            ordinal: segment.ordinal(),
            digest: segment.digest(),
            first,
            is_again: coming == Coming::Again,
            rows,
        };
        if blocks.send(Sent::Block(block)).is_err() {
            return Ok(false);
        }
        first += count;
    }
    Ok(true)
}
