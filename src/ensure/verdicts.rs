//! `_dotfill_ensure`: how builds have failed for good, for those who wait for them. A table beside
//! the indexed one; on `PostgreSQL` it is there only while it holds something. What a verdict
//! means: [`super::verdict`].

use tokio_postgres::Row;

use crate::db::quote;
use crate::ensure::Fault;
use crate::ensure::link::{Session, cell};
use crate::ensure::verdict::{Cause, Example, Verdict};

/// Another caller may remove the table between two statements of ours.
const TRIES: u32 = 5;

/// The table, quoted, with its schema.
fn name(schema: &str) -> String {
    format!("{}.\"_dotfill_ensure\"", quote::ident(schema))
}

/// The verdict on an index; `None` where there is none.
///
/// # Errors
/// A [`Fault`].
pub fn read(session: &Session, schema: &str, index: &str) -> Result<Option<Verdict>, Fault> {
    let table = name(schema);
    let sql = format!(
        "SELECT round, definition, cause, code, message, examples FROM {table}
         WHERE index_name = $1"
    );
    let there =
        session.row("look for verdicts", "SELECT to_regclass($1) IS NOT NULL", &[&table])?;
    if !cell::<bool>(&there, 0)? {
        return Ok(None);
    }
    match session.rows("read the verdict", &sql, &[&index]) {
        Ok(rows) => rows.first().map(of_row).transpose(),
        // The last verdict has just gone, and the table with it.
        Err(fault) if fault.is("42P01") => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn of_row(row: &Row) -> Result<Verdict, Fault> {
    let cause: String = cell(row, 2)?;
    let examples: String = cell(row, 5)?;
    Ok(Verdict {
        round: cell(row, 0)?,
        definition: cell(row, 1)?,
        cause: if cause == Cause::Data.as_str() { Cause::Data } else { Cause::Effort },
        code: cell(row, 3)?,
        message: cell(row, 4)?,
        examples: serde_json::from_str::<Vec<Example>>(&examples).map_err(|error| {
            Fault::local("read the examples of a verdict", error.to_string()).with_code("XX000")
        })?,
    })
}

/// Writes a verdict down, in place of an older one.
///
/// # Errors
/// A [`Fault`].
pub fn write(session: &Session, schema: &str, index: &str, verdict: &Verdict) -> Result<(), Fault> {
    let table = name(schema);
    let create = format!(
        "CREATE TABLE IF NOT EXISTS {table} (
           index_name text PRIMARY KEY, round text NOT NULL, definition text NOT NULL,
           cause text NOT NULL CHECK (cause IN ('data', 'effort')), code text NOT NULL,
           message text NOT NULL, examples text NOT NULL,
           failed_at timestamptz NOT NULL DEFAULT clock_timestamp())"
    );
    let insert = format!(
        "INSERT INTO {table} AS t (index_name, round, definition, cause, code, message, examples)
           VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (index_name) DO UPDATE SET (round, definition, cause, code, message, examples,
           failed_at) = ($2, $3, $4, $5, $6, $7, clock_timestamp())"
    );
    let doing = "write the verdict down";
    let examples = serde_json::to_string(&verdict.examples)
        .map_err(|error| Fault::local(doing, error.to_string()))?;
    let cause = verdict.cause.as_str();
    let Verdict { round, definition, code, message, .. } = verdict;
    let mut last = Fault::local(doing, "it was removed each time");
    for _ in 0..TRIES {
        let made = session.run(doing, &create, &[]);
        let written = made.and_then(|_| {
            session.run(
                doing,
                &insert,
                &[&index, round, definition, &cause, code, message, &examples],
            )
        });
        match written {
            Ok(_) => return Ok(()),
            // Two made the table at once, or somebody has removed it.
            Err(fault) if fault.is("42P01") || fault.is("42P07") || fault.of_catalog => {
                last = fault;
            }
            Err(fault) => return Err(fault),
        }
    }
    Err(last)
}

/// Removes the verdict on an index; its table stays.
///
/// # Errors
/// A [`Fault`].
pub fn remove(session: &Session, schema: &str, index: &str) -> Result<(), Fault> {
    let sql = format!("DELETE FROM {} WHERE index_name = $1", name(schema));
    session.run("remove a verdict that no longer holds", &sql, &[&index]).map(drop)
}

/// Removes the table where it holds nothing any more. `CockroachDB` has no lock for it.
///
/// # Errors
/// A [`Fault`].
pub fn remove_table(session: &Session, schema: &str) -> Result<(), Fault> {
    let doing = "remove the table of verdicts";
    session.run(doing, "BEGIN", &[])?;
    let emptied = drop_if_empty(session, &name(schema), doing);
    let ended = session.run(doing, if emptied.is_ok() { "COMMIT" } else { "ROLLBACK" }, &[]);
    match emptied {
        // Somebody else has.
        Err(fault) if fault.is("42P01") => ended.map(drop),
        other => other.and(ended.map(drop)),
    }
}

/// Under a lock, so that nobody adds one meanwhile.
fn drop_if_empty(session: &Session, table: &str, doing: &str) -> Result<(), Fault> {
    session.run(doing, &format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"), &[])?;
    let rows = session.rows(doing, &format!("SELECT 1 FROM {table} LIMIT 1"), &[])?;
    if rows.is_empty() {
        session.run(doing, &format!("DROP TABLE {table}"), &[])?;
    }
    Ok(())
}
