//! The value of an object in a chain that ships a set: its elements as one value, in the one order
//! that there is. Pure; knows nothing of blocks.
//!
//! # Definitions
//! A *set value* is a blob: its elements one after the other, each as [`crate::db::encode`] writes a
//! value (a tag byte, then i64 LE, f64 bits LE, or u64 LE length and bytes). The empty set is the
//! empty blob. In a file it is stored in columns ([`super::codec`], `sets`), never as this blob.
//!
//! Elements ascend strictly: INTEGER and REAL by what they are (an INTEGER before an equal REAL, -0.0
//! before 0.0), then TEXT, then BLOB, both by their bytes. NULL and NaN are no elements.
//!
//! # Invariants
//! Equal sets have equal set values, whoever made them. Dots are no part of it.

use std::cmp::Ordering;

use rusqlite::types::ValueRef;

use crate::db::{Datum, encode};

/// 2^63, which is a double.
const BOUND: f64 = 9_223_372_036_854_775_808.0;

/// The set value of these elements, in any order, each once.
#[must_use]
pub fn set_value(mut elements: Vec<Datum>) -> Vec<u8> {
    elements.sort_by(|a, b| order(a.as_ref(), b.as_ref()));
    let mut value = Vec::new();
    for element in &elements {
        encode(element.as_ref(), &mut value);
    }
    value
}

/// The elements of a set value, in order; `None` where the bytes are none.
#[must_use]
pub fn set_elements(value: &[u8]) -> Option<Vec<Datum>> {
    let mut elements = Vec::new();
    each_element(value, |element| elements.push(element.into()))?;
    Some(elements)
}

/// Hands out the elements of a set value in order, as many as there are before what is none; returns
/// how many, or `None` where the bytes are no set value.
pub(super) fn each_element<'v>(
    mut value: &'v [u8],
    mut take: impl FnMut(ValueRef<'v>),
) -> Option<usize> {
    let (mut count, mut last) = (0, None);
    while !value.is_empty() {
        let (element, rest) = first(value)?;
        if !follows(last, element) {
            return None;
        }
        take(element);
        (count, last, value) = (count + 1, Some(element), rest);
    }
    Some(count)
}

/// As [`Datum::decode`], borrowed.
fn first(bytes: &[u8]) -> Option<(ValueRef<'_>, &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (word, rest) = rest.split_first_chunk::<8>()?;
    let bytes = || rest.split_at_checked(usize::try_from(u64::from_le_bytes(*word)).ok()?);
    match tag {
        1 => Some((ValueRef::Integer(i64::from_le_bytes(*word)), rest)),
        2 => Some((ValueRef::Real(f64::from_le_bytes(*word)), rest)),
        3 => bytes().map(|(text, rest)| (ValueRef::Text(text), rest)),
        4 => bytes().map(|(blob, rest)| (ValueRef::Blob(blob), rest)),
        _ => None,
    }
}

/// True where `element` may come after the element `last` of its set, or may be the first.
pub(super) fn follows(last: Option<ValueRef<'_>>, element: ValueRef<'_>) -> bool {
    let is_one = match element {
        ValueRef::Null => false,
        ValueRef::Real(real) => !real.is_nan(),
        ValueRef::Integer(_) | ValueRef::Text(_) | ValueRef::Blob(_) => true,
    };
    is_one && last.is_none_or(|last| order(last, element) == Ordering::Less)
}

/// The order of elements.
fn order(a: ValueRef<'_>, b: ValueRef<'_>) -> Ordering {
    use ValueRef::{Blob, Integer, Real, Text};
    match (a, b) {
        (Integer(a), Integer(b)) => a.cmp(&b),
        (Real(a), Real(b)) => a.total_cmp(&b),
        (Integer(a), Real(b)) => mixed(a, b),
        (Real(a), Integer(b)) => mixed(b, a).reverse(),
        (Text(a), Text(b)) | (Blob(a), Blob(b)) => a.cmp(b),
        _ => rank(a).cmp(&rank(b)),
    }
}

fn rank(value: ValueRef<'_>) -> u8 {
    match value {
        ValueRef::Null => 0,
        ValueRef::Integer(_) | ValueRef::Real(_) => 1,
        ValueRef::Text(_) => 2,
        ValueRef::Blob(_) => 3,
    }
}

/// An integer against a double, exactly; an equal integer comes first.
fn mixed(integer: i64, real: f64) -> Ordering {
    if real >= BOUND {
        return Ordering::Less;
    }
    if real < -BOUND {
        return Ordering::Greater;
    }
    #[expect(clippy::cast_possible_truncation, reason = "in the range of i64")]
    let whole = real.trunc() as i64;
    let fraction = if real.fract() < 0.0 { Ordering::Greater } else { Ordering::Less };
    integer.cmp(&whole).then(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: &str) -> Datum {
        Datum::Text(text.into())
    }

    fn ascending() -> Vec<Datum> {
        vec![
            Datum::Real(f64::NEG_INFINITY),
            Datum::Real(-9.3e18),
            Datum::Integer(i64::MIN),
            Datum::Real(-9_223_372_036_854_775_808.0),
            Datum::Real(-1.5),
            Datum::Integer(-1),
            Datum::Real(-1.0),
            Datum::Real(-0.5),
            Datum::Integer(0),
            Datum::Real(-0.0),
            Datum::Real(0.0),
            Datum::Real(0.5),
            Datum::Integer(1),
            Datum::Real(1.0),
            Datum::Integer((1 << 53) + 1),
            Datum::Integer(i64::MAX),
            Datum::Real(BOUND),
            text(""),
            text("a"),
            text("ab"),
            text("b"),
            Datum::Blob(Vec::new()),
            Datum::Blob(vec![0]),
        ]
    }

    #[test]
    fn elements_of_all_classes_have_one_order() {
        let all = ascending();
        let value = set_value(all.clone());
        assert_eq!(set_elements(&value), Some(all.clone()));
        assert_eq!(set_value(all.iter().rev().cloned().collect()), value);
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate() {
                assert_eq!(order(a.as_ref(), b.as_ref()), i.cmp(&j), "{a} {b}");
            }
        }
    }

    #[test]
    fn what_is_no_set_value_is_not_read() {
        let value = |elements: &[Datum]| {
            let mut bytes = Vec::new();
            for element in elements {
                encode(element.as_ref(), &mut bytes);
            }
            bytes
        };
        let no = [
            value(&[text("b"), text("a")]),
            value(&[text("a"), text("a")]),
            value(&[Datum::Null]),
            value(&[Datum::Real(f64::NAN)]),
            value(&[Datum::Real(1.0), Datum::Integer(1)]),
            vec![3],
            vec![9, 0],
        ];
        for bytes in no {
            assert_eq!(set_elements(&bytes), None, "{bytes:?}");
        }
        assert_eq!(set_elements(&[]), Some(Vec::new()));
    }

    proptest! {
        #[test]
        fn sets_are_read_back(words in proptest::collection::btree_set("[a-c]{0,4}", 0..9)) {
            let elements: Vec<Datum> = words.iter().map(|word| text(word)).collect();
            prop_assert_eq!(set_elements(&set_value(elements.clone())), Some(elements));
        }
    }
}
