//! What every writer of deltas has in common: blocks are gathered until there are enough of them,
//! and become a segment with a checkpoint. The size of segments depends on rows alone, never on
//! time, so that a chain that was continued is the one that was never interrupted.

use crate::db::quote::ident;
use crate::delta::{ChainHeader, ChainStats, ChainWriter, EncodedBlock, encode_block};
use crate::engine::RunError;
use crate::monitor::Monitor;
use crate::scan::{Exported, TooLarge};
use crate::split::Position;

/// How large blocks and segments are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSize {
    /// Rows that are looked at for one block, 16384 by default: what a reader decodes at once.
    pub block_rows: u64,
    /// Rows from which on a segment is written, 262144 by default: what a kill has done again.
    pub segment_rows: u64,
    /// Bytes from which on a segment is written, 4 MiB by default.
    pub segment_bytes: usize,
    /// Bytes of what a reader has to do with, from which on a segment is written: 128 MiB by
    /// default, far from what a segment may have.
    pub segment_expanded: usize,
}

impl Default for SegmentSize {
    fn default() -> Self {
        Self {
            block_rows: 16_384,
            segment_rows: 262_144,
            segment_bytes: 4 << 20,
            segment_expanded: 128 << 20,
        }
    }
}

/// The blocks of rows that were read together.
///
/// # Errors
/// [`RunError::Refused`] naming a row that no delta can hold.
pub(super) fn encode(
    header: &ChainHeader,
    change: usize,
    found: &Exported,
) -> Result<Vec<EncodedBlock>, RunError> {
    let shape = header.shape(change)?;
    if let Some(TooLarge { key, bytes, limit }) = &found.too_large {
        let (table, column) = (ident(&shape.table), ident(&shape.column));
        let what = match key.as_slice() {
            [] => format!("a key of {table}"),
            key => format!("row ({}) of {table} with {column}", Position(key.to_vec())),
        };
        return Err(RunError::refused(
            header.migration.as_str(),
            format!("{what} takes {bytes} bytes, and a delta takes at most {limit}"),
            "shorten it; or `dotfill run` without deltas on each replica that can derive",
        ));
    }
    Ok(found.blocks.iter().map(|rows| encode_block(shape, rows)).collect::<Result<_, _>>()?)
}

/// A chain, and what its next segment will hold.
pub(super) struct Segments<'s> {
    writer: ChainWriter,
    monitor: &'s dyn Monitor,
    size: SegmentSize,
    blocks: Vec<EncodedBlock>,
    rows: u64,
    bytes: usize,
    expanded: usize,
}

impl<'s> Segments<'s> {
    pub(super) fn new(writer: ChainWriter, monitor: &'s dyn Monitor, size: SegmentSize) -> Self {
        Self { writer, monitor, size, blocks: Vec::new(), rows: 0, bytes: 0, expanded: 0 }
    }

    /// The chain as far as it is written.
    pub(super) fn chain(&self) -> &ChainWriter {
        &self.writer
    }

    /// Adds blocks to the segment that is gathered.
    pub(super) fn add(&mut self, blocks: Vec<EncodedBlock>) {
        self.rows += blocks.iter().map(|b| u64::from(b.rows())).sum::<u64>();
        self.bytes += blocks.iter().map(EncodedBlock::byte_len).sum::<usize>();
        self.expanded += blocks.iter().map(EncodedBlock::expanded_len).sum::<usize>();
        self.blocks.extend(blocks);
    }

    /// True where the segment that is gathered is to be written.
    pub(super) fn is_full(&self) -> bool {
        self.rows >= self.size.segment_rows
            || self.bytes >= self.size.segment_bytes
            || self.expanded >= self.size.segment_expanded
    }

    /// True where nothing is gathered.
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Forgets what is gathered.
    pub(super) fn clear(&mut self) {
        self.blocks.clear();
        (self.rows, self.bytes, self.expanded) = (0, 0, 0);
    }

    /// Writes the segment that is gathered; it is durable on return.
    pub(super) fn push(&mut self, change: usize, checkpoint: &str) -> Result<(), RunError> {
        self.monitor.commit(false);
        self.writer.push(change, &self.blocks, checkpoint)?;
        self.monitor.commit(true);
        self.clear();
        Ok(())
    }

    /// Ends the chain with a manifest, where it has none yet.
    pub(super) fn finish(self, facts: &[(&str, String)]) -> Result<ChainStats, RunError> {
        if self.writer.ends_in_manifest() {
            return Ok(self.writer.stats().clone());
        }
        self.monitor.commit(false);
        let stats = self.writer.finish(facts)?;
        self.monitor.commit(true);
        Ok(stats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Datum;
    use crate::delta::{ImpliedKeys, KeyShape, NullSink, Rows, SEGMENT_EXPANDED_MAX, Scope, Shape};
    use crate::migration::MigrationId;
    use crate::monitor::Quiet;

    fn segments(shape: &Shape) -> Segments<'static> {
        let header = ChainHeader {
            migration: MigrationId::new("m").expect("an id"),
            migration_digest: [0; 32],
            migration_text: String::new(),
            tool_version: String::new(),
            sqlite_version: String::new(),
            scope: Scope::All,
            shapes: vec![shape.clone()],
        };
        let writer = ChainWriter::create(Box::new(NullSink), &header).expect("a chain");
        Segments::new(writer, &Quiet, SegmentSize::default())
    }

    /// Blocks of few bytes that expand to many, or imply many rows without a value: a segment ends
    /// long before a reader would refuse it.
    #[test]
    fn a_segment_is_full_when_its_blocks_expand_to_much() {
        let text = |text: &str| text.to_owned();
        let key = KeyShape { name: text("id"), type_name: text("INT"), collation: text("BINARY") };
        let (table, column, type_name) = (text("t"), text("c"), text("TEXT"));
        let shape = Shape { table, column, type_name, strict: false, sets: false, key: vec![key] };
        let long = Datum::Text(vec![b'x'; 4 << 20]);
        let mut shipped = Rows::new(1);
        shipped.push([Datum::Integer(1).as_ref()], long.as_ref());
        let (first, last) = (vec![Datum::Integer(1)], vec![Datum::Integer(2)]);
        let absent = std::iter::once(1..1 << 17).collect();
        let mut implied = Rows::implied(ImpliedKeys { first, last, digest: [0; 32], absent });
        implied.push([], Datum::Integer(1).as_ref());
        for rows in [shipped, implied] {
            let block = encode_block(&shape, &rows).expect("a block");
            let mut segments = segments(&shape);
            while !segments.is_full() {
                segments.add(vec![block.clone()]);
            }
            assert!(segments.expanded <= SEGMENT_EXPANDED_MAX / 4, "{}", segments.expanded);
            let SegmentSize { segment_rows, segment_bytes, .. } = SegmentSize::default();
            assert!(segments.bytes < segment_bytes && segments.rows < segment_rows);
        }
    }
}
