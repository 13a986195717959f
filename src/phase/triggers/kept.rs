//! What stays of a closed epoch once the migration is over: the triggers that refuse a local write of
//! the old form. Nobody is left who would look at what arrives by replication, so nothing is noted.
//!
//! # Invariants
//! - On tables of cr-sqlite they need no table of ours. In a plain table only [`MERGING_TABLE`] tells
//!   a merge from a local write: it stays, empty, as long as a trigger names it.
//! - Their names hold the migration's id and the position of the set in its file, and no number of
//!   this database: numbers begin anew once dotfill's tables are gone.

use rusqlite::Connection;

use super::{Closed, EpochTriggers, MERGING_TABLE, create_trigger};
use crate::db::quote::ident;
use crate::db::{DbError, Doing};
use crate::phase::set::EpochSet;

/// What the names of the triggers end in.
const KEPT: [&str; 3] = ["insert", "update", "delete"];

fn prefix(migration: &str, position: usize) -> String {
    format!("_dotfill_kept_{migration}_{position}_")
}

fn kept_names(migration: &str, position: usize) -> impl Iterator<Item = String> {
    let prefix = prefix(migration, position);
    KEPT.into_iter().map(move |what| format!("{prefix}{what}"))
}

/// The statements that create the triggers that stay of a set, and the table that they look at.
#[must_use]
pub fn kept_schema(set: &EpochSet) -> String {
    let table = if set.triggers(Closed::All).is_replicated() {
        String::new()
    } else {
        format!("CREATE TABLE IF NOT EXISTS {MERGING_TABLE} (token INTEGER);\n")
    };
    table + &kept_triggers(set)
}

/// As [`kept_schema`], the triggers alone.
#[must_use]
pub fn kept_triggers(set: &EpochSet) -> String {
    let triggers: EpochTriggers<'_> = set.triggers(Closed::All);
    let local = if triggers.is_replicated() {
        "crsql_internal_sync_bit() = 0".to_owned()
    } else {
        format!("NOT EXISTS (SELECT 1 FROM {MERGING_TABLE})")
    };
    let (prefix, refuse) = (prefix(&set.migration, set.position), triggers.refuse());
    let refusals = triggers.refusals().into_iter().map(|refusal| {
        let name = ident(&format!("{prefix}{}", refusal.what));
        let when: Vec<String> = std::iter::once(local.clone()).chain(refusal.when).collect();
        create_trigger(&name, &refusal.event, refusal.table, &when, &refuse)
    });
    refusals.collect()
}

/// The statements that drop them, whether or not they exist.
#[must_use]
pub fn drop_kept(migration: &str, position: usize) -> String {
    kept_names(migration, position)
        .map(|name| format!("DROP TRIGGER IF EXISTS {};\n", ident(&name)))
        .collect()
}

/// Those that stand here of the set number `position` of a migration, by name.
///
/// # Errors
/// When the schema cannot be read.
pub fn standing(
    conn: &Connection,
    migration: &str,
    position: usize,
) -> Result<Vec<String>, DbError> {
    let what = "look for triggers that have stayed";
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name = ?1 COLLATE NOCASE";
    let mut found = Vec::new();
    let mut statement = conn.prepare_cached(sql).doing(what)?;
    for name in kept_names(migration, position) {
        if statement.exists([&name]).doing(what)? {
            found.push(name);
        }
    }
    Ok(found)
}
