//! Opening database files, quoting names, describing tables, judging expressions, and looking at
//! locks. Owns no policy: who may write, when, and how much is decided elsewhere.

mod begin;
mod datum;
mod error;
pub mod expr;
mod layout_of;
pub mod locks;
mod memory;
mod open;
pub mod quote;
mod table;

pub use begin::begin;
pub use datum::{Datum, encode};
pub use error::{DbError, Doing, is_busy, is_row_error};
pub use layout_of::{Environment, environment};
pub use memory::without_memory_statistics;
pub use open::{Access, open};
pub use table::{Affinity, Column, KeyColumn, KeyKind, ScanKey, ScanTerm, Table};
