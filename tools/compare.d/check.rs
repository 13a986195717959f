//! What a contestant left behind: whether every row has its value and nothing else changed, and
//! how many change records there are that were not there before.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use crate::contestant::Contestant;
use crate::failed::Outcome;
use crate::fixture::Layout;
use crate::sqlite;

/// What the data says after a job.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Every row has the expected value, every other column is as it was.
    Right,
    /// What is wrong.
    Wrong(String),
}

/// Compares a database with the one it was copied from. `others_wrote`: whether notes may differ.
pub fn check(
    contestant: &Contestant,
    db: &Path,
    fixture: &Path,
    rows: u64,
    others_wrote: bool,
) -> Outcome<(Verdict, Option<u64>)> {
    let connection = sqlite::connect(db, None)?;
    connection.execute("ATTACH ?1 AS before", [fixture.to_string_lossy()])?;
    let verdict = if column_is_there(&connection)? {
        compare(&connection, contestant.value, rows, others_wrote)?
    } else {
        Verdict::Wrong("the column is not there".into())
    };
    let records = match contestant.layout {
        Layout::Plain => None,
        Layout::Replicated | Layout::ReplicatedWithColumn => Some(new_records(&connection)?),
    };
    Ok((verdict, records))
}

fn column_is_there(connection: &Connection) -> Outcome<bool> {
    let sql = "SELECT 1 FROM pragma_table_xinfo('machines') WHERE name = 'owner'";
    Ok(connection.query_row(sql, [], |_| Ok(())).optional()?.is_some())
}

fn compare(
    connection: &Connection,
    value: &str,
    rows: u64,
    others_wrote: bool,
) -> Outcome<Verdict> {
    let found = count(connection, "SELECT count(*) FROM main.machines")?;
    let wrong = count(
        connection,
        &format!("SELECT count(*) FROM main.machines WHERE owner IS NOT ({value})"),
    )?;
    let notes = if others_wrote { "" } else { "AND a.note IS b.note" };
    let kept = count(
        connection,
        &format!(
            "SELECT count(*) FROM main.machines a JOIN before.machines b ON a.id = b.id
             WHERE a.app IS b.app AND a.region IS b.region {notes}"
        ),
    )?;
    if (found, wrong, kept) == (rows, 0, rows) {
        return Ok(Verdict::Right);
    }
    Ok(Verdict::Wrong(format!(
        "of {rows} rows {found} are there, {wrong} have another value than expected, and \
         {} differ in other columns",
        rows.saturating_sub(kept)
    )))
}

/// Rows of the clock table, which are what `crsql_changes` lists, of a version that is new.
fn new_records(connection: &Connection) -> Outcome<u64> {
    count(
        connection,
        "SELECT count(*) FROM main.machines__crsql_clock WHERE site_id <> 0
         OR db_version > (SELECT max(db_version) FROM before.machines__crsql_clock)",
    )
}

fn count(connection: &Connection, sql: &str) -> Outcome<u64> {
    Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0))?.cast_unsigned())
}
