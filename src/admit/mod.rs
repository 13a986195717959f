//! Admission of operations, for systems that replicate operations instead of rows: whether one that
//! arrives is applied, translated, buffered or rejected.
//!
//! [`admit`] is the decision, a function of a [`Registry`] and an [`Operation`]. [`Admission`] adds a
//! database that remembers: what was decided, what waits, what was refused. Neither applies anything:
//! that is the caller's.
//!
//! # Operations
//! One JSON object, in UTF-8, on a line of at most 1 MiB, nested at most 16 deep, with at most 4096
//! members and items in all and no key given twice; the number of its items times the
//! length of its object's key is bounded too ([`Operation::weight`], 4 MiB). Names have 1 to 256 bytes.
//! ```json
//! {"op_id": "c7-42", "object": {"table": "projects", "key": ["P7"]}, "kind": "tags.add",
//!  "schema_version": 1, "epoch": null, "effect": {"element": "urgent"}}
//! ```
//! - `op_id`: the operation's name, the same wherever it goes, and of no other operation.
//! - `object`: a row; `key` has the values of its key columns, in the order of the key: texts,
//!   numbers, null, or `{"blob": HEX}`.
//! - `kind`: NAME.VERB. For a set, NAME is the `source` (or `source_table`) of its migration.
//! - `schema_version`: which version of the kind it is; a set has 1 before its migration, 2 after it.
//! - `effect`: an object of at most 64 fields: what is done.
//! - `epoch` (optional): the epoch that its writer knew to be open for the object; absent or null
//!   where it knew none.
//! - `needs` (optional): `{"object": true, "operations": ["c7-41"]}`: what has to be here before. The
//!   object's row; and operations, by id, that have to be admitted.
//! - `optional`, `semantic` (optional): names of fields of `effect`, or of further keys beside it. A
//!   receiver that does not know a field may leave it out where it is `optional`, and must not
//!   decide the operation without it where it is `semantic`. No field has the name of a key beside
//!   `effect`. One that has neither mark is refused.
//!
//! The kinds of a set called `tags`:
//!
//! | kind | version | effect | |
//! |---|---|---|---|
//! | `tags.add` | 1 | `{"element"}` | the element is in the set |
//! | `tags.set` | 1 | `{"elements"}` | these are; an add-only set cannot say that others are not |
//! | `tags.add` | 2 | `{"element", "dot"}` | the element is in the set, by this dot |
//! | `tags.remove` | 2 | `{"dots"}` | what was added by these dots is not, whether it is here or not |
//!
//! A dot is 32 hexadecimal digits. An element is what the old form can hold: a text or a number for
//! JSON, a trimmed text without separator for `csv` and `lines`, what the column stores for a child
//! table.
//!
//! # Decisions
//! - `{"decision": "apply", "form": "old" | "new" | "only"}`: as it is, to that form of the data.
//! - `{"decision": "translate", "operations": [..]}`: these instead of it, all of them: adds of
//!   version 2 with migration dots, so that translating the same fact twice, anywhere, gives the same
//!   add, under the same `op_id` (`dot-` and the dot).
//! - `{"decision": "buffer", "missing": [..]}`: it waits, whole, for `{"schema": ..}`,
//!   `{"field": ..}`, `{"epoch": ..}`, `{"mode": ..}`, `{"object": ..}`, `{"operation": ..}`, or
//!   `{"approval": ..}`: an operator's word, under `old_writes = "quarantine"`. Each has one member.
//! - `{"decision": "reject", "reason", "message", "action", "retryable"}`.
//!
//! `apply` and `translate` have `"dropped": [..]` where optional fields are to be left out.
//!
//! | | old form authoritative, new form not written | and new form written too | new form authoritative |
//! |---|---|---|---|
//! | version 1, no epoch | apply to the old form | apply to the old form | by `old_writes` |
//! | version 1, the set's epoch | buffer: epoch | buffer: epoch | by `old_writes` |
//! | version 2, no epoch | buffer: mode | apply to the new form | apply to the new form |
//! | version 2, the set's epoch | buffer: epoch | apply to the new form | apply to the new form |
//! | version 3 and more | buffer: schema | buffer: schema | buffer: schema |
//! | an epoch unknown here | buffer: epoch | buffer: epoch | buffer: epoch |
//!
//! The columns are the modes up to `read-new-write-old`, `read-new-write-both`, and those from
//! `read-new-write-new` on; an object of the cohort for which the epoch is open is in the last one.
//!
//! # Invariants
//! - No part of an operation is applied without the rest, but for fields that its writer allowed to
//!   be left out.
//! - [`Admission`] decides the same operation the same twice, after a restart and after the registry
//!   has moved on, too. `buffer` ends when what is missing arrives; what an operator replays or drops
//!   is decided anew; a rejection that is `retryable` was not a decision. Nothing else changes.
//! - The newest 1,000,000 operations are remembered ([`AdmitLimits`]), and older ones that wait. Of an
//!   operation that was forgotten nothing is known: it is decided anew where it comes again, which gives
//!   a translation the same dots, and one that `needs` it waits until it does.
//! - What is buffered is decided again oldest first: when a process begins, when others have changed
//!   the database (a mode, a row), and when the operation that it needs is admitted, right after it.
//! - At most 10,000 operations and 64 MiB ([`Operation::weight`]) are buffered; one more is rejected as `buffer-full`,
//!   retryable.

mod admission;
mod bounded_json;
mod decide;
mod decision;
mod desk;
mod error;
mod known;
mod lines;
mod operation;
mod parse;
mod registry;
mod replay;
mod set;
mod store;
#[cfg(test)]
mod tests;

pub use admission::{Admission, AdmitLimits, Admitted};
pub use decide::admit;
pub use decision::{Decision, FormOfData, Missing, Reason, Rejection};
pub use error::AdmitError;
pub use lines::{Line, LineReader};
pub use operation::{Needs, Object, Operation};
pub use parse::{
    FIELDS_MAX, KEY_BYTES_MAX, LINE_BYTES_MAX, NAME_BYTES_MAX, OperationError, WEIGHT_MAX,
};
pub use registry::{
    Elements, NEW_VERSION, OLD_VERSION, PlainEntry, Regime, Registry, RegistryError, SetEntry,
};
pub use replay::Settled;
