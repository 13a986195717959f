//! The chain of `tests/vectors/deltas.json` uses every codec, and dotfill has not written it.

use dotfill::db::Datum;
use dotfill::delta::{ChainReader, Keys, MemorySource, Rows, set_elements, set_value};
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

fn encoded(key: &[Datum]) -> String {
    let mut bytes = Vec::new();
    for value in key {
        dotfill::db::encode(value.as_ref(), &mut bytes);
    }
    hex(&bytes)
}

#[test]
fn every_block_with_implied_keys_is_as_it_was_meant() {
    let text = include_str!("../vectors/deltas.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let stream = bytes(vectors["implied"]["stream"].as_str().unwrap());
    let reader = ChainReader::open(Box::new(MemorySource::of(stream))).unwrap();
    let read = chain::read(reader).unwrap();
    let blocks = read.iter().map(|(change, rows)| {
        let Keys::Implied(keys) = &rows.keys else { panic!("keys are shipped") };
        let values: Vec<Value> = rows.values.iter().map(|v| tagged(&v.into())).collect();
        json!({
            "change": change, "first": encoded(&keys.first), "last": encoded(&keys.last),
            "digest": hex(&keys.digest), "values": values,
            "absent": keys.absent.iter().map(|run| [run.start, run.end]).collect::<Vec<_>>(),
        })
    });
    let want = vectors["implied"]["blocks"].as_array().unwrap();
    assert_eq!(read.len(), want.len());
    for (got, want) in blocks.zip(want) {
        assert_eq!(&got, want);
    }
}

#[test]
fn every_set_is_as_it_was_meant() {
    let text = include_str!("../vectors/deltas.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let stream = bytes(vectors["sets"]["stream"].as_str().unwrap());
    let reader = ChainReader::open(Box::new(MemorySource::of(stream))).unwrap();
    assert!(reader.header().shapes.iter().all(|shape| shape.sets));
    let read = chain::read(reader).unwrap();
    let rows: Vec<Value> = read
        .iter()
        .flat_map(|(change, rows)| (0..rows.len()).map(move |i| (*change, rows, i)))
        .map(|(change, rows, i)| {
            let key: Vec<Datum> = rows.key(i).map(Into::into).collect();
            let value = rows.value(i).as_blob().unwrap();
            assert_eq!(set_value(set_elements(value).unwrap()), value);
            json!({ "change": change, "key": encoded(&key), "value": hex(value) })
        })
        .collect();
    assert_eq!(&rows, vectors["sets"]["rows"].as_array().unwrap());
}

/// The digest of a range of keys is the one that was computed elsewhere.
#[test]
fn a_key_digest_is_that_of_an_independent_implementation() {
    let text = include_str!("../vectors/deltas.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let mut digest = dotfill::delta::KeyDigest::new();
    (0..20).for_each(|i| digest.push([Datum::Integer(i * 3 - 7).as_ref()]));
    assert_eq!(hex(&digest.finish()), vectors["implied"]["blocks"][0]["digest"].as_str().unwrap());
}
