//! Delta segments: the values of a migration as files, for replicas that cannot derive them. Owns
//! the format, writing it durably and reading it without trust; does not touch a database.
//!
//! # Definitions
//! A *chain* is a sequence of files with consecutive ordinals, each of which holds
//! the digest of the one before: a *header* (what the chain is of), then *segments* (rows of one
//! change each), and a *manifest* (what the chain holds up to there). A chain is *whole* where its
//! last file is a manifest. A *block* is one batch of rows in columns; a segment has any number of
//! them. A chain lives in a folder, or is a stream: the same files one after the other.
//!
//! | file | specifies |
//! |---|---|
//! | `file.rs` | what all files have: magic, version, ordinal, digests; names |
//! | `header.rs`, `segment.rs`, `manifest.rs` | the three kinds of bodies |
//! | `checkpoint.rs` | whether the rows of a segment may have come before |
//! | `block.rs` | a batch of rows, its keys shipped or implied |
//! | `set.rs` | the value of an object that is a set |
//! | `codec/` | columns, sets, numbers, texts, templates, identifiers, compression |
//! | `cursor.rs` | the small fields: `varint`, `zigzag`, `bytes`, `text` |
//!
//! # Invariants
//! - Dots are never shipped: a receiver derives them, from the migration's id (in the header), the
//!   table and column of the shape, the key and the element ([`crate::transform::dot`]).
//! - Any changed byte, any truncation, and any missing, foreign or misplaced file is an error that
//!   names the file and the offset. Nothing of a file is handed out before all of it is verified.
//! - A reader holds at most one file ([`FILE_BYTES_MAX`]) and what its caller has decoded: at most
//!   [`ROWS_BYTES_MAX`] a block, and some times that while it is being decoded.
//! - The work that a file can make is bounded too, whatever it claims: a segment has at most
//!   [`SEGMENT_BLOCKS_MAX`] blocks and [`SEGMENT_ROWS_MAX`] rows, and all of its blocks together
//!   expand to at most [`SEGMENT_EXPANDED_MAX`] bytes (texts of dictionaries included, used or
//!   not): a second or two of one core. Writers stay below half of that.
//! - Nothing is ever rewritten: a chain grows at its end, past a manifest too.
//! - The last one wins: what a row holds is what the last segment says that has its key. A key comes
//!   a second time only if its last time is in a segment that says so (`checkpoint.rs`), so a reader
//!   that knows the keys of those segments can look at any other row by itself.
//!
//! # Operations
//! [`encode_block`] on any thread, [`ChainWriter::push`] in order, [`ChainWriter::finish`];
//! [`ChainReader::next_item`] in order, [`Segment::decode`] on any thread.
//!
//! Test vectors for other implementations are in `tests/vectors/deltas.json`, and chains of every
//! version that this release reads in `tests/deltas/fixtures/`.

mod block;
mod checkpoint;
mod codec;
mod column;
mod cursor;
mod error;
mod file;
mod header;
mod manifest;
mod map;
mod reader;
mod rows;
mod same;
mod segment;
mod set;
mod sink;
mod source;
mod survey;
mod writer;

pub use block::{EncodedBlock, encode_block};
pub use checkpoint::{Coming, coming};
pub(crate) use column::CELL_BYTES;
pub use column::Column;
pub use error::DeltaError;
pub use file::{FileKind, FileName};
pub use header::{ChainHeader, KeyShape, Scope, Shape};
pub use manifest::{ChainStats, Manifest};
pub use map::FileBytes;
pub use reader::{ChainReader, Item, verify_chain};
pub use rows::{ImpliedKeys, KeyDigest, Keys, Rows};
pub use same::SameSink;
pub use segment::{KeyRange, Segment};
pub use set::{set_elements, set_value};
pub use sink::{DirectorySink, MemorySink, NullSink, PatientSink, Recorded, Sink, StreamSink};
pub use source::{DirectorySource, MemorySource, RawFile, Source, StreamSource};
pub use survey::{ChangeSurvey, ColumnSurvey, Example, ImpliedRange, Survey, survey};
pub use writer::{ChainWriter, SegmentStats};

/// Bytes that the rows of one block take, at most: [`Rows::byte_size`] of what is encoded, and of
/// what decoding produces.
pub const ROWS_BYTES_MAX: usize = 16 << 20;

/// Rows of one block, at most.
pub const ROWS_MAX: usize = 1 << 18;

/// Bytes of one file of a chain, at most.
pub const FILE_BYTES_MAX: usize = 32 << 20;

/// Blocks of one segment, at most.
pub const SEGMENT_BLOCKS_MAX: usize = 1 << 16;

/// Rows of one segment, at most.
pub const SEGMENT_ROWS_MAX: u64 = 1 << 22;

/// Bytes that decoding all blocks of one segment produces, at most.
pub const SEGMENT_EXPANDED_MAX: usize = 1 << 30;

/// Bytes of a BLAKE3 digest.
const DIGEST_BYTES: usize = 32;
