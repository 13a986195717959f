//! Judging an SQL expression of a migration file before anything is written.
//!
//! `SQLite` itself is the judge: the expression must be acceptable as a generated column of the
//! table, which rules out subqueries, aggregates, window functions, parameters, unknown names and
//! non-deterministic functions. The two things that `SQLite` finds out only when a row is
//! evaluated (`date('now')` and its kin, and the text of a second statement) are checked here.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::Value;
use rusqlite::{Connection, config::DbConfig};

use super::Table;
use super::quote::{ident, list};

/// What is known of an accepted expression.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    /// The columns of the row that it reads, in declared order.
    pub sources: Vec<String>,
    /// Its value, where it reads no column.
    pub constant: Option<Value>,
    /// The functions that it calls, in lower case; operators that are functions too.
    pub functions: Vec<String>,
}

/// Judges `expression` over one row of `table`, in which `target` may not be read.
///
/// # Errors
/// The reason why it is refused, with the remedy, in words for people.
pub fn judge(table: &Table, target: &str, expression: &str) -> Result<Judged, String> {
    let mut judge =
        court(table, target).map_err(|e| format!("cannot judge the expression: {e}"))?;
    let verdict = |e: &rusqlite::Error| explain(&plain(e), table, target);
    let functions = Arc::new(Mutex::new(BTreeSet::new()));
    let reads = Arc::new(Mutex::new(BTreeSet::new()));
    watch(&mut judge, &functions, &reads).map_err(|e| verdict(&e))?;
    // Exactly three result columns: text that closes the parenthesis early is not an expression.
    let probe = format!("SELECT 7, (\n{expression}\n), 7 FROM {}", table.sql());
    let columns = judge.prepare(&probe).map_err(|e| verdict(&e))?.column_count();
    if columns != 3 {
        return Err("it is more than one expression; write exactly one".to_owned());
    }
    check_clock(expression, &functions.lock())?;
    let functions: Vec<String> = functions.lock().iter().cloned().collect();
    judge.authorizer(None::<fn(AuthContext<'_>) -> Authorization>).map_err(|e| verdict(&e))?;
    let generated = format!(
        "ALTER TABLE {} ADD COLUMN {} GENERATED ALWAYS AS (\n{expression}\n) VIRTUAL",
        table.sql(),
        ident(target)
    );
    judge.execute_batch(&generated).map_err(|e| verdict(&e))?;
    let reads = reads.lock();
    let sources: Vec<String> =
        table.columns.iter().map(|c| c.name.clone()).filter(|name| reads.contains(name)).collect();
    evaluate_once(&judge, table, target).map_err(|e| verdict(&e))?;
    let constant = if sources.is_empty() {
        let sql = format!("SELECT (\n{expression}\n)");
        Some(judge.query_row(&sql, [], |row| row.get(0)).map_err(|e| verdict(&e))?)
    } else {
        None
    };
    Ok(Judged { sources, constant, functions })
}

/// An empty table of the same columns, without the target, in memory.
fn court(table: &Table, target: &str) -> rusqlite::Result<Connection> {
    let conn = Connection::open_in_memory()?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    let columns = table
        .columns
        .iter()
        .filter(|c| !c.name.eq_ignore_ascii_case(target))
        .map(|c| format!("{} {}", ident(&c.name), type_words(&c.type_name)));
    conn.execute_batch(&format!("CREATE TABLE {} ({})", table.sql(), list(columns)))?;
    Ok(conn)
}

/// A declared type as it can stand in our own CREATE TABLE.
fn type_words(type_name: &str) -> String {
    if type_name.is_empty() { String::new() } else { ident(type_name) }
}

type Names = Arc<Mutex<BTreeSet<String>>>;

fn watch(conn: &mut Connection, functions: &Names, reads: &Names) -> rusqlite::Result<()> {
    let (functions, reads) = (Arc::clone(functions), Arc::clone(reads));
    conn.authorizer(Some(move |context: AuthContext<'_>| {
        match context.action {
            AuthAction::Function { function_name } => {
                functions.lock().insert(function_name.to_ascii_lowercase());
            }
            AuthAction::Read { column_name, .. } => {
                reads.lock().insert(column_name.to_owned());
            }
            _ => {}
        }
        Authorization::Allow
    }))
}

/// `SQLite` calls `date('now')` deterministic until it meets it in a row.
fn check_clock(expression: &str, functions: &BTreeSet<String>) -> Result<(), String> {
    const CLOCKS: [&str; 7] =
        ["date", "time", "datetime", "julianday", "unixepoch", "strftime", "timediff"];
    let Some(clock) = CLOCKS.iter().find(|name| functions.contains(**name)) else {
        return Ok(());
    };
    let squeezed: String =
        expression.to_ascii_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
    let reads_clock =
        ["'now'", "'localtime'", "'utc'", "'subsec"].iter().any(|word| squeezed.contains(word))
            || squeezed.contains(&format!("{clock}()"));
    if reads_clock {
        return Err(format!(
            "it is not deterministic: {clock}() reads the clock or the time zone, so every replica \
             would derive another value; use only columns and constants"
        ));
    }
    Ok(())
}

fn evaluate_once(conn: &Connection, table: &Table, target: &str) -> rusqlite::Result<()> {
    let writable: Vec<_> = table
        .columns
        .iter()
        .filter(|c| !c.name.eq_ignore_ascii_case(target))
        .map(|c| ident(&c.name))
        .collect();
    let values = list(writable.iter().map(|_| "'2020-01-01'".to_owned()));
    let insert = format!("INSERT INTO {} ({}) VALUES ({values})", table.sql(), list(writable));
    let select = format!("SELECT {} FROM {}", ident(target), table.sql());
    // An insert computes generated columns too.
    let result = conn
        .execute(&insert, [])
        .and_then(|_| conn.query_row(&select, [], |row| row.get::<_, Value>(0)));
    match result {
        // Any other failure depends on the row's values, which are not the real ones here.
        Err(e) if plain(&e).contains("non-deterministic") => Err(e),
        _ => Ok(()),
    }
}

/// The message of `SQLite`, without the statement that it belongs to.
#[must_use]
pub fn plain(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        rusqlite::Error::MultipleStatement => "it is more than one statement".to_owned(),
        other => other.to_string(),
    }
}

fn explain(message: &str, table: &Table, target: &str) -> String {
    if let Some(name) = message.strip_prefix("no such column: ") {
        let bare = name.split(" - ").next().unwrap_or(name);
        if bare.trim_matches('"').eq_ignore_ascii_case(target) {
            return format!(
                "it reads {}, the column that it fills; use other columns of the row",
                ident(target)
            );
        }
        let known = list(
            table
                .columns
                .iter()
                .filter(|c| !c.name.eq_ignore_ascii_case(target))
                .map(|c| c.name.clone()),
        );
        return format!("no such column: {bare}; table {} has {known}", table.sql());
    }
    let remedy = if message.contains("non-deterministic") {
        "; every replica would derive another value: use only columns and constants"
    } else if message.contains("subqueries") || message.contains("aggregate") {
        "; an expression may use only the columns of its own row"
    } else if message.contains("no such function") {
        "; only functions built into SQLite can be used"
    } else {
        ""
    };
    format!("{message}{remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_may_fail_on_a_row_that_is_not_a_real_one() {
        let conn = Connection::open_in_memory().expect("memory");
        conn.execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, note TEXT)").expect("table");
        let table = Table::read(&conn, "t").expect("table");
        let judged = judge(&table, "owner", "json_extract(note, '$.x')").expect("accepted");
        assert_eq!(judged.sources, ["note"]);
        let refused = judge(&table, "owner", "date('now') || note").expect_err("refused");
        assert!(refused.contains("not deterministic"), "{refused}");
    }
}
