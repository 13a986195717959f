//! Where the files of a chain come from: a folder, or one continuous stream of the same bytes.
//! Knows names and lengths; whether the bytes are sound is the reader's to tell.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::FILE_BYTES_MAX;
use super::error::DeltaError;
use super::file::{self, FileName, LENGTH_PREFIX};
use super::map::FileBytes;
use super::sink::{names, show};

/// A file of a chain, not yet looked at.
#[derive(Clone, Debug)]
pub struct RawFile {
    /// Its path, or the part of the stream, for messages.
    pub name: String,
    /// Its bytes.
    pub bytes: Arc<FileBytes>,
}

/// Gives the files of a chain, in order.
pub trait Source: Send {
    /// The folder or stream, for messages.
    fn place(&self) -> String;

    /// The next file; `None` where there is none at present.
    ///
    /// # Errors
    /// [`DeltaError::Missing`] where a later one is there; [`DeltaError::Damaged`] where a file is
    /// larger than any can be, or a stream ends within one; [`DeltaError::Io`].
    fn next(&mut self) -> Result<Option<RawFile>, DeltaError>;
}

/// A folder, which may still grow.
#[derive(Debug)]
pub struct DirectorySource {
    dir: PathBuf,
    next: u32,
    /// Names seen when the folder was last listed, the next one last.
    listed: Vec<FileName>,
}

impl DirectorySource {
    /// Reads the folder `dir` from the first file on.
    #[must_use]
    pub fn open(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), next: 0, listed: Vec::new() }
    }

    /// The name of the next file, where it is there.
    fn find(&mut self) -> Result<Option<FileName>, DeltaError> {
        // A folder is not listed at one moment: a file may be listed without the one before it,
        // which was there first. A second listing has both.
        for _ in 0..2 {
            if self.listed.last().is_none_or(|name| name.ordinal > self.next) {
                self.list()?;
            }
            match self.listed.last() {
                None => return Ok(None),
                Some(name) if name.ordinal == self.next => return Ok(self.listed.pop()),
                Some(_) => {}
            }
        }
        self.listed.last().map_or(Ok(None), |name| Err(self.gap(*name)))
    }

    fn list(&mut self) -> Result<(), DeltaError> {
        self.listed = names(&self.dir)?;
        self.listed.retain(|name| name.ordinal >= self.next);
        self.listed.reverse();
        Ok(())
    }

    /// What is wrong where `found` is not the file that comes next.
    fn gap(&self, found: FileName) -> DeltaError {
        if found.ordinal < self.next {
            let problem = format!("there are two files with the number {}", found.ordinal);
            let file = show(&self.dir.join(found.to_string()));
            return DeltaError::Order { file, offset: file::ORDINAL_AT, problem };
        }
        let kind = if self.next == 0 { file::FileKind::Header } else { file::FileKind::Segment };
        let file = FileName { ordinal: self.next, kind }.to_string();
        DeltaError::Missing { place: show(&self.dir), file }
    }

    fn read(&self, name: FileName) -> Result<RawFile, DeltaError> {
        let path = self.dir.join(name.to_string());
        let file = File::open(&path).map_err(DeltaError::io("open", show(&path)))?;
        let length = file.metadata().map_err(DeltaError::io("look at", show(&path)))?.len();
        if length > FILE_BYTES_MAX as u64 {
            return Err(DeltaError::Damaged {
                file: show(&path),
                offset: FILE_BYTES_MAX as u64,
                problem: "it is longer than any file of a chain".to_owned(),
            });
        }
        let bytes = FileBytes::map(&file).map_err(DeltaError::io("map", show(&path)))?;
        Ok(RawFile { name: show(&path), bytes: Arc::new(bytes) })
    }
}

impl Source for DirectorySource {
    fn place(&self) -> String {
        show(&self.dir)
    }

    fn next(&mut self) -> Result<Option<RawFile>, DeltaError> {
        let Some(name) = self.find()? else { return Ok(None) };
        let raw = self.read(name)?;
        self.next = self.next.saturating_add(1);
        Ok(Some(raw))
    }
}

/// A stream of files, one after the other.
#[derive(Debug)]
pub struct StreamSource<R> {
    place: String,
    input: R,
    files: u32,
    offset: u64,
}

impl<R: Read + Send> StreamSource<R> {
    /// Reads from `input`, called `place` in messages.
    pub fn new(place: impl Into<String>, input: R) -> Self {
        Self { place: place.into(), input, files: 0, offset: 0 }
    }

    fn name(&self) -> String {
        format!("{}, file {} (from byte {} of the stream)", self.place, self.files, self.offset)
    }

    /// Reads `bytes` further bytes into `held`, or as many as there are.
    fn fill(&mut self, held: &mut Vec<u8>, bytes: usize) -> Result<(), DeltaError> {
        // Grows with what arrives, not with what was claimed.
        self.input
            .by_ref()
            .take(bytes as u64)
            .read_to_end(held)
            .map_err(DeltaError::io("read from", self.place.clone()))?;
        Ok(())
    }
}

impl<R: Read + Send> Source for StreamSource<R> {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn next(&mut self) -> Result<Option<RawFile>, DeltaError> {
        let mut held = Vec::new();
        self.fill(&mut held, LENGTH_PREFIX)?;
        if held.is_empty() {
            return Ok(None);
        }
        let name = self.name();
        let length = file::claimed_length(&held).map_err(|bad| bad.of(&name))?;
        self.fill(&mut held, length - LENGTH_PREFIX)?;
        self.files = self.files.saturating_add(1);
        self.offset += held.len() as u64;
        Ok(Some(RawFile { name, bytes: Arc::new(FileBytes::Held(held)) }))
    }
}

/// A stream in memory.
pub type MemorySource = StreamSource<io::Cursor<Vec<u8>>>;

impl MemorySource {
    /// Reads the bytes of a stream.
    #[must_use]
    pub fn of(bytes: Vec<u8>) -> Self {
        Self::new("memory", io::Cursor::new(bytes))
    }
}
