//! A stored value as JSON, and back, without losing its storage class: numbers, texts and null are
//! themselves; REALs always have a point or an exponent; `{"blob": HEX}` is a BLOB, `{"text": HEX}`
//! a text that is no UTF-8, `{"real": "inf"}` and `{"real": "-inf"}` what JSON has no number for.

use serde_json::{Value, json};

use super::Datum;

/// The JSON value.
#[must_use]
pub fn to_json(datum: &Datum) -> Value {
    match datum {
        Datum::Null => Value::Null,
        Datum::Integer(i) => json!(i),
        Datum::Real(r) if r.is_finite() => json!(r),
        Datum::Real(r) => json!({ "real": if *r > 0.0 { "inf" } else { "-inf" } }),
        Datum::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => json!(text),
            Err(_) => json!({ "text": hex(bytes) }),
        },
        Datum::Blob(bytes) => json!({ "blob": hex(bytes) }),
    }
}

/// Reads what [`to_json`] wrote; `None` where it is something else.
#[must_use]
pub fn from_json(value: &Value) -> Option<Datum> {
    match value {
        Value::Null => Some(Datum::Null),
        Value::Number(n) => match n.as_i64() {
            Some(i) => Some(Datum::Integer(i)),
            None => n.as_f64().filter(|_| n.is_f64()).map(Datum::Real),
        },
        Value::String(text) => Some(Datum::Text(text.clone().into_bytes())),
        Value::Object(members) => {
            let (kind, text) = members.iter().next().filter(|_| members.len() == 1)?;
            match (kind.as_str(), text.as_str()?) {
                ("blob", digits) => bytes(digits).map(Datum::Blob),
                ("text", digits) => bytes(digits).map(Datum::Text),
                ("real", "inf") => Some(Datum::Real(f64::INFINITY)),
                ("real", "-inf") => Some(Datum::Real(f64::NEG_INFINITY)),
                _ => None,
            }
        }
        Value::Bool(_) | Value::Array(_) => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(datum: &Datum) -> Option<Datum> {
        let text = to_json(datum).to_string();
        from_json(&serde_json::from_str(&text).expect("JSON"))
    }

    #[test]
    fn classes_are_kept() {
        for datum in [
            Datum::Real(1.0),
            Datum::Real(-0.0),
            Datum::Real(1e300),
            Datum::Real(9_007_199_254_740_992.0),
            Datum::Real(f64::INFINITY),
            Datum::Real(f64::NEG_INFINITY),
            Datum::Integer(i64::MIN),
            Datum::Text(vec![0xff, 0]),
            Datum::Blob(Vec::new()),
        ] {
            assert_eq!(there_and_back(&datum), Some(datum.clone()));
        }
    }

    proptest! {
        #[test]
        fn values_are_kept(
            bits in any::<u64>(), i in any::<i64>(), text in any::<String>(), blob in any::<Vec<u8>>(),
        ) {
            let real = f64::from_bits(bits);
            if !real.is_nan() {
                let Some(Datum::Real(back)) = there_and_back(&Datum::Real(real)) else { panic!() };
                prop_assert_eq!(back.to_bits(), bits);
            }
            for datum in [
                Datum::Integer(i),
                Datum::Text(text.into_bytes()),
                Datum::Text(blob.clone()),
                Datum::Blob(blob),
            ] {
                prop_assert_eq!(there_and_back(&datum), Some(datum));
            }
        }
    }
}
