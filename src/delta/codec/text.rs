//! Texts and blobs: bytes of any length.
//!
//! # Definitions
//! `text(v)`: one byte, the codec, then for codec
//! - 0, plain: `numbers` of the lengths, a stream of all bytes;
//! - 1, prefixes: `numbers` of how many bytes each shares with the one before (the first: 0),
//!   `numbers` of how many follow those, a stream of what follows;
//! - 2, dictionary: `varint` count of entries (at most 4096), `numbers` of their lengths, stream of
//!   their bytes, `numbers` of the index of each value;
//! - 3, template: `template(v)`;
//! - 4, identifiers: `ids(v)`.
//!
//! A writer may choose any codec that can hold the values.

use std::collections::HashMap;

use super::{Budget, Values, ids, numbers, stream, template};
use crate::delta::column::{Class, Column};
use crate::delta::cursor::{Cursor, put_varint};
use crate::delta::error::{Bad, DeltaError};

const PLAIN: u8 = 0;
const PREFIXES: u8 = 1;
const DICTIONARY: u8 = 2;
const TEMPLATE: u8 = 3;
const IDS: u8 = 4;

/// Entries of a dictionary, at most.
const ENTRIES_MAX: usize = 4096;

/// Values on which codecs are tried.
const SAMPLE: usize = 2048;

/// Appends `text(values)`.
pub(super) fn put(values: &Values<'_>, out: &mut Vec<u8>) -> Result<(), DeltaError> {
    let start = out.len();
    out.push(IDS);
    if ids::put(values, out)? {
        return Ok(());
    }
    out[start] = TEMPLATE;
    if template::put(values, out)? {
        return Ok(());
    }
    if let Some((entries, indexes)) = dictionary(values) {
        out[start] = DICTIONARY;
        return put_dictionary(&entries, &indexes, out);
    }
    if shares_prefixes(values) {
        out[start] = PREFIXES;
        return put_prefixes(values, out);
    }
    out[start] = PLAIN;
    put_plain(values, out)
}

fn put_plain(values: &[&[u8]], out: &mut Vec<u8>) -> Result<(), DeltaError> {
    let lengths: Vec<i64> = values.iter().map(|value| number(value.len())).collect();
    numbers::put(&lengths, out)?;
    stream::put(&values.concat(), out)
}

/// A length or an index; a block is far smaller than what an i64 counts.
fn number(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The distinct values and the index of each, where few values come again and again.
fn dictionary<'a>(values: &[&'a [u8]]) -> Option<(Vec<&'a [u8]>, Vec<i64>)> {
    let mut entries = Vec::new();
    let mut known: HashMap<&[u8], i64> = HashMap::new();
    let mut indexes = Vec::with_capacity(values.len());
    for (i, value) in values.iter().enumerate() {
        let next = number(entries.len());
        let index = *known.entry(value).or_insert(next);
        if index == next {
            entries.push(*value);
        }
        indexes.push(index);
        let too_many = entries.len() > ENTRIES_MAX || i == SAMPLE && entries.len() > SAMPLE / 2;
        if too_many {
            return None;
        }
    }
    (entries.len() * 2 <= values.len()).then_some((entries, indexes))
}

fn put_dictionary(entries: &[&[u8]], indexes: &[i64], out: &mut Vec<u8>) -> Result<(), DeltaError> {
    put_varint(entries.len() as u64, out);
    put_plain(entries, out)?;
    numbers::put(indexes, out)
}

/// True where values begin like the one before for a quarter of their bytes.
fn shares_prefixes(values: &Values<'_>) -> bool {
    let sample = &values[..values.len().min(SAMPLE)];
    let shared: usize = sample.array_windows().map(|[a, b]| shared(a, b)).sum();
    let bytes: usize = sample.iter().map(|value| value.len()).sum();
    shared * 4 > bytes
}

fn shared(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

fn put_prefixes(values: &Values<'_>, out: &mut Vec<u8>) -> Result<(), DeltaError> {
    let mut shares = Vec::with_capacity(values.len());
    let mut lengths = Vec::with_capacity(values.len());
    let mut bytes = Vec::new();
    let mut before: &[u8] = &[];
    for value in values {
        let same = shared(before, value);
        shares.push(number(same));
        lengths.push(number(value.len() - same));
        bytes.extend_from_slice(&value[same..]);
        before = value;
    }
    numbers::put(&shares, out)?;
    numbers::put(&lengths, out)?;
    stream::put(&bytes, out)
}

/// Reads `text` of `n` values and appends them to `column`.
pub(super) fn get(
    cursor: &mut Cursor<'_>,
    n: usize,
    class: Class,
    budget: &mut Budget,
    column: &mut Column,
) -> Result<(), Bad> {
    let start = cursor.clone();
    let mut into = Into { class, budget, column, start: start.clone() };
    match cursor.u8()? {
        PLAIN => {
            let values = get_plain(cursor, n, into.budget.left())?;
            (0..n).try_for_each(|i| into.push(|out| out.extend_from_slice(values.get(i))))
        }
        PREFIXES => get_prefixes(cursor, n, &mut into),
        DICTIONARY => get_dictionary(cursor, n, &mut into),
        TEMPLATE => {
            let template = template::get(cursor, n)?;
            (0..n).try_for_each(|i| into.push(|out| template.put(i, out)))
        }
        IDS => {
            let ids = ids::get(cursor, n)?;
            into.budget.check(n * ids.length(), &start)?;
            (0..n).try_for_each(|i| into.push(|out| ids.put(i, out)))
        }
        code => Err(start.unknown(format!("the codec {code} of texts"))),
    }
}

/// Where values go, each against the budget.
struct Into<'a> {
    class: Class,
    budget: &'a mut Budget,
    column: &'a mut Column,
    start: Cursor<'a>,
}

impl Into<'_> {
    fn push(&mut self, make: impl FnOnce(&mut Vec<u8>)) -> Result<(), Bad> {
        let mut length = 0;
        self.column.push_made(self.class, |out| {
            let before = out.len();
            make(out);
            length = out.len() - before;
        });
        self.budget.charge(length, &self.start)
    }
}

/// Values one after the other.
struct Plain<'a> {
    bytes: stream::Bytes<'a>,
    ends: Vec<usize>,
}

impl Plain<'_> {
    fn get(&self, i: usize) -> &[u8] {
        let from = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.bytes.all()[from..self.ends[i]]
    }
}

fn get_plain<'a>(cursor: &mut Cursor<'a>, n: usize, limit: usize) -> Result<Plain<'a>, Bad> {
    let lengths = get_lengths(cursor, n, limit)?;
    let start = cursor.clone();
    let bytes = stream::get(cursor, limit)?;
    let ends = sums(&lengths);
    if ends.last().copied().unwrap_or(0) == bytes.all().len() {
        Ok(Plain { bytes, ends })
    } else {
        Err(start.bad("the lengths of texts do not add up"))
    }
}

/// Lengths, each at most `limit`.
fn get_lengths(cursor: &mut Cursor<'_>, n: usize, limit: usize) -> Result<Vec<usize>, Bad> {
    let start = cursor.clone();
    let lengths = numbers::get(cursor, n)?;
    lengths
        .iter()
        .map(|length| usize::try_from(*length).ok().filter(|length| *length <= limit))
        .collect::<Option<_>>()
        .ok_or_else(|| start.bad("a length is beyond what its place allows"))
}

/// Running sums; each term is bounded, and so is their number, far below what a usize holds.
fn sums(lengths: &[usize]) -> Vec<usize> {
    lengths
        .iter()
        .scan(0_usize, |sum, length| {
            *sum += length;
            Some(*sum)
        })
        .collect()
}

fn get_prefixes(cursor: &mut Cursor<'_>, n: usize, into: &mut Into<'_>) -> Result<(), Bad> {
    let limit = into.budget.left();
    let shares = get_lengths(cursor, n, limit)?;
    let suffixes = get_plain(cursor, n, limit)?;
    let mut before = Vec::new();
    for (i, share) in shares.iter().enumerate() {
        if *share > before.len() {
            return Err(cursor.bad("a text shares more than there is"));
        }
        before.truncate(*share);
        before.extend_from_slice(suffixes.get(i));
        into.push(|out| out.extend_from_slice(&before))?;
    }
    Ok(())
}

fn get_dictionary(cursor: &mut Cursor<'_>, n: usize, into: &mut Into<'_>) -> Result<(), Bad> {
    let count = cursor.count(ENTRIES_MAX)?;
    let limit = into.budget.left().min(into.budget.entries_left);
    let entries = get_plain(cursor, count, limit)?;
    let start = cursor.clone();
    into.budget.charge_entries(entries.bytes.all().len(), &start)?;
    for index in numbers::get(cursor, n)? {
        let index = usize::try_from(index).ok().filter(|index| *index < count);
        let index = index.ok_or_else(|| start.bad("a dictionary has no such entry"))?;
        into.push(|out| out.extend_from_slice(entries.get(index)))?;
    }
    Ok(())
}
