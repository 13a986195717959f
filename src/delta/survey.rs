//! What a chain holds and what it costs, for people: every file verified, every block decoded, and
//! the first thing that is wrong. Prints nothing.

use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::checkpoint::Coming;
use super::error::DeltaError;
use super::file::{self, FileKind, FileName, LENGTH_PREFIX};
use super::header::{ChainHeader, Scope, hex};
use super::manifest::Manifest;
use super::reader::{ChainReader, Item, read_header};
use super::rows::{ImpliedKeys, Keys, Rows};
use super::segment::Segment;
use super::set::{each_element, set_elements};
use super::sink::show;
use super::source::{DirectorySource, RawFile, Source, StreamSource};
use crate::db::Datum;

/// What a folder, a saved stream, or one file of a folder holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Survey {
    /// Sound and complete: a chain to its manifest, or the one file that was asked for.
    pub whole: bool,
    /// What is wrong, where it is not whole.
    pub problem: Option<String>,
    /// The migration.
    pub migration: Option<String>,
    /// Its digest, as hexadecimal digits.
    pub migration_digest: Option<String>,
    /// The dotfill that began the chain.
    pub tool_version: Option<String>,
    /// The `SQLite` that derived the values.
    pub sqlite_version: Option<String>,
    /// `all` rows, or `some`.
    pub scope: Option<&'static str>,
    /// Files that are sound, header and manifests included.
    pub files: u64,
    /// Segments among them.
    pub segments: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// The digest of the last of them, which stands for the chain.
    pub digest: Option<String>,
    /// What the writer said in the last manifest.
    pub facts: Vec<(String, String)>,
    /// What is there of each change of the migration.
    pub changes: Vec<ChangeSurvey>,
    /// The first rows of each change, as many as were asked for.
    pub examples: Vec<Example>,
}

/// What a chain holds of one change.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ChangeSurvey {
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
    /// Segments.
    pub segments: u64,
    /// Blocks in them.
    pub blocks: u64,
    /// Rows in them.
    pub rows: u64,
    /// Rows of segments whose rows may have come before.
    pub rows_again: u64,
    /// Blocks whose keys the receiver must have.
    pub blocks_implied: u64,
    /// Rows in them.
    pub rows_implied: u64,
    /// Bytes of them.
    pub bytes_implied: u64,
    /// Some of them, the first ones.
    pub implied: Vec<ImpliedRange>,
    /// Rows whose value is NULL.
    pub rows_null: u64,
    /// True where rows are objects, and their values sets.
    pub sets: bool,
    /// Elements of all of them.
    pub elements: u64,
    /// Bytes of the segments.
    pub bytes: u64,
    /// Bytes of each column: the key's, then the value's; what is left are headers and digests.
    pub columns: Vec<ColumnSurvey>,
}

/// A block whose keys the receiver must have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImpliedRange {
    /// The ordinal of its segment.
    pub segment: u32,
    /// Its place among the blocks of the segment, from 0.
    pub block: usize,
    /// The first and the last key of the range as people write them; empty where they are long.
    pub first: Vec<String>,
    /// The last.
    pub last: Vec<String>,
    /// Rows of the range with a value here.
    pub rows: u64,
    /// Rows of the range without one: users', or to be derived again.
    pub rows_absent: u64,
    /// Bytes of the block.
    pub bytes: u64,
}

/// Blocks with implied keys that are listed of each change, at most.
const IMPLIED_MAX: usize = 64;
/// Bytes of a bound that is shown, at most.
const BOUND_BYTES_MAX: usize = 4096;

/// What one column takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ColumnSurvey {
    /// Its name.
    pub name: String,
    /// Bytes, compressed.
    pub bytes: u64,
}

/// A row as people write it: SQL literals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    /// The index of its change.
    pub change: usize,
    /// The ordinal of its segment.
    pub segment: u32,
    /// Its key; empty where it is the receiver's own.
    pub key: Vec<String>,
    /// True where the key is the receiver's own.
    pub implied: bool,
    /// The value; a set as `{1, 'vip'}`.
    pub value: String,
}

/// Looks at a folder, a saved stream, or one file of a folder; `examples` rows of each change are
/// returned. What is wrong is part of the result. `go_on` is asked after each block, with what was
/// found so far; `None` is returned where it says no.
///
/// # Errors
/// [`DeltaError::Io`] where `path` cannot be read at all.
pub fn survey(
    path: &Path,
    examples: u64,
    go_on: &mut dyn FnMut(&Survey) -> bool,
) -> Result<Option<Survey>, DeltaError> {
    let mut survey = Survey::default();
    match look(path, &mut Looking { examples, go_on }, &mut survey) {
        Ok(ControlFlow::Continue(())) => {}
        Ok(ControlFlow::Break(())) => return Ok(None),
        Err(error) if matches!(error, DeltaError::Io { .. }) => return Err(error),
        Err(error) => {
            survey.whole = false;
            survey.problem = Some(error.to_string());
        }
    }
    Ok(Some(survey))
}

/// How a survey is made.
struct Looking<'l> {
    examples: u64,
    go_on: &'l mut dyn FnMut(&Survey) -> bool,
}

/// Whether a survey was told to end.
type Looked = Result<ControlFlow<()>, DeltaError>;

fn look(path: &Path, looking: &mut Looking<'_>, survey: &mut Survey) -> Looked {
    let meta = std::fs::metadata(path).map_err(DeltaError::io("look at", show(path)))?;
    if meta.is_dir() {
        return survey.chain(Box::new(DirectorySource::open(path)), looking);
    }
    let file = File::open(path).map_err(DeltaError::io("open", show(path)))?;
    let mut start = Vec::new();
    file.take(LENGTH_PREFIX as u64)
        .read_to_end(&mut start)
        .map_err(DeltaError::io("read", show(path)))?;
    file::claimed_length(&start).map_err(|bad| bad.of(&show(path)))?;
    let file = File::open(path).map_err(DeltaError::io("open", show(path)))?;
    let mut source = StreamSource::new(show(path), BufReader::new(file));
    if start[10] == FileKind::Header as u8 {
        return survey.chain(Box::new(source), looking);
    }
    let raw = source.next()?;
    let last = source.next()?.is_none();
    match raw {
        Some(raw) if last => survey.lone(path, &raw, looking),
        _ => Err(DeltaError::Order {
            file: show(path),
            offset: file::ORDINAL_AT,
            problem: "a stream begins with its header".to_owned(),
        }),
    }
}

impl Survey {
    fn chain(&mut self, source: Box<dyn Source>, looking: &mut Looking<'_>) -> Looked {
        let mut reader = ChainReader::open(source)?;
        let header = reader.header().clone();
        self.header(&header);
        loop {
            self.files += 1;
            self.bytes = reader.stats().bytes;
            self.digest = Some(hex(&reader.stats().digest));
            match reader.next_item()? {
                Some(Item::Segment(segment)) => {
                    if self.segment(&segment, &header, looking)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Some(Item::Manifest(manifest)) => self.facts = manifest.facts,
                None => break,
            }
        }
        reader.finish()?;
        self.whole = true;
        Ok(ControlFlow::Continue(()))
    }

    /// One file that is no header: the header lies beside it.
    fn lone(&mut self, path: &Path, raw: &RawFile, looking: &mut Looking<'_>) -> Looked {
        let name = FileName { ordinal: 0, kind: FileKind::Header }.to_string();
        let beside = path.with_file_name(&name);
        if !beside.exists() {
            let place = format!("the folder of {}", show(path));
            return Err(DeltaError::Missing { place, file: name });
        }
        let file = File::open(&beside).map_err(DeltaError::io("open", show(&beside)))?;
        let first = StreamSource::new(show(&beside), BufReader::new(file)).next()?;
        let Some(first) = first else {
            return Err(DeltaError::Missing { place: show(path), file: name });
        };
        let (header, _) = read_header(&first)?;
        self.header(&header);
        let verified = file::verify(&raw.bytes).map_err(|bad| bad.of(&raw.name))?;
        header.check_digest(&verified.prefix, &raw.name)?;
        self.files = 1;
        self.bytes = raw.bytes.len() as u64;
        self.digest = Some(hex(&verified.digest));
        if verified.prefix.kind == FileKind::Segment {
            let segment = Segment::open(&raw.name, Arc::clone(&raw.bytes), &header)?;
            if self.segment(&segment, &header, looking)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        } else {
            self.facts = Manifest::read(verified, &raw.name)?.facts;
        }
        self.whole = true;
        Ok(ControlFlow::Continue(()))
    }

    fn header(&mut self, header: &ChainHeader) {
        self.migration = Some(header.migration.to_string());
        self.migration_digest = Some(hex(&header.migration_digest));
        self.tool_version = Some(header.tool_version.clone());
        self.sqlite_version = Some(header.sqlite_version.clone());
        self.scope = Some(match header.scope {
            Scope::All => "all",
            Scope::Some => "some",
        });
        self.changes = header
            .shapes
            .iter()
            .map(|shape| {
                let names = shape.key.iter().map(|key| &key.name).chain([&shape.column]);
                ChangeSurvey {
                    table: shape.table.clone(),
                    column: shape.column.clone(),
                    sets: shape.sets,
                    columns: names
                        .map(|name| ColumnSurvey { name: name.clone(), bytes: 0 })
                        .collect(),
                    ..ChangeSurvey::default()
                }
            })
            .collect();
    }

    fn segment(
        &mut self,
        segment: &Segment,
        header: &ChainHeader,
        looking: &mut Looking<'_>,
    ) -> Looked {
        header.shape(segment.change())?;
        for i in 0..segment.blocks() {
            let sizes = segment.column_bytes(i, header)?;
            let rows = segment.decode(i, header)?;
            let change = &mut self.changes[segment.change()];
            let sets = change.sets;
            let missing = looking.examples.saturating_sub(change.rows).min(rows.len() as u64);
            change.block(&rows, &sizes);
            if let Keys::Implied(keys) = &rows.keys {
                change.implied(segment, i, keys, rows.len() as u64);
            }
            self.examples.extend(first_rows(segment, &rows, missing, sets));
            if !(looking.go_on)(self) {
                return Ok(ControlFlow::Break(()));
            }
        }
        let change = &mut self.changes[segment.change()];
        change.segments += 1;
        if segment.coming() == Some(Coming::Again) {
            change.rows_again += segment.rows();
        }
        change.bytes += segment.byte_len();
        self.segments += 1;
        self.rows += segment.rows();
        Ok(ControlFlow::Continue(()))
    }
}

impl ChangeSurvey {
    fn block(&mut self, rows: &Rows, sizes: &[u64]) {
        self.blocks += 1;
        self.rows += rows.len() as u64;
        let null =
            |value: &rusqlite::types::ValueRef<'_>| *value == rusqlite::types::ValueRef::Null;
        self.rows_null += rows.values.iter().filter(null).count() as u64;
        if self.sets {
            self.elements += rows.values.iter().map(elements).sum::<u64>();
        }
        for (column, bytes) in self.columns.iter_mut().rev().zip(sizes.iter().rev()) {
            column.bytes += bytes;
        }
    }
}

impl ChangeSurvey {
    fn implied(&mut self, segment: &Segment, block: usize, keys: &ImpliedKeys, rows: u64) {
        let bytes = segment.block_bytes(block);
        self.blocks_implied += 1;
        self.rows_implied += rows;
        self.bytes_implied += bytes;
        if self.implied.len() == IMPLIED_MAX {
            return;
        }
        self.implied.push(ImpliedRange {
            segment: segment.ordinal(),
            block,
            first: bound(&keys.first),
            last: bound(&keys.last),
            rows,
            rows_absent: keys.absent_rows() as u64,
            bytes,
        });
    }
}

/// The end of a range, as people write it; nothing where that is too long.
fn bound(key: &[Datum]) -> Vec<String> {
    let bytes = |value: &Datum| match value {
        Datum::Text(bytes) | Datum::Blob(bytes) => bytes.len(),
        Datum::Null | Datum::Integer(_) | Datum::Real(_) => 8,
    };
    let short = key.iter().map(bytes).sum::<usize>() <= BOUND_BYTES_MAX;
    if short { key.iter().map(ToString::to_string).collect() } else { Vec::new() }
}

/// How many elements a set value has.
fn elements(value: rusqlite::types::ValueRef<'_>) -> u64 {
    let count = value.as_blob().ok().and_then(|value| each_element(value, |_| {}));
    count.map_or(0, |count| count as u64)
}

/// A set as people write it: `{1, 'vip'}`.
fn set_literal(value: rusqlite::types::ValueRef<'_>) -> String {
    let elements = value.as_blob().ok().and_then(set_elements).unwrap_or_default();
    let elements: Vec<String> = elements.iter().map(ToString::to_string).collect();
    format!("{{{}}}", elements.join(", "))
}

fn first_rows(segment: &Segment, rows: &Rows, n: u64, sets: bool) -> Vec<Example> {
    let literal = |value| Datum::from(value).to_string();
    (0..rows.len())
        .zip(0..n)
        .map(|(i, _)| Example {
            change: segment.change(),
            segment: segment.ordinal(),
            key: rows.key(i).map(literal).collect(),
            implied: matches!(rows.keys, Keys::Implied(_)),
            value: if sets { set_literal(rows.value(i)) } else { literal(rows.value(i)) },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_when_it_is_told_to() {
        let chain = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deltas/fixtures/v1");
        let mut blocks = 0;
        let whole = survey(&chain, 0, &mut |_| {
            blocks += 1;
            true
        });
        assert!(whole.expect("a chain").expect("to its end").whole && blocks > 2);
        let mut left = 2;
        let ended = survey(&chain, 0, &mut |_| {
            left -= 1;
            left > 0
        });
        assert_eq!((ended.expect("a chain"), left), (None, 0));
    }
}
