//! Which triggers of the application fire when the target column is written, and what they write.
//! `SQLite` itself tells: the authorizer names the trigger behind each access of a statement.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use serde::Serialize;

use crate::db::quote::ident;
use crate::db::{DbError, Doing, Table};

/// A trigger of the application that fires on a write of the target column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UserTrigger {
    /// Its name.
    pub name: String,
    /// The tables that it writes.
    pub writes: Vec<String>,
    /// Those of them that cr-sqlite replicates: firing would write change records.
    pub replicated: Vec<String>,
}

type Writes = BTreeMap<String, BTreeSet<String>>;

/// The triggers that fire when `column` of `table` is updated; of a column that does not exist
/// yet, those that fire whatever column is updated.
///
/// # Errors
/// When the schema cannot be read, or a trigger calls a function that only the application has.
pub fn user_triggers(
    conn: &mut Connection,
    table: &Table,
    column: &str,
) -> Result<Vec<UserTrigger>, DbError> {
    let seen = Arc::new(Mutex::new(Writes::new()));
    let sink = Arc::clone(&seen);
    let what = format!("look at the triggers of {}", table.sql());
    conn.authorizer(Some(move |context: AuthContext<'_>| {
        note(&context, &mut sink.lock());
        Authorization::Allow
    }))
    .doing(&what)?;
    let firing = firing(conn, table, column, &seen);
    conn.authorizer(None::<fn(AuthContext<'_>) -> Authorization>).doing(&what)?;
    let mut triggers = Vec::new();
    for (name, writes) in firing? {
        let mut replicated = Vec::new();
        for table in &writes {
            if is_replicated(conn, table)? {
                replicated.push(table.clone());
            }
        }
        triggers.push(UserTrigger { name, writes: writes.into_iter().collect(), replicated });
    }
    Ok(triggers)
}

fn firing(
    conn: &Connection,
    table: &Table,
    column: &str,
    seen: &Mutex<Writes>,
) -> Result<Writes, DbError> {
    let probe = |column: &str| {
        seen.lock().clear();
        let sql = format!("UPDATE {} SET {1} = {1} WHERE 0", table.sql(), ident(column));
        conn.prepare(&sql).doing(format!("prepare an update of {}", table.sql()))?;
        Ok::<_, DbError>(std::mem::take(&mut *seen.lock()))
    };
    if let Some(existing) = table.column(column) {
        return if existing.generated { Ok(Writes::new()) } else { probe(&existing.name) };
    }
    let mut common: Option<Writes> = None;
    for column in table.columns.iter().filter(|c| !c.generated) {
        let found = probe(&column.name)?;
        common = Some(match common {
            None => found,
            Some(before) => {
                before.into_iter().filter(|(name, _)| found.contains_key(name)).collect()
            }
        });
    }
    Ok(common.unwrap_or_default())
}

fn note(context: &AuthContext<'_>, seen: &mut Writes) {
    let Some(trigger) = context.accessor else {
        return;
    };
    if trigger.starts_with("_dotfill_") || trigger.contains("__crsql_") {
        return;
    }
    let writes = seen.entry(trigger.to_owned()).or_default();
    if let AuthAction::Insert { table_name }
    | AuthAction::Update { table_name, .. }
    | AuthAction::Delete { table_name } = context.action
    {
        writes.insert(table_name.to_owned());
    }
}

fn is_replicated(conn: &Connection, table: &str) -> Result<bool, DbError> {
    conn.query_row(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1",
        [format!("{table}__crsql_clock")],
        |row| row.get::<_, i64>(0),
    )
    .map(|n| n > 0)
    .doing("look for cr-sqlite's tables")
}
