//! One operation: its fields, the JSON that it is written as, and what makes two of them the same.
//! Reading a line is in `parse`, judging what it says in `decide`.

use std::collections::BTreeSet;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::db::{Datum, to_json};

/// What an operation changes: a row of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The table, unquoted.
    pub table: String,
    /// The values of its key columns, in the order of the key.
    pub key: Vec<Datum>,
}

impl Object {
    /// `{"table": .., "key": [..]}`, values as [`to_json`] writes them.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let key: Vec<Value> = self.key.iter().map(to_json).collect();
        json!({"table": self.table, "key": key})
    }
}

/// `projects 'P7'`, for people.
impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key: Vec<String> = self.key.iter().map(ToString::to_string).collect();
        write!(f, "{} {}", self.table, key.join(", "))
    }
}

/// What has to be here before an operation may be decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// True where the object's row has to exist.
    pub object: bool,
    /// Operations, by id, that have to be admitted first.
    pub operations: BTreeSet<String>,
}

/// One operation, as its writer made it.
///
/// [`Operation::parse`] reads one; a caller that makes one itself keeps to the same bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Its name; one operation has one name, everywhere.
    pub op_id: String,
    /// What it changes.
    pub object: Object,
    /// What it does, such as `tags.add`.
    pub kind: String,
    /// The version of the kind that its writer knew, from 1.
    pub schema_version: u32,
    /// The epoch that its writer knew to be open for the object.
    pub epoch: Option<String>,
    /// What it does, in detail.
    pub effect: Map<String, Value>,
    /// What has to be here first.
    pub needs: Needs,
    /// Fields that whoever does not know them may leave out.
    pub optional: BTreeSet<String>,
    /// Fields that whoever does not know them must not leave out.
    pub semantic: BTreeSet<String>,
    /// Keys beside `effect` that this version does not know.
    pub extra: Map<String, Value>,
}

impl Operation {
    /// The JSON that [`Operation::parse`] reads back. Members that say nothing are left out.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut out = self.extra.clone();
        let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
        put("op_id", json!(self.op_id));
        put("object", self.object.to_json());
        put("kind", json!(self.kind));
        put("schema_version", json!(self.schema_version));
        put("effect", Value::Object(self.effect.clone()));
        if let Some(epoch) = &self.epoch {
            put("epoch", json!(epoch));
        }
        if self.needs != Needs::default() {
            put("needs", json!({"object": self.needs.object, "operations": self.needs.operations}));
        }
        for (key, names) in [("optional", &self.optional), ("semantic", &self.semantic)] {
            if !names.is_empty() {
                put(key, json!(names));
            }
        }
        Value::Object(out)
    }

    /// How many bytes it and its decision may have in memory and on disk: its JSON, and an add for
    /// each item of its effect.
    #[must_use]
    pub fn weight(&self) -> usize {
        const ADD_BYTES: usize = 512;
        let items: usize = self.effect.values().filter_map(Value::as_array).map(Vec::len).sum();
        let each = self.object.to_json().to_string().len() + ADD_BYTES;
        self.to_json().to_string().len().saturating_add(items.saturating_mul(each))
    }

    /// Tells operations apart that share a name: BLAKE3 of the JSON with sorted keys, 16 bytes.
    /// White space, the order of keys and members that say nothing make no difference.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 16] {
        let hash = blake3::hash(self.to_json().to_string().as_bytes());
        let mut out = [0; 16];
        out.copy_from_slice(&hash.as_bytes()[..16]);
        out
    }
}

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}
