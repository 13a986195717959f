//! What a node's database holds, read from the file beside the running agent.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::failed::Outcome;
use crate::schema::VALUE;

/// What the agent has received and not applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Change records that wait for the rest of their version, or to be applied.
    pub buffered: u64,
    /// Change records that are kept, those of applied versions among them: the agent clears 1000
    /// every two seconds.
    pub kept: u64,
    /// Versions of which a part has arrived.
    pub partial: u64,
    /// Versions that are known to exist and have not arrived.
    pub gaps: u64,
}

impl Backlog {
    /// True where everything that is known of was applied.
    pub fn is_empty(self) -> bool {
        Self { kept: 0, ..self } == Self::default()
    }

    /// Of two nodes together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            buffered: self.buffered + other.buffered,
            kept: self.kept + other.kept,
            partial: self.partial + other.partial,
            gaps: self.gaps + other.gaps,
        }
    }
}

/// A connection that reads beside the agent.
pub fn open(db: &Path) -> Outcome<Connection> {
    let connection = Connection::open_with_flags(db, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

fn count(db: &Path, sql: &str) -> Outcome<u64> {
    Ok(open(db)?.query_row(sql, [], |row| row.get(0))?)
}

/// Rows of the table.
pub fn rows(db: &Path) -> Outcome<u64> {
    count(db, "SELECT count(*) FROM machines")
}

/// Rows whose value is not the derived one.
pub fn unfilled(db: &Path) -> Outcome<u64> {
    count(db, &format!("SELECT count(*) FROM machines WHERE owner IS NOT {VALUE}"))
}

/// Clock rows of the filled column: cells that cr-sqlite would send.
pub fn owner_clocks(db: &Path) -> Outcome<u64> {
    count(db, "SELECT count(*) FROM machines__crsql_clock WHERE col_name = 'owner'")
}

/// Whether a beat has arrived.
pub fn has_beat(db: &Path, beat: i64) -> Outcome<bool> {
    Ok(count(db, &format!("SELECT count(*) FROM beats WHERE id = {beat}"))? == 1)
}

/// One cell of the filled column, as an SQL literal; `None` where there is no such row.
pub fn owner(db: &Path, key: &str) -> Outcome<Option<String>> {
    let sql = "SELECT max(quote(owner)) FROM machines WHERE id = ?1";
    Ok(open(db)?.query_row(sql, [key], |row| row.get(0))?)
}

/// A hash over every row with its value: equal where two replicas agree.
pub fn contents(db: &Path) -> Outcome<String> {
    let sql = "SELECT id || '|' || app || '|' || region || '|' || state || '|' || note || '|' || \
               quote(owner) FROM machines ORDER BY id";
    hash(db, sql)
}

fn hash(db: &Path, sql: &str) -> Outcome<String> {
    let connection = open(db)?;
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut hasher = blake3::Hasher::new();
    while let Some(row) = rows.next()? {
        hasher.update(row.get_ref(0)?.as_bytes()?);
        hasher.update(b"\n");
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// The rows without the filled column.
const ROWS: &str = "SELECT id || '|' || app || '|' || region || '|' || state || '|' || note \
                    FROM machines ORDER BY id";
/// The cells of the filled column that users have written, in which version and with which value. A
/// NULL at version 1 is an insert that left the column out: dotfill removes that clock row.
const CELLS: &str = "SELECT p.id || '|' || c.col_version || '|' || quote(m.owner) \
                     FROM machines__crsql_clock c JOIN machines__crsql_pks p \
                     ON p.__crsql_key = c.key LEFT JOIN machines m ON m.id = p.id \
                     WHERE c.col_name = 'owner' \
                     AND NOT (c.col_version = 1 AND m.owner IS NULL) ORDER BY p.id";

/// A hash over what cr-sqlite itself keeps equal.
pub fn replicated(db: &Path) -> Outcome<String> {
    Ok(format!("{} {}", hash(db, ROWS)?, hash(db, CELLS)?))
}

/// What cr-sqlite itself keeps equal, fact by fact.
pub fn facts(db: &Path) -> Outcome<BTreeSet<String>> {
    let connection = open(db)?;
    let mut facts = BTreeSet::new();
    for sql in [ROWS, CELLS] {
        let mut statement = connection.prepare(sql)?;
        for fact in statement.query_map([], |row| row.get(0))? {
            facts.insert(fact?);
        }
    }
    Ok(facts)
}

/// Cells without a clock row that do not hold the derived value.
pub fn wrong(db: &Path) -> Outcome<u64> {
    count(
        db,
        &format!(
            "SELECT count(*) FROM machines m WHERE owner IS NOT {VALUE} AND NOT EXISTS \
             (SELECT 1 FROM machines__crsql_pks p JOIN machines__crsql_clock c \
             ON c.key = p.__crsql_key WHERE p.id = m.id AND c.col_name = 'owner')"
        ),
    )
}

/// Objects of dotfill in the schema.
pub fn traces(db: &Path) -> Outcome<u64> {
    count(db, "SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_dotfill\\_%' ESCAPE '\\'")
}

/// What has arrived and was not applied, and what has not arrived.
pub fn backlog(db: &Path) -> Outcome<Backlog> {
    let gaps = "SELECT coalesce(sum(\"end\" - start + 1), 0) FROM __corro_bookkeeping_gaps";
    let partial =
        "SELECT count(*) FROM (SELECT DISTINCT site_id, db_version FROM __corro_seq_bookkeeping)";
    let buffered = "SELECT coalesce(sum(end_seq - start_seq + 1), 0) FROM __corro_seq_bookkeeping";
    Ok(Backlog {
        buffered: count(db, buffered)?,
        kept: count(db, "SELECT count(*) FROM __corro_buffered_changes")?,
        partial: count(db, partial)?,
        gaps: count(db, gaps)?,
    })
}
