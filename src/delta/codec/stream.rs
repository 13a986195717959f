//! A run of bytes, stored as it is or as one zstd frame, whichever is shorter.
//!
//! # Definitions
//! `stream(b)`: one byte, the method; `varint` length of `b`; then for method 0 (stored) `b`; for
//! method 1 (zstd) `varint` length of the frame and the frame: RFC 8878, one frame, no dictionary,
//! no checksum, content size given, window at most 4 MiB.
//!
//! # Invariants
//! Whoever reads a stream knows from what was read before how long `b` can be at most, and refuses
//! a longer one before anything is allocated. A frame is decompressed into a buffer of exactly the
//! length of `b`, which is all that it may fill.

use std::cell::RefCell;
use std::io;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use crate::delta::cursor::{Cursor, put_varint};
use crate::delta::error::{Bad, DeltaError};

const STORED: u8 = 0;
const ZSTD: u8 = 1;

/// The level of compression: a higher one gains 1-2 % here and halves the speed.
const LEVEL: i32 = 3;

/// Log 2 of the largest window.
const WINDOW_LOG: u32 = 22;

/// Below this a frame's own header outweighs what it gains.
const SHORT: usize = 16;

struct Squeezer {
    compressor: Compressor<'static>,
    frame: Vec<u8>,
}

impl Squeezer {
    fn new() -> io::Result<Self> {
        let mut compressor = Compressor::new(LEVEL)?;
        for parameter in [
            CParameter::WindowLog(WINDOW_LOG),
            CParameter::ChecksumFlag(false),
            CParameter::ContentSizeFlag(true),
        ] {
            compressor.set_parameter(parameter)?;
        }
        Ok(Self { compressor, frame: Vec::new() })
    }

    fn squeeze(&mut self, bytes: &[u8]) -> io::Result<&[u8]> {
        self.frame.clear();
        self.frame.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
        self.compressor.compress_to_buffer(bytes, &mut self.frame)?;
        Ok(&self.frame)
    }
}

thread_local! {
    // A context costs a megabyte to set up: each thread keeps its own.
    static SQUEEZER: RefCell<Option<Squeezer>> = const { RefCell::new(None) };
    static EXPANDER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Appends `stream(bytes)`.
pub(in crate::delta) fn put(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), DeltaError> {
    if bytes.len() < SHORT {
        put_stored(bytes, out);
        return Ok(());
    }
    let failed = DeltaError::io("compress", "a block");
    SQUEEZER.with_borrow_mut(|slot| {
        let squeezer =
            set_up(slot, Squeezer::new).map_err(DeltaError::io("start zstd for", "it"))?;
        let frame = squeezer.squeeze(bytes).map_err(failed)?;
        if frame.len() + 1 < bytes.len() {
            out.push(ZSTD);
            put_varint(bytes.len() as u64, out);
            put_varint(frame.len() as u64, out);
            out.extend_from_slice(frame);
        } else {
            put_stored(bytes, out);
        }
        Ok(())
    })
}

fn put_stored(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(STORED);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn set_up<T>(slot: &mut Option<T>, make: impl FnOnce() -> io::Result<T>) -> io::Result<&mut T> {
    Ok(match slot {
        Some(there) => there,
        None => slot.insert(make()?),
    })
}

/// Bytes of a stream, and where it begins in the file.
#[derive(Debug)]
pub(in crate::delta) struct Bytes<'a> {
    bytes: std::borrow::Cow<'a, [u8]>,
    at: usize,
}

impl Bytes<'_> {
    /// Reads them.
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor::inside(&self.bytes, self.at)
    }

    /// All of them.
    pub fn all(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a stream of at most `limit` bytes.
pub(in crate::delta) fn get<'a>(cursor: &mut Cursor<'a>, limit: usize) -> Result<Bytes<'a>, Bad> {
    let at = cursor.at();
    let start = cursor.clone();
    match cursor.u8()? {
        STORED => {
            let length = cursor.count(limit)?;
            Ok(Bytes { bytes: cursor.take(length)?.into(), at })
        }
        ZSTD => {
            let length = cursor.count(limit)?;
            let frame_length = cursor.count(limit)?;
            let frame = cursor.take(frame_length)?;
            let bytes = expand(frame, length)
                .ok_or_else(|| start.bad("a compressed run of bytes cannot be expanded"))?;
            Ok(Bytes { bytes: bytes.into(), at })
        }
        method => Err(start.unknown(format!("the compression method {method}"))),
    }
}

/// The content of a frame, where it has exactly `length` bytes.
fn expand(frame: &[u8], length: usize) -> Option<Vec<u8>> {
    EXPANDER.with_borrow_mut(|slot| {
        // Why it fails does not matter to the caller: the bytes are none that we write.
        let expander = set_up(slot, Decompressor::new).ok()?;
        let mut bytes = Vec::with_capacity(length);
        let written = expander.decompress_to_buffer(frame, &mut bytes).ok()?;
        (written == length && bytes.len() == length).then_some(bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_are_read_back(bytes in any::<Vec<u8>>(), times in 1_usize..50) {
            let bytes = bytes.repeat(times);
            let mut out = Vec::new();
            put(&bytes, &mut out).expect("memory");
            let mut cursor = Cursor::new(&out, 0);
            let read = get(&mut cursor, bytes.len()).expect("what was written");
            prop_assert_eq!(&*read.bytes, &*bytes);
            prop_assert!(cursor.end().is_ok());
        }
    }

    #[test]
    fn more_than_the_limit_is_refused_before_it_is_expanded() {
        let mut out = Vec::new();
        put(&vec![7; 1 << 20], &mut out).expect("memory");
        assert!(out.len() < 200);
        assert!(get(&mut Cursor::new(&out, 0), (1 << 20) - 1).is_err());
        assert!(get(&mut Cursor::new(&out, 0), 1 << 20).is_ok());
    }

    #[test]
    fn a_frame_of_another_length_is_refused() {
        let mut out = Vec::new();
        put(&[7; 4096], &mut out).expect("memory");
        for length in [4095_u64, 4097] {
            let mut lie = vec![ZSTD];
            put_varint(length, &mut lie);
            lie.extend_from_slice(&out[3..]);
            assert!(get(&mut Cursor::new(&lie, 0), 1 << 20).is_err(), "{length}");
        }
    }
}
