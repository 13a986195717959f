//! JSON from strangers: bounded in depth, members and items, and without a key given twice, of
//! which other readers would silently keep one.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How deep objects and arrays may be nested.
pub(super) const DEPTH_MAX: usize = 16;
/// How many members the objects of one line may have, and how many items its arrays, in all.
pub(super) const PARTS_MAX: usize = 4096;

/// Reads exactly one value; the error names what is wrong and where.
pub(super) fn read(text: &[u8]) -> Result<Value, String> {
    let parts = Cell::new(0);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Bounded { depth: 0, parts: &parts }.deserialize(&mut reader);
    let value = value.and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| error.to_string())
}

#[derive(Clone, Copy)]
struct Bounded<'a> {
    depth: usize,
    parts: &'a Cell<usize>,
}

impl Bounded<'_> {
    fn inside<E: Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom(format!("nested more than {DEPTH_MAX} deep")));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn count<E: Error>(self) -> Result<(), E> {
        self.parts.set(self.parts.get() + 1);
        if self.parts.get() > PARTS_MAX {
            return Err(E::custom(format!("more than {PARTS_MAX} members and items")));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("no finite number"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut out = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            self.count()?;
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut out = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            self.count()?;
            if out.contains_key(&key) {
                return Err(A::Error::custom(format!("key {key:?} is given twice")));
            }
            out.insert(key, members.next_value_seed(inside)?);
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_would_be_read_in_two_ways_is_refused() {
        for (text, problem) in [
            (r#"{"a":1,"a":2}"#, "\"a\" is given twice"),
            (r#"[{"a":{"b":1,"\u0062":2}}]"#, "\"b\" is given twice"),
            ("{} {}", "trailing"),
            ("[1e999]", "out of range"),
            ("", "EOF"),
            ("{'a':1}", "column 2"),
            ("nan", "expected"),
        ] {
            let error = read(text.as_bytes()).expect_err(text);
            assert!(error.contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn depth_and_parts_are_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        read(nested(DEPTH_MAX).as_bytes()).expect("as deep as allowed");
        let error = read(nested(DEPTH_MAX + 1).as_bytes()).expect_err("too deep");
        assert!(error.contains("nested more than 16"), "{error}");
        read(nested(1_000_000).as_bytes()).expect_err("no overflow of the stack");
        let many = |n: usize| format!("[{}]", vec!["1"; n].join(","));
        read(many(PARTS_MAX).as_bytes()).expect("as many as allowed");
        let error = read(many(PARTS_MAX + 1).as_bytes()).expect_err("too many");
        assert!(error.contains("more than 4096"), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_serde_json_reads(text in r#"[\[\]{}:,"a1e.\- ]{0,30}"#) {
            if let Ok(value) = read(text.as_bytes()) {
                prop_assert_eq!(Some(value), serde_json::from_str(&text).ok());
            }
        }
    }
}
