//! One segment: rows of one change, and how far the writer was when it was written.
//!
//! # Definitions
//! The body of a segment: `text` migration id; u16 LE index of the change; u64 LE rows of all
//! blocks; `text` checkpoint, by which the writer resumes; one byte 1 where a key range follows,
//! else 0; the key of the first row of the first block and that of the last row of the last block,
//! as `bytes` each; u32 LE count of blocks; BLAKE3 of all bytes of the file from offset 16 up to
//! here, by which damage before the blocks is told from damage in them; the blocks
//! ([`super::block`]).
//!
//! # Invariants
//! What all blocks of a segment expand to is bounded, not only each of them: see
//! [`super::SEGMENT_EXPANDED_MAX`]. The key range is for people: rows between need not be in any order. It is left out where its
//! keys take more than 4 KiB.

use std::sync::Arc;

use parking_lot::Mutex;

use super::block::{self, BlockEntry, EncodedBlock};
use super::checkpoint::{Coming, coming};
use super::cursor::{Cursor, length, put_bytes};
use super::error::{Bad, DeltaError};
use super::file::{self, FileKind, Prefix, Verified};
use super::header::{ChainHeader, get_id};
use super::map::FileBytes;
use super::rows::Rows;
use super::{
    DIGEST_BYTES, FILE_BYTES_MAX, SEGMENT_BLOCKS_MAX, SEGMENT_EXPANDED_MAX, SEGMENT_ROWS_MAX,
};
use crate::db::Datum;

/// Bytes of both keys of a range, at most.
const RANGE_BYTES_MAX: usize = 4096;

/// Bytes of a checkpoint, at most.
pub(super) const CHECKPOINT_BYTES_MAX: usize = 8 << 20;

/// The first and the last key of a segment, in its own order.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyRange {
    /// The key of its first row.
    pub first: Vec<Datum>,
    /// The key of its last row.
    pub last: Vec<Datum>,
}

/// What a segment says before its blocks.
struct Head {
    change: usize,
    rows: u64,
    checkpoint: String,
    range: Option<(usize, usize)>,
    blocks: u32,
}

/// A segment, its digests compared. Blocks are decoded on demand, on any thread.
#[derive(Clone, Debug)]
pub struct Segment {
    name: String,
    bytes: Arc<FileBytes>,
    ordinal: u32,
    digest: [u8; 32],
    change: usize,
    rows: u64,
    checkpoint: String,
    range: Option<KeyRange>,
    blocks: Vec<BlockEntry>,
    expanded: Arc<Mutex<Expanded>>,
}

/// What the blocks of a segment have expanded to, each counted once.
#[derive(Debug)]
struct Expanded {
    of: Vec<usize>,
    sum: usize,
}

impl Expanded {
    fn new(blocks: usize) -> Self {
        Self { of: vec![0; blocks], sum: 0 }
    }

    /// Bytes to which block `i` may expand.
    fn limit(&self, i: usize) -> usize {
        SEGMENT_EXPANDED_MAX.saturating_sub(self.sum - self.of[i])
    }

    fn note(&mut self, i: usize, bytes: usize) {
        self.sum = self.sum - self.of[i] + bytes;
        self.of[i] = bytes;
    }
}

impl Segment {
    /// Its place in the chain, from 1.
    #[must_use]
    pub fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// The file's name, or the part of the stream.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its digest, which stands for the chain up to here.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The index of its change in the migration.
    #[must_use]
    pub fn change(&self) -> usize {
        self.change
    }

    /// Rows of all blocks.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// How far its writer was, in the writer's own words.
    #[must_use]
    pub fn checkpoint(&self) -> &str {
        &self.checkpoint
    }

    /// How its keys come; `None` where this release does not know.
    #[must_use]
    pub fn coming(&self) -> Option<Coming> {
        coming(&self.checkpoint)
    }

    /// Bytes of the file.
    #[must_use]
    pub fn byte_len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The keys of its first and last row, where they are short enough.
    #[must_use]
    pub fn range(&self) -> Option<&KeyRange> {
        self.range.as_ref()
    }

    /// How many blocks.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Rows of block `i`, 0 where there is none.
    #[must_use]
    pub fn block_rows(&self, i: usize) -> u32 {
        self.blocks.get(i).map_or(0, |block| block.rows)
    }

    /// Bytes of block `i`, 0 where there is none.
    #[must_use]
    pub fn block_bytes(&self, i: usize) -> u64 {
        self.blocks.get(i).map_or(0, |block| block.bytes as u64)
    }

    /// Decodes block `i`.
    ///
    /// # Errors
    /// [`DeltaError::Damaged`] and [`DeltaError::Unsupported`] where the block holds what this
    /// release does not write, or expands to more than a segment may; [`DeltaError::Shape`] where
    /// there is no such block.
    pub fn decode(&self, i: usize, header: &ChainHeader) -> Result<Rows, DeltaError> {
        let shape = header.shape(self.change)?;
        let block = self.block(i)?;
        let limit = self.expanded.lock().limit(i);
        let (rows, bytes) = block::decode(block, shape, limit).map_err(|bad| bad.of(&self.name))?;
        self.expanded.lock().note(i, bytes);
        Ok(rows)
    }

    /// Bytes of each column of block `i`, keys first, the value last; implied keys have none.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn column_bytes(&self, i: usize, header: &ChainHeader) -> Result<Vec<u64>, DeltaError> {
        let shape = header.shape(self.change)?;
        let parts = block::parts(self.block(i)?, shape).map_err(|bad| bad.of(&self.name))?;
        Ok(parts.columns.iter().map(|(_, bytes)| bytes.len() as u64).collect())
    }

    /// The content of block `i`, without its digest.
    fn block(&self, i: usize) -> Result<Cursor<'_>, DeltaError> {
        let entry = self.blocks.get(i).ok_or_else(|| DeltaError::Shape {
            problem: format!("{} has no block {i}", self.name),
        })?;
        let content = &self.bytes[entry.at..entry.at + entry.bytes - DIGEST_BYTES];
        Ok(Cursor::new(content, entry.at))
    }

    /// Reads a segment whose file has been verified: the digests of its blocks are compared here.
    pub(super) fn open(
        name: &str,
        bytes: Arc<FileBytes>,
        header: &ChainHeader,
    ) -> Result<Self, DeltaError> {
        let read = || -> Result<_, Bad> {
            let Verified { prefix, digest, body: mut cursor } = file::verify(&bytes)?;
            let start = cursor.clone();
            let head = get_head(&mut cursor)?;
            check_head(&bytes, &mut cursor)?;
            let columns = header.shapes.get(head.change).map(|shape| shape.key.len());
            let columns = columns.ok_or_else(|| start.bad("the migration has no such change"))?;
            let range = get_range(&bytes, head.range, columns)?;
            let blocks = get_blocks(&mut cursor, &head)?;
            Ok((prefix, digest, head, range, blocks))
        };
        let (prefix, digest, head, range, blocks) = read().map_err(|bad| bad.of(name))?;
        let Head { change, rows, checkpoint, .. } = head;
        let (name, ordinal) = (name.to_owned(), prefix.ordinal);
        let expanded = Arc::new(Mutex::new(Expanded::new(blocks.len())));
        Ok(Self { name, bytes, ordinal, digest, change, rows, checkpoint, range, blocks, expanded })
    }
}

/// Builds the file of a segment.
pub(super) fn build(
    header: &ChainHeader,
    (ordinal, previous): (u32, [u8; 32]),
    change: usize,
    blocks: &[EncodedBlock],
    checkpoint: &str,
) -> Result<(Vec<u8>, [u8; 32]), DeltaError> {
    check_limits(blocks, checkpoint)?;
    assemble(header, (ordinal, previous), change, blocks, checkpoint)
}

/// Refuses what a reader would refuse.
fn check_limits(blocks: &[EncodedBlock], checkpoint: &str) -> Result<(), DeltaError> {
    let total: usize = blocks.iter().map(EncodedBlock::byte_len).sum();
    let expanded = blocks.iter().fold(0_usize, |sum, block| sum.saturating_add(block.expanded));
    let rows: usize = blocks.iter().map(|block| block.rows() as usize).sum();
    for (what, bytes, limit) in [
        ("blocks of a segment", blocks.len(), SEGMENT_BLOCKS_MAX),
        ("rows of a segment", rows, usize::try_from(SEGMENT_ROWS_MAX).unwrap_or(usize::MAX)),
        // A dictionary counts for as many bytes again.
        ("bytes of a segment's rows", expanded, SEGMENT_EXPANDED_MAX / 2),
        ("bytes of a checkpoint", checkpoint.len(), CHECKPOINT_BYTES_MAX),
        ("bytes of a segment", total + checkpoint.len(), FILE_BYTES_MAX - RANGE_BYTES_MAX),
    ] {
        if bytes > limit {
            let (bytes, limit) = (bytes as u64, limit as u64);
            return Err(DeltaError::TooLarge { what: what.to_owned(), bytes, limit });
        }
    }
    Ok(())
}

fn assemble(
    header: &ChainHeader,
    (ordinal, previous): (u32, [u8; 32]),
    change: usize,
    blocks: &[EncodedBlock],
    checkpoint: &str,
) -> Result<(Vec<u8>, [u8; 32]), DeltaError> {
    let migration_digest = header.migration_digest;
    let prefix = Prefix { kind: FileKind::Segment, ordinal, previous, migration_digest };
    file::build(&prefix, |out| {
        put_bytes(header.migration.as_str().as_bytes(), out);
        out.extend_from_slice(&u16::try_from(change).unwrap_or(u16::MAX).to_le_bytes());
        let rows: u64 = blocks.iter().map(|block| u64::from(block.rows())).sum();
        out.extend_from_slice(&rows.to_le_bytes());
        put_bytes(checkpoint.as_bytes(), out);
        put_range(blocks, out);
        out.extend_from_slice(&length(blocks.len()).to_le_bytes());
        let digest = blake3::hash(&out[file::LENGTH_PREFIX..]);
        out.extend_from_slice(digest.as_bytes());
        for block in blocks {
            out.extend_from_slice(&block.bytes);
        }
    })
}

fn put_range(blocks: &[EncodedBlock], out: &mut Vec<u8>) {
    let keys = blocks.first().zip(blocks.last());
    let keys = keys.map(|(a, b)| (block::encode_key(&a.first), block::encode_key(&b.last)));
    match keys.filter(|(first, last)| first.len() + last.len() <= RANGE_BYTES_MAX) {
        None => out.push(0),
        Some((first, last)) => {
            out.push(1);
            put_bytes(&first, out);
            put_bytes(&last, out);
        }
    }
}

fn get_head(cursor: &mut Cursor<'_>) -> Result<Head, Bad> {
    get_id(cursor)?;
    let change = usize::from(cursor.u16()?);
    let rows = cursor.u64()?;
    let checkpoint = cursor.text()?;
    let start = cursor.clone();
    let range = match cursor.u8()? {
        0 => None,
        1 => {
            let first = cursor.at();
            cursor.bytes()?;
            let last = cursor.at();
            cursor.bytes()?;
            Some((first, last))
        }
        code => return Err(start.unknown(format!("the key range {code}"))),
    };
    Ok(Head { change, rows, checkpoint, range, blocks: cursor.u32()? })
}

/// Compares the digest of what stands before the blocks, which is next.
fn check_head(content: &[u8], cursor: &mut Cursor<'_>) -> Result<(), Bad> {
    let start = cursor.clone();
    let digest = blake3::hash(&content[file::LENGTH_PREFIX..cursor.at()]);
    if cursor.array()? == *digest.as_bytes() {
        Ok(())
    } else {
        Err(start.bad("what stands before the blocks does not have its digest"))
    }
}

/// The keys that stand at these places.
fn get_range(
    bytes: &[u8],
    places: Option<(usize, usize)>,
    columns: usize,
) -> Result<Option<KeyRange>, Bad> {
    let key = |at: usize| block::get_key(&mut Cursor::new(&bytes[at..], at), columns);
    places.map(|(first, last)| Ok(KeyRange { first: key(first)?, last: key(last)? })).transpose()
}

fn get_blocks(cursor: &mut Cursor<'_>, head: &Head) -> Result<Vec<BlockEntry>, Bad> {
    let start = cursor.clone();
    let mut blocks = Vec::new();
    if head.blocks as usize > SEGMENT_BLOCKS_MAX || head.rows > SEGMENT_ROWS_MAX {
        return Err(start.bad("a segment has too many blocks, or rows"));
    }
    while cursor.left() > 0 && blocks.len() < head.blocks as usize {
        blocks.push(block::skim(cursor)?);
    }
    let rows: u64 = blocks.iter().map(|block| u64::from(block.rows)).sum();
    if cursor.left() == 0 && blocks.len() == head.blocks as usize && rows == head.rows {
        Ok(blocks)
    } else {
        Err(start.bad("a segment does not have the blocks and rows that it claims"))
    }
}

/// The blocks of a segment whose digest does not fit, to find out which of them it is.
pub(super) fn blocks_of(content: &[u8]) -> Result<Cursor<'_>, Bad> {
    let mut cursor = Cursor::new(content, 0);
    cursor.take(file::PREFIX_BYTES)?;
    get_head(&mut cursor)?;
    check_head(content, &mut cursor)?;
    Ok(cursor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::{KeyShape, Scope, Shape, encode_block};
    use crate::migration::MigrationId;
    use rusqlite::types::ValueRef;

    fn header() -> ChainHeader {
        let key = KeyShape {
            name: "id".to_owned(),
            type_name: "INTEGER".to_owned(),
            collation: "BINARY".to_owned(),
        };
        let shape = Shape {
            table: "t".to_owned(),
            column: "c".to_owned(),
            type_name: "TEXT".to_owned(),
            strict: false,
            sets: false,
            key: vec![key],
        };
        ChainHeader {
            migration: MigrationId::new("m").expect("an id"),
            migration_digest: [0; 32],
            migration_text: String::new(),
            tool_version: String::new(),
            sqlite_version: String::new(),
            scope: Scope::All,
            shapes: vec![shape],
        }
    }

    /// Rows from 0 on, each with `value`.
    fn block(rows: i64, value: &str) -> EncodedBlock {
        let mut batch = Rows::new(1);
        for id in 0..rows {
            batch.push([ValueRef::Integer(id)], ValueRef::Text(value.as_bytes()));
        }
        encode_block(&header().shapes[0], &batch).expect("a block")
    }

    /// The file that a forger makes.
    fn forged(blocks: &[EncodedBlock]) -> Result<Segment, DeltaError> {
        let header = header();
        let (bytes, _) = assemble(&header, (1, [0; 32]), 0, blocks, "").expect("a file");
        Segment::open("forged", Arc::new(FileBytes::Held(bytes)), &header)
    }

    fn refused<T: std::fmt::Debug>(result: Result<T, DeltaError>, word: &str) {
        let error = result.expect_err("too much").to_string();
        assert!(error.contains(word), "{error}");
    }

    #[test]
    fn the_blocks_of_a_segment_expand_to_a_bounded_number_of_bytes_together() {
        let large = block(1, &"x".repeat(15 << 20));
        let blocks = vec![large; 80];
        let segment = forged(&blocks).expect("some KiB");
        assert!(segment.byte_len() < 1 << 20, "{}", segment.byte_len());
        let most = SEGMENT_EXPANDED_MAX / (15 << 20);
        let decode = |i: usize| segment.decode(i, &header());
        for i in (0..most).chain(0..most) {
            decode(i).expect("within the limit, as often as one likes");
        }
        refused(decode(most), "forged is damaged");
        decode(0).expect("what was decoded before");
        refused(build(&header(), (1, [0; 32]), 0, &blocks, ""), "of a segment's rows are too many");
    }

    #[test]
    fn the_blocks_and_rows_of_a_segment_are_bounded() {
        let blocks = vec![block(1, ""); SEGMENT_BLOCKS_MAX + 1];
        refused(forged(&blocks), "too many blocks, or rows");
        refused(build(&header(), (1, [0; 32]), 0, &blocks, ""), "blocks of a segment");
        forged(&blocks[1..]).expect("as many as may be");
        let blocks = vec![block(1 << 18, ""); 17];
        refused(forged(&blocks), "too many blocks, or rows");
        refused(build(&header(), (1, [0; 32]), 0, &blocks, ""), "rows of a segment");
        forged(&blocks[1..]).expect("as many as may be");
    }
}
