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
//! The key range is for people: rows between need not be in any order. It is left out where its
//! keys take more than 4 KiB.

use std::sync::Arc;

use super::block::{self, BlockEntry, EncodedBlock};
use super::cursor::{Cursor, length, put_bytes};
use super::error::{Bad, DeltaError};
use super::file::{self, FileKind, Prefix, Verified};
use super::header::{ChainHeader, get_id};
use super::map::FileBytes;
use super::rows::Rows;
use super::{DIGEST_BYTES, FILE_BYTES_MAX};
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

    /// Decodes block `i`.
    ///
    /// # Errors
    /// [`DeltaError::Damaged`] and [`DeltaError::Unsupported`] where the block holds what this
    /// release does not write; [`DeltaError::Shape`] where there is no such block.
    pub fn decode(&self, i: usize, header: &ChainHeader) -> Result<Rows, DeltaError> {
        let shape = header.shape(self.change)?;
        block::decode(self.block(i)?, shape).map_err(|bad| bad.of(&self.name))
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
        Ok(Self { name, bytes, ordinal, digest, change, rows, checkpoint, range, blocks })
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
    let total: usize = blocks.iter().map(EncodedBlock::byte_len).sum();
    for (what, bytes, limit) in [
        ("bytes of a checkpoint", checkpoint.len(), CHECKPOINT_BYTES_MAX),
        ("bytes of a segment", total + checkpoint.len(), FILE_BYTES_MAX - RANGE_BYTES_MAX),
    ] {
        if bytes > limit {
            let (bytes, limit) = (bytes as u64, limit as u64);
            return Err(DeltaError::TooLarge { what: what.to_owned(), bytes, limit });
        }
    }
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
    while cursor.left() > 0 {
        blocks.push(block::skim(cursor)?);
    }
    let rows: u64 = blocks.iter().map(|block| u64::from(block.rows)).sum();
    if blocks.len() == head.blocks as usize && rows == head.rows {
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
