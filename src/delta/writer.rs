//! Writes a chain: the header once, then segments, then a manifest.
//!
//! # Invariants
//! A file is durable when the call that writes it returns, as far as its sink can promise. After
//! the first failure nothing more is written. A chain continues exactly where its last file ends.

use std::fs;
use std::path::Path;

use super::block::EncodedBlock;
use super::error::DeltaError;
use super::file::{self, FileKind, FileName, Prefix};
use super::header::ChainHeader;
use super::manifest::{self, ChainStats};
use super::reader::{ChainReader, Item};
use super::segment;
use super::sink::{DirectorySink, Sink, TEMPORARY, make_folder, names, show};

/// Writes a chain.
pub struct ChainWriter {
    sink: Box<dyn Sink>,
    header: ChainHeader,
    stats: ChainStats,
    checkpoints: Vec<Option<String>>,
    /// Of every file, by ordinal.
    digests: Vec<[u8; 32]>,
    last: Option<FileName>,
    latched: bool,
}

/// What writing one segment came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentStats {
    /// Its ordinal.
    pub ordinal: u32,
    /// Its rows.
    pub rows: u64,
    /// Its bytes in the file; 0 where there was nothing to write.
    pub bytes: u64,
}

impl ChainWriter {
    /// Begins a chain: writes its header.
    ///
    /// # Errors
    /// As the sink.
    pub fn create(sink: Box<dyn Sink>, header: &ChainHeader) -> Result<Self, DeltaError> {
        let mut writer = Self::after(sink, header, None);
        let migration_digest = header.migration_digest;
        let prefix =
            Prefix { kind: FileKind::Header, ordinal: 0, previous: [0; 32], migration_digest };
        let built = file::build(&prefix, |out| header.put(out))?;
        writer.put(FileKind::Header, &built)?;
        Ok(writer)
    }

    /// Continues the chain in a folder, or begins one where there is none. Every file is verified,
    /// and what a kill left half written is removed.
    ///
    /// # Errors
    /// What is wrong with the chain; [`DeltaError::Foreign`] where it is of something else;
    /// [`DeltaError::Busy`] where somebody else writes it.
    pub fn resume(dir: &Path, header: &ChainHeader) -> Result<Self, DeltaError> {
        make_folder(dir)?;
        let sink = Box::new(DirectorySink::open(dir)?);
        remove_temporary(dir)?;
        if names(dir)?.is_empty() {
            return Self::create(sink, header);
        }
        let mut reader = ChainReader::open_directory(dir)?;
        if let Some((what, want, got)) = header.difference(reader.header()) {
            let name = FileName { ordinal: 0, kind: FileKind::Header };
            let file = show(&dir.join(name.to_string()));
            let offset = file::MIGRATION_AT;
            return Err(DeltaError::Foreign { file, offset, what, want, got });
        }
        let mut writer = Self::after(sink, reader.header(), Some(FileKind::Header));
        writer.digests.push(reader.stats().digest);
        while let Some(item) = reader.next_item()? {
            writer.note(&item);
        }
        writer.stats = reader.stats().clone();
        Ok(writer)
    }

    fn after(sink: Box<dyn Sink>, header: &ChainHeader, last: Option<FileKind>) -> Self {
        let changes = header.shapes.len();
        Self {
            sink,
            header: header.clone(),
            stats: ChainStats { rows: vec![0; changes], ..ChainStats::default() },
            checkpoints: vec![None; changes],
            digests: Vec::new(),
            last: last.map(|kind| FileName { ordinal: 0, kind }),
            latched: false,
        }
    }

    /// Takes note of a file that is there already.
    fn note(&mut self, item: &Item) {
        let (ordinal, kind) = match item {
            Item::Segment(segment) => {
                self.digests.push(segment.digest());
                if let Some(checkpoint) = self.checkpoints.get_mut(segment.change()) {
                    *checkpoint = Some(segment.checkpoint().to_owned());
                }
                (segment.ordinal(), FileKind::Segment)
            }
            Item::Manifest(manifest) => {
                self.digests.push(manifest.digest);
                (manifest.ordinal, FileKind::Manifest)
            }
        };
        self.last = Some(FileName { ordinal, kind });
    }

    /// The checkpoint of the last durable segment of a change.
    #[must_use]
    pub fn checkpoint(&self, change: usize) -> Option<&str> {
        self.checkpoints.get(change)?.as_deref()
    }

    /// The digest of the file with that ordinal, which stands for the chain up to there.
    #[must_use]
    pub fn digest_of(&self, ordinal: u32) -> Option<[u8; 32]> {
        self.digests.get(usize::try_from(ordinal).ok()?).copied()
    }

    /// The ordinal of the last file.
    #[must_use]
    pub fn last_ordinal(&self) -> u32 {
        self.last.map_or(0, |name| name.ordinal)
    }

    /// What the chain holds so far.
    #[must_use]
    pub fn stats(&self) -> &ChainStats {
        &self.stats
    }

    /// Rows of a change in the chain so far.
    #[must_use]
    pub fn rows(&self, change: usize) -> u64 {
        self.stats.rows.get(change).copied().unwrap_or(0)
    }

    /// True where the last file is a manifest.
    #[must_use]
    pub fn ends_in_manifest(&self) -> bool {
        self.last.is_some_and(|name| name.kind == FileKind::Manifest)
    }

    /// Writes one segment with these blocks of `change`; it is durable on return. Nothing is
    /// written where there is neither a block nor another checkpoint.
    ///
    /// # Errors
    /// [`DeltaError::TooLarge`] where the blocks exceed [`super::FILE_BYTES_MAX`], and
    /// [`DeltaError::Shape`] where there is no such change: the writer can still be used. After
    /// [`DeltaError::Io`] every further call fails.
    pub fn push(
        &mut self,
        change: usize,
        blocks: &[EncodedBlock],
        checkpoint: &str,
    ) -> Result<SegmentStats, DeltaError> {
        self.header.shape(change)?;
        let ordinal = self.next()?;
        if blocks.is_empty() && self.checkpoint(change) == Some(checkpoint) {
            return Ok(SegmentStats { ordinal: ordinal - 1, rows: 0, bytes: 0 });
        }
        let place = (ordinal, self.stats.digest);
        let built = segment::build(&self.header, place, change, blocks, checkpoint)?;
        self.put(FileKind::Segment, &built)?;
        let rows = blocks.iter().map(|block| u64::from(block.rows())).sum();
        self.stats.count(change, rows);
        self.checkpoints[change] = Some(checkpoint.to_owned());
        Ok(SegmentStats { ordinal, rows, bytes: built.0.len() as u64 })
    }

    /// Writes the manifest, with which the chain is whole. `facts` are kept with it as they are.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn finish(mut self, facts: &[(&str, String)]) -> Result<ChainStats, DeltaError> {
        let ordinal = self.next()?;
        let built = manifest::build(&self.header, ordinal, &self.stats, facts)?;
        self.put(FileKind::Manifest, &built)?;
        Ok(self.stats)
    }

    /// The ordinal of the next file.
    fn next(&self) -> Result<u32, DeltaError> {
        if self.latched {
            return Err(DeltaError::Latched { place: self.sink.place() });
        }
        let last = self.last.map_or(0, |name| u64::from(name.ordinal));
        let next = u32::try_from(last + u64::from(self.last.is_some()));
        next.map_err(|_| DeltaError::TooLarge {
            what: "files of a chain".to_owned(),
            bytes: last + 1,
            limit: u64::from(u32::MAX),
        })
    }

    fn put(&mut self, kind: FileKind, built: &(Vec<u8>, [u8; 32])) -> Result<(), DeltaError> {
        let (bytes, digest) = built;
        let name = FileName { ordinal: self.next()?, kind };
        self.latched = true;
        self.sink.put(name, bytes)?;
        self.latched = false;
        self.last = Some(name);
        self.stats.bytes += bytes.len() as u64;
        self.stats.digest = *digest;
        self.digests.push(*digest);
        Ok(())
    }
}

/// Removes what a kill left half written.
fn remove_temporary(dir: &Path) -> Result<(), DeltaError> {
    let list = fs::read_dir(dir).map_err(DeltaError::io("list the folder", show(dir)))?;
    for entry in list {
        let entry = entry.map_err(DeltaError::io("list the folder", show(dir)))?;
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(TEMPORARY));
        if rest.and_then(FileName::parse).is_some() {
            let path = entry.path();
            fs::remove_file(&path).map_err(DeltaError::io("remove", show(&path)))?;
        }
    }
    Ok(())
}
