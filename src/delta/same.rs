//! A sink that keeps nothing: it compares what it takes with the files of a folder.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::DeltaError;
use super::file::FileName;
use super::sink::{Sink, show};

/// Takes files that a folder has already, byte for byte.
#[derive(Debug)]
pub struct SameSink {
    dir: PathBuf,
    /// Set where the folder has another file.
    differs: Arc<AtomicBool>,
}

impl SameSink {
    /// Compares with the files of `dir`; `differs` is set, and nothing further taken, where one is
    /// another.
    #[must_use]
    pub fn new(dir: PathBuf, differs: Arc<AtomicBool>) -> Self {
        Self { dir, differs }
    }
}

impl Sink for SameSink {
    fn place(&self) -> String {
        show(&self.dir)
    }

    fn put(&mut self, name: FileName, bytes: &[u8]) -> Result<(), DeltaError> {
        let path = self.dir.join(name.to_string());
        let mut found = Vec::new();
        let most = bytes.len() as u64 + 1;
        match File::open(&path).and_then(|file| file.take(most).read_to_end(&mut found)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(DeltaError::io("read", show(&path))(error));
            }
            _ if found == bytes => return Ok(()),
            _ => {}
        }
        self.differs.store(true, Ordering::Relaxed);
        Err(DeltaError::Latched { place: self.place() })
    }
}
