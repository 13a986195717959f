//! Cheap balanced ranges of a table, in the order of its own b-tree: one seek and a short walk per
//! range, no values loaded, no snapshot held between ranges. Works for every key that the table's
//! b-tree may have, whatever its distribution.

use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::db::quote::{ident, list};
use crate::db::{Datum, DbError, Doing, KeyKind, ScanKey, Table, encode};
use crate::layout::RangeSql;

/// A place in the order of a table: the values of its scan key.
#[derive(Clone, Debug, PartialEq)]
pub struct Position(pub Vec<Datum>);

impl Position {
    /// Reads a position from the first columns of a row.
    ///
    /// # Errors
    /// When the row has fewer columns.
    pub fn from_row(row: &Row<'_>, terms: usize) -> rusqlite::Result<Self> {
        (0..terms).map(|i| row.get(i)).collect::<rusqlite::Result<_>>().map(Self)
    }

    /// The key of the row that stands here, which people know it by; the position itself where that
    /// is the key, or no row stands here.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn key(&self, conn: &Connection, table: &Table) -> Result<Self, DbError> {
        if table.key_kind != KeyKind::Rowid {
            return Ok(self.clone());
        }
        let keys = list(table.key.iter().map(|key| ident(&key.name)));
        let [term] = table.scan.terms.as_slice() else { return Ok(self.clone()) };
        let sql = format!("SELECT {keys} FROM {} WHERE {} = ?1", table.sql(), term.sql);
        let found = conn
            .prepare_cached(&sql)
            .and_then(|mut s| {
                s.query_row(rusqlite::params_from_iter(&self.0), |row| {
                    Self::from_row(row, table.key.len())
                })
                .optional()
            })
            .doing("look up the key of a row")?;
        Ok(found.unwrap_or_else(|| self.clone()))
    }

    /// The form kept in a checkpoint: the values in [`encode`]'s encoding, as hexadecimal digits.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut bytes = Vec::new();
        self.0.iter().for_each(|value| encode(value.as_ref(), &mut bytes));
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads what [`Self::to_text`] wrote; `None` where it is something else.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let bytes: Option<Vec<u8>> = (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(text.get(i..i + 2)?, 16).ok())
            .collect();
        let bytes = bytes?;
        let mut rest = bytes.as_slice();
        let mut values = Vec::new();
        while !rest.is_empty() {
            let (value, after) = Datum::decode(rest)?;
            values.push(value);
            rest = after;
        }
        (!values.is_empty()).then_some(Self(values))
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let values: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&values.join(", "))
    }
}

/// A half-open range of rows: after `after` (or from the beginning), up to and including
/// `through`.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// The position before the first row; `None` at the table's beginning.
    pub after: Option<Position>,
    /// The position of the last row.
    pub through: Position,
    /// Rows when the range was cut; others may come and go.
    pub rows: u64,
}

impl Range {
    /// The values for the parameters of [`RangeSql::within`].
    pub fn parameters(&self) -> impl Iterator<Item = &dyn ToSql> {
        let after = self.after.iter().flat_map(|position| position.0.iter());
        after.chain(self.through.0.iter()).map(|value| value as &dyn ToSql)
    }

    /// True where there is a lower bound.
    #[must_use]
    pub fn bounded(&self) -> bool {
        self.after.is_some()
    }

    /// The rows of this range as ranges of one row each, in order. `select_keys` selects their scan
    /// keys, with the parameters of this range.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn one_by_one(&self, conn: &Connection, select_keys: &str) -> Result<Vec<Self>, DbError> {
        let terms = self.through.0.len();
        let mut after = self.after.clone();
        conn.prepare_cached(select_keys)
            .and_then(|mut s| {
                s.query_map(rusqlite::params_from_iter(self.parameters()), |row| {
                    let through = Position::from_row(row, terms)?;
                    Ok(Self { after: after.replace(through.clone()), through, rows: 1 })
                })?
                .collect()
            })
            .doing("list the keys of a range")
    }

    /// Cuts off the first `rows` rows as they are now, at least one; the second range is the rest,
    /// where there may be one.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn cut(
        self,
        conn: &Connection,
        table: &Table,
        rows: u64,
    ) -> Result<(Self, Option<Self>), DbError> {
        let rows = rows.max(1);
        let sql = cut_sql(table, self.bounded());
        let parameters = self.parameters().chain(std::iter::once(&rows as &dyn ToSql));
        let found = conn
            .prepare_cached(&sql)
            .and_then(|mut s| {
                s.query_row(rusqlite::params_from_iter(parameters), |row| {
                    Position::from_row(row, table.scan.terms.len())
                })
                .optional()
            })
            .doing("cut a range of rows")?;
        let Some(through) = found else { return Ok((self, None)) };
        let left = self.rows.saturating_sub(rows);
        let rest = Self { after: Some(through.clone()), through: self.through, rows: left };
        Ok((Self { after: self.after, through, rows: rows.min(self.rows) }, Some(rest)))
    }

    /// Extends this range by the one that follows it.
    pub fn join(&mut self, next: Self) {
        self.through = next.through;
        self.rows += next.rows;
    }
}

/// The position of the n-th row of a range, where more rows follow: parameters are its bounds, then
/// n.
fn cut_sql(table: &Table, bounded: bool) -> String {
    let range = RangeSql::new(&table.scan);
    format!(
        "SELECT {} FROM {} WHERE {} ORDER BY {} LIMIT 1 OFFSET ?{} - 1",
        range.terms.join(", "),
        table.sql(),
        range.within(bounded),
        range.order,
        range.next_parameter(bounded)
    )
}

/// Ranges of an integer key that are cut by arithmetic after one that was walked and found dense;
/// twice as many after each further one in a row, up to the most.
const STRIDES: u32 = 15;
const STRIDES_MAX: u32 = 240;

/// Cuts one table into ranges.
///
/// A range is found by walking the b-tree, which touches its pages. Where the key is an integer
/// and nearly every number is taken, most ranges are cut by arithmetic instead: a range of `n`
/// numbers has at most `n` rows.
#[derive(Debug)]
pub struct Splitter<'a> {
    conn: &'a Connection,
    range: RangeSql,
    scan: ScanKey,
    table: String,
    rows: u64,
    after: Option<Position>,
    /// The last row that is cut, where there is one.
    end: Option<Position>,
    step: [String; 2],
    rest: [String; 2],
    left: [String; 2],
    /// True where the key is one integer, ascending.
    integer: bool,
    /// The largest integer key when it was last looked at, and how many ranges may still be cut
    /// below it without a walk.
    strides: (i64, u32),
    /// How many there are after the next dense walk.
    strides_next: u32,
}

impl<'a> Splitter<'a> {
    /// Cuts `table` into ranges of `rows` rows, beginning after `after`.
    #[must_use]
    pub fn new(conn: &'a Connection, table: &Table, rows: u64, after: Option<Position>) -> Self {
        let statements = [String::new(), String::new()];
        let mut splitter = Self {
            conn,
            range: RangeSql::new(&table.scan),
            scan: table.scan.clone(),
            table: table.sql(),
            rows,
            after,
            end: None,
            step: statements.clone(),
            rest: statements.clone(),
            left: statements,
            integer: table.key_kind == KeyKind::Integer,
            strides: (i64::MIN, 0),
            strides_next: STRIDES,
        };
        splitter.prepare();
        splitter
    }

    /// Ends at the row that is the last one now: rows that are appended meanwhile are left out, so that
    /// there is an end however fast others insert.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn until_now(mut self) -> Result<Self, DbError> {
        let end = self.seek(&self.rest[0], &[])?;
        // Of an empty table nothing is left in any case.
        self.end = Some(end.unwrap_or_else(|| Position(vec![Datum::Null; self.scan.terms.len()])));
        self.prepare();
        Ok(self)
    }

    fn prepare(&mut self) {
        let Self { range, table, rows, .. } = self;
        let (terms, ends) = (range.terms.join(", "), self.end.is_some());
        let within = |bounded: bool| {
            if ends { range.within(bounded) } else { range.after(bounded).to_owned() }
        };
        let walk = |bounded: bool| {
            format!(
                "SELECT {terms} FROM {table} WHERE {} ORDER BY {} LIMIT 1 OFFSET {}",
                within(bounded),
                range.order,
                rows.saturating_sub(1)
            )
        };
        let backwards: Vec<String> = self
            .scan
            .terms
            .iter()
            .map(|t| format!("{}{}", t.sql, if t.descending { "" } else { " DESC" }))
            .collect();
        let backwards = backwards.join(", ");
        let last = |bounded: bool| {
            let within = within(bounded);
            format!("SELECT {terms} FROM {table} WHERE {within} ORDER BY {backwards} LIMIT 1")
        };
        let left = |bounded: bool| {
            let within = within(bounded);
            format!("SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {within} LIMIT {rows})")
        };
        self.step = [walk(false), walk(true)];
        self.rest = [last(false), last(true)];
        self.left = [left(false), left(true)];
    }

    /// The next range; `None` after the last row.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn next_range(&mut self) -> Result<Option<Range>, DbError> {
        if let Some(range) = self.stride() {
            return Ok(Some(range));
        }
        let bounded = usize::from(self.after.is_some());
        let bounds = self.bounds(true);
        let found = match self.seek(&self.step[bounded], &bounds)? {
            Some(through) => Some((through, self.rows)),
            // Fewer rows are left. A rate limit is charged for what is said here, so they are counted.
            None => match self.seek(&self.rest[bounded], &bounds)? {
                Some(through) => Some((through, self.count_rest(bounded, &bounds)?)),
                None => None,
            },
        };
        let Some((through, rows)) = found else {
            return Ok(None);
        };
        let range = Range { after: self.after.replace(through.clone()), through, rows };
        self.look_for_strides(&range)?;
        Ok(Some(range))
    }

    /// The next range by arithmetic, where that is allowed.
    fn stride(&mut self) -> Option<Range> {
        let (last, left) = self.strides;
        let [Datum::Integer(at)] = self.after.as_ref()?.0.as_slice() else { return None };
        let through = at.checked_add_unsigned(self.rows)?;
        if left == 0 || through >= last {
            return None;
        }
        self.strides.1 -= 1;
        let through = Position(vec![Datum::Integer(through)]);
        Some(Range { after: self.after.replace(through.clone()), through, rows: self.rows })
    }

    /// After a walk: if at least 9 of 10 numbers were taken, the next ranges need none.
    fn look_for_strides(&mut self, walked: &Range) -> Result<(), DbError> {
        let Some(after) = walked.after.as_ref().filter(|_| self.integer) else { return Ok(()) };
        let ([Datum::Integer(from)], [Datum::Integer(to)]) =
            (after.0.as_slice(), walked.through.0.as_slice())
        else {
            return Ok(());
        };
        let dense = walked.rows.saturating_mul(10) >= to.abs_diff(*from).saturating_mul(9);
        if dense
            && *to >= self.strides.0
            && let Some(Position(last)) = self.seek(&self.rest[0], &self.bounds(false))?
            && let [Datum::Integer(last)] = last.as_slice()
        {
            self.strides.0 = *last;
        }
        (self.strides.1, self.strides_next) = if dense {
            (self.strides_next, (2 * self.strides_next).min(STRIDES_MAX))
        } else {
            (0, STRIDES)
        };
        Ok(())
    }

    /// The values for the parameters of a statement: the place that was reached, where it is `bounded`
    /// by that, and the end.
    fn bounds(&self, bounded: bool) -> Vec<Datum> {
        let after = self.after.iter().filter(|_| bounded);
        after.chain(&self.end).flat_map(|position| position.0.iter().cloned()).collect()
    }

    /// The rows that are left, of which there are fewer than a range has.
    fn count_rest(&self, bounded: usize, bounds: &[Datum]) -> Result<u64, DbError> {
        self.conn
            .prepare_cached(&self.left[bounded])
            .and_then(|mut s| s.query_row(rusqlite::params_from_iter(bounds), |row| row.get(0)))
            .doing("count the last rows")
    }

    fn seek(&self, sql: &str, bounds: &[Datum]) -> Result<Option<Position>, DbError> {
        self.conn
            .prepare_cached(sql)
            .and_then(|mut s| {
                s.query_row(rusqlite::params_from_iter(bounds), |row| {
                    Position::from_row(row, self.scan.terms.len())
                })
                .optional()
            })
            .doing("look for the end of a range of rows")
    }
}

#[cfg(test)]
mod tests;
