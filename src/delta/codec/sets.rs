//! The sets of a block, in columns: how many elements each has, then all elements.
//!
//! # Definitions
//! `sets(c)`, for `n` set values ([`crate::delta::set_value`]): `numbers` of how many elements each
//! has ([`super::numbers`]), then a `column` of all their elements, object by object, each object's
//! in their order.
//!
//! # Invariants
//! What is decoded is what was encoded, and every value of it is a set value. For the budget an
//! element counts twice: once as a value of the column, once as the bytes of its set.

use rusqlite::types::ValueRef;

use super::{Budget, numbers};
use crate::db::encode;
use crate::delta::column::{CELL_BYTES, Class, Column};
use crate::delta::cursor::Cursor;
use crate::delta::error::{Bad, DeltaError};
use crate::delta::set::{each_element, follows};

/// Bytes of an element before its own, in a set value.
const ELEMENT_BYTES: usize = 9;

/// Appends `sets(column)`.
pub(in crate::delta) fn put(column: &Column, out: &mut Vec<u8>) -> Result<(), DeltaError> {
    let mut elements = Column::new();
    let mut counts = Vec::with_capacity(column.len());
    for value in column.iter() {
        counts.push(i64::try_from(take(value, &mut elements)?).unwrap_or(i64::MAX));
    }
    numbers::put(&counts, out)?;
    super::put(&elements, out)
}

fn take(value: ValueRef<'_>, elements: &mut Column) -> Result<usize, DeltaError> {
    let count = match value {
        ValueRef::Blob(value) => each_element(value, |element| elements.push(element)),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) => None,
    };
    count.ok_or_else(|| DeltaError::Shape { problem: "a value that is no set".to_owned() })
}

/// Bytes that a reader has to do with for these set values, besides those of the column.
pub(in crate::delta) fn expanded(column: &Column) -> usize {
    let of = |value: ValueRef<'_>| match value {
        ValueRef::Blob(value) => {
            let mut bytes = 0;
            each_element(value, |element| {
                bytes += CELL_BYTES + size(element);
            });
            bytes
        }
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) => 0,
    };
    column.iter().map(of).fold(0, usize::saturating_add)
}

/// Bytes of a value besides those that each has.
fn size(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 0,
    }
}

/// Reads `sets` of `n` values.
pub(in crate::delta) fn get(
    cursor: &mut Cursor<'_>,
    n: usize,
    budget: &mut Budget,
) -> Result<Column, Bad> {
    budget.charge(n.saturating_mul(CELL_BYTES), cursor)?;
    let start = cursor.clone();
    let counts = numbers::get(cursor, n)?;
    let sum = counts.iter().try_fold(0_usize, |sum, count| {
        sum.checked_add(usize::try_from(*count).ok()?).filter(|sum| isize::try_from(*sum).is_ok())
    });
    let sum = sum.ok_or_else(|| start.bad("sets cannot have so many elements"))?;
    // As values of the column they are charged before anything is allocated for them.
    let elements = super::get(cursor, sum, budget)?;
    let bytes: usize = elements.iter().map(|element| ELEMENT_BYTES + size(element)).sum();
    budget.charge(bytes, &start)?;
    let (mut sets, mut next) = (Column::new(), 0);
    for count in counts {
        let end = next + usize::try_from(count).unwrap_or(0);
        let mut last = None;
        for i in next..end {
            if !follows(last, elements.get(i)) {
                return Err(start.bad("the elements of a set are not in their order"));
            }
            last = Some(elements.get(i));
        }
        sets.push_made(Class::Blob, |out| {
            (next..end).for_each(|i| encode(elements.get(i), out));
        });
        next = end;
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Datum;
    use crate::delta::set::set_value;
    use proptest::prelude::*;

    fn column(sets: &[Vec<Datum>]) -> Column {
        let mut column = Column::new();
        for set in sets {
            column.push(ValueRef::Blob(&set_value(set.clone())));
        }
        column
    }

    fn read(bytes: &[u8], n: usize, limit: usize) -> Result<(Column, usize), Bad> {
        let (mut cursor, mut budget) = (Cursor::new(bytes, 0), Budget::new(limit));
        let column = get(&mut cursor, n, &mut budget)?;
        cursor.end()?;
        Ok((column, limit - budget.left()))
    }

    fn any_set() -> impl Strategy<Value = Vec<Datum>> {
        let texts = proptest::collection::btree_set("[a-d]{0,3}", 0..6);
        let numbers = proptest::collection::btree_set(-3_i64..3, 0..3);
        (texts, numbers).prop_map(|(texts, numbers)| {
            let texts = texts.into_iter().map(|text| Datum::Text(text.into()));
            texts.chain(numbers.into_iter().map(Datum::Integer)).collect()
        })
    }

    proptest! {
        #[test]
        fn sets_are_read_back(sets in proptest::collection::vec(any_set(), 1..40)) {
            let (column, mut bytes) = (column(&sets), Vec::new());
            put(&column, &mut bytes).expect("sets");
            let (read, spent) = read(&bytes, sets.len(), 1 << 20).expect("sets");
            prop_assert_eq!(&read, &column);
            // A writer counts what a reader does.
            prop_assert_eq!(spent, column.byte_size() + expanded(&column));
        }
    }

    /// Found by the property above.
    #[test]
    fn sets_that_begin_alike_are_read_back() {
        let texts = "- aba|- a b baa|- a aaa|caa|- a|- a ad bac bba|- aca ada bb|- bca bd ca|\
            - a aab|- a|- a|-|- a abc cca|- a b cc|- a acb cba|-|- a|- abb|- a c d|\
            - aa bad daa|cab|- aac ab bab|- cd da|- ba|- a b cb|- a ac acc b|bbb dab|-";
        let sets: Vec<Vec<Datum>> = texts
            .split('|')
            .map(|set| {
                set.split(' ').map(|text| Datum::Text(text.replace('-', "").into())).collect()
            })
            .collect();
        let (column, mut bytes) = (column(&sets), Vec::new());
        put(&column, &mut bytes).expect("sets");
        let (read, spent) = read(&bytes, sets.len(), 1 << 20).expect("sets");
        assert_eq!(read, column);
        assert_eq!(spent, column.byte_size() + expanded(&column));
    }

    #[test]
    fn what_is_no_set_is_not_written() {
        for value in [Datum::Null, Datum::Text(Vec::new()), Datum::Blob(vec![7])] {
            let mut column = Column::new();
            column.push(value.as_ref());
            assert!(put(&column, &mut Vec::new()).is_err(), "{value}");
        }
    }

    #[test]
    fn sets_out_of_order_or_beyond_the_budget_are_refused() {
        let mut elements = Column::new();
        elements.push(ValueRef::Text(b"b"));
        elements.push(ValueRef::Text(b"a"));
        let file = |counts: &[i64]| {
            let mut bytes = Vec::new();
            numbers::put(counts, &mut bytes).expect("numbers");
            super::super::put(&elements, &mut bytes).expect("a column");
            bytes
        };
        assert!(read(&file(&[1, 1]), 2, 1 << 20).is_ok());
        assert!(read(&file(&[2]), 1, 1 << 20).is_err(), "descending");
        for counts in [[3, -1], [i64::MAX, i64::MAX], [1 << 40, 1 << 40]] {
            assert!(read(&file(&counts), 2, 1 << 20).is_err(), "{counts:?}");
        }
        assert!(read(&file(&[1, 1]), 2, 86).is_ok());
        assert!(read(&file(&[1, 1]), 2, 85).is_err(), "beyond the budget");
    }
}
