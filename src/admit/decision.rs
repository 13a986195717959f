//! What is decided of an operation, in types and as JSON.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};

use super::operation::{Object, Operation};

/// What is to be done with one operation. Never a part of it: an operation is applied whole,
/// translated whole, or not at all.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Apply it as it is, without the fields in `dropped`.
    Apply {
        /// Which form of the data it is for.
        form: FormOfData,
        /// Fields that are unknown here and that its writer marked optional.
        dropped: BTreeSet<String>,
    },
    /// Apply these instead of it, all of them; none where it adds nothing to the new form.
    Translate {
        /// The new form of the operation.
        operations: Vec<Operation>,
        /// Fields that are unknown here and that its writer marked optional.
        dropped: BTreeSet<String>,
    },
    /// Keep it, whole, until what is missing arrives.
    Buffer {
        /// What it waits for; never empty.
        missing: BTreeSet<Missing>,
    },
    /// Do not apply it.
    Reject(Rejection),
}

/// Which form of the data an operation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FormOfData {
    /// The form before the migration, from which the new one is derived.
    Old,
    /// The form after the migration.
    New,
    /// No migration changes it.
    Only,
}

/// Something that an operation waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// The definition of a kind at a version.
    Schema {
        /// The table.
        table: String,
        /// The kind.
        kind: String,
        /// The version.
        version: u32,
    },
    /// The definition of a field that must not be left out.
    Field {
        /// The kind.
        kind: String,
        /// The version.
        version: u32,
        /// The field.
        field: String,
    },
    /// An epoch that is unknown here, or not open for the object.
    Epoch(String),
    /// A mode in which the new form may be written.
    Mode {
        /// The migration that is to reach it.
        migration: String,
        /// The mode.
        mode: String,
    },
    /// The object's row: its table and key, as JSON text.
    Object(String),
    /// Another operation, by id.
    Operation(String),
    /// An operator's word, by `dotfill quarantine replay`.
    Approval {
        /// The migration by whose rules it is held.
        migration: String,
    },
}

impl Missing {
    /// The row of an object.
    #[must_use]
    pub fn object(object: &Object) -> Self {
        Self::Object(object.to_json().to_string())
    }

    /// The JSON object; also, as text, the key under which waiting operations are found.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Schema { table, kind, version } => {
                json!({"schema": {"table": table, "kind": kind, "schema_version": version}})
            }
            Self::Field { kind, version, field } => {
                json!({"field": {"kind": kind, "schema_version": version, "field": field}})
            }
            Self::Epoch(epoch) => json!({"epoch": epoch}),
            Self::Mode { migration, mode } => {
                json!({"mode": {"migration": migration, "mode": mode}})
            }
            Self::Object(object) => {
                // Text that we wrote ourselves, so that it can be ordered.
                let object: Value = serde_json::from_str(object).unwrap_or_else(|_| json!(object));
                json!({"object": object})
            }
            Self::Operation(op_id) => json!({"operation": op_id}),
            Self::Approval { migration } => {
                json!({"approval": {"migration": migration, "by": "dotfill quarantine replay"}})
            }
        }
    }
}

/// Why an operation is not applied, and what its sender can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// A word for machines.
    pub reason: Reason,
    /// What is wrong, for people.
    pub message: String,
    /// What to do about it, for people.
    pub action: String,
}

/// Why an operation is not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// A write of the old form in an epoch that is closed to them.
    OldWrite,
    /// A value that the kind cannot have.
    Malformed,
    /// A field that is unknown here and not marked.
    UnknownField,
    /// A kind that does not exist at that version.
    UnknownKind,
    /// An epoch that is of something else.
    WrongEpoch,
    /// Another operation has that id.
    OpIdReused,
    /// An operation that it needs was rejected.
    NeededRejected,
    /// The buffer has no room: not decided, to be sent again.
    BufferFull,
    /// An operator gave it up.
    Dropped,
}

impl Reason {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OldWrite => "old-write",
            Self::Malformed => "malformed",
            Self::UnknownField => "unknown-field",
            Self::UnknownKind => "unknown-kind",
            Self::WrongEpoch => "wrong-epoch",
            Self::OpIdReused => "op-id-reused",
            Self::NeededRejected => "needed-rejected",
            Self::BufferFull => "buffer-full",
            Self::Dropped => "dropped",
        }
    }

    /// True where the same operation may be decided otherwise when it is sent again.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::BufferFull)
    }
}

impl Decision {
    /// A rejection.
    #[must_use]
    pub fn reject(reason: Reason, message: impl Into<String>, action: impl Into<String>) -> Self {
        Self::Reject(Rejection { reason, message: message.into(), action: action.into() })
    }

    /// Waiting for one thing.
    #[must_use]
    pub fn wait_for(missing: Missing) -> Self {
        Self::Buffer { missing: BTreeSet::from([missing]) }
    }

    /// `apply`, `translate`, `buffer` or `reject`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Apply { .. } => "apply",
            Self::Translate { .. } => "translate",
            Self::Buffer { .. } => "buffer",
            Self::Reject(_) => "reject",
        }
    }

    /// The JSON object, in the shape that [`crate::admit`] specifies, without line and id.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut out = json!({"decision": self.word()});
        match self {
            Self::Apply { form, dropped } => {
                out["form"] = json!(form);
                put_dropped(&mut out, dropped);
            }
            Self::Translate { operations, dropped } => {
                out["operations"] = json!(operations);
                put_dropped(&mut out, dropped);
            }
            Self::Buffer { missing } => {
                out["missing"] = missing.iter().map(Missing::to_json).collect();
            }
            Self::Reject(Rejection { reason, message, action }) => {
                out["reason"] = json!(reason);
                out["message"] = json!(message);
                out["action"] = json!(action);
                out["retryable"] = json!(reason.is_retryable());
            }
        }
        out
    }
}

fn put_dropped(out: &mut Value, dropped: &BTreeSet<String>) {
    if !dropped.is_empty() {
        out["dropped"] = json!(dropped);
    }
}
