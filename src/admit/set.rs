//! The operations of a set: what they hold, checked, and the translation from old to new.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::ValueRef;
use serde_json::{Map, Value, json};

use super::operation::{Needs, Object, Operation};
use super::registry::{Elements, NEW_VERSION, OLD_VERSION, SetEntry};
use crate::db::{Affinity, Datum, to_json};
use crate::migration::SetFormat;
use crate::transform::dot::{Dot, DotDeriver};
use crate::transform::or_set::{self, Flaw};

/// What an operation of a set says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// Old form: these elements are in the set. An add-only set cannot say more.
    OldAdds(Vec<Datum>),
    /// New form: an element with a dot, or dots that are removed.
    New,
}

/// The fields of `verb` at `version`; `None` where there is no such kind.
pub(super) fn fields(verb: &str, version: u32) -> Option<&'static [&'static str]> {
    match (verb, version) {
        ("add", OLD_VERSION) => Some(&["element"]),
        ("set", OLD_VERSION) => Some(&["elements"]),
        ("add", NEW_VERSION) => Some(&["dot", "element"]),
        ("remove", NEW_VERSION) => Some(&["dots"]),
        _ => None,
    }
}

/// Checks the values of an operation whose fields are all there; the error says what is wrong.
pub(super) fn content(set: &SetEntry, operation: &Operation) -> Result<Content, String> {
    let field = |name: &str| operation.effect.get(name).unwrap_or(&Value::Null);
    if operation.effect.contains_key("dots") {
        dots(field("dots"))?;
        return Ok(Content::New);
    }
    if operation.effect.contains_key("elements") {
        let Value::Array(items) = field("elements") else {
            return Err("\"elements\" is not an array".to_owned());
        };
        let elements: Result<Vec<Datum>, String> =
            items.iter().map(|item| element(set.elements, item)).collect();
        return elements.map(Content::OldAdds);
    }
    let element = element(set.elements, field("element"))?;
    if operation.schema_version == OLD_VERSION {
        return Ok(Content::OldAdds(vec![element]));
    }
    match field("dot").as_str().and_then(Dot::from_hex) {
        Some(_) => Ok(Content::New),
        None => Err("\"dot\" is not 32 hexadecimal digits".to_owned()),
    }
}

fn dots(value: &Value) -> Result<(), String> {
    let items = value.as_array().filter(|items| !items.is_empty());
    let all = items.is_some_and(|items| {
        items.iter().all(|item| item.as_str().and_then(Dot::from_hex).is_some())
    });
    if all { Ok(()) } else { Err("\"dots\" is not an array of dots, at least one".to_owned()) }
}

/// An element as the old form holds it, by the same rules as the sources of the migration.
fn element(elements: Elements, value: &Value) -> Result<Datum, String> {
    let refuse = |why: &str| Err(format!("{} is no element: {why}", shown(value)));
    let datum = match (elements, value) {
        (_, Value::Null) => return refuse(Flaw::Null.reason()),
        (_, Value::Bool(_)) => return refuse(Flaw::Boolean.reason()),
        (_, Value::Array(_) | Value::Object(_)) => return refuse(Flaw::Nested.reason()),
        (Elements::Format(SetFormat::Csv), Value::String(text)) => separated(text, ','),
        (Elements::Format(SetFormat::Lines), Value::String(text)) => separated(text, '\n'),
        (Elements::Format(format @ (SetFormat::Csv | SetFormat::Lines)), Value::Number(_)) => {
            return refuse(&format!("a set in the format {format} holds texts"));
        }
        (Elements::Column(affinity), value) => match stored(affinity, plain(value)) {
            Ok(datum) => Some(datum),
            Err(why) => return refuse(&why),
        },
        (Elements::Format(SetFormat::Json), value) => Some(plain(value)),
    };
    let Some(datum) = datum else {
        return refuse("it is empty or holds the separator");
    };
    let found = or_set::Elements::of_values([datum.as_ref()]);
    match (found.sound.first(), found.flaws.first()) {
        (Some(element), None) => Ok(element.to_datum()),
        (_, flaw) => refuse(flaw.map_or("SQLite cannot store it", |flaw| flaw.reason())),
    }
}

/// A text or number; a number that is no INTEGER is a REAL.
fn plain(value: &Value) -> Datum {
    match value {
        Value::String(text) => Datum::Text(text.clone().into_bytes()),
        value => value
            .as_i64()
            .map_or_else(|| Datum::Real(value.as_f64().unwrap_or(f64::NAN)), Datum::Integer),
    }
}

/// The element of a separated text: trimmed, and what a text with separators can hold.
fn separated(text: &str, separator: char) -> Option<Datum> {
    let text = text.trim_ascii();
    let sound = !text.is_empty() && !text.contains(separator);
    sound.then(|| Datum::Text(text.as_bytes().to_vec()))
}

/// The start of a value, for messages.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    let start: String = text.chars().take(60).collect();
    if start.len() < text.len() { format!("{start}...") } else { start }
}

/// The key as the table stores it, of which dots are made.
pub(super) fn stored_key(set: &SetEntry, object: &Object) -> Result<Vec<Datum>, String> {
    let (want, got) = (set.key.len(), object.key.len());
    if want != got {
        return Err(format!("the key of {} has {want} columns, this one has {got}", set.table));
    }
    let columns = set.key.iter().zip(&object.key);
    columns
        .map(|(affinity, value)| {
            stored(*affinity, value.clone()).map_err(|why| format!("key value {value}: {why}"))
        })
        .collect()
}

/// What a column of that affinity stores for `value`. A value that `SQLite` would convert between
/// text and number is refused instead: its writer does not know what it names.
fn stored(affinity: Affinity, value: Datum) -> Result<Datum, String> {
    match (affinity, value) {
        (Affinity::Text, Datum::Integer(_) | Datum::Real(_)) => {
            Err("the column stores texts, this is a number".to_owned())
        }
        (Affinity::Integer | Affinity::Numeric | Affinity::Real, Datum::Text(text))
            if is_number(&text) =>
        {
            Err("the column stores numbers, this is a text that looks like one".to_owned())
        }
        (Affinity::Integer | Affinity::Numeric, Datum::Real(real)) => Ok(whole(real)),
        #[expect(clippy::cast_precision_loss, reason = "what SQLite stores in such a column")]
        (Affinity::Real, Datum::Integer(integer)) => Ok(Datum::Real(integer as f64)),
        (_, value) => Ok(value),
    }
}

/// True where `SQLite` might read a number; rather too often than too rarely.
fn is_number(text: &[u8]) -> bool {
    let text = std::str::from_utf8(text).unwrap_or_default();
    text.trim_ascii().parse::<f64>().is_ok_and(f64::is_finite)
}

/// An integer where nothing is lost by that.
#[expect(clippy::cast_possible_truncation, reason = "within 2^53 in magnitude, and whole")]
fn whole(real: f64) -> Datum {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if real.fract() == 0.0 && real.abs() <= EXACT {
        Datum::Integer(real as i64)
    } else {
        Datum::Real(real)
    }
}

/// Where the dots of a translation come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum DotsFrom {
    /// The fact itself: the same dot every time, wherever it is translated.
    Migration,
    /// The fact and the operation: the migration dot was given up for good.
    Operation,
}

/// The adds that stand for an operation of the old form: one for each element.
pub(super) fn translate(
    set: &SetEntry,
    op_id: &str,
    key: &[Datum],
    elements: &[Datum],
    from: DotsFrom,
) -> Vec<Operation> {
    let mut deriver = DotDeriver::new(&set.migration, &set.table, &set.source);
    let values: Vec<ValueRef<'_>> = key.iter().map(Datum::as_ref).collect();
    let object = Object { table: set.table.clone(), key: key.to_vec() };
    let mut seen = BTreeSet::new();
    let mut adds = Vec::with_capacity(elements.len());
    for element in elements {
        let dot = match from {
            DotsFrom::Migration => deriver.dot(&values, element.as_ref()),
            DotsFrom::Operation => {
                let cause = ValueRef::Text(op_id.as_bytes());
                deriver.fresh_dot(&values, element.as_ref(), cause)
            }
        };
        // An element that is named twice is in the set once.
        if seen.insert(dot) {
            adds.push(add(set, &object, element, dot));
        }
    }
    adds
}

/// The add of one element; named by its dot, so that the same fact is the same operation.
fn add(set: &SetEntry, object: &Object, element: &Datum, dot: Dot) -> Operation {
    let effect: BTreeMap<String, Value> = BTreeMap::from([
        ("element".to_owned(), to_json(element)),
        ("dot".to_owned(), json!(dot.to_string())),
    ]);
    Operation {
        op_id: format!("dot-{dot}"),
        object: object.clone(),
        kind: format!("{}.add", set.source),
        schema_version: NEW_VERSION,
        epoch: set.epoch.clone(),
        effect: effect.into_iter().collect(),
        needs: Needs::default(),
        optional: BTreeSet::new(),
        semantic: BTreeSet::new(),
        extra: Map::new(),
    }
}
