//! The database, as signals ask it: on a connection that cannot write.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::db::{self, Access, DbError, Doing};
use crate::layout::corrosion::Backlog;
use crate::throttle::{Ask, Reading, TuningError};

/// Refuses a query of `--pause-when` that could never be asked: it would pause the job for ever.
pub(super) fn check(conn: &Connection, sql: &str) -> Result<(), TuningError> {
    let problem = match conn.prepare(sql) {
        Err(rusqlite::Error::MultipleStatement) => "is not one query".to_owned(),
        Err(error) => format!("cannot be asked: {}", db::expr::plain(&error)),
        Ok(query) if query.expanded_sql().is_none_or(|sql| sql.trim().is_empty()) => {
            "is not one query".to_owned()
        }
        Ok(query) if query.column_count() == 0 || !query.readonly() => "gives no value".to_owned(),
        Ok(query) if query.parameter_count() > 0 => {
            format!("has parameters, such as {}", query.parameter_name(1).unwrap_or("?"))
        }
        Ok(_) => return Ok(()),
    };
    let problem = format!("{problem}; give one query, such as \"SELECT count(*) > 9 FROM jobs\"");
    Err(TuningError::Flag { flag: "pause-when", problem })
}

/// The database, as signals ask it. Most jobs have none that does: it is opened when it is asked.
pub(super) struct Asked {
    db: PathBuf,
    conn: Option<Connection>,
}

impl Asked {
    /// For the signals of a job over `db`.
    pub(super) fn new(db: &Path) -> Self {
        Self { db: db.to_owned(), conn: None }
    }

    fn conn(&mut self) -> Result<&Connection, DbError> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => db::open(&self.db, Access::Read)?,
        };
        Ok(self.conn.insert(conn))
    }
}

impl Ask for Asked {
    fn value(&mut self, sql: &str) -> Result<Option<Reading>, String> {
        self.conn().and_then(|conn| read_signal(conn, sql)).map_err(|error| error.to_string())
    }

    fn backlog(&mut self) -> Result<Backlog, String> {
        self.conn().and_then(Backlog::read).map_err(|error| error.to_string())
    }
}

fn read_signal(conn: &Connection, sql: &str) -> Result<Option<Reading>, DbError> {
    let what = "ask --pause-when";
    let mut statement = conn.prepare_cached(sql).doing(what)?;
    let mut rows = statement.query([]).doing(what)?;
    let Some(row) = rows.next().doing(what)? else {
        return Ok(None);
    };
    let value = row.get_ref(0).doing(what)?;
    let truth = match value {
        ValueRef::Null => false,
        ValueRef::Integer(i) => i != 0,
        ValueRef::Real(r) => r != 0.0,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => std::str::from_utf8(bytes)
            .ok()
            .and_then(|s| s.parse::<f64>().ok())
            .is_some_and(|n| n != 0.0),
    };
    Ok(Some(Reading { value: db::Datum::from(value).to_string(), truth }))
}
