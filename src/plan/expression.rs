//! What evaluating the migration's expression costs per row, measured on real rows: it decides
//! who evaluates, the writer or parallel readers.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::db::quote::{ident, list};
use crate::db::{DbError, Doing};
use crate::layout::{RangeSql, Target};
use crate::split::Position;

/// At most this many rows are evaluated.
const ROWS_MAX: u32 = 4_000;

/// Each of the three passes ends at the first row after this long.
const PASS: Duration = Duration::from_millis(12);

/// The time that the expression of `target` takes per row, on rows after `after`: a pass that
/// evaluates it, less one that only loads the columns which it reads. Zero for an empty table.
/// Three passes of at most 12 ms (or one row) each; a row whose expression fails ends its pass.
///
/// # Errors
/// When the table cannot be read.
pub fn expression_cost(
    conn: &Connection,
    target: &Target,
    after: Option<&Position>,
) -> Result<Duration, DbError> {
    let sources = if target.sources.is_empty() {
        "0".to_owned()
    } else {
        list(target.sources.iter().map(|name| ident(name)))
    };
    // The first pass brings the rows into the cache.
    pass(conn, target, &sources, after)?;
    let loading = pass(conn, target, &sources, after)?;
    let evaluating = pass(conn, target, &format!("{sources}, {}", target.derived()), after)?;
    Ok(evaluating.saturating_sub(loading))
}

/// The time per row of selecting `columns`.
fn pass(
    conn: &Connection,
    target: &Target,
    columns: &str,
    after: Option<&Position>,
) -> Result<Duration, DbError> {
    let what = format!("time the expression on rows of {}", target.table.sql());
    let range = RangeSql::new(&target.table.scan);
    let sql = format!(
        "SELECT {columns} FROM {} WHERE {} ORDER BY {} LIMIT {ROWS_MAX}",
        target.table.sql(),
        range.after(after.is_some()),
        range.order
    );
    let mut statement = conn.prepare_cached(&sql).doing(&what)?;
    let parameters = rusqlite::params_from_iter(after.iter().flat_map(|position| &position.0));
    let mut rows = statement.query(parameters).doing(&what)?;
    let began = Instant::now();
    let mut seen = 0_u32;
    loop {
        match rows.next().doing(&what) {
            Ok(Some(_)) => seen += 1,
            Ok(None) => break,
            // The run will meet that row and say so; here it is a row that costs nothing.
            Err(error) if error.is_row_error() => break,
            Err(error) => return Err(error),
        }
        if (seen < 16 || seen.is_multiple_of(16)) && began.elapsed() > PASS {
            break;
        }
    }
    Ok(began.elapsed().checked_div(seen).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::migration::Migration;
    use crate::plan::resolve;

    fn cost(value: &str) -> Duration {
        let mut conn = Connection::open_in_memory().expect("memory");
        conn.execute_batch(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) \
             INSERT INTO t SELECT i, 'app-' || i FROM n;",
        )
        .expect("rows");
        let text = format!(
            "id = \"m\"\n[[change]]\nkind = \"column\"\ntable = \"t\"\ncolumn = \"o\"\n\
             type = \"TEXT\"\nvalue = \"{value}\"\n"
        );
        let migration = Migration::parse(&text, Path::new("m.toml")).expect("a migration");
        let resolved = resolve(&mut conn, &migration, 0).expect("resolved");
        expression_cost(&conn, &resolved.target, None).expect("a cost")
    }

    #[test]
    fn an_expression_that_does_much_costs_more() {
        let much = "length(hex(zeroblob(20000)) || a) || hex(replace(hex(zeroblob(3000)), '0', a))";
        assert!(cost(much) > cost("'o-' || a"));
    }
}
