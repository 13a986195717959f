//! Every vector of `tests/vectors/sets.json`, which another implementation wrote.

use dotfill::migration::SetFormat;
use dotfill::transform::dot::DotDeriver;
use dotfill::transform::or_set::Elements;
use rusqlite::types::ValueRef;
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    place: Place,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Place {
    migration: String,
    table: String,
    column: String,
    key: i64,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    format: SetFormat,
    /// The bytes as hexadecimal digits; null for NULL.
    source: Option<String>,
    elements: Vec<Add>,
    flaws: Vec<String>,
}

#[derive(Clone, Deserialize, Debug, PartialEq)]
struct Add {
    element: Tagged,
    dot: String,
}

/// A value with its storage class, as in `dots.json`.
#[derive(Clone, Deserialize, Debug, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Tagged {
    Integer(String),
    Real(String),
    Text(String),
}

fn tagged(value: ValueRef<'_>) -> Tagged {
    match value {
        ValueRef::Integer(i) => Tagged::Integer(i.to_string()),
        ValueRef::Real(r) => Tagged::Real(format!("{:016x}", r.to_bits())),
        ValueRef::Text(bytes) => Tagged::Text(bytes.iter().map(|b| format!("{b:02x}")).collect()),
        other => panic!("{other:?} is no element"),
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn every_vector() {
    let file: File = serde_json::from_str(include_str!("../vectors/sets.json")).unwrap();
    assert!(file.vectors.len() >= 40, "premise: the file is whole");
    let Place { migration, table, column, key } = &file.place;
    let mut dots = DotDeriver::new(migration, table, column);
    for vector in &file.vectors {
        let source = vector.source.as_deref().map(bytes);
        let source = source.as_deref().map_or(ValueRef::Null, ValueRef::Text);
        let found = Elements::of_text(source, vector.format);
        let adds: Vec<Add> = found
            .sound
            .iter()
            .map(|element| {
                let dot = dots.dot(&[ValueRef::Integer(*key)], element.as_ref()).to_string();
                Add { element: tagged(element.as_ref()), dot }
            })
            .collect();
        let mut flaws: Vec<String> = found.flaws.iter().map(ToString::to_string).collect();
        flaws.sort();
        assert_eq!(
            (adds, flaws),
            (vector.elements.clone(), vector.flaws.clone()),
            "{}",
            vector.name
        );
    }
}
