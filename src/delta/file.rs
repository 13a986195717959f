//! What every file of a chain has: a beginning that says what it is and where it belongs, and a
//! digest at its end.
//!
//! # Definitions
//! A file:
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 8 | magic, `89 44 46 44 0d 0a 1a 0a` |
//! | 8 | 2 | u16 LE, version of the format: 1 |
//! | 10 | 1 | kind: 1 header, 2 segment, 3 manifest |
//! | 11 | 1 | 0 |
//! | 12 | 4 | u32 LE, bytes of the whole file, at most 32 MiB |
//! | 16 | 4 | u32 LE, ordinal |
//! | 20 | 32 | digest of the file before it; zeros in the header |
//! | 52 | 32 | digest of the migration |
//! | 84 | | body, by kind |
//! | end - 32 | 32 | BLAKE3 of all bytes before: the digest of the file |
//!
//! A file is called `<ordinal, 10 digits>-<header, rows or manifest>.dotfill`.
//!
//! # Invariants
//! The header has ordinal 0, and each further file the next one; all have the same digest of the
//! migration. A digest covers the one before it, so the last digest stands for the whole chain.
//! Names sort in the order of ordinals: the files of a folder, one after the other, are the stream.
//! Nothing of a file is believed before its digest has been compared, but its length, whose limit
//! bounds what a reader holds.

use super::cursor::{Cursor, length};
use super::error::{Bad, DeltaError};
use super::{DIGEST_BYTES, FILE_BYTES_MAX, block, segment};

/// The first bytes of every file: not text, and broken by whatever takes it for text.
const MAGIC: [u8; 8] = *b"\x89DFD\r\n\x1a\n";

/// The version that this release writes, and the only one that it reads.
pub(super) const VERSION: u16 = 1;

/// Bytes before the body.
pub(super) const PREFIX_BYTES: usize = 84;

/// Bytes that say how long the file is.
pub(super) const LENGTH_PREFIX: usize = 16;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum FileKind {
    /// What the chain is of.
    Header = 1,
    /// Rows of one change.
    Segment = 2,
    /// What the chain holds so far.
    Manifest = 3,
}

impl FileKind {
    const ALL: [Self; 3] = [Self::Header, Self::Segment, Self::Manifest];

    /// The word in its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Segment => "rows",
            Self::Manifest => "manifest",
        }
    }
}

/// The name of a file in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName {
    /// Its place in the chain.
    pub ordinal: u32,
    /// What it holds.
    pub kind: FileKind,
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:010}-{}.dotfill", self.ordinal, self.kind.as_str())
    }
}

impl FileName {
    /// Reads a name; `None` for other files.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (ordinal, rest) = name.split_once('-')?;
        let kind = FileKind::ALL
            .into_iter()
            .find(|kind| rest.strip_suffix(".dotfill") == Some(kind.as_str()))?;
        let digits = ordinal.len() == 10 && ordinal.bytes().all(|b| b.is_ascii_digit());
        let ordinal = ordinal.parse().ok().filter(|_| digits)?;
        Some(Self { ordinal, kind })
    }
}

/// The beginning of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    pub kind: FileKind,
    pub ordinal: u32,
    pub previous: [u8; 32],
    pub migration_digest: [u8; 32],
}

/// Where fields of the prefix stand, for messages.
const KIND_AT: usize = 10;
pub(super) const ORDINAL_AT: u64 = 16;
pub(super) const PREVIOUS_AT: u64 = 20;
pub(super) const MIGRATION_AT: u64 = 52;

/// A file: prefix, the body that `body` appends, digest.
pub(super) fn build(
    prefix: &Prefix,
    body: impl FnOnce(&mut Vec<u8>),
) -> Result<(Vec<u8>, [u8; 32]), DeltaError> {
    let mut bytes = Vec::with_capacity(1024);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[prefix.kind as u8, 0]);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&prefix.ordinal.to_le_bytes());
    bytes.extend_from_slice(&prefix.previous);
    bytes.extend_from_slice(&prefix.migration_digest);
    body(&mut bytes);
    let total = bytes.len() + DIGEST_BYTES;
    if total > FILE_BYTES_MAX {
        let what = format!("bytes of file {} of a chain", prefix.ordinal);
        return Err(DeltaError::TooLarge {
            what,
            bytes: total as u64,
            limit: FILE_BYTES_MAX as u64,
        });
    }
    bytes[12..16].copy_from_slice(&length(total).to_le_bytes());
    let digest = *blake3::hash(&bytes).as_bytes();
    bytes.extend_from_slice(&digest);
    Ok((bytes, digest))
}

/// How many bytes the file has that begins with these [`LENGTH_PREFIX`] bytes.
pub(super) fn claimed_length(bytes: &[u8]) -> Result<usize, Bad> {
    let mut cursor = Cursor::new(bytes, 0);
    if cursor.array::<8>()? != MAGIC {
        return Err(Cursor::new(bytes, 0).bad("it does not begin as deltas do"));
    }
    let start = cursor.clone();
    let version = cursor.u16()?;
    if version != VERSION {
        return Err(start.unknown(format!("version {version} of the format")));
    }
    cursor.u16()?;
    let start = cursor.clone();
    let length = cursor.u32()? as usize;
    if (PREFIX_BYTES + DIGEST_BYTES..=FILE_BYTES_MAX).contains(&length) {
        Ok(length)
    } else {
        Err(start.bad("it cannot have the length that it claims"))
    }
}

/// A file whose digest has been compared.
pub(super) struct Verified<'a> {
    pub prefix: Prefix,
    pub digest: [u8; 32],
    /// The body.
    pub body: Cursor<'a>,
}

/// Compares the digest of a file and reads its prefix.
pub(super) fn verify(bytes: &[u8]) -> Result<Verified<'_>, Bad> {
    let claimed = claimed_length(bytes)?;
    if claimed > bytes.len() {
        return Err(Cursor::new(&[], bytes.len()).bad("it ends before it should"));
    }
    if claimed < bytes.len() {
        return Err(Cursor::new(&[], claimed).bad("it goes on after its end"));
    }
    let (content, trailer) = bytes.split_at(bytes.len() - DIGEST_BYTES);
    let digest = *blake3::hash(content).as_bytes();
    if digest != trailer {
        return Err(locate(content));
    }
    let mut cursor = Cursor::new(content, 0);
    cursor.take(10)?;
    let start = cursor.clone();
    let (kind, zero) = (cursor.u8()?, cursor.u8()?);
    let kind = FileKind::ALL.into_iter().find(|k| *k as u8 == kind && zero == 0);
    let kind = kind.ok_or_else(|| start.unknown("another kind of file".to_owned()))?;
    cursor.u32()?;
    let prefix = Prefix {
        kind,
        ordinal: cursor.u32()?,
        previous: cursor.array()?,
        migration_digest: cursor.array()?,
    };
    Ok(Verified { prefix, digest, body: cursor })
}

/// Where a file whose digest does not fit was changed: the first block that does not have its own
/// digest, else the part before the blocks or the digest at the end.
fn locate(content: &[u8]) -> Bad {
    let head = Cursor::new(&[], KIND_AT).bad("it does not have its digest, its blocks apart");
    let Ok(mut blocks) = segment::blocks_of(content) else { return head };
    while blocks.left() > 0 {
        if let Err(bad) = block::skim(&mut blocks) {
            return bad;
        }
    }
    head
}
