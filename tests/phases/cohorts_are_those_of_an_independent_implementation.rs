//! Every vector of `tests/vectors/cohorts.json`, which another implementation wrote: which objects are
//! ahead in a cohort, and the dots of what is stated anew after its migration dot was given up.

use dotfill::transform::cohort::bucket;
use dotfill::transform::dot::DotDeriver;
use rusqlite::types::ValueRef;
use serde_json::Value;

/// A value with its storage class, whose bytes live as long as it does.
struct Tagged {
    kind: String,
    text: String,
    bytes: Vec<u8>,
}

impl Tagged {
    fn new(value: &Value) -> Self {
        let Some(members) = value.as_object() else {
            assert_eq!(value, "null");
            return Self { kind: "null".to_owned(), text: String::new(), bytes: Vec::new() };
        };
        let (kind, text) = members.iter().next().unwrap();
        let text = text.as_str().unwrap().to_owned();
        let digits = matches!(kind.as_str(), "text" | "blob");
        let bytes = if digits { &text[..] } else { "" };
        let bytes = (0..bytes.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&bytes[i..i + 2], 16).unwrap())
            .collect();
        Self { kind: kind.clone(), text, bytes }
    }

    fn borrow(&self) -> ValueRef<'_> {
        match self.kind.as_str() {
            "null" => ValueRef::Null,
            "integer" => ValueRef::Integer(self.text.parse().unwrap()),
            "real" => ValueRef::Real(f64::from_bits(u64::from_str_radix(&self.text, 16).unwrap())),
            "text" => ValueRef::Text(&self.bytes),
            "blob" => ValueRef::Blob(&self.bytes),
            other => panic!("{other}"),
        }
    }
}

fn vectors(of: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../vectors/cohorts.json")).unwrap();
    let vectors = all[of].as_array().unwrap().clone();
    assert!(vectors.len() >= 15, "premise: the file is whole");
    vectors
}

fn key(vector: &Value) -> Vec<Tagged> {
    vector["key"].as_array().unwrap().iter().map(Tagged::new).collect()
}

#[test]
fn every_bucket() {
    for vector in vectors("buckets") {
        let key = key(&vector);
        let key: Vec<_> = key.iter().map(Tagged::borrow).collect();
        let found = bucket(vector["migration"].as_str().unwrap(), &key);
        assert_eq!(u64::from(found), vector["bucket"].as_u64().unwrap(), "{vector}");
    }
}

#[test]
fn every_fresh_dot() {
    for vector in vectors("fresh_dots") {
        let text = |name: &str| vector[name].as_str().unwrap();
        let (key, element) = (key(&vector), Tagged::new(&vector["element"]));
        let key: Vec<_> = key.iter().map(Tagged::borrow).collect();
        let mut deriver = DotDeriver::new(text("migration"), text("table"), text("column"));
        let cause = ValueRef::Text(text("cause").as_bytes());
        let dot = deriver.fresh_dot(&key, element.borrow(), cause);
        assert_eq!(dot.to_string(), text("dot"), "{vector}");
        assert_ne!(dot, deriver.dot(&key, element.borrow()), "the migration dot was given up");
    }
}
