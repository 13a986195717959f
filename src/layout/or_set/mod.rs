//! Where the new form of a set lives: the tables of adds and removes, the view of what is visible,
//! and our own side tables beside them. Owns the SQL; knows nothing of threads, speed or order.
//!
//! # Definitions
//! `adds(key.., element, dot)` holds a fact per row, and nothing else; `removes(dot)` holds the dots
//! of facts that were removed. An element is visible in an object that exists while it has an add
//! whose dot is not in `removes`.
//!
//! An add is *migrated* when its dot is the migration dot of its key and element
//! ([`crate::transform::dot`]): that can be computed from the row alone. It is *clockless* when
//! cr-sqlite has no clock row for it (in a plain table every row is). Clockless migrated adds are
//! ours; every other row is a user's and is never touched.
//!
//! # Invariants
//! While the old form is authoritative, the clockless migrated adds of each object are exactly its
//! elements of the old form, but for those that have a clock row of a deletion, and but for objects
//! that are noted. That is a function of what the replicas share.

mod apply;
mod export;
mod notes;
#[cfg(test)]
pub(crate) mod plans;
mod sql;
mod tables;
mod target;
mod view;
mod visible;

pub use apply::SetApplySql;
pub use export::SetExportSql;
pub use notes::{
    set_note_schema, set_note_schema_drop, set_note_tables, set_note_triggers,
    set_note_triggers_drop, set_trigger_names,
};
pub use sql::SetSql;
pub use tables::{SetTables, adds_schema, check_adds, check_removes, removes_schema};
pub use target::{ClosedObjects, OldForm, SetLayout, SetTarget};
pub use view::{ViewStage, view_schema, view_schema_drop};
pub use visible::{objects_sql, removes_sql};
