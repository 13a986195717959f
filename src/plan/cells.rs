//! How many cells a change fills: exact where that is known without reading the table, or by a
//! scan of it; else from the sample, with bounds that no row can break.

use rusqlite::Connection;
use serde::Serialize;

use super::sample::Sample;
use super::trial::Measured;
use crate::db::quote::{list, text};
use crate::db::{Datum, DbError, Doing};
use crate::layout::crsqlite::Publisher;
use crate::layout::{Layout, Target};

/// A count that may be known only within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// The best guess.
    pub about: u64,
    /// Never fewer than this.
    pub min: u64,
    /// Never more than this.
    pub max: u64,
}

impl Estimate {
    /// A count that is known.
    #[must_use]
    pub const fn exactly(count: u64) -> Self {
        Self { about: count, min: count, max: count }
    }

    /// True where the count is known.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        self.min == self.max
    }

    /// `seen` of `sampled` rows, in a table of `rows`.
    pub(super) fn sampled(seen: u64, sampled: u64, rows: u64) -> Self {
        let seen = seen.min(sampled);
        let max = rows.saturating_sub(sampled - seen).max(seen);
        Self { about: scaled(seen, rows, sampled).clamp(seen, max), min: seen, max }
    }
}

/// `count * numerator / denominator`, or 0 where there is nothing to divide by.
pub(super) fn scaled(count: u64, numerator: u64, denominator: u64) -> u64 {
    let product = u128::from(count) * u128::from(numerator);
    u64::try_from(product / u128::from(denominator.max(1))).unwrap_or(u64::MAX)
}

/// The cells of the target column, when the plan was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cells {
    /// Cells that are ours and that the change passes over to fill.
    pub to_fill: Estimate,
    /// Those of them whose derived value is not NULL: a native delivery publishes these.
    pub with_value: Estimate,
    /// Cells that a user has written, and that stay as they are.
    pub users: Estimate,
}

impl Cells {
    /// What the trial of the change says about the whole table.
    pub(super) fn from_trial(
        target: &Target,
        column_exists: bool,
        sample: &Sample,
        done: &Measured,
    ) -> Self {
        let of = |seen| Estimate::sampled(seen, sample.rows, sample.of);
        let whole = !column_exists && target.filter.is_none();
        let with_value = match &target.constant {
            Some(Datum::Null) => Estimate::exactly(0),
            Some(_) if whole => Estimate::exactly(sample.of),
            _ => of(done.valued),
        };
        let to_fill = if whole { Estimate::exactly(sample.of) } else { of(done.written) };
        let users = if column_exists { of(sample.taken) } else { Estimate::exactly(0) };
        Self { to_fill, with_value, users }
    }

    /// Counts them, reading the whole table.
    ///
    /// # Errors
    /// When a row's expression fails, or the table cannot be read.
    pub(super) fn count(
        conn: &Connection,
        migration: &str,
        target: &Target,
        column_exists: bool,
    ) -> Result<Self, DbError> {
        let derived = target.derived();
        let users = users(conn, migration, target, column_exists)?;
        let column = target.column_sql();
        let filter = target.filter.as_ref().map_or("true".to_owned(), |f| format!("(\n{f}\n)"));
        let open = if target.overwrite {
            format!("NOT ({users}) AND {column} COLLATE BINARY IS NOT {derived}")
        } else if column_exists {
            format!("NOT ({users}) AND {column} IS NULL AND {filter}")
        } else {
            filter
        };
        let sql = format!(
            "SELECT count(*) FILTER (WHERE {open}), \
             count(*) FILTER (WHERE ({open}) AND {derived} IS NOT NULL), \
             count(*) FILTER (WHERE {users}) FROM {}",
            target.table.sql()
        );
        conn.query_row(&sql, [], |row| {
            let count = |i| row.get(i).map(Estimate::exactly);
            Ok(Self { to_fill: count(0)?, with_value: count(1)?, users: count(2)? })
        })
        .doing(format!(
            "count the rows of {} (plan without --exact samples them)",
            target.table.sql()
        ))
    }
}

/// The condition that a cell is a user's.
fn users(
    conn: &Connection,
    migration: &str,
    target: &Target,
    column_exists: bool,
) -> Result<String, DbError> {
    let column = target.column_sql();
    let cr = match &target.layout {
        _ if !column_exists => return Ok("false".to_owned()),
        Layout::Plain if target.fill_null => return Ok(format!("{column} IS NOT NULL")),
        Layout::Plain => return Ok("true".to_owned()),
        Layout::CrSqlite(cr) => cr,
    };
    let publishers = list(Publisher::ordinals(conn, migration)?.iter().map(i64::to_string));
    let first = if target.fill_null {
        format!(" AND NOT (col_version = 1 AND {}.{column} IS NULL)", target.table.sql())
    } else {
        String::new()
    };
    Ok(format!(
        "EXISTS (SELECT 1 FROM {} WHERE key = {} AND col_name = {} \
         AND NOT (col_version <= 1 AND site_id IN ({publishers})){first})",
        cr.clock,
        cr.key_of_row(target),
        text(&target.column)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_whatever_the_rest_is() {
        let half = Estimate::sampled(50, 100, 1000);
        assert_eq!(half, Estimate { about: 500, min: 50, max: 950 });
        assert!(!half.is_exact());
        assert_eq!(Estimate::sampled(100, 100, 100), Estimate::exactly(100));
        assert_eq!(Estimate::sampled(0, 0, 0), Estimate::exactly(0));
    }
}
