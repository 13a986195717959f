//! Opening database files, quoting names, describing tables, judging expressions, and looking at
//! locks. Owns no policy: who may write, when, and how much is decided elsewhere.

mod begin;
mod beside;
mod datum;
mod datum_json;
mod error;
pub mod expr;
mod held;
mod immutable;
pub mod index;
mod layout_of;
pub mod locks;
mod memory;
mod open;
pub mod quote;
mod sql_tokens;
mod table;

pub use begin::{begin, begin_unless};
pub use beside::beside;
pub use datum::{Datum, encode};
pub use datum_json::{from_json, to_json};
pub use error::{DbError, Doing, is_busy, is_row_error};
pub use layout_of::{Environment, environment};
pub use memory::without_memory_statistics;
pub use open::{Access, is_database, open};
pub use table::{Affinity, Column, KeyColumn, KeyKind, ScanKey, ScanTerm, Table};
