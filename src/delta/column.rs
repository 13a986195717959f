//! The values of one column of a batch, in one arena: no allocation per value.

use std::ops::Range;

use rusqlite::types::ValueRef;

/// The storage class of a value; the codes are those of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Class {
    Null = 0,
    Integer = 1,
    Real = 2,
    Text = 3,
    Blob = 4,
}

impl Class {
    /// Those that have a value, in the order of their codes.
    pub const VALUES: [Self; 4] = [Self::Integer, Self::Real, Self::Text, Self::Blob];
}

/// Values of one column, each with its own storage class, as `SQLite` stores them.
#[derive(Clone, Debug, Default)]
pub struct Column {
    classes: Vec<Class>,
    /// The number's bits, or where in `bytes` the value begins.
    words: Vec<u64>,
    /// The length in `bytes`, or 0.
    lengths: Vec<u32>,
    bytes: Vec<u8>,
    /// A value of 4 GiB was among them, which cannot be kept.
    overflowed: bool,
}

/// What a value costs besides its bytes, in bytes: what [`Column::byte_size`] counts for each.
pub(crate) const CELL_BYTES: usize = 16;

/// More bytes than any limit, for each of as many columns as a table may have.
const TOO_LARGE: usize = usize::MAX >> 12;

impl Column {
    /// No values.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value. A text or blob of 4 GiB or more, which `SQLite` does not store, is not kept:
    /// the column is from then on too large to be encoded ([`Self::byte_size`]).
    pub fn push(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Null => self.push_word(Class::Null, 0),
            ValueRef::Integer(i) => self.push_integer(i),
            ValueRef::Real(r) => self.push_word(Class::Real, r.to_bits()),
            ValueRef::Text(bytes) => self.push_bytes(Class::Text, bytes),
            ValueRef::Blob(bytes) => self.push_bytes(Class::Blob, bytes),
        }
    }

    pub(super) fn push_integer(&mut self, value: i64) {
        self.push_word(Class::Integer, value.cast_unsigned());
    }

    pub(super) fn push_word(&mut self, class: Class, word: u64) {
        self.classes.push(class);
        self.words.push(word);
        self.lengths.push(0);
    }

    pub(super) fn push_bytes(&mut self, class: Class, bytes: &[u8]) {
        self.push_made(class, |out| out.extend_from_slice(bytes));
    }

    /// Adds the text or blob that `make` appends.
    pub(super) fn push_made(&mut self, class: Class, make: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        make(&mut self.bytes);
        self.end(class, start, self.bytes.len() - start);
    }

    /// Adds some values of another column.
    ///
    /// # Panics
    /// Where there are no such values, as a slice does.
    pub(super) fn append(&mut self, other: &Self, some: Range<usize>) {
        let classes = &other.classes[some.clone()];
        let is_long = |class: &Class| matches!(class, Class::Text | Class::Blob);
        let first = classes.iter().position(is_long).map(|i| some.start + i);
        let last = classes.iter().rposition(is_long).map(|i| some.start + i);
        let words = &other.words[some.clone()];
        if let (Some(first), Some(last)) = (first, last) {
            // What is kept of texts and blobs stands in their order.
            let from = other.words[first];
            let shift = (self.bytes.len() as u64).wrapping_sub(from);
            let long = from..other.words[last] + u64::from(other.lengths[last]);
            self.bytes.extend_from_slice(other.span(&long));
            let moved = words
                .iter()
                .zip(classes)
                .map(|(word, class)| if is_long(class) { word.wrapping_add(shift) } else { *word });
            self.words.extend(moved);
        } else {
            self.words.extend_from_slice(words);
        }
        self.classes.extend_from_slice(classes);
        self.lengths.extend_from_slice(&other.lengths[some]);
        self.overflowed |= other.overflowed;
    }

    #[expect(clippy::cast_possible_truncation, reason = "offsets into a vector of this process")]
    fn span(&self, span: &Range<u64>) -> &[u8] {
        &self.bytes[span.start as usize..span.end as usize]
    }

    /// True where some value is NULL.
    pub(crate) fn has_nulls(&self) -> bool {
        self.classes.contains(&Class::Null)
    }

    /// Ends a value of `length` bytes, which begins at `start`.
    fn end(&mut self, class: Class, start: usize, length: usize) {
        let kept = u32::try_from(length);
        if kept.is_err() {
            self.overflowed = true;
            self.bytes.truncate(start);
        }
        self.classes.push(class);
        self.words.push(start as u64);
        self.lengths.push(kept.unwrap_or(0));
    }

    /// The value at `i`.
    ///
    /// # Panics
    /// Where there is none, as a slice does.
    #[must_use]
    pub fn get(&self, i: usize) -> ValueRef<'_> {
        match self.classes[i] {
            Class::Null => ValueRef::Null,
            Class::Integer => ValueRef::Integer(self.words[i].cast_signed()),
            Class::Real => ValueRef::Real(f64::from_bits(self.words[i])),
            Class::Text => ValueRef::Text(self.bytes_at(i)),
            Class::Blob => ValueRef::Blob(self.bytes_at(i)),
        }
    }

    /// The bytes of the text or blob at `i`; empty for other values.
    #[expect(clippy::cast_possible_truncation, reason = "an offset into a vector of this process")]
    pub(super) fn bytes_at(&self, i: usize) -> &[u8] {
        let start = self.words[i] as usize;
        match self.lengths[i] as usize {
            0 => &[],
            length => &self.bytes[start..start + length],
        }
    }

    pub(super) fn word(&self, i: usize) -> u64 {
        self.words[i]
    }

    pub(super) fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// The values in order.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = ValueRef<'_>> {
        (0..self.len()).map(|i| self.get(i))
    }

    /// How many values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// True without values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// Bytes that the values take, at 16 a value and those of texts and blobs; more than any limit
    /// where one of them was too large to be kept.
    #[must_use]
    pub fn byte_size(&self) -> usize {
        if self.overflowed {
            return TOO_LARGE;
        }
        self.classes.len() * CELL_BYTES + self.bytes.len()
    }
}

/// Equal values, bit by bit: NaN equals NaN, and 0.0 does not equal -0.0.
impl PartialEq for Column {
    fn eq(&self, other: &Self) -> bool {
        self.classes == other.classes
            && (0..self.len()).all(|i| match self.classes[i] {
                Class::Text | Class::Blob => self.bytes_at(i) == other.bytes_at(i),
                Class::Null | Class::Integer | Class::Real => self.words[i] == other.words[i],
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_values_of_another_column_are_added_as_if_one_by_one() {
        let values = [
            ValueRef::Integer(-1),
            ValueRef::Text(b"abc"),
            ValueRef::Text(b""),
            ValueRef::Null,
            ValueRef::Blob(b"\0\xff"),
            ValueRef::Real(0.5),
        ];
        let mut all = Column::new();
        let push = |column: &mut Column, values: &[ValueRef<'_>]| {
            for value in values {
                column.push(*value);
            }
        };
        push(&mut all, &values);
        for from in 0..=values.len() {
            for to in from..=values.len() {
                let (mut one_by_one, mut added) = (all.clone(), all.clone());
                push(&mut one_by_one, &values[from..to]);
                added.append(&all, from..to);
                assert_eq!(added, one_by_one, "{from}..{to}");
                assert_eq!(added.byte_size(), one_by_one.byte_size());
            }
        }
    }

    #[test]
    fn a_value_of_4_gib_is_not_kept_and_makes_the_column_too_large() {
        let mut column = Column::new();
        column.push(ValueRef::Text(b"a"));
        assert_eq!(column.byte_size(), CELL_BYTES + 1);
        column.end(Class::Text, 1, 1 << 32);
        assert_eq!((column.len(), column.byte_size()), (2, TOO_LARGE));
        assert_eq!(column.get(1), ValueRef::Text(b""));
    }
}
