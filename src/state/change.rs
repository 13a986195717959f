//! The rows of `_dotfill_migrations` and `_dotfill_changes`, typed.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;

use crate::db::{DbError, Doing};

/// Where a migration or one of its changes stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Rows are being filled, or were when the job stopped: resumable.
    Filling,
    /// Every row was filled and proven; writes by others are noted and derived again.
    Open,
    /// Drained, proven, no longer followed.
    Closed,
    /// Deltas that another replica exported are being written, or were when the job stopped:
    /// resumable. Nothing is derived here.
    Applying,
    /// Every row of the deltas was written and found in the data, is a user's, or waits for its row
    /// to arrive. Sources are not followed; a later `apply` or `run` goes on from here.
    Applied,
    /// Our cells are being set back to NULL: resumable.
    RollingBack,
    /// Our cells are NULL again and nothing is followed.
    RolledBack,
    /// A row could not be derived; the reason is in the events. Repeating the command retries.
    Failed,
}

impl Phase {
    const ALL: [Self; 8] = [
        Self::Filling,
        Self::Open,
        Self::Closed,
        Self::Applying,
        Self::Applied,
        Self::RollingBack,
        Self::RolledBack,
        Self::Failed,
    ];

    /// Its name in the database, in JSON and for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Filling => "filling",
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Applying => "applying",
            Self::Applied => "applied",
            Self::RollingBack => "rolling-back",
            Self::RolledBack => "rolled-back",
            Self::Failed => "failed",
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromSql for Phase {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let name = value.as_str()?;
        Self::ALL.into_iter().find(|p| p.as_str() == name).ok_or(FromSqlError::InvalidType)
    }
}

impl ToSql for Phase {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.as_str()))
    }
}

/// One row of `_dotfill_migrations`.
#[derive(Clone, Debug)]
pub struct MigrationRow {
    /// The migration's id.
    pub id: String,
    /// The digest of the file's meaning when it was first run.
    pub digest: Vec<u8>,
    /// The file's text when it was first run.
    pub text: String,
    /// Where it stands.
    pub phase: Phase,
    /// The last proof, as JSON, where there was one.
    pub proof: Option<String>,
}

impl MigrationRow {
    /// The row of one migration.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(conn: &Connection, id: &str) -> Result<Option<Self>, DbError> {
        conn.prepare_cached(
            "SELECT id, digest, text, phase, proof FROM _dotfill_migrations WHERE id = ?1",
        )
        .and_then(|mut s| s.query_row([id], Self::from_row).optional())
        .doing(format!("read the state of migration {id}"))
    }

    /// The rows of all migrations, by id.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn all(conn: &Connection) -> Result<Vec<Self>, DbError> {
        conn.prepare_cached(
            "SELECT id, digest, text, phase, proof FROM _dotfill_migrations ORDER BY id",
        )
        .and_then(|mut s| s.query_map([], Self::from_row)?.collect())
        .doing("read the migrations")
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            digest: row.get(1)?,
            text: row.get(2)?,
            phase: row.get(3)?,
            proof: row.get(4)?,
        })
    }

    /// Adds the row, at the beginning of `phase`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn insert(
        conn: &Connection,
        id: &str,
        digest: &[u8],
        text: &str,
        phase: Phase,
    ) -> Result<(), DbError> {
        conn.execute(
            "INSERT INTO _dotfill_migrations (id, digest, text, phase, sqlite_version, \
             dotfill_version) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (id, digest, text, phase, rusqlite::version(), env!("CARGO_PKG_VERSION")),
        )
        .doing(format!("record migration {id}"))?;
        Ok(())
    }

    /// Moves the migration to `phase`, and keeps a proof where there is a new one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_phase(
        conn: &Connection,
        id: &str,
        phase: Phase,
        proof: Option<&str>,
    ) -> Result<(), DbError> {
        conn.execute(
            "UPDATE _dotfill_migrations SET phase = ?2, proof = coalesce(?3, proof) WHERE id = ?1",
            (id, phase, proof),
        )
        .doing(format!("record the phase of migration {id}"))?;
        Ok(())
    }
}

/// What was done for one change, summed over all runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Rows that the fill has passed, written or not.
    pub rows_passed: u64,
    /// Cells that we wrote.
    pub rows_written: u64,
    /// Rows left as they were because their expression failed (`on_error = "skip"`).
    pub rows_skipped: u64,
    /// Change records that we published.
    pub change_records_written: u64,
}

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.rows_passed += other.rows_passed;
        self.rows_written += other.rows_written;
        self.rows_skipped += other.rows_skipped;
        self.change_records_written += other.change_records_written;
    }
}

/// One row of `_dotfill_changes`.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each a column")]
pub struct ChangeRow {
    /// Its number in this database.
    pub n: i64,
    /// Its migration.
    pub migration: String,
    /// Its position in the file, from 0.
    pub position: i64,
    /// The table.
    pub table: String,
    /// The target column.
    pub column: String,
    /// The delivery that was chosen when it was first run.
    pub delivery: String,
    /// Where it stands.
    pub phase: Phase,
    /// True where we added the column.
    pub column_added: bool,
    /// True once the cells that users wrote before us are known.
    pub seeded: bool,
    /// True once the fill has passed the last row.
    pub filled: bool,
    /// True where NULLs with a clock row were found, whose clock rows the fill has to look at.
    pub null_clocks: bool,
    /// The last key passed, in [`crate::split::Position`]'s text form.
    pub checkpoint: Option<String>,
    /// `PRAGMA schema_version` when the checkpoint was written.
    pub checkpoint_schema: Option<i64>,
    /// Rows of the table when the fill began.
    pub rows_total: u64,
    /// What was done so far.
    pub counters: Counters,
}

const CHANGE_COLUMNS: &str = "n, migration, position, table_name, column_name, delivery, phase, \
    column_added, seeded, filled, null_clocks, checkpoint, checkpoint_schema, rows_total, \
    rows_passed, rows_written, rows_skipped, change_records_written";

impl ChangeRow {
    /// The changes of a migration, in order.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn of(conn: &Connection, migration: &str) -> Result<Vec<Self>, DbError> {
        conn.prepare_cached(&format!(
            "SELECT {CHANGE_COLUMNS} FROM _dotfill_changes WHERE migration = ?1 ORDER BY position"
        ))
        .and_then(|mut s| s.query_map([migration], Self::from_row)?.collect())
        .doing(format!("read the changes of migration {migration}"))
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let count = |i: usize| row.get::<_, i64>(i).map(i64::unsigned_abs);
        Ok(Self {
            n: row.get(0)?,
            migration: row.get(1)?,
            position: row.get(2)?,
            table: row.get(3)?,
            column: row.get(4)?,
            delivery: row.get(5)?,
            phase: row.get(6)?,
            column_added: row.get(7)?,
            seeded: row.get(8)?,
            filled: row.get(9)?,
            null_clocks: row.get(10)?,
            checkpoint: row.get(11)?,
            checkpoint_schema: row.get(12)?,
            rows_total: count(13)?,
            counters: Counters {
                rows_passed: count(14)?,
                rows_written: count(15)?,
                rows_skipped: count(16)?,
                change_records_written: count(17)?,
            },
        })
    }

    /// Adds the row.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn insert(&self, conn: &Connection) -> Result<(), DbError> {
        conn.execute(
            "INSERT INTO _dotfill_changes (n, migration, position, table_name, column_name, \
             delivery, phase, column_added, seeded, filled, rows_total) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            rusqlite::params![
                self.n,
                self.migration,
                self.position,
                self.table,
                self.column,
                self.delivery,
                self.phase,
                self.column_added,
                self.seeded,
                self.filled,
                self.rows_total.cast_signed(),
            ],
        )
        .doing("record the change")?;
        Ok(())
    }

    /// Removes the row of a change of which nothing is left.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, conn: &Connection) -> Result<(), DbError> {
        conn.execute("DELETE FROM _dotfill_changes WHERE n = ?1", [self.n])
            .doing("forget the change")?;
        Ok(())
    }

    /// Cells that were written for a migration, over all runs.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn rows_written(conn: &Connection, migration: &str) -> Result<u64, DbError> {
        conn.prepare_cached(
            "SELECT coalesce(sum(rows_written), 0) FROM _dotfill_changes WHERE migration = ?1",
        )
        .and_then(|mut s| s.query_row([migration], |row| row.get::<_, i64>(0)))
        .map(i64::unsigned_abs)
        .doing("count the written rows")
    }

    /// Writes back everything that may change while the job runs.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, conn: &Connection) -> Result<(), DbError> {
        let counters = self.counters;
        conn.prepare_cached(
            "UPDATE _dotfill_changes SET phase = ?2, seeded = ?3, filled = ?4, null_clocks = ?5, \
             checkpoint = ?6, checkpoint_schema = ?7, rows_passed = ?8, rows_written = ?9, \
             rows_skipped = ?10, change_records_written = ?11, rows_total = ?12 WHERE n = ?1",
        )
        .and_then(|mut s| {
            s.execute(rusqlite::params![
                self.n,
                self.phase,
                self.seeded,
                self.filled,
                self.null_clocks,
                self.checkpoint,
                self.checkpoint_schema,
                counters.rows_passed.cast_signed(),
                counters.rows_written.cast_signed(),
                counters.rows_skipped.cast_signed(),
                counters.change_records_written.cast_signed(),
                self.rows_total.cast_signed(),
            ])
        })
        .doing("write the checkpoint")?;
        Ok(())
    }
}
