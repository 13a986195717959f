//! From one line to an [`Operation`]: its shape and its bounds, nothing of what it means.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::bounded_json;
use super::operation::{Needs, Object, Operation};
use crate::db::from_json;

/// The longest line, in bytes without its line break: 1 MiB.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// The longest name (of an operation, a kind, a table, an epoch, a field), in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// The longest key of an object, in bytes of JSON.
pub const KEY_BYTES_MAX: usize = 4096;
/// The largest [`Operation::weight`]: 4 MiB.
pub const WEIGHT_MAX: usize = 4 << 20;
/// How many operations one may need, how many fields it may mark, how many fields it may have.
pub const FIELDS_MAX: usize = 64;

/// A line that is no operation. Nothing of it was decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no operation: {problem}")]
pub struct OperationError {
    /// What is wrong with it.
    pub problem: String,
}

type Parsed<T> = Result<T, OperationError>;

fn wrong<T>(problem: impl Into<String>) -> Parsed<T> {
    Err(OperationError { problem: problem.into() })
}

impl Operation {
    /// Reads one line of JSON, in the shape that [`crate::admit`] specifies.
    ///
    /// # Errors
    /// [`OperationError`]: the line has another shape, exceeds a bound, or gives a key twice.
    pub fn parse(line: &[u8]) -> Parsed<Self> {
        if line.len() > LINE_BYTES_MAX {
            return wrong(format!("longer than {LINE_BYTES_MAX} bytes"));
        }
        match bounded_json::read(line) {
            Err(problem) => wrong(problem),
            Ok(value) => Self::from_json(value),
        }
    }

    /// As [`Operation::parse`], from a value whose size is bounded already.
    ///
    /// # Errors
    /// As [`Operation::parse`].
    pub fn from_json(value: Value) -> Parsed<Self> {
        let Value::Object(mut members) = value else {
            return wrong("it is not a JSON object");
        };
        let operation = Self {
            op_id: name(&mut members, "op_id")?,
            object: object(&mut members)?,
            kind: name(&mut members, "kind")?,
            schema_version: schema_version(&mut members)?,
            epoch: epoch(&mut members)?,
            effect: effect(&mut members)?,
            needs: needs(&mut members)?,
            optional: names(&mut members, "optional")?,
            semantic: names(&mut members, "semantic")?,
            extra: members,
        };
        check(&operation)?;
        Ok(operation)
    }
}

/// The rules between the members.
fn check(operation: &Operation) -> Parsed<()> {
    for field in [&operation.effect, &operation.extra] {
        if field.len() > FIELDS_MAX {
            return wrong(format!("more than {FIELDS_MAX} fields"));
        }
        if field.keys().any(|key| !is_name(key)) {
            return wrong(format!("a field's name is not 1 to {NAME_BYTES_MAX} bytes"));
        }
    }
    if let Some(twice) = operation.effect.keys().find(|key| operation.extra.contains_key(*key)) {
        return wrong(format!("{twice:?} is given in \"effect\" and beside it"));
    }
    if let Some(both) = operation.optional.intersection(&operation.semantic).next() {
        return wrong(format!("{both:?} is marked both optional and semantic"));
    }
    for mark in operation.optional.iter().chain(&operation.semantic) {
        if !operation.effect.contains_key(mark) && !operation.extra.contains_key(mark) {
            return wrong(format!("{mark:?} is marked, and is no field"));
        }
    }
    if operation.weight() > WEIGHT_MAX {
        return wrong("it has too many items for an object with such a long key; send several");
    }
    if operation.needs.operations.contains(&operation.op_id) {
        return wrong("it needs itself");
    }
    Ok(())
}

fn required(members: &mut Map<String, Value>, key: &str) -> Parsed<Value> {
    match members.remove(key) {
        Some(value) => Ok(value),
        None => wrong(format!("{key:?} is missing")),
    }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.contains('\0')
}

fn checked_name(value: Value, key: &str) -> Parsed<String> {
    match value {
        Value::String(text) if is_name(&text) => Ok(text),
        _ => wrong(format!("{key:?} is not a text of 1 to {NAME_BYTES_MAX} bytes without NUL")),
    }
}

fn name(members: &mut Map<String, Value>, key: &str) -> Parsed<String> {
    checked_name(required(members, key)?, key)
}

fn epoch(members: &mut Map<String, Value>) -> Parsed<Option<String>> {
    match members.remove("epoch") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => checked_name(value, "epoch").map(Some),
    }
}

fn schema_version(members: &mut Map<String, Value>) -> Parsed<u32> {
    let value = required(members, "schema_version")?;
    match value.as_u64().and_then(|version| u32::try_from(version).ok()) {
        Some(version) if version > 0 => Ok(version),
        _ => wrong("\"schema_version\" is not a whole number from 1 to 4294967295"),
    }
}

fn effect(members: &mut Map<String, Value>) -> Parsed<Map<String, Value>> {
    match required(members, "effect")? {
        Value::Object(effect) => Ok(effect),
        _ => wrong("\"effect\" is not a JSON object"),
    }
}

fn object(members: &mut Map<String, Value>) -> Parsed<Object> {
    let Value::Object(mut parts) = required(members, "object")? else {
        return wrong("\"object\" is not {\"table\": .., \"key\": [..]}");
    };
    let table = checked_name(required(&mut parts, "table")?, "table")?;
    let Value::Array(values) = required(&mut parts, "key")? else {
        return wrong("\"key\" is not an array");
    };
    if let Some(unknown) = parts.keys().next() {
        return wrong(format!("\"object\" has an unknown member {unknown:?}"));
    }
    let bytes: usize = values.iter().map(|value| value.to_string().len()).sum();
    if values.is_empty() || bytes > KEY_BYTES_MAX {
        return wrong(format!("\"key\" is empty or longer than {KEY_BYTES_MAX} bytes"));
    }
    match values.iter().map(from_json).collect() {
        Some(key) => Ok(Object { table, key }),
        None => wrong(
            "\"key\" holds something else than texts, numbers that SQLite can store, null and \
             {\"blob\": HEX}",
        ),
    }
}

fn needs(members: &mut Map<String, Value>) -> Parsed<Needs> {
    let mut parts = match members.remove("needs") {
        None => return Ok(Needs::default()),
        Some(Value::Object(parts)) => parts,
        Some(_) => return wrong("\"needs\" is not a JSON object"),
    };
    let object = match parts.remove("object") {
        None => false,
        Some(Value::Bool(object)) => object,
        Some(_) => return wrong("\"needs.object\" is not true or false"),
    };
    let operations = names(&mut parts, "operations")?;
    match parts.keys().next() {
        Some(unknown) => wrong(format!("\"needs\" has an unknown member {unknown:?}")),
        None => Ok(Needs { object, operations }),
    }
}

fn names(members: &mut Map<String, Value>, key: &str) -> Parsed<BTreeSet<String>> {
    let values = match members.remove(key) {
        None => return Ok(BTreeSet::new()),
        Some(Value::Array(values)) if values.len() <= FIELDS_MAX => values,
        Some(_) => return wrong(format!("{key:?} is not an array of at most {FIELDS_MAX} names")),
    };
    let count = values.len();
    let names: BTreeSet<String> =
        values.into_iter().map(|value| checked_name(value, key)).collect::<Parsed<_>>()?;
    if names.len() < count {
        return wrong(format!("{key:?} names something twice"));
    }
    Ok(names)
}
