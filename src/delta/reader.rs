//! Reads a chain from its beginning: each file is verified, and is the next one, before anything of
//! it is handed out.

use std::path::Path;
use std::sync::Arc;

use super::error::DeltaError;
use super::file::{self, FileKind, Prefix, Verified};
use super::header::{ChainHeader, hex};
use super::manifest::{ChainStats, Manifest};
use super::segment::Segment;
use super::source::{DirectorySource, RawFile, Source};

/// What comes after the header.
#[derive(Clone, Debug)]
pub enum Item {
    /// Rows of one change.
    Segment(Segment),
    /// What the chain holds up to here.
    Manifest(Manifest),
}

/// Reads a chain.
pub struct ChainReader {
    source: Box<dyn Source>,
    header: ChainHeader,
    stats: ChainStats,
    last: u32,
    whole: bool,
}

impl ChainReader {
    /// Reads the header of the chain.
    ///
    /// # Errors
    /// [`DeltaError::Missing`] where there is none, else what is wrong with it.
    pub fn open(mut source: Box<dyn Source>) -> Result<Self, DeltaError> {
        let Some(raw) = source.next()? else {
            let file = file::FileName { ordinal: 0, kind: FileKind::Header }.to_string();
            return Err(DeltaError::Missing { place: source.place(), file });
        };
        let (header, digest) = read_header(&raw)?;
        let rows = vec![0; header.shapes.len()];
        let stats = ChainStats { segments: 0, rows, bytes: raw.bytes.len() as u64, digest };
        Ok(Self { source, header, stats, last: 0, whole: false })
    }

    /// Opens the chain in a folder.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_directory(dir: &Path) -> Result<Self, DeltaError> {
        Self::open(Box::new(DirectorySource::open(dir)))
    }

    /// What the chain is of.
    #[must_use]
    pub fn header(&self) -> &ChainHeader {
        &self.header
    }

    /// What was read so far.
    #[must_use]
    pub fn stats(&self) -> &ChainStats {
        &self.stats
    }

    /// True where the last file read is a manifest: the chain may end here.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// The next file, verified; `None` where there is none at present. A folder may have more
    /// later.
    ///
    /// # Errors
    /// What is wrong with it. Reading on is of no use then.
    pub fn next_item(&mut self) -> Result<Option<Item>, DeltaError> {
        let Some(raw) = self.source.next()? else { return Ok(None) };
        let item = self.read(&raw)?;
        self.stats.bytes += raw.bytes.len() as u64;
        self.last += 1;
        match &item {
            Item::Segment(segment) => {
                self.stats.digest = segment.digest();
                self.stats.count(segment.change(), segment.rows());
            }
            Item::Manifest(manifest) => self.stats.digest = manifest.digest,
        }
        self.whole = matches!(item, Item::Manifest(_));
        Ok(Some(item))
    }

    /// Ends reading where nothing more came.
    ///
    /// # Errors
    /// [`DeltaError::Unfinished`] where the last file is no manifest.
    pub fn finish(self) -> Result<ChainStats, DeltaError> {
        if self.whole {
            Ok(self.stats)
        } else {
            Err(DeltaError::Unfinished { place: self.source.place(), after: self.last })
        }
    }

    fn read(&self, raw: &RawFile) -> Result<Item, DeltaError> {
        let verified = file::verify(&raw.bytes).map_err(|bad| bad.of(&raw.name))?;
        self.check_place(&verified.prefix, &raw.name)?;
        match verified.prefix.kind {
            FileKind::Header => Err(DeltaError::Order {
                file: raw.name.clone(),
                offset: 10,
                problem: "it is the beginning of a chain".to_owned(),
            }),
            FileKind::Segment => {
                Segment::open(&raw.name, Arc::clone(&raw.bytes), &self.header).map(Item::Segment)
            }
            FileKind::Manifest => self.manifest(verified, &raw.name).map(Item::Manifest),
        }
    }

    /// Whether a sound file is the next one of this chain.
    fn check_place(&self, prefix: &Prefix, name: &str) -> Result<(), DeltaError> {
        self.header.check_digest(prefix, name)?;
        let order = |offset, problem: String| {
            Err(DeltaError::Order { file: name.to_owned(), offset, problem })
        };
        let next = self.last.checked_add(1);
        if next != Some(prefix.ordinal) {
            return order(
                file::ORDINAL_AT,
                format!("it says that it is file {}, after file {}", prefix.ordinal, self.last),
            );
        }
        if prefix.previous != self.stats.digest {
            let problem = format!(
                "it follows a file with the digest {}, and the one before has {}",
                hex(&prefix.previous[..8]),
                hex(&self.stats.digest[..8])
            );
            return order(file::PREVIOUS_AT, problem);
        }
        Ok(())
    }

    /// Reads a manifest and compares its counts with what came.
    fn manifest(&self, verified: Verified<'_>, name: &str) -> Result<Manifest, DeltaError> {
        let at = verified.body.clone();
        let manifest = Manifest::read(verified, name)?;
        let ChainStats { segments, rows, bytes, .. } = &self.stats;
        if (manifest.segments, &manifest.rows, manifest.bytes) == (*segments, rows, *bytes) {
            return Ok(manifest);
        }
        Err(at.bad("it counts other files than those before").of(name))
    }
}

/// Reads the file of a header, and its digest.
pub(super) fn read_header(raw: &RawFile) -> Result<(ChainHeader, [u8; 32]), DeltaError> {
    let verified = file::verify(&raw.bytes).map_err(|bad| bad.of(&raw.name))?;
    let Verified { prefix, digest, mut body } = verified;
    if prefix.kind != FileKind::Header || prefix.ordinal != 0 || prefix.previous != [0; 32] {
        return Err(DeltaError::Order {
            file: raw.name.clone(),
            offset: file::ORDINAL_AT,
            problem: "a chain begins with its header".to_owned(),
        });
    }
    let header = ChainHeader::get(&mut body, prefix.migration_digest)
        .and_then(|header| body.end().map(|()| header))
        .map_err(|bad| bad.of(&raw.name))?;
    Ok((header, digest))
}

/// Verifies a whole folder without decompressing anything.
///
/// # Errors
/// The first thing that is wrong with it, [`DeltaError::Unfinished`] included.
pub fn verify_chain(dir: &Path) -> Result<ChainStats, DeltaError> {
    let mut reader = ChainReader::open_directory(dir)?;
    while reader.next_item()?.is_some() {}
    reader.finish()
}
