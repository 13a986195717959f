//! Looking at the rows of an index before it is built: which one an expression fails for, and which
//! ones a unique index does not allow. Reads in short snapshots, but for the search for equal rows,
//! which is one.

use rusqlite::Connection;

use crate::db::{Datum, DbError, Doing, is_row_error};
use crate::engine::RunError;
use crate::engine::Stop;
use crate::engine::job::Job;
use crate::engine::proof::reader;
use crate::layout::{IndexTarget, RangeSql};
use crate::monitor::Stage;
use crate::split::{Position, Range, Splitter};
use crate::write::WriteError;

/// Rows that are evaluated in one statement.
const RANGE_ROWS: u64 = 10_000;

/// Equal rows that are named.
const EXAMPLES: u32 = 3;

/// Looks at every row. Returns the rows that the table has, or why it stopped early.
///
/// # Errors
/// [`WriteError::Index`] naming rows that stand in the way.
pub(super) fn look(job: &mut Job<'_>, target: &IndexTarget) -> Result<Result<u64, Stop>, RunError> {
    let conn = reader(&job.db)?;
    let rows = match evaluate(job, &conn, target)? {
        Ok(rows) => rows,
        Err(stop) => return Ok(Err(stop)),
    };
    if target.unique {
        let mut conn = conn;
        let cancel = std::sync::Arc::clone(&job.options.cancel);
        let hear = move || cancel.load(std::sync::atomic::Ordering::Relaxed);
        conn.progress_handler(10_000, Some(hear)).doing("listen for signals")?;
        match equal_rows(&conn, target) {
            Err(error) if is_interrupted(&error) => return Ok(Err(Stop::Interrupted)),
            Err(error) => return Err(error.into()),
            Ok(found) if found.is_empty() => {}
            Ok(found) => return Err(problem(target, &not_unique(target, &found)).into()),
        }
    }
    Ok(Ok(rows))
}

/// True where a signal ended a statement.
pub(super) fn is_interrupted(error: &DbError) -> bool {
    let interrupted = rusqlite::ErrorCode::OperationInterrupted;
    matches!(error, DbError::Sql { source, .. } if source.sqlite_error_code() == Some(interrupted))
}

/// What stands in the way of an index.
pub(super) fn problem(target: &IndexTarget, problem: &str) -> WriteError {
    WriteError::Index {
        index: target.name.clone(),
        table: target.table.name.clone(),
        problem: problem.to_owned(),
    }
}

/// Walks the table, and evaluates what the index evaluates; returns the table's rows.
fn evaluate(
    job: &mut Job<'_>,
    conn: &Connection,
    target: &IndexTarget,
) -> Result<Result<u64, Stop>, RunError> {
    let range_sql = RangeSql::new(&target.table.scan);
    job.pace.stage(Stage::Preparing, 0, 0);
    // The build itself looks at what is inserted behind it.
    let mut splitter = Splitter::new(conn, &target.table, RANGE_ROWS, None).until_now()?;
    let mut seen = 0;
    loop {
        if let Err(stop) = job.pace.before_batch(&mut job.session)? {
            return Ok(Err(stop));
        }
        let Some(range) = splitter.next_range()? else { break };
        if target.evaluates {
            let sql = target.evaluate(&range_sql, range.bounded());
            match count(conn, &sql, &range) {
                Err(error) if is_row_error(&error) => {
                    return Err(failing_row(conn, target, &range_sql, &range, &error)?.into());
                }
                other => other.doing("evaluate what is to be indexed")?,
            }
        }
        seen += range.rows;
        job.pace.total(seen);
        job.pace.passed(range.rows);
    }
    Ok(Ok(seen))
}

fn count(conn: &Connection, sql: &str, range: &Range) -> rusqlite::Result<()> {
    conn.prepare_cached(sql)?.query_row(rusqlite::params_from_iter(range.parameters()), |_| Ok(()))
}

/// The row of `range` that fails, with what `SQLite` says.
fn failing_row(
    conn: &Connection,
    target: &IndexTarget,
    sql: &RangeSql,
    range: &Range,
    error: &rusqlite::Error,
) -> Result<WriteError, DbError> {
    let keys = format!(
        "SELECT {} FROM {} WHERE {} ORDER BY {}",
        sql.terms.join(", "),
        target.table.sql(),
        sql.within(range.bounded()),
        sql.order
    );
    let (mut which, mut says) = (String::new(), crate::db::expr::plain(error));
    for one in range.one_by_one(conn, &keys)? {
        if let Err(error) = count(conn, &target.evaluate(sql, one.bounded()), &one) {
            which = format!("row ({}): ", one.through.key(conn, &target.table)?);
            says = crate::db::expr::plain(&error);
            break;
        }
    }
    Ok(problem(
        target,
        &format!(
            "{which}{says}; correct the row or the expression, then repeat the command (`run` with \
             --retry)"
        ),
    ))
}

/// Terms that several rows have, with the keys of two of those rows.
fn equal_rows(
    conn: &Connection,
    target: &IndexTarget,
) -> Result<Vec<(Position, Vec<Position>)>, DbError> {
    let what = "look for rows that a unique index does not allow";
    let terms = target.terms.len();
    let mut statement = conn.prepare(&target.duplicates(EXAMPLES)).doing(what)?;
    let groups: Vec<Position> = statement
        .query_map([], |row| Position::from_row(row, terms))
        .and_then(Iterator::collect)
        .doing(what)?;
    let mut statement = conn.prepare(&target.rows_with(2)).doing(what)?;
    let keys = target.table.key.len();
    groups
        .into_iter()
        .map(|group| {
            let values: &Vec<Datum> = &group.0;
            let rows = statement
                .query_map(rusqlite::params_from_iter(values), |row| Position::from_row(row, keys))
                .and_then(Iterator::collect)
                .doing(what)?;
            Ok((group, rows))
        })
        .collect()
}

fn not_unique(target: &IndexTarget, found: &[(Position, Vec<Position>)]) -> String {
    let examples: Vec<String> = found
        .iter()
        .map(|(terms, rows)| {
            let rows: Vec<String> = rows.iter().map(|row| format!("({row})")).collect();
            format!("({terms}) in rows {}", rows.join(" and "))
        })
        .collect();
    let what: Vec<String> = target.shape.terms.iter().map(|term| term.what.clone()).collect();
    format!(
        "it is to be unique, and several rows have the same ({}), for example {}; nothing was built: \
         correct the rows or leave unique out, then repeat the command (`run` with --retry)",
        what.join(", "),
        examples.join("; ")
    )
}
