//! The database, as signals ask it: on a connection that cannot write.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::db::{self, DbError, Doing};
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

/// The database, as signals ask it.
pub(super) struct Asked<'a>(pub &'a Connection);

impl Ask for Asked<'_> {
    fn value(&mut self, sql: &str) -> Result<Option<Reading>, String> {
        read_signal(self.0, sql).map_err(|error| error.to_string())
    }

    fn backlog(&mut self) -> Result<Backlog, String> {
        Backlog::read(self.0).map_err(|error| error.to_string())
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
