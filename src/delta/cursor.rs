//! Reading and writing the small fields of a file: fixed integers, variable ones, and texts. Knows
//! where it is, so that every fault has an offset; never reads past its end, never allocates.
//!
//! # Definitions
//! `varint(u)`: a u64 in groups of seven bits, least significant first, each in a byte whose top
//! bit says that another follows; at most ten bytes. `zigzag(i)`: an i64 as the u64
//! `(i << 1) ^ (i >> 63)`. `bytes(b)`: u32 LE length, then the bytes. `text(s)`: `bytes`, UTF-8.

use super::error::{Bad, Fault};

/// A place in a piece of a file.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    /// Where `rest` begins in the file; inside a decompressed stream, where the stream begins.
    at: usize,
    moves: bool,
}

type Read<T> = Result<T, Bad>;

impl<'a> Cursor<'a> {
    /// Reads `bytes`, which begin at `at` of the file.
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { rest: bytes, at, moves: true }
    }

    /// Reads `bytes`, which were made from what stands at `at` of the file.
    pub fn inside(bytes: &'a [u8], at: usize) -> Self {
        Self { rest: bytes, at, moves: false }
    }

    /// Where the next byte stands in the file.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// A fault here.
    pub fn bad(&self, problem: &'static str) -> Bad {
        Bad { at: self.at, what: Fault::Malformed(problem) }
    }

    /// A code here that this release does not know.
    pub fn unknown(&self, what: String) -> Bad {
        Bad { at: self.at, what: Fault::Unknown(what) }
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Read<&'a [u8]> {
        let (taken, rest) =
            self.rest.split_at_checked(n).ok_or_else(|| self.bad("it ends here"))?;
        self.rest = rest;
        if self.moves {
            self.at += n;
        }
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// One byte.
    pub fn u8(&mut self) -> Read<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// u16 LE.
    pub fn u16(&mut self) -> Read<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// u32 LE.
    pub fn u32(&mut self) -> Read<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// u64 LE.
    pub fn u64(&mut self) -> Read<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// `varint(u)`.
    pub fn varint(&mut self) -> Read<u64> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.bad("a number has more than 64 bits"))
    }

    /// A `varint` that counts something in memory, at most `limit`.
    pub fn count(&mut self, limit: usize) -> Read<usize> {
        let n = self.varint()?;
        usize::try_from(n)
            .ok()
            .filter(|n| *n <= limit)
            .ok_or_else(|| self.bad("a length is beyond what its place allows"))
    }

    /// `bytes(b)`.
    pub fn bytes(&mut self) -> Read<&'a [u8]> {
        let n = self.u32()?;
        self.take(n as usize)
    }

    /// `text(s)`.
    pub fn text(&mut self) -> Read<String> {
        let start = self.clone();
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| start.bad("a text is not UTF-8"))
    }

    /// Nothing may be left.
    pub fn end(&self) -> Read<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.bad("there is more than there should be"))
        }
    }
}

/// Appends `varint(value)`.
pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Appends `bytes(bytes)`. Callers keep what they write below 4 GiB; a longer one would be refused
/// with the file, whose limit is far lower.
pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&length(bytes.len()).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// A length as it is written; what is larger fails the check of the file's size.
pub(super) fn length(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// `zigzag(value)`.
pub(super) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

/// What [`zigzag`] was given.
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_read_back(value in any::<i64>()) {
            let mut out = Vec::new();
            put_varint(zigzag(value), &mut out);
            let mut cursor = Cursor::new(&out, 0);
            prop_assert_eq!(unzigzag(cursor.varint().expect("a number")), value);
            prop_assert!(cursor.end().is_ok());
        }
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        let mut bytes = [0xff; 10];
        bytes[9] = 0x02;
        assert!(Cursor::new(&bytes, 0).varint().is_err());
        bytes[9] = 0x01;
        assert_eq!(Cursor::new(&bytes, 0).varint().expect("u64::MAX"), u64::MAX);
    }
}
