//! Where values and change records live: in a plain table, or in a table of cr-sqlite.
//!
//! Owns the SQL of every statement that touches a user's table, cr-sqlite's own tables or those of a
//! Corrosion agent. Knows nothing of threads, speed or order.

mod apply;
pub mod corrosion;
pub mod crsqlite;
mod export;
mod fill;
mod index;
mod keys;
mod notes;
pub mod or_set;
#[cfg(test)]
pub(crate) mod plans;
mod reship;
mod target;

pub use apply::{ApplySql, Overwrite};
pub use export::{ExportSql, Verdict, Whose};
pub use fill::{FillSql, Filter};
pub use index::IndexTarget;
pub use keys::{KeyMatch, RangeSql};
pub use notes::{
    NoteKind, note_schema, note_schema_drop, pending_schema, pending_schema_drop, reship_schema,
    reship_schema_drop, source_trigger, trigger_names,
};
pub use reship::ReshipSql;
pub use target::{Delivery, Layout, Target};
