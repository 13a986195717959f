//! From the old form of a set to its elements: a text, or the values of a child table, in; sound
//! elements and the flaws of the others out. Pure.
//!
//! # Definitions
//! A source is NULL or the empty text (the empty set), or a text in one of three formats:
//! - `json`: an array (RFC 8259). Strings are TEXT elements, numbers are INTEGER or REAL ones.
//! - `csv`: what stands between commas. There is no quoting.
//! - `lines`: what stands between line feeds.
//!
//! Elements of `csv` and `lines` are TEXT, without the white space at both ends (space, tab, line
//! feed, form feed, carriage return); empty ones are none. In a child table each value is an
//! element: TEXT, INTEGER or REAL.
//!
//! A number that is an integer in the range of i64 is INTEGER, whatever its spelling (`1`, `1.0`,
//! `1e0`); any other is REAL, the nearest double. So elements that compare equal in `SQLite` are one
//! element.
//!
//! # Flaws
//! [`Flaw`] names what is no element. A flaw of the whole source leaves it without elements; others
//! concern one member each. A repeated element is there once, and each repetition is a flaw.
//!
//! # Invariants
//! Elements are in `SQLite`'s order (numbers, then texts by their bytes) and each is there once. The
//! order of the source's members does not matter, nor does the machine.
//!
//! Test vectors for other implementations are in `tests/vectors/sets.json`.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use rusqlite::types::ValueRef;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::db::Datum;
use crate::migration::SetFormat;

/// White space at the ends of elements of `csv` and `lines`.
const WHITE: [char; 5] = [' ', '\t', '\n', '\x0c', '\r'];

/// One element of a set.
#[derive(Clone, Debug, PartialEq)]
pub enum Element<'s> {
    /// INTEGER.
    Integer(i64),
    /// REAL: no integer in the range of i64, and not NaN.
    Real(f64),
    /// TEXT, without NUL characters.
    Text(Cow<'s, str>),
}

impl Element<'_> {
    /// Borrows the value as `SQLite` stores it.
    #[must_use]
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Integer(i) => ValueRef::Integer(*i),
            Self::Real(r) => ValueRef::Real(*r),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }
    }

    /// The value as one of its own.
    #[must_use]
    pub fn to_datum(&self) -> Datum {
        self.as_ref().into()
    }

    /// A number as the element that it is; `None` for NaN.
    fn number(real: f64) -> Option<Self> {
        // Both bounds are exact doubles; what is below the upper one fits.
        const BOUND: f64 = 9_223_372_036_854_775_808.0;
        if real.is_nan() {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
        let whole = (real.fract() == 0.0 && (-BOUND..BOUND).contains(&real)).then_some(real as i64);
        Some(whole.map_or(Self::Real(real), Self::Integer))
    }

    /// The order of `SQLite`'s BINARY collation. Exact: the two kinds of numbers are never equal.
    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Real(a), Self::Real(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Self::Integer(a), Self::Real(b)) => mixed(*a, *b),
            (Self::Real(a), Self::Integer(b)) => mixed(*b, *a).reverse(),
            (Self::Integer(_) | Self::Real(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Integer(_) | Self::Real(_)) => Ordering::Greater,
        }
    }
}

/// An integer against a double that is none: rounding the integer can at most reach a double that
/// lies beyond all integers.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn mixed(integer: i64, real: f64) -> Ordering {
    (integer as f64).partial_cmp(&real).unwrap_or(Ordering::Less).then(Ordering::Less)
}

/// Why something in a source is no element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flaw {
    /// The whole source: a number or a blob where a text was expected.
    NotText,
    /// The whole source, or one value of a child table: bytes that are no UTF-8.
    NotUtf8,
    /// The whole source: no JSON.
    NotJson,
    /// The whole source: JSON, but no array.
    NotArray,
    /// A NULL, of JSON or of a child table.
    Null,
    /// `true` or `false`.
    Boolean,
    /// An array or an object inside the array.
    Nested,
    /// A blob of a child table.
    Blob,
    /// A text that holds a NUL character, where many programs end a text.
    Nul,
    /// An element that the set holds already.
    Duplicate,
}

impl Flaw {
    /// Every flaw, in the order in which they are listed.
    pub const ALL: [Self; 10] = [
        Self::NotText,
        Self::NotUtf8,
        Self::NotJson,
        Self::NotArray,
        Self::Null,
        Self::Boolean,
        Self::Nested,
        Self::Blob,
        Self::Nul,
        Self::Duplicate,
    ];

    /// Its name in JSON and in test vectors.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotText => "not-text",
            Self::NotUtf8 => "not-utf-8",
            Self::NotJson => "not-json",
            Self::NotArray => "not-array",
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Nested => "nested",
            Self::Blob => "blob",
            Self::Nul => "nul",
            Self::Duplicate => "duplicate",
        }
    }

    /// What is wrong, in words.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotText => "the source is no text",
            Self::NotUtf8 => "the text is not UTF-8",
            Self::NotJson => "the text is not JSON",
            Self::NotArray => "the JSON is no array",
            Self::Null => "an element is NULL",
            Self::Boolean => "an element is true or false",
            Self::Nested => "an element is an array or an object",
            Self::Blob => "an element is a blob",
            Self::Nul => "an element holds a NUL character",
            Self::Duplicate => "an element is there twice",
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What one source holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Elements<'s> {
    /// The sound elements, in order, each once.
    pub sound: Vec<Element<'s>>,
    /// What is wrong with the others, in the order in which they were met; duplicates last.
    pub flaws: Vec<Flaw>,
}

impl<'s> Elements<'s> {
    /// Reads a source column.
    #[must_use]
    pub fn of_text(source: ValueRef<'s>, format: SetFormat) -> Self {
        let mut found = Self::default();
        let text = match source {
            ValueRef::Null => return found,
            ValueRef::Text(bytes) => std::str::from_utf8(bytes).map_err(|_| Flaw::NotUtf8),
            ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Blob(_) => Err(Flaw::NotText),
        };
        match text {
            Err(flaw) => found.flaws.push(flaw),
            Ok("") => {}
            Ok(text) => match format {
                SetFormat::Json => found.read_json(text),
                SetFormat::Csv => found.read_parts(text, ','),
                SetFormat::Lines => found.read_parts(text, '\n'),
            },
        }
        found.normalise();
        found
    }

    /// Reads the values of a child table's rows, in whatever order.
    #[must_use]
    pub fn of_values(values: impl IntoIterator<Item = ValueRef<'s>>) -> Self {
        let mut found = Self::default();
        for value in values {
            match value {
                ValueRef::Null => found.flaws.push(Flaw::Null),
                ValueRef::Blob(_) => found.flaws.push(Flaw::Blob),
                ValueRef::Integer(i) => found.sound.push(Element::Integer(i)),
                ValueRef::Real(r) => found.sound.extend(Element::number(r)),
                ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
                    Ok(text) => found.push_text(Cow::Borrowed(text)),
                    Err(_) => found.flaws.push(Flaw::NotUtf8),
                },
            }
        }
        found.normalise();
        found
    }

    fn read_parts(&mut self, text: &'s str, between: char) {
        let parts = text.split(between).map(|part| part.trim_matches(WHITE));
        parts.filter(|part| !part.is_empty()).for_each(|part| self.push_text(Cow::Borrowed(part)));
    }

    fn read_json(&mut self, text: &'s str) {
        let mut reader = serde_json::Deserializer::from_str(text);
        let read = Members(self).deserialize(&mut reader);
        let flaw = match read.and_then(|is_array| reader.end().map(|()| is_array)) {
            Ok(true) => return,
            Ok(false) => Flaw::NotArray,
            Err(_) => Flaw::NotJson,
        };
        self.sound.clear();
        self.flaws.clear();
        self.flaws.push(flaw);
    }

    fn push_text(&mut self, text: Cow<'s, str>) {
        if text.contains('\0') {
            self.flaws.push(Flaw::Nul);
        } else {
            self.sound.push(Element::Text(text));
        }
    }

    fn normalise(&mut self) {
        self.sound.sort_unstable_by(Element::order);
        let before = self.sound.len();
        self.sound.dedup_by(|a, b| a.order(b).is_eq());
        self.flaws.extend(std::iter::repeat_n(Flaw::Duplicate, before - self.sound.len()));
    }
}

/// Reads a JSON value: true for an array, whose members are taken.
struct Members<'e, 's>(&'e mut Elements<'s>);

impl<'s> DeserializeSeed<'s> for Members<'_, 's> {
    type Value = bool;

    fn deserialize<D: Deserializer<'s>>(self, reader: D) -> Result<bool, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'s> Visitor<'s> for Members<'_, 's> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'s>>(self, mut members: A) -> Result<bool, A::Error> {
        while members.next_element_seed(Member(&mut *self.0))?.is_some() {}
        Ok(true)
    }

    fn visit_map<A: MapAccess<'s>>(self, members: A) -> Result<bool, A::Error> {
        ignore_map(members).map(|()| false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }
}

fn ignore_map<'s, A: MapAccess<'s>>(mut members: A) -> Result<(), A::Error> {
    while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Takes one member of the array.
struct Member<'e, 's>(&'e mut Elements<'s>);

impl Member<'_, '_> {
    #[expect(clippy::unnecessary_wraps, reason = "what every visit returns")]
    fn flaw<E>(self, flaw: Flaw) -> Result<(), E> {
        self.0.flaws.push(flaw);
        Ok(())
    }
}

impl<'s> DeserializeSeed<'s> for Member<'_, 's> {
    type Value = ();

    fn deserialize<D: Deserializer<'s>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'s> Visitor<'s> for Member<'_, 's> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a number")
    }

    fn visit_seq<A: SeqAccess<'s>>(self, mut members: A) -> Result<(), A::Error> {
        while members.next_element::<IgnoredAny>()?.is_some() {}
        self.flaw(Flaw::Nested)
    }

    fn visit_map<A: MapAccess<'s>>(self, members: A) -> Result<(), A::Error> {
        ignore_map(members)?;
        self.flaw(Flaw::Nested)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.flaw(Flaw::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.flaw(Flaw::Boolean)
    }

    fn visit_i64<E>(self, integer: i64) -> Result<(), E> {
        self.0.sound.push(Element::Integer(integer));
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "the nearest double, as specified")]
    fn visit_u64<E>(self, integer: u64) -> Result<(), E> {
        let element = i64::try_from(integer).ok().map(Element::Integer);
        self.0.sound.extend(element.or_else(|| Element::number(integer as f64)));
        Ok(())
    }

    fn visit_f64<E>(self, real: f64) -> Result<(), E> {
        self.0.sound.extend(Element::number(real));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'s str) -> Result<(), E> {
        self.0.push_text(Cow::Borrowed(text));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.push_text(Cow::Owned(text.to_owned()));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
