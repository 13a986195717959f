//! Texts that differ only in decimal numbers, such as `u12345678-42` or `2026-11-21`: what is
//! common is kept once, and the numbers as numbers.
//!
//! # Definitions
//! `template(v)`: `varint` count `f` of fields, 1 to 8; then `f` times: `varint` length and bytes
//! of the literal before the field, and one byte, its width; `varint` length and bytes of the
//! literal after the last field; then `numbers` of each field. A field of width 0 is written with
//! as many digits as it needs (0 as `0`), one of width 1 to 18 with that many, zeros first. A
//! number is from 0 to 10^18 - 1, and below 10^width where there is a width.

use super::{Values, numbers};
use crate::delta::cursor::{Cursor, put_varint};
use crate::delta::error::{Bad, DeltaError};

const FIELDS_MAX: usize = 8;
const DIGITS_MAX: usize = 18;

/// A run of digits in every value, and the bytes before it.
struct Field<'a> {
    before: &'a [u8],
    numbers: Vec<i64>,
    digits_min: usize,
    digits_max: usize,
    zeros: bool,
}

impl Field<'_> {
    /// The width; `None` where numbers could not be written as they were.
    fn width(&self) -> Option<u8> {
        match (self.zeros, self.digits_min == self.digits_max) {
            (false, _) => Some(0),
            (true, true) => u8::try_from(self.digits_max).ok(),
            (true, false) => None,
        }
    }

    /// Reads the field at the beginning of `text`; returns what follows.
    fn read<'t>(&mut self, text: &'t [u8]) -> Option<&'t [u8]> {
        let text = text.strip_prefix(self.before)?;
        let (number, digits) = leading_number(text)?;
        self.digits_min = self.digits_min.min(digits);
        self.digits_max = self.digits_max.max(digits);
        self.zeros |= digits > 1 && text[0] == b'0';
        self.numbers.push(number);
        Some(&text[digits..])
    }
}

/// The number at the beginning of `text`, and how many digits it has: 1 to 18.
fn leading_number(text: &[u8]) -> Option<(i64, usize)> {
    let mut number = 0;
    let mut digits = 0;
    for byte in text.iter().take_while(|byte| byte.is_ascii_digit()) {
        if digits == DIGITS_MAX {
            return None;
        }
        number = number * 10 + i64::from(byte - b'0');
        digits += 1;
    }
    (digits > 0).then_some((number, digits))
}

/// Appends `template(values)` and returns true where there is one; else appends nothing.
pub(super) fn put(values: &Values<'_>, out: &mut Vec<u8>) -> Result<bool, DeltaError> {
    let Some((mut fields, after)) = values.first().and_then(|first| template(first)) else {
        return Ok(false);
    };
    for value in values {
        let mut rest = Some(*value);
        for field in &mut fields {
            rest = rest.and_then(|rest| field.read(rest));
        }
        if rest != Some(after) {
            return Ok(false);
        }
    }
    let widths: Option<Vec<u8>> = fields.iter().map(Field::width).collect();
    let Some(widths) = widths else { return Ok(false) };
    put_varint(fields.len() as u64, out);
    for (field, width) in fields.iter().zip(widths) {
        put_literal(field.before, out);
        out.push(width);
    }
    put_literal(after, out);
    fields.iter().try_for_each(|field| numbers::put(&field.numbers, out))?;
    Ok(true)
}

fn put_literal(literal: &[u8], out: &mut Vec<u8>) {
    put_varint(literal.len() as u64, out);
    out.extend_from_slice(literal);
}

/// The fields of a text, and what follows them.
fn template(text: &[u8]) -> Option<(Vec<Field<'_>>, &[u8])> {
    let mut fields = Vec::new();
    let mut rest = text;
    while let Some(from) = rest.iter().position(u8::is_ascii_digit) {
        let (_, digits) = leading_number(&rest[from..])?;
        let (digits_min, digits_max) = (digits, digits);
        let before = &rest[..from];
        fields.push(Field { before, numbers: Vec::new(), digits_min, digits_max, zeros: false });
        rest = &rest[from + digits..];
    }
    (1..=FIELDS_MAX).contains(&fields.len()).then_some((fields, rest))
}

/// `template`, read; each value is written by [`Template::put`].
pub(super) struct Template<'a> {
    fields: Vec<(&'a [u8], u8, Vec<i64>)>,
    after: &'a [u8],
}

/// Reads `template` of `n` values.
pub(super) fn get<'a>(cursor: &mut Cursor<'a>, n: usize) -> Result<Template<'a>, Bad> {
    let start = cursor.clone();
    let count = cursor.count(FIELDS_MAX)?;
    if count == 0 {
        return Err(start.bad("a template has no fields"));
    }
    let mut fields = Vec::with_capacity(count);
    for _ in 0..count {
        let literal = get_literal(cursor)?;
        let width = cursor.u8()?;
        if usize::from(width) > DIGITS_MAX {
            return Err(cursor.bad("a field of a template is too wide"));
        }
        fields.push((literal, width, Vec::new()));
    }
    let after = get_literal(cursor)?;
    for (_, width, numbers) in &mut fields {
        let start = cursor.clone();
        *numbers = numbers::get(cursor, n)?;
        let digits = if *width == 0 { DIGITS_MAX } else { usize::from(*width) };
        if !numbers.iter().all(|n| (0..POWERS[digits]).contains(n)) {
            return Err(start.bad("a number does not fit its field"));
        }
    }
    Ok(Template { fields, after })
}

fn get_literal<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Bad> {
    let length = cursor.count(cursor.left())?;
    cursor.take(length)
}

/// Powers of ten, up to 10^18.
const POWERS: [i64; DIGITS_MAX + 1] = {
    let mut powers = [1; DIGITS_MAX + 1];
    let mut i = 1;
    while i <= DIGITS_MAX {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

impl Template<'_> {
    /// Appends value `i`.
    pub fn put(&self, i: usize, out: &mut Vec<u8>) {
        for (literal, width, numbers) in &self.fields {
            out.extend_from_slice(literal);
            put_digits(numbers[i], usize::from(*width), out);
        }
        out.extend_from_slice(self.after);
    }
}

fn put_digits(mut number: i64, width: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; DIGITS_MAX];
    let mut from = DIGITS_MAX;
    while number > 0 {
        from -= 1;
        digits[from] = b'0' + (number % 10).to_le_bytes()[0];
        number /= 10;
    }
    out.extend_from_slice(&digits[from.min(DIGITS_MAX - width.max(1))..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(values: &[&[u8]]) -> Option<Vec<Vec<u8>>> {
        let values: Values<'_> = values.to_vec();
        let mut out = Vec::new();
        if !put(&values, &mut out).expect("memory") {
            assert!(out.is_empty());
            return None;
        }
        let mut cursor = Cursor::new(&out, 0);
        let template = get(&mut cursor, values.len()).expect("a template");
        assert!(cursor.end().is_ok());
        Some(
            (0..values.len())
                .map(|i| {
                    let mut value = Vec::new();
                    template.put(i, &mut value);
                    value
                })
                .collect(),
        )
    }

    #[test]
    fn templates_are_found_where_there_is_one() {
        let found: [&[&[u8]]; 6] = [
            &[b"u12345678-42", b"u7-0"],
            &[b"2026-11-21", b"2026-01-02"],
            &[b"0", b"5", b"10"],
            &[b"n999999999999999999", b"n0"],
            &[b"0007", b"0123"],
            &[b"\xff1\0", b"\xff22\0"],
        ];
        for values in found {
            let read = there_and_back(values).expect("a template");
            assert!(read.iter().zip(values).all(|(a, b)| a == b), "{values:?}");
        }
    }

    #[test]
    fn what_would_be_written_otherwise_has_none() {
        let none: [&[&[u8]]; 6] = [
            &[b"", b""],
            &[b"abc"],
            &[b"07", b"7"],
            &[b"a1", b"b1"],
            &[b"a1", b"a1x"],
            &[b"1234567890123456789"],
        ];
        for values in none {
            assert_eq!(there_and_back(values), None, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn any_numbers_are_read_back(
            numbers in proptest::collection::vec((0_u64..10_000_000_000, any::<u16>()), 1..300)
        ) {
            let texts: Vec<String> = numbers.iter().map(|(a, b)| format!("{a}:{b:05}.")).collect();
            let values: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
            let read = there_and_back(&values).expect("a template");
            prop_assert!(read.iter().zip(&values).all(|(a, b)| a == b));
        }
    }
}
