//! Lines of a stream, in bounded memory: a line that is too long is skipped, and named.

use std::io::{self, Read};

use super::parse::LINE_BYTES_MAX;

/// How much is read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Its bytes, without the line break.
    Text(Vec<u8>),
    /// It was longer than [`LINE_BYTES_MAX`], and was skipped.
    TooLong,
}

/// Reads lines.
#[derive(Debug)]
pub struct LineReader<R> {
    source: R,
    buffer: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// Up to where no line break was found.
    looked: usize,
    /// True while a line that is too long is being skipped.
    skipping: bool,
    ended: bool,
}

impl<R: Read> LineReader<R> {
    /// Reads from `source`.
    pub fn new(source: R) -> Self {
        let (start, looked, skipping, ended) = (0, 0, false, false);
        Self { source, buffer: Vec::new(), start, looked, skipping, ended }
    }

    /// A line that can be had without waiting for the source.
    pub fn buffered(&mut self) -> Option<Line> {
        let rest = &self.buffer[self.looked..];
        if let Some(length) = rest.iter().position(|byte| *byte == b'\n') {
            let end = self.looked + length;
            let line = self.take(end);
            self.start = end + 1;
            self.looked = self.start;
            return Some(line);
        }
        self.looked = self.buffer.len();
        if self.looked - self.start > LINE_BYTES_MAX {
            self.skipping = true;
            self.start = self.looked;
        }
        let last = self.ended && (self.skipping || self.start < self.looked);
        last.then(|| {
            let line = self.take(self.looked);
            self.start = self.looked;
            line
        })
    }

    fn take(&mut self, end: usize) -> Line {
        let text = &self.buffer[self.start..end];
        if std::mem::take(&mut self.skipping) || text.len() > LINE_BYTES_MAX {
            return Line::TooLong;
        }
        Line::Text(text.to_vec())
    }

    /// Waits for more; false at the end of the source.
    ///
    /// # Errors
    /// When the source cannot be read.
    pub fn fill(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        self.buffer.drain(..self.start);
        self.looked -= self.start;
        self.start = 0;
        let filled = self.buffer.len();
        self.buffer.resize(filled + CHUNK_BYTES, 0);
        let read = loop {
            match self.source.read(&mut self.buffer[filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(filled + *read.as_ref().unwrap_or(&0));
        self.ended = read? == 0;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A source that gives a few bytes at a time.
    struct Drops<'a>(&'a [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(self.0.len()).min(into.len());
            into[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn all(bytes: &[u8], step: usize) -> Vec<Line> {
        let mut reader = LineReader::new(Drops(bytes, step));
        let mut out = Vec::new();
        loop {
            out.extend(std::iter::from_fn(|| reader.buffered()));
            if !reader.fill().expect("it does not fail") {
                return out;
            }
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_counted() {
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        let most = vec![b'y'; LINE_BYTES_MAX];
        let bytes = [b"a".as_slice(), &long, &most, &long].join(&b'\n');
        let want = vec![Line::Text(b"a".to_vec()), Line::TooLong, Line::Text(most), Line::TooLong];
        assert_eq!(all(&bytes, 100_000), want);
        let mut reader = LineReader::new(io::repeat(b'x'));
        for _ in 0..100 {
            assert!(reader.fill().expect("it does not fail") && reader.buffered().is_none());
            assert!(reader.buffer.len() <= LINE_BYTES_MAX + 2 * CHUNK_BYTES);
        }
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_standard_library(text in "[ab\n]{0,40}", step in 1_usize..9) {
            let want: Vec<Line> =
                text.lines().map(|line| Line::Text(line.as_bytes().to_vec())).collect();
            prop_assert_eq!(all(text.as_bytes(), step), want);
        }
    }
}
