//! One stored value, exactly as `SQLite` stores it: text that is no UTF-8 survives.

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef};

/// A value with its storage class.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum {
    /// NULL.
    Null,
    /// INTEGER.
    Integer(i64),
    /// REAL.
    Real(f64),
    /// TEXT, as bytes in the database's encoding as UTF-8.
    Text(Vec<u8>),
    /// BLOB.
    Blob(Vec<u8>),
}

/// Appends the encoding of `value` that DESIGN's dots use: a tag byte (0 NULL, 1 INTEGER, 2 REAL,
/// 3 TEXT, 4 BLOB), then i64 LE, f64 bits LE, or u64 LE length and the bytes.
pub fn encode(value: ValueRef<'_>, out: &mut Vec<u8>) {
    match value {
        ValueRef::Null => out.push(0),
        ValueRef::Integer(i) => {
            out.push(1);
            out.extend_from_slice(&i.to_le_bytes());
        }
        ValueRef::Real(r) => {
            out.push(2);
            out.extend_from_slice(&r.to_bits().to_le_bytes());
        }
        ValueRef::Text(bytes) => encode_bytes(3, bytes, out),
        ValueRef::Blob(bytes) => encode_bytes(4, bytes, out),
    }
}

fn encode_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

impl Datum {
    /// Borrows the value.
    #[must_use]
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Integer(i) => ValueRef::Integer(*i),
            Self::Real(r) => ValueRef::Real(*r),
            Self::Text(bytes) => ValueRef::Text(bytes),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }
    }

    /// Reads back one value of [`encode`], and what follows it; `None` where the bytes are none.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (tag, rest) = bytes.split_first()?;
        if *tag == 0 {
            return Some((Self::Null, rest));
        }
        let (word, rest) = rest.split_first_chunk::<8>()?;
        match tag {
            1 => Some((Self::Integer(i64::from_le_bytes(*word)), rest)),
            2 => Some((Self::Real(f64::from_bits(u64::from_le_bytes(*word))), rest)),
            3 | 4 => {
                let length = usize::try_from(u64::from_le_bytes(*word)).ok()?;
                let (bytes, rest) = rest.split_at_checked(length)?;
                let owned = bytes.to_vec();
                Some((if *tag == 3 { Self::Text(owned) } else { Self::Blob(owned) }, rest))
            }
            _ => None,
        }
    }
}

impl From<ValueRef<'_>> for Datum {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(i) => Self::Integer(i),
            ValueRef::Real(r) => Self::Real(r),
            ValueRef::Text(bytes) => Self::Text(bytes.to_vec()),
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_vec()),
        }
    }
}

impl FromSql for Datum {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(value.into())
    }
}

impl ToSql for Datum {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.as_ref()))
    }
}

/// As an SQL literal, which is what people type to look the row up.
impl std::fmt::Display for Datum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Integer(i) => write!(f, "{i}"),
            Self::Real(r) => write!(f, "{r:?}"),
            Self::Text(bytes) => f.write_str(&super::quote::text(&String::from_utf8_lossy(bytes))),
            Self::Blob(bytes) => {
                f.write_str("x'")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("'")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_datum() -> impl Strategy<Value = Datum> {
        prop_oneof![
            Just(Datum::Null),
            any::<i64>().prop_map(Datum::Integer),
            (-1e300..1e300).prop_map(Datum::Real),
            any::<Vec<u8>>().prop_map(Datum::Text),
            any::<Vec<u8>>().prop_map(Datum::Blob),
        ]
    }

    proptest! {
        #[test]
        fn every_value_is_read_back(values in proptest::collection::vec(any_datum(), 0..5)) {
            let mut bytes = Vec::new();
            for value in &values {
                encode(value.as_ref(), &mut bytes);
            }
            let mut rest = bytes.as_slice();
            for value in &values {
                let (read, after) = Datum::decode(rest).expect("what was encoded");
                prop_assert_eq!(&read, value);
                rest = after;
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            let _ = Datum::decode(&bytes);
        }
    }
}
