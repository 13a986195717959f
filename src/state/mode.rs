//! The rows of `_dotfill_modes`: where a migration of sets stands. Which step may follow which is
//! decided elsewhere.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;

use super::knows_quarantine;
use crate::db::{DbError, Doing};

/// What applications read and write, step by step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The old form is all there is to applications.
    #[default]
    ReadOldWriteOld,
    /// Applications read the new form, which is derived from the old one.
    ReadNewWriteOld,
    /// Writes of both forms are allowed.
    ReadNewWriteBoth,
    /// The epoch is open: writes of the old form are refused.
    ReadNewWriteNew,
    /// The old form is being removed, or was.
    CompactOld,
}

impl Mode {
    /// Every mode, in the order in which a migration takes them.
    pub const ALL: [Self; 5] = [
        Self::ReadOldWriteOld,
        Self::ReadNewWriteOld,
        Self::ReadNewWriteBoth,
        Self::ReadNewWriteNew,
        Self::CompactOld,
    ];

    /// Its name in the database, in JSON, on the command line and for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOldWriteOld => "read-old-write-old",
            Self::ReadNewWriteOld => "read-new-write-old",
            Self::ReadNewWriteBoth => "read-new-write-both",
            Self::ReadNewWriteNew => "read-new-write-new",
            Self::CompactOld => "compact-old",
        }
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromSql for Mode {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let name = value.as_str()?;
        Self::ALL.into_iter().find(|mode| mode.as_str() == name).ok_or(FromSqlError::InvalidType)
    }
}

impl ToSql for Mode {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.as_str()))
    }
}

/// Where one migration stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModeRow {
    /// The mode.
    pub mode: Mode,
    /// The share of the objects, in percent, that is ahead in `read-new-write-new`.
    pub cohort_percent: u8,
}

impl ModeRow {
    /// The row of a migration; the first mode, for nobody ahead, where there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(conn: &Connection, migration: &str) -> Result<Self, DbError> {
        if !knows_quarantine(conn)? {
            return Ok(Self::default());
        }
        let row = conn
            .prepare_cached("SELECT mode, cohort_percent FROM _dotfill_modes WHERE migration = ?1")
            .and_then(|mut s| {
                s.query_row([migration], |row| {
                    Ok(Self { mode: row.get(0)?, cohort_percent: row.get(1)? })
                })
                .optional()
            })
            .doing("read the mode")?;
        Ok(row.unwrap_or_default())
    }

    /// Writes the row.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(self, conn: &Connection, migration: &str) -> Result<(), DbError> {
        conn.prepare_cached(
            "INSERT INTO _dotfill_modes (migration, mode, cohort_percent) VALUES (?1, ?2, ?3) \
             ON CONFLICT (migration) DO UPDATE SET mode = excluded.mode, \
             cohort_percent = excluded.cohort_percent",
        )
        .and_then(|mut s| s.execute((migration, self.mode, self.cohort_percent)))
        .doing("write the mode")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_is_written_and_read_back() {
        let conn = Connection::open_in_memory().expect("a database");
        assert_eq!(ModeRow::read(&conn, "m").expect("a row"), ModeRow::default());
        super::super::create(&conn).expect("tables");
        assert_eq!(ModeRow::read(&conn, "m").expect("a row"), ModeRow::default());
        for mode in Mode::ALL {
            let row = ModeRow { mode, cohort_percent: 10 };
            row.save(&conn, "m").expect("written");
            assert_eq!(ModeRow::read(&conn, "m").expect("a row"), row);
        }
        let wrong = ModeRow { mode: Mode::CompactOld, cohort_percent: 101 };
        wrong.save(&conn, "m").expect_err("no such percentage");
    }
}
