//! The tables of a Corrosion agent. This folder is the one place that knows them; it reads them and
//! never writes them. That a database has any is told by [`crate::db::environment`].
//!
//! # Definitions
//! An *actor* is a node, named by its site id. A version of an actor that arrives in parts waits,
//! row by row, in `__corro_buffered_changes`; `__corro_seq_bookkeeping` has the ranges of `seq` that
//! are there, of `0..=last_seq`. Once they are all there the agent applies the version in one
//! transaction, takes the bookkeeping away, and the rows at 1000 every two seconds. A *gap* is a
//! range of versions of an actor that this node lacks (`__corro_bookkeeping_gaps`).
//!
//! Read off the crates klukai-types 0.4.0 and klukai-agent 0.1.4. Another release may lack a table
//! or a column: such a table is not read, and named in [`Backlog::unknown`].

mod waiting;

#[cfg(test)]
mod tests;

pub use waiting::{Gap, PartVersion, gaps, part_versions};

use std::fmt;

use rusqlite::{Connection, OptionalExtension};

use crate::db::{Datum, DbError, Doing};

/// Rows of one table that a reading counts: what lies beyond is said to be more. It bounds what a
/// signal costs that is asked four times a second, whatever waits (a test counts `SQLite`'s steps).
pub const COUNTED_MAX: u64 = 1000;

/// A table that is read, with the columns that are relied upon.
struct Known {
    name: &'static str,
    columns: [&'static str; 3],
}

const BUFFERED: Known =
    Known { name: "__corro_buffered_changes", columns: ["site_id", "db_version", "seq"] };
const SEQS: Known =
    Known { name: "__corro_seq_bookkeeping", columns: ["start_seq", "end_seq", "last_seq"] };
const GAPS: Known =
    Known { name: "__corro_bookkeeping_gaps", columns: ["actor_id", "start", "end"] };

impl Known {
    /// True where the table is there, with its columns.
    fn is_here(&self, conn: &Connection) -> Result<bool, DbError> {
        let [a, b, c] = self.columns;
        conn.prepare_cached(
            "SELECT count(*) = 3 FROM pragma_table_info(?1) WHERE name IN (?2, ?3, ?4)",
        )
        .and_then(|mut s| s.query_row([self.name, a, b, c], |row| row.get(0)))
        .doing(format!("look for {}", self.name))
    }
}

/// What the agent has received and not applied, or knows that it lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Changes of versions that were not applied yet; [`COUNTED_MAX`] + 1 where there are more and
    /// nothing tells how many.
    pub buffered_changes: u64,
    /// Versions that they belong to; [`COUNTED_MAX`] + 1 stands for more.
    pub part_versions: u64,
    /// Gaps; [`COUNTED_MAX`] + 1 stands for more.
    pub gaps: u64,
    /// Differs wherever the agent has moved on in what was counted, or at the far end of a table.
    pub mark: String,
    /// Tables of which this release of Corrosion has none, or another one.
    pub unknown: Vec<&'static str>,
}

impl Backlog {
    /// Reads the backlog. What that costs has a bound, however much is waiting.
    ///
    /// # Errors
    /// When a table that is there cannot be read.
    pub fn read(conn: &Connection) -> Result<Self, DbError> {
        let mut backlog = Self::default();
        let has_seqs = backlog.knows(conn, &SEQS)?;
        if has_seqs {
            backlog.read_seqs(conn)?;
        }
        // Rows without bookkeeping were applied: an agent that clears them away is not behind.
        if backlog.knows(conn, &BUFFERED)? && (!has_seqs || backlog.part_versions > 0) {
            backlog.read_buffered(conn)?;
        }
        if backlog.knows(conn, &GAPS)? {
            backlog.read_gaps(conn)?;
        }
        Ok(backlog)
    }

    /// True where the table is there; one that is not is remembered.
    fn knows(&mut self, conn: &Connection, table: &Known) -> Result<bool, DbError> {
        let here = table.is_here(conn)?;
        if !here {
            self.unknown.push(table.name);
        }
        Ok(here)
    }

    /// True where nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffered_changes == 0 && self.part_versions == 0 && self.gaps == 0
    }

    /// Versions, and as many changes as their ranges of `seq` are long.
    fn read_seqs(&mut self, conn: &Connection) -> Result<(), DbError> {
        let row = numbers(
            conn,
            "SELECT count(DISTINCT hex(site_id) || db_version), \
             CAST(total(end_seq - start_seq + 1) AS INTEGER), count(*), total(start_seq), \
             total(end_seq), total(last_seq) \
             FROM (SELECT * FROM __corro_seq_bookkeeping LIMIT 1001)",
        )?;
        self.part_versions = count_of(&row[0]);
        self.buffered_changes = count_of(&row[1]);
        self.note(&row);
        self.note_ends(conn, "__corro_seq_bookkeeping", "site_id, db_version, start_seq")
    }

    /// How far the rows have come; how many they are, only where no bookkeeping tells it.
    fn read_buffered(&mut self, conn: &Connection) -> Result<(), DbError> {
        let row = numbers(
            conn,
            "SELECT count(*) FROM (SELECT 1 FROM __corro_buffered_changes LIMIT 1001)",
        )?;
        if self.part_versions == 0 {
            self.buffered_changes = count_of(&row[0]);
        }
        self.note(&row);
        self.note_ends(conn, "__corro_buffered_changes", "site_id, db_version, seq")
    }

    fn read_gaps(&mut self, conn: &Connection) -> Result<(), DbError> {
        let row = numbers(
            conn,
            "SELECT count(*), total(\"start\"), total(\"end\") \
             FROM (SELECT * FROM __corro_bookkeeping_gaps LIMIT 1001)",
        )?;
        self.gaps = count_of(&row[0]);
        self.note(&row);
        self.note_ends(conn, "__corro_bookkeeping_gaps", "actor_id, \"start\"")
    }

    fn note(&mut self, row: &[Datum]) {
        let values: Vec<String> = row.iter().map(ToString::to_string).collect();
        self.mark.push_str(&values.join(" "));
        self.mark.push(';');
    }

    /// The first and the last key of a table, by seeks in its primary key.
    fn note_ends(&mut self, conn: &Connection, table: &str, key: &str) -> Result<(), DbError> {
        let last = key.replace(", ", " DESC, ");
        for order in [key, &format!("{last} DESC")] {
            let sql = format!("SELECT {key} FROM {table} ORDER BY {order} LIMIT 1");
            let row = first_row(conn, &sql)?.unwrap_or_default();
            self.note(&row);
        }
        Ok(())
    }
}

/// `100,000 buffered changes of 1 version, 2 gaps`.
impl fmt::Display for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let versions = counted(self.part_versions, "version");
        match (self.buffered_changes, self.part_versions) {
            (0, 0) => {}
            (0, _) => parts.push(format!("{versions} in part")),
            (n, 0) => parts.push(counted(n, "buffered change")),
            (n, _) => parts.push(format!("{} of {versions}", counted(n, "buffered change"))),
        }
        if self.gaps > 0 {
            parts.push(counted(self.gaps, "gap"));
        }
        if parts.is_empty() {
            return f.write_str("nothing");
        }
        f.write_str(&parts.join(", "))
    }
}

/// `1 gap`, `12 gaps`, `more than 1,000 gaps`.
fn counted(n: u64, noun: &str) -> String {
    match n {
        1 => format!("1 {noun}"),
        n if n == COUNTED_MAX + 1 => format!("more than {} {noun}s", grouped(COUNTED_MAX)),
        n => format!("{} {noun}s", grouped(n)),
    }
}

/// `1,234,567`.
fn grouped(n: u64) -> String {
    match n {
        0..1000 => n.to_string(),
        _ => format!("{},{:03}", grouped(n / 1000), n % 1000),
    }
}

/// A count as `SQLite` gives it; 0 for what a damaged row makes of it.
fn count_of(datum: &Datum) -> u64 {
    match datum {
        Datum::Integer(n) => u64::try_from(*n).unwrap_or(0),
        _ => 0,
    }
}

/// The one row of an aggregate.
fn numbers(conn: &Connection, sql: &str) -> Result<Vec<Datum>, DbError> {
    Ok(first_row(conn, sql)?.unwrap_or_default())
}

fn first_row(conn: &Connection, sql: &str) -> Result<Option<Vec<Datum>>, DbError> {
    let what = "read what the Corrosion agent has to do";
    let mut statement = conn.prepare_cached(sql).doing(what)?;
    let width = statement.column_count();
    statement.query_row([], |row| (0..width).map(|i| row.get(i)).collect()).optional().doing(what)
}
