//! The file's bytes as text, and offsets in that text as lines. Knows nothing of TOML.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use super::FILE_BYTES_MAX;
use super::error::{MigrationError, Place};

/// Reads the file at `path`, at most [`FILE_BYTES_MAX`] bytes of it.
pub(super) fn read(path: &Path) -> Result<String, MigrationError> {
    let bytes = read_bytes(path).map_err(|source| unreadable(path, source))?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(MigrationError::TooLarge { path: path.to_owned(), bytes_max: FILE_BYTES_MAX });
    }
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..offset];
        let lines = before.split(|byte| *byte == b'\n').count();
        MigrationError::NotUtf8 {
            at: Place { path: path.to_owned(), line: Some(lines as u64) },
            offset,
        }
    })
}

/// One byte more than allowed at most, so that the caller can tell a file that is too large.
fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(path: &Path, source: io::Error) -> MigrationError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => MigrationError::Missing { path },
        io::ErrorKind::IsADirectory => MigrationError::Directory { path },
        _ => MigrationError::Unreadable { path, source },
    }
}

/// The text of a migration file, with its lines.
pub(super) struct Source<'a> {
    text: &'a str,
    path: &'a Path,
    line_starts: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str, path: &'a Path) -> Self {
        let after_breaks = text.match_indices('\n').map(|(offset, _)| offset + 1);
        let line_starts = std::iter::once(0).chain(after_breaks).collect();
        Self { text, path, line_starts }
    }

    /// The line that holds the byte at `offset`, counted from 1.
    pub(super) fn line(&self, offset: usize) -> u64 {
        self.line_starts.partition_point(|start| *start <= offset) as u64
    }

    /// `FILE:LINE` of the byte at `offset`; `FILE` alone when there is no offset.
    pub(super) fn place(&self, offset: Option<usize>) -> Place {
        Place { path: self.path.to_owned(), line: offset.map(|offset| self.line(offset)) }
    }

    /// The text of the line that holds the byte at `offset`, without outer white space.
    pub(super) fn line_text(&self, offset: usize) -> &'a str {
        let next = self.line_starts.partition_point(|start| *start <= offset);
        let start = self.line_starts[next - 1];
        let end = self.line_starts.get(next).copied().unwrap_or(self.text.len());
        self.text[start..end].trim()
    }

    /// The text of `range`, empty when it is no range of this text.
    pub(super) fn slice(&self, range: Range<usize>) -> &'a str {
        self.text.get(range).unwrap_or_default()
    }
}
