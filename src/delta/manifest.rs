//! The manifest: what a chain holds when its writer was done. Without one behind it, nobody can
//! tell whether the last segment is the last.
//!
//! # Definitions
//! The body of a manifest: `text` migration id; u32 LE count of segments before it; u64 LE bytes of
//! all files before it; u16 LE count of changes, and of each u64 LE rows; u16 LE count of facts,
//! and of each `text` name and `text` value.
//!
//! # Invariants
//! Counts are of the whole chain up to here. Segments may follow, and another manifest after them.

use super::cursor::{Cursor, put_bytes};
use super::error::{Bad, DeltaError};
use super::file::{self, FileKind, Prefix, Verified};
use super::header::{ChainHeader, get_id};

/// What a chain holds up to here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its place in the chain.
    pub ordinal: u32,
    /// Its digest, which stands for the chain.
    pub digest: [u8; 32],
    /// Segments before it.
    pub segments: u32,
    /// Bytes of all files before it.
    pub bytes: u64,
    /// Rows per change.
    pub rows: Vec<u64>,
    /// What else the writer had to say, by name.
    pub facts: Vec<(String, String)>,
}

/// What a chain held when it was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainStats {
    /// Segments.
    pub segments: u32,
    /// Rows per change.
    pub rows: Vec<u64>,
    /// Bytes of all files.
    pub bytes: u64,
    /// The digest of the last file, which stands for the chain.
    pub digest: [u8; 32],
}

impl ChainStats {
    /// Counts a segment.
    pub(super) fn count(&mut self, change: usize, rows: u64) {
        self.segments += 1;
        if let Some(sum) = self.rows.get_mut(change) {
            *sum += rows;
        }
    }
}

/// Builds the file of a manifest.
pub(super) fn build(
    header: &ChainHeader,
    ordinal: u32,
    stats: &ChainStats,
    facts: &[(&str, String)],
) -> Result<(Vec<u8>, [u8; 32]), DeltaError> {
    let prefix = Prefix {
        kind: FileKind::Manifest,
        ordinal,
        previous: stats.digest,
        migration_digest: header.migration_digest,
    };
    let count = |n: usize| u16::try_from(n).unwrap_or(u16::MAX).to_le_bytes();
    file::build(&prefix, |out| {
        put_bytes(header.migration.as_str().as_bytes(), out);
        out.extend_from_slice(&stats.segments.to_le_bytes());
        out.extend_from_slice(&stats.bytes.to_le_bytes());
        out.extend_from_slice(&count(stats.rows.len()));
        stats.rows.iter().for_each(|rows| out.extend_from_slice(&rows.to_le_bytes()));
        out.extend_from_slice(&count(facts.len()));
        for (name, value) in facts {
            put_bytes(name.as_bytes(), out);
            put_bytes(value.as_bytes(), out);
        }
    })
}

impl Manifest {
    /// Reads a manifest whose file has been verified.
    pub(super) fn read(verified: Verified<'_>, name: &str) -> Result<Self, DeltaError> {
        get(verified).map_err(|bad| bad.of(name))
    }
}

fn get(verified: Verified<'_>) -> Result<Manifest, Bad> {
    let Verified { prefix, digest, body: mut cursor } = verified;
    get_id(&mut cursor)?;
    let segments = cursor.u32()?;
    let bytes = cursor.u64()?;
    let count = cursor.u16()?;
    let rows = (0..count).map(|_| cursor.u64()).collect::<Result<_, _>>()?;
    let count = cursor.u16()?;
    let facts = (0..count).map(|_| fact(&mut cursor)).collect::<Result<_, _>>()?;
    cursor.end()?;
    Ok(Manifest { ordinal: prefix.ordinal, digest, segments, bytes, rows, facts })
}

fn fact(cursor: &mut Cursor<'_>) -> Result<(String, String), Bad> {
    Ok((cursor.text()?, cursor.text()?))
}
