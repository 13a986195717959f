//! Every vector of `tests/vectors/dots.json`, which another implementation wrote.

use dotfill::transform::dot::{Dot, DotDeriver};
use rusqlite::types::Value;
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    name: String,
    migration: String,
    table: String,
    column: String,
    key: Vec<Tagged>,
    element: Tagged,
    dot: String,
}

/// A value with its storage class; text and blobs as hexadecimal digits.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Tagged {
    Null,
    Integer(String),
    /// The bits of the double.
    Real(String),
    Text(String),
    Blob(String),
}

impl Tagged {
    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
    }

    fn value(&self) -> Owned {
        match self {
            Self::Null => Owned::Plain(Value::Null),
            Self::Integer(digits) => Owned::Plain(Value::Integer(digits.parse().unwrap())),
            Self::Real(bits) => {
                Owned::Plain(Value::Real(f64::from_bits(u64::from_str_radix(bits, 16).unwrap())))
            }
            Self::Text(hex) => Owned::Text(Self::bytes(hex)),
            Self::Blob(hex) => Owned::Plain(Value::Blob(Self::bytes(hex))),
        }
    }
}

/// Text may be no UTF-8, which [`Value`] cannot hold.
enum Owned {
    Plain(Value),
    Text(Vec<u8>),
}

impl Owned {
    fn borrow(&self) -> rusqlite::types::ValueRef<'_> {
        match self {
            Self::Plain(value) => value.into(),
            Self::Text(bytes) => rusqlite::types::ValueRef::Text(bytes),
        }
    }
}

fn derived(vector: &Vector) -> Dot {
    let key: Vec<_> = vector.key.iter().map(Tagged::value).collect();
    let key: Vec<_> = key.iter().map(Owned::borrow).collect();
    let element = vector.element.value();
    DotDeriver::new(&vector.migration, &vector.table, &vector.column).dot(&key, element.borrow())
}

#[test]
fn every_vector() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../vectors/dots.json")).unwrap();
    assert!(vectors.len() >= 40, "premise: the file is whole");
    for vector in &vectors {
        assert_eq!(derived(vector).to_string(), vector.dot, "{}", vector.name);
    }
    let dots: std::collections::HashSet<_> = vectors.iter().map(|v| &v.dot).collect();
    assert_eq!(dots.len(), vectors.len(), "two facts have one dot");
}
