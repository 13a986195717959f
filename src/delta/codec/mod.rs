//! One column of a block: which rows have a value, of which storage class, and the values of each
//! class by the codec that suits them. Pure; knows nothing of blocks and files.
//!
//! # Definitions
//! `column(c)`, for `n` values:
//! - one byte, flags: bit 0 set where some value is NULL; the others are 0;
//! - where bit 0 is set, a stream of `ceil(n / 8)` bytes, the presence bits: bit `i % 8` of byte
//!   `i / 8` is set where value `i` is not NULL; the bits beyond `n` are 0;
//! - one byte, the class of the values that are there: 0 there are none, 1 INTEGER, 2 REAL, 3 TEXT,
//!   4 BLOB, 5 several;
//! - for class 5, a stream of one byte per value that is there, its class from 1 to 4;
//! - for each class that occurs, in the order of their codes, its values in order:
//!   INTEGER `numbers` ([`numbers`]); REAL a stream of the bits of the doubles, first the least
//!   significant byte of each, then the next one of each, and so on; TEXT and BLOB `text`
//!   ([`text`]).
//!
//! The values of a change of sets are no `column` but `sets` ([`sets`]).
//!
//! # Invariants
//! What is decoded equals what was encoded bit by bit, in storage class and order. A decoder
//! allocates in proportion to its [`Budget`], whatever the bytes claim.

mod ids;
mod numbers;
pub(super) mod sets;
mod stream;
mod template;
mod text;

use super::column::{CELL_BYTES, Class, Column};
use super::cursor::Cursor;
use super::error::{Bad, DeltaError};

/// Texts or blobs of one class.
type Values<'a> = Vec<&'a [u8]>;

const HAS_NULLS: u8 = 1;
const SEVERAL: u8 = 5;

/// What decoding may still produce, in bytes as [`Column::byte_size`] counts them; and as many
/// bytes again for the entries of dictionaries, which nobody need use.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
    entries_left: usize,
    spent: usize,
}

impl Budget {
    /// `bytes` in all.
    pub fn new(bytes: usize) -> Self {
        Self { left: bytes, entries_left: bytes, spent: 0 }
    }

    /// What is left.
    pub fn left(&self) -> usize {
        self.left
    }

    /// What was taken, entries included.
    pub fn spent(&self) -> usize {
        self.spent
    }

    fn check(&self, bytes: usize, here: &Cursor<'_>) -> Result<(), Bad> {
        if bytes <= self.left { Ok(()) } else { Err(here.bad("it would expand beyond the limit")) }
    }

    /// Takes `bytes`.
    pub fn charge(&mut self, bytes: usize, here: &Cursor<'_>) -> Result<(), Bad> {
        self.check(bytes, here)?;
        self.left -= bytes;
        self.spent += bytes;
        Ok(())
    }

    /// Takes `bytes` of the entries of a dictionary.
    fn charge_entries(&mut self, bytes: usize, here: &Cursor<'_>) -> Result<(), Bad> {
        let left = self.entries_left.checked_sub(bytes);
        self.entries_left = left.ok_or_else(|| here.bad("it would expand beyond the limit"))?;
        self.spent += bytes;
        Ok(())
    }
}

/// Appends `column(column)`.
pub(super) fn put(column: &Column, out: &mut Vec<u8>) -> Result<(), DeltaError> {
    let classes = column.classes();
    let nulls = classes.iter().filter(|class| **class == Class::Null).count();
    out.push(if nulls > 0 { HAS_NULLS } else { 0 });
    if nulls > 0 {
        stream::put(&presence(classes), out)?;
    }
    let mut occur = Class::VALUES.into_iter().filter(|class| classes.contains(class));
    match (occur.next(), occur.next()) {
        (None, _) => out.push(0),
        (Some(class), None) => {
            out.push(class as u8);
            put_class(column, class, out)?;
        }
        (Some(_), Some(_)) => put_several(column, out)?,
    }
    Ok(())
}

fn presence(classes: &[Class]) -> Vec<u8> {
    let bit = |(i, class): (usize, &Class)| u8::from(*class != Class::Null) << i;
    classes.chunks(8).map(|eight| eight.iter().enumerate().map(bit).sum()).collect()
}

fn put_several(column: &Column, out: &mut Vec<u8>) -> Result<(), DeltaError> {
    out.push(SEVERAL);
    let present = column.classes().iter().filter(|class| **class != Class::Null);
    let codes: Vec<u8> = present.map(|class| *class as u8).collect();
    stream::put(&codes, out)?;
    let occur = |class: &Class| codes.contains(&(*class as u8));
    Class::VALUES.into_iter().filter(occur).try_for_each(|class| put_class(column, class, out))
}

fn put_class(column: &Column, class: Class, out: &mut Vec<u8>) -> Result<(), DeltaError> {
    let of_class = || (0..column.len()).filter(|i| column.classes()[*i] == class);
    match class {
        Class::Null => Ok(()),
        Class::Integer => {
            let values: Vec<i64> = of_class().map(|i| column.word(i).cast_signed()).collect();
            numbers::put(&values, out)
        }
        Class::Real => {
            let values: Vec<[u8; 8]> = of_class().map(|i| column.word(i).to_le_bytes()).collect();
            let planes = |byte: usize| values.iter().map(move |value| value[byte]);
            stream::put(&(0..8).flat_map(planes).collect::<Vec<u8>>(), out)
        }
        Class::Text | Class::Blob => {
            text::put(&of_class().map(|i| column.bytes_at(i)).collect(), out)
        }
    }
}

/// Reads `column` of `n` values.
pub(super) fn get(cursor: &mut Cursor<'_>, n: usize, budget: &mut Budget) -> Result<Column, Bad> {
    budget.charge(n.saturating_mul(CELL_BYTES), cursor)?;
    let classes = get_classes(cursor, n)?;
    let mut of_class = Vec::with_capacity(4);
    for class in Class::VALUES {
        let count = classes.iter().filter(|c| **c == class).count();
        if count > 0 {
            of_class.push((class, get_class(cursor, count, class, budget)?));
        }
    }
    if let [(_, only)] = &mut *of_class
        && only.len() == n
    {
        return Ok(std::mem::take(only));
    }
    Ok(merge(&classes, &of_class))
}

/// Values of several classes, each in its place.
fn merge(classes: &[Class], of_class: &[(Class, Column)]) -> Column {
    let mut column = Column::new();
    let mut next = [0; 5];
    for class in classes {
        let from = of_class.iter().find(|(c, _)| c == class);
        let at = &mut next[*class as usize];
        column.push(from.map_or(rusqlite::types::ValueRef::Null, |(_, values)| values.get(*at)));
        *at += 1;
    }
    column
}

fn get_classes(cursor: &mut Cursor<'_>, n: usize) -> Result<Vec<Class>, Bad> {
    let start = cursor.clone();
    let flags = cursor.u8()?;
    if flags & !HAS_NULLS != 0 {
        return Err(start.unknown(format!("the flags {flags} of a column")));
    }
    let present = match flags & HAS_NULLS {
        0 => vec![true; n],
        _ => get_presence(cursor, n)?,
    };
    let there = present.iter().filter(|present| **present).count();
    let start = cursor.clone();
    let code = cursor.u8()?;
    let mut codes = match code {
        0 if there == 0 => Vec::new(),
        1..=4 if there > 0 => vec![code; there],
        SEVERAL => stream::get(cursor, there)?.all().to_vec(),
        0..=4 => return Err(start.bad("the class does not fit the presence bits")),
        code => return Err(start.unknown(format!("the storage class {code}"))),
    }
    .into_iter();
    let mut class = |present: bool| {
        if present { codes.next().and_then(class_of) } else { Some(Class::Null) }
    };
    let classes: Option<Vec<Class>> = present.into_iter().map(&mut class).collect();
    let rest = codes.next();
    classes
        .filter(|_| rest.is_none())
        .ok_or_else(|| start.bad("storage classes do not fit the rows"))
}

fn class_of(code: u8) -> Option<Class> {
    Class::VALUES.into_iter().find(|class| *class as u8 == code)
}

fn get_presence(cursor: &mut Cursor<'_>, n: usize) -> Result<Vec<bool>, Bad> {
    let start = cursor.clone();
    let stream = stream::get(cursor, n.div_ceil(8))?;
    let bits = stream.all();
    let bit = |i: usize| bits[i / 8] >> (i % 8) & 1 == 1;
    if bits.len() != n.div_ceil(8) || (n..bits.len() * 8).any(bit) {
        return Err(start.bad("presence bits do not fit the rows"));
    }
    Ok((0..n).map(bit).collect())
}

fn get_class(
    cursor: &mut Cursor<'_>,
    n: usize,
    class: Class,
    budget: &mut Budget,
) -> Result<Column, Bad> {
    let mut column = Column::new();
    match class {
        Class::Null => {}
        Class::Integer => numbers::get(cursor, n)?.into_iter().for_each(|i| column.push_integer(i)),
        Class::Real => {
            let start = cursor.clone();
            let stream = stream::get(cursor, n * 8)?;
            let planes = stream.all();
            if planes.len() != n * 8 {
                return Err(start.bad("doubles do not fit the rows"));
            }
            for i in 0..n {
                let word = std::array::from_fn(|byte| planes[byte * n + i]);
                column.push_word(Class::Real, u64::from_le_bytes(word));
            }
        }
        Class::Text | Class::Blob => text::get(cursor, n, class, budget, &mut column)?,
    }
    Ok(column)
}
