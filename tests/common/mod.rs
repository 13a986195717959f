//! What the integration tests share: replicas with the real cr-sqlite, merging, and the binary.
//!
//! It owns no test and knows nothing of dotfill's insides: everything goes through the command
//! line and through the database file.

mod command;
mod corrosion;
mod eventually;
mod extension;
pub mod kill;
mod merge;
mod plain;
mod records;
mod replica;
mod shell;

pub use command::{Output, Running, dotfill, follow, migration_file, start};
pub use corrosion::{ACTOR, catch_up, corrosion_tables, miss, receive_part};
pub use eventually::eventually;
pub use extension::extension;
pub use merge::{apply, merge, merge_both_ways, try_apply};
pub use plain::{PlainDb, plain_db};
pub use records::{ChangeRecord, Records, versions};
pub use replica::{Client, Replica};
pub use shell::sqlite_shell;
