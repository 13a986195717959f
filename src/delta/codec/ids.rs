//! Identifiers of 128 bits in one of their usual forms, as numbers: ULID and UUID texts, and blobs
//! of 16 bytes. Owns the forms; the numbers are those of [`super::numbers`].
//!
//! # Definitions
//! `ids(v)`: one byte, the form, which all values have, then `numbers` of bits 127-80 of each (the
//! time of a ULID and of a UUID of version 7), `numbers` of bits 79-64, and `numbers` of bits 63-0.
//!
//! | form | a value |
//! |---|---|
//! | 0 | ULID, 26 characters of Crockford's base 32, upper case; the first is at most `7` |
//! | 1 | the same in lower case |
//! | 2 | UUID, 32 hexadecimal digits in lower case as 8-4-4-4-12 |
//! | 3 | the same in upper case |
//! | 4 | 32 hexadecimal digits in lower case |
//! | 5 | the same in upper case |
//! | 6 | 16 bytes, big-endian |

use std::ops::Range;

use super::{Values, numbers};
use crate::delta::cursor::Cursor;
use crate::delta::error::{Bad, DeltaError};

const ULID: [&[u8; 32]; 2] =
    [b"0123456789ABCDEFGHJKMNPQRSTVWXYZ", b"0123456789abcdefghjkmnpqrstvwxyz"];
const HEX: [&[u8; 16]; 2] = [b"0123456789abcdef", b"0123456789ABCDEF"];

/// No digit.
const NONE: u8 = 0xff;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Ulid(usize),
    Uuid(usize),
    Simple(usize),
    Bytes,
}

const FORMS: [Form; 7] = [
    Form::Ulid(0),
    Form::Ulid(1),
    Form::Uuid(0),
    Form::Uuid(1),
    Form::Simple(0),
    Form::Simple(1),
    Form::Bytes,
];

/// Appends `ids(values)` and returns true where all values have one form; else appends nothing.
pub(super) fn put(values: &Values<'_>, out: &mut Vec<u8>) -> Result<bool, DeltaError> {
    let Some((code, ids)) =
        (0_u8..).zip(FORMS).find_map(|(code, form)| Some((code, parse_all(form, values)?)))
    else {
        return Ok(false);
    };
    out.push(code);
    let mut part: Vec<i64> = Vec::with_capacity(ids.len());
    for (shift, mask) in PARTS {
        part.clear();
        part.extend(ids.iter().map(|id| low(id >> shift & mask)));
        numbers::put(&part, out)?;
    }
    Ok(true)
}

/// Where the three parts of an identifier stand.
const PARTS: [(u32, u128); 3] = [(80, (1 << 48) - 1), (64, 0xffff), (0, u64::MAX as u128)];

#[expect(clippy::cast_possible_truncation, reason = "parts have at most 64 bits")]
fn low(part: u128) -> i64 {
    (part as u64).cast_signed()
}

fn parse_all(form: Form, values: &Values<'_>) -> Option<Vec<u128>> {
    let parser = Parser::new(form);
    // Most values have no such form, and show it at once.
    parser.parse(values.first()?)?;
    values.iter().map(|value| parser.parse(value)).collect()
}

struct Parser {
    form: Form,
    digits: [u8; 256],
}

impl Parser {
    fn new(form: Form) -> Self {
        let alphabet: &[u8] = match form {
            Form::Ulid(case) => ULID[case],
            Form::Uuid(case) | Form::Simple(case) => HEX[case],
            Form::Bytes => &[],
        };
        let mut digits = [NONE; 256];
        (0_u8..).zip(alphabet).for_each(|(value, digit)| digits[usize::from(*digit)] = value);
        Self { form, digits }
    }

    fn parse(&self, value: &[u8]) -> Option<u128> {
        match self.form {
            Form::Ulid(_) => {
                let fits = value.len() == 26 && value[0] <= b'7';
                fits.then(|| self.number(value, 5)).flatten()
            }
            Form::Uuid(_) => {
                let hyphens = value.len() == 36 && HYPHENS.iter().all(|i| value[*i] == b'-');
                let mut plain = [0; 32];
                for (to, from) in GROUPS {
                    plain[to].copy_from_slice(value.get(from)?);
                }
                hyphens.then(|| self.number(&plain, 4)).flatten()
            }
            Form::Simple(_) => (value.len() == 32).then(|| self.number(value, 4)).flatten(),
            Form::Bytes => value.try_into().ok().map(u128::from_be_bytes),
        }
    }

    fn number(&self, digits: &[u8], bits: u32) -> Option<u128> {
        let mut number = 0;
        let mut worst = 0;
        for digit in digits {
            let value = self.digits[usize::from(*digit)];
            worst |= value;
            number = number << bits | u128::from(value);
        }
        (worst < NONE).then_some(number)
    }
}

/// Where the digits of a UUID stand among its 32 digits, and in its text.
const GROUPS: [(Range<usize>, Range<usize>); 5] =
    [(0..8, 0..8), (8..12, 9..13), (12..16, 14..18), (16..20, 19..23), (20..32, 24..36)];

/// Where its hyphens stand.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// `ids`, read; each is written by [`Ids::put`].
pub(super) struct Ids {
    form: Form,
    parts: [Vec<i64>; 3],
}

/// Reads `ids` of `n` values.
pub(super) fn get(cursor: &mut Cursor<'_>, n: usize) -> Result<Ids, Bad> {
    let start = cursor.clone();
    let code = cursor.u8()?;
    let form = FORMS.get(usize::from(code)).copied();
    let form = form.ok_or_else(|| start.unknown(format!("the form {code} of identifiers")))?;
    let mut parts = [Vec::new(), Vec::new(), Vec::new()];
    for (part, (_, mask)) in parts.iter_mut().zip(PARTS) {
        let start = cursor.clone();
        *part = numbers::get(cursor, n)?;
        if part.iter().any(|value| u128::from(value.cast_unsigned()) > mask) {
            return Err(start.bad("a part of an identifier has too many bits"));
        }
    }
    Ok(Ids { form, parts })
}

impl Ids {
    /// Bytes of each value.
    pub fn length(&self) -> usize {
        match self.form {
            Form::Ulid(_) => 26,
            Form::Uuid(_) => 36,
            Form::Simple(_) => 32,
            Form::Bytes => 16,
        }
    }

    /// Appends value `i`.
    pub fn put(&self, i: usize, out: &mut Vec<u8>) {
        let parts = self.parts.iter().zip(PARTS);
        let id = parts
            .fold(0, |id, (part, (shift, _))| id | u128::from(part[i].cast_unsigned()) << shift);
        match self.form {
            Form::Ulid(case) => out.extend(digits::<26>(id, 5, ULID[case])),
            Form::Simple(case) => out.extend(digits::<32>(id, 4, HEX[case])),
            Form::Uuid(case) => {
                let plain = digits::<32>(id, 4, HEX[case]);
                let mut text = [b'-'; 36];
                for (from, to) in GROUPS {
                    text[to].copy_from_slice(&plain[from]);
                }
                out.extend(text);
            }
            Form::Bytes => out.extend(id.to_be_bytes()),
        }
    }
}

fn digits<const N: usize>(mut id: u128, bits: u32, alphabet: &[u8]) -> [u8; N] {
    let mut text = [0; N];
    for digit in text.iter_mut().rev() {
        let value = id.to_le_bytes()[0] & ((1 << bits) - 1);
        *digit = alphabet[usize::from(value)];
        id >>= bits;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_form_is_read_back(ids in proptest::collection::vec(any::<u128>(), 1..40)) {
            for (code, form) in (0_u8..).zip(FORMS) {
                let part = |shift, mask| ids.iter().map(|id| low(id >> shift & mask)).collect();
                let parts = PARTS.map(|(shift, mask)| part(shift, mask));
                let made = Ids { form, parts };
                let mut arena = Vec::new();
                (0..ids.len()).for_each(|i| made.put(i, &mut arena));
                let values: Values<'_> = arena.chunks(made.length()).collect();
                let mut out = Vec::new();
                prop_assert!(put(&values, &mut out).expect("memory"));
                // Digits alone have no case.
                prop_assert!(out[0] == code || out[0] + 1 == code, "{} {code}", out[0]);
                let read = get(&mut Cursor::new(&out, 0), values.len()).expect("identifiers");
                let mut again = Vec::new();
                (0..ids.len()).for_each(|i| read.put(i, &mut again));
                prop_assert_eq!(arena, again);
            }
        }
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        let others: [&[u8]; 6] = [
            b"8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            b"01J9ZQ4V7F3N5X8K2M6P0R1S7I",
            b"01J9ZQ4V7F3N5X8K2M6P0R1S7t",
            b"67e55044-10b1-426f-9247-bb680e5fe0cG",
            b"67e55044-10b1-426f-9247-BB680e5fe0c8",
            b"67e55044-10b1-426f-9247bbb680e5fe0c8",
        ];
        for other in others {
            assert!(!put(&vec![other], &mut Vec::new()).expect("memory"), "{other:?}");
        }
    }

    #[test]
    fn a_part_that_is_too_large_is_refused() {
        let mut out = vec![0];
        numbers::put(&[1 << 48], &mut out).expect("memory");
        numbers::put(&[0], &mut out).expect("memory");
        numbers::put(&[0], &mut out).expect("memory");
        assert!(get(&mut Cursor::new(&out, 0), 1).is_err());
    }
}
