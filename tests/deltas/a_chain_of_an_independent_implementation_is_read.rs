//! The chain of `tests/vectors/deltas.json` uses every codec, and dotfill has not written it.

use dotfill::db::Datum;
use dotfill::delta::{ChainReader, MemorySource, Rows};
use serde_json::{Value, json};

use crate::chain;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tagged(datum: &Datum) -> Value {
    match datum {
        Datum::Null => json!("null"),
        Datum::Integer(i) => json!({ "integer": i.to_string() }),
        Datum::Real(r) => json!({ "real": format!("{:016x}", r.to_bits()) }),
        Datum::Text(bytes) => json!({ "text": hex(bytes) }),
        Datum::Blob(bytes) => json!({ "blob": hex(bytes) }),
    }
}

fn row(change: usize, rows: &Rows, i: usize) -> Value {
    let key: Vec<Value> = rows.key(i).map(|value| tagged(&value.into())).collect();
    json!({ "change": change, "key": key, "value": tagged(&rows.value(i).into()) })
}

#[test]
fn every_row_is_as_it_was_meant() {
    let text = include_str!("../vectors/deltas.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let stream = bytes(vectors["stream"].as_str().unwrap());
    let reader = ChainReader::open(Box::new(MemorySource::of(stream))).unwrap();
    let read = chain::read(reader).unwrap();
    let rows: Vec<Value> = read
        .iter()
        .flat_map(|(change, rows)| (0..rows.len()).map(move |i| row(*change, rows, i)))
        .collect();
    let want = vectors["rows"].as_array().unwrap();
    assert_eq!(rows.len(), want.len());
    for (got, want) in rows.iter().zip(want) {
        assert_eq!(got, want);
    }
}
