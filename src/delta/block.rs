//! One batch of rows as bytes. Pure: blocks are encoded and decoded on any thread.
//!
//! # Definitions
//! A block:
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 4 | u32 LE, bytes of the block, this field and the digest included |
//! | 4 | 4 | u32 LE, rows, 1 to [`ROWS_MAX`] |
//! | 8 | 1 | how keys are told: 0 shipped, 1 implied, 2 implied with absent rows |
//! | 9 | 2 | u16 LE, columns: for shipped keys the key columns and the value, else 1 |
//! | 11 | | for implied keys: `implied`, see below; for 2 then `absent` |
//! | | | each column, keys first, the value last: u32 LE bytes, then `column` ([`super::codec`]) |
//! | end - 32 | 32 | BLAKE3 of all bytes before |
//!
//! Where the shape says that values are sets, the last one is no `column` but `sets`
//! ([`super::codec::sets`]).
//!
//! `implied`: `bytes` of the first key, `bytes` of the last key (the values of each as
//! [`crate::db::encode`] writes them, one after the other), 32 bytes key digest
//! ([`super::KeyDigest`]). The receiver's rows from the first through the last key, in the order of
//! the table's key, are those that the digest is of; there are as many as the block has rows, and
//! those of `absent` besides.
//!
//! `absent`: rows of that range without a value here, in runs: `varint` count of runs, at least 1,
//! then of each `varint` rows with a value before it, since the run before (0 for the first run
//! only), and `varint` rows without, at least 1.
//!
//! # Invariants
//! Rows keep their order; the same key may come twice, and the later one holds. Nothing is
//! decompressed before the digest has been compared. Decoding produces at most [`ROWS_BYTES_MAX`],
//! for which a row without a value counts as one value.

use std::ops::Range;

use super::column::{CELL_BYTES, Column};
use super::cursor::{Cursor, length, put_bytes, put_varint};
use super::error::{Bad, DeltaError};
use super::header::Shape;
use super::rows::{ImpliedKeys, Keys, Rows};
use super::{DIGEST_BYTES, FILE_BYTES_MAX, ROWS_BYTES_MAX, ROWS_MAX, codec};
use crate::db::{Datum, encode};

const SHIPPED: u8 = 0;
const IMPLIED: u8 = 1;
const IMPLIED_SOME: u8 = 2;

/// Bytes up to the first column of a block with shipped keys.
const HEAD_BYTES: usize = 11;

/// A batch of rows as bytes, not yet part of a chain.
#[derive(Clone, Debug)]
pub struct EncodedBlock {
    pub(super) bytes: Vec<u8>,
    rows: u32,
    /// Bytes of the rows before they were encoded.
    pub(super) expanded: usize,
    pub(super) first: Vec<Datum>,
    pub(super) last: Vec<Datum>,
}

impl EncodedBlock {
    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// How many bytes it takes in a file.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of its rows before they were encoded, those without a value counted as one value each:
    /// what [`super::SEGMENT_EXPANDED_MAX`] bounds.
    #[must_use]
    pub fn expanded_len(&self) -> usize {
        self.expanded
    }
}

/// Encodes one batch of the change that has this shape. Deterministic.
///
/// # Errors
/// [`DeltaError::TooLarge`] where the rows exceed [`ROWS_MAX`] or [`ROWS_BYTES_MAX`]: split them.
/// [`DeltaError::Shape`] where there are none, or their columns do not fit.
pub fn encode_block(shape: &Shape, rows: &Rows) -> Result<EncodedBlock, DeltaError> {
    check(shape, rows)?;
    let mut out = Vec::with_capacity(256 + rows.byte_size() / 4);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&length(rows.len()).to_le_bytes());
    let columns = rows.key_columns().len() + 1;
    let (kind, first, last) = match &rows.keys {
        Keys::Shipped(_) => (SHIPPED, key(rows, 0), key(rows, rows.len() - 1)),
        Keys::Implied(keys) => {
            let kind = if keys.absent.is_empty() { IMPLIED } else { IMPLIED_SOME };
            (kind, keys.first.clone(), keys.last.clone())
        }
    };
    out.push(kind);
    out.extend_from_slice(&u16::try_from(columns).unwrap_or(u16::MAX).to_le_bytes());
    if let Keys::Implied(keys) = &rows.keys {
        put_implied(keys, &mut out);
    }
    for column in rows.key_columns() {
        put_column(column, codec::put, &mut out)?;
    }
    put_column(&rows.values, if shape.sets { codec::sets::put } else { codec::put }, &mut out)?;
    let total = out.len() + DIGEST_BYTES;
    limit("bytes of an encoded block", total, FILE_BYTES_MAX)?;
    out[..4].copy_from_slice(&length(total).to_le_bytes());
    let digest = blake3::hash(&out);
    out.extend_from_slice(digest.as_bytes());
    let expanded = expanded(shape, rows);
    Ok(EncodedBlock { bytes: out, rows: length(rows.len()), expanded, first, last })
}

fn put_implied(keys: &ImpliedKeys, out: &mut Vec<u8>) {
    put_bytes(&encode_key(&keys.first), out);
    put_bytes(&encode_key(&keys.last), out);
    out.extend_from_slice(&keys.digest);
    if keys.absent.is_empty() {
        return;
    }
    put_varint(keys.absent.len() as u64, out);
    let mut before = 0;
    for run in &keys.absent {
        put_varint(u64::from(run.start - before), out);
        put_varint(u64::from(run.end - run.start), out);
        before = run.end;
    }
}

/// Bytes that a reader has to do with.
fn expanded(shape: &Shape, rows: &Rows) -> usize {
    let absent = match &rows.keys {
        Keys::Implied(keys) => keys.absent_rows(),
        Keys::Shipped(_) => 0,
    };
    let elements = if shape.sets { codec::sets::expanded(&rows.values) } else { 0 };
    rows.byte_size().saturating_add(absent * CELL_BYTES).saturating_add(elements)
}

/// Appends a column that `put` writes, after its length.
fn put_column(
    column: &Column,
    put: impl FnOnce(&Column, &mut Vec<u8>) -> Result<(), DeltaError>,
    out: &mut Vec<u8>,
) -> Result<(), DeltaError> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    put(column, out)?;
    let bytes = length(out.len() - start - 4);
    out[start..start + 4].copy_from_slice(&bytes.to_le_bytes());
    Ok(())
}

fn key(rows: &Rows, i: usize) -> Vec<Datum> {
    rows.key(i).map(Datum::from).collect()
}

/// The values of a key, one after the other.
pub(super) fn encode_key(key: &[Datum]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in key {
        encode(value.as_ref(), &mut bytes);
    }
    bytes
}

/// Reads a key of `columns` values, as `bytes`.
pub(super) fn get_key(cursor: &mut Cursor<'_>, columns: usize) -> Result<Vec<Datum>, Bad> {
    let start = cursor.clone();
    let mut rest = cursor.bytes()?;
    let mut key = Vec::new();
    while !rest.is_empty() && key.len() < columns {
        let (value, after) = Datum::decode(rest).ok_or_else(|| start.bad("that is no key"))?;
        key.push(value);
        rest = after;
    }
    if key.len() == columns && rest.is_empty() {
        Ok(key)
    } else {
        Err(start.bad("a key does not have the columns of its table"))
    }
}

fn limit(what: &str, bytes: usize, limit: usize) -> Result<(), DeltaError> {
    if bytes <= limit {
        return Ok(());
    }
    let (what, bytes, limit) = (what.to_owned(), bytes as u64, limit as u64);
    Err(DeltaError::TooLarge { what, bytes, limit })
}

fn check(shape: &Shape, rows: &Rows) -> Result<(), DeltaError> {
    let refuse = |problem: String| Err(DeltaError::Shape { problem });
    if rows.is_empty() {
        return refuse("a block without rows".to_owned());
    }
    limit("bytes of a batch of rows", expanded(shape, rows), ROWS_BYTES_MAX)?;
    limit("rows of a block", rows.len(), ROWS_MAX)?;
    let columns = match &rows.keys {
        Keys::Shipped(columns) => {
            if let Some(column) = columns.iter().find(|column| column.len() != rows.len()) {
                return refuse(format!("{} keys of {} rows", column.len(), rows.len()));
            }
            columns.len()
        }
        Keys::Implied(keys) => {
            limit("rows of a range", rows.len() + keys.absent_rows(), ROWS_MAX)?;
            if let Some(problem) = keys.problem(rows.len()) {
                return refuse(problem.to_owned());
            }
            keys.first.len()
        }
    };
    if columns == shape.key.len() {
        Ok(())
    } else {
        refuse(format!("{columns} key columns, and {shape} has {}", shape.key.len()))
    }
}

/// Where a block stands and what it says of itself, its digest compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockEntry {
    /// Where it begins in the file.
    pub at: usize,
    /// Its bytes, the digest included.
    pub bytes: usize,
    /// Its rows.
    pub rows: u32,
}

/// Reads past one block and compares its digest.
pub(super) fn skim(cursor: &mut Cursor<'_>) -> Result<BlockEntry, Bad> {
    let start = cursor.clone();
    let bytes = cursor.u32()? as usize;
    let mut whole = start.clone();
    let least = HEAD_BYTES + DIGEST_BYTES;
    if bytes < least || bytes > start.left() {
        return Err(start.bad("a block does not fit into its file"));
    }
    let (content, digest) = whole.take(bytes)?.split_at(bytes - DIGEST_BYTES);
    if blake3::hash(content).as_bytes() != digest {
        return Err(start.bad("a block does not have its digest"));
    }
    let rows = cursor.u32()?;
    if rows == 0 || rows as usize > ROWS_MAX {
        return Err(start.bad("a block has no rows, or too many"));
    }
    *cursor = whole;
    Ok(BlockEntry { at: start.at(), bytes, rows })
}

/// One column of a block: where it begins in the file, and its bytes.
type Part<'a> = (usize, &'a [u8]);

/// What a block holds, before its columns are decoded.
pub(super) struct Parts<'a> {
    pub rows: usize,
    pub implied: Option<ImpliedKeys>,
    pub columns: Vec<Part<'a>>,
}

/// Reads the frame of a block; `cursor` ends before the digest.
pub(super) fn parts<'a>(mut cursor: Cursor<'a>, shape: &Shape) -> Result<Parts<'a>, Bad> {
    cursor.take(4)?;
    let start = cursor.clone();
    let rows = cursor.u32()? as usize;
    let kind = cursor.u8()?;
    let columns = usize::from(cursor.u16()?);
    let (implied, wanted) = match kind {
        SHIPPED => (None, shape.key.len() + 1),
        IMPLIED => (Some(get_implied(&mut cursor, shape.key.len())?), 1),
        IMPLIED_SOME => {
            let mut keys = get_implied(&mut cursor, shape.key.len())?;
            keys.absent = get_absent(&mut cursor, rows)?;
            (Some(keys), 1)
        }
        code => return Err(start.unknown(format!("the kind {code} of keys"))),
    };
    if columns != wanted {
        return Err(start.bad("a block does not have the columns of its table"));
    }
    if rows == 0 || rows > ROWS_MAX || rows * columns * CELL_BYTES > ROWS_BYTES_MAX {
        return Err(start.bad("a block has no rows, or too many"));
    }
    let mut parts = Vec::with_capacity(columns);
    for _ in 0..columns {
        let bytes = cursor.u32()? as usize;
        parts.push((cursor.at(), cursor.take(bytes)?));
    }
    cursor.end()?;
    Ok(Parts { rows, implied, columns: parts })
}

fn get_implied(cursor: &mut Cursor<'_>, columns: usize) -> Result<ImpliedKeys, Bad> {
    let first = get_key(cursor, columns)?;
    let last = get_key(cursor, columns)?;
    Ok(ImpliedKeys { first, last, digest: cursor.array()?, absent: Vec::new() })
}

/// Reads the runs of rows without a value, in a range of which `rows` have one.
fn get_absent(cursor: &mut Cursor<'_>, rows: usize) -> Result<Vec<Range<u32>>, Bad> {
    let start = cursor.clone();
    let count = cursor.count(ROWS_MAX.min(cursor.left() / 2))?;
    let mut runs: Vec<Range<u32>> = Vec::with_capacity(count);
    let mut present = 0;
    for _ in 0..count {
        let before = runs.last().map_or(0, |run| run.end);
        let gap = cursor.count(ROWS_MAX)?;
        let absent = cursor.count(ROWS_MAX)?;
        present += gap;
        let begin = before as usize + gap;
        let end = begin + absent;
        if absent == 0 || (gap == 0 && before > 0) || present > rows || end > ROWS_MAX {
            return Err(start.bad("the rows without a value are not where rows can be"));
        }
        runs.push(length(begin)..length(end));
    }
    let absent: usize = runs.iter().map(ExactSizeIterator::len).sum();
    if runs.is_empty() || rows + absent > ROWS_MAX {
        return Err(start.bad("the rows without a value are not where rows can be"));
    }
    Ok(runs)
}

/// Decodes a block whose digest has been compared; `cursor` ends before the digest. Returns also
/// how many bytes were expanded, which is at most `limit` and twice [`ROWS_BYTES_MAX`].
pub(super) fn decode(
    cursor: Cursor<'_>,
    shape: &Shape,
    limit: usize,
) -> Result<(Rows, usize), Bad> {
    let start = cursor.clone();
    let parts = parts(cursor, shape)?;
    let mut budget = codec::Budget::new(ROWS_BYTES_MAX.min(limit));
    // A receiver looks at these as well.
    let absent = parts.implied.as_ref().map_or(0, ImpliedKeys::absent_rows);
    budget.charge(absent * CELL_BYTES, &start)?;
    let mut columns = Vec::with_capacity(parts.columns.len());
    let last = parts.columns.len() - 1;
    for (i, (at, bytes)) in parts.columns.into_iter().enumerate() {
        let mut cursor = Cursor::new(bytes, at);
        let get = if shape.sets && i == last { codec::sets::get } else { codec::get };
        columns.push(get(&mut cursor, parts.rows, &mut budget)?);
        cursor.end()?;
    }
    let values = columns.pop().unwrap_or_default();
    let keys = parts.implied.map_or(Keys::Shipped(columns), Keys::Implied);
    Ok((Rows { keys, values }, budget.spent()))
}
