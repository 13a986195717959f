//! The bytes of one file of a chain: mapped, or read from a stream. The only unsafe code.

use std::fs::File;
use std::io;
use std::ops::Deref;

use memmap2::Mmap;

/// Bytes that do not change.
#[derive(Debug)]
pub enum FileBytes {
    /// A file of a folder.
    Mapped(Mmap),
    /// A piece of a stream.
    Held(Vec<u8>),
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Held(bytes) => bytes,
        }
    }
}

impl FileBytes {
    /// Maps a whole file, whose length the caller has looked at.
    ///
    /// # Errors
    /// As the system says.
    #[expect(unsafe_code, reason = "a map is the bytes of a file that nobody writes")]
    pub(super) fn map(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() == 0 {
            return Ok(Self::Held(Vec::new()));
        }
        // SAFETY: files of a chain are complete when they get their names, and are never written
        // again by dotfill. Somebody else who cuts one short while it is read makes the system end
        // this process, as with every map; no memory of ours is at stake, for bytes are compared
        // with their digest and then only read.
        unsafe { Mmap::map(file) }.map(Self::Mapped)
    }
}
