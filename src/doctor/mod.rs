//! `doctor`: what is wrong with one database or owed to it, each with the next command. Reads one
//! snapshot (of what a Corrosion agent has to do: two, a second apart), and works while a job runs;
//! repairs nothing.

mod change;
mod corrosion;
mod file;
mod index;
mod kept;
mod leftover;
mod migration;
mod process;
mod set;
mod set_stamp;
pub(crate) mod shell;
mod stamp;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::path::Path;

use rusqlite::Connection;
use serde::Serialize;

use crate::db::locks::LockWatch;
use crate::db::{self, Access, DbError, Doing, Environment};
use crate::layout::crsqlite;
use crate::state::{self, ChangeRow, MigrationRow};

/// How bad a finding is, from nothing to do to do it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be; worth knowing.
    Ok,
    /// Something is to be done, at a time of the operator's choosing.
    Owed,
    /// Something is broken, or will break.
    Wrong,
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Owed => "owed",
            Self::Wrong => "wrong",
        })
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: `file`, `wal`, `migration machines-owner`, ..
    pub what: String,
    /// What was found, for people.
    pub detail: String,
    /// The command that comes next, where there is one.
    pub next: Option<String>,
}

impl Finding {
    fn new(
        severity: Severity,
        what: impl Into<String>,
        detail: impl Into<String>,
        next: Option<String>,
    ) -> Self {
        Self { severity, what: what.into(), detail: detail.into(), next }
    }

    fn ok(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(Severity::Ok, what, detail, None)
    }

    fn owed(what: impl Into<String>, detail: impl Into<String>, next: String) -> Self {
        Self::new(Severity::Owed, what, detail, Some(next))
    }

    fn wrong(what: impl Into<String>, detail: impl Into<String>, next: String) -> Self {
        Self::new(Severity::Wrong, what, detail, Some(next))
    }
}

/// True where nothing is wrong or owed.
#[must_use]
pub fn is_healthy(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.severity == Severity::Ok)
}

/// Looks at everything, worst first.
///
/// # Errors
/// [`DbError`] where the file is none that can be read, or was written by a newer dotfill; the
/// message is then the finding.
pub fn examine(db: &Path) -> Result<Vec<Finding>, DbError> {
    let conn = db::open(db, Access::Read)?;
    crsqlite::register(&conn)?;
    let locks = LockWatch::new(db);
    conn.execute_batch("BEGIN").doing("begin a snapshot")?;
    let environment = db::environment(&conn)?;
    let mut patient = Patient { db, conn, environment };
    let known = patient.known()?;
    let mut findings = file::examine(&patient, &locks)?;
    findings.push(cr_sqlite(&patient.environment));
    findings.extend(corrosion::examine(&patient)?);
    findings.extend(leftover::examine(&patient, &known)?);
    findings.extend(kept::examine(&patient)?);
    for (row, changes) in &known {
        findings.extend(migration::examine(&mut patient, row, changes)?);
    }
    if known.is_empty() {
        findings.push(Finding::ok("migrations", "none is known here"));
    }
    patient.conn.execute_batch("COMMIT").doing("end a snapshot")?;
    findings.sort_by_key(|finding| Reverse(finding.severity));
    Ok(findings)
}

/// The migrations that the database knows, with their changes.
type Known = Vec<(MigrationRow, Vec<ChangeRow>)>;

/// What is being looked at.
struct Patient<'a> {
    db: &'a Path,
    /// For reading, inside one snapshot.
    conn: Connection,
    environment: Environment,
}

impl Patient<'_> {
    fn known(&self) -> Result<Known, DbError> {
        if !state::exists(&self.conn)? {
            return Ok(Known::new());
        }
        let with_changes = |row: MigrationRow| {
            let changes = ChangeRow::of(&self.conn, &row.id)?;
            Ok((row, changes))
        };
        MigrationRow::all(&self.conn)?.into_iter().map(with_changes).collect()
    }

    /// The names of the tables, indexes or triggers that are called `_dotfill_..`.
    fn ours(&self, kind: &str) -> Result<Vec<String>, DbError> {
        self.conn
            .prepare_cached(
                "SELECT name FROM sqlite_schema WHERE type = ?1 \
                 AND name LIKE '\\_dotfill\\_%' ESCAPE '\\' ORDER BY name",
            )
            .and_then(|mut s| s.query_map([kind], |row| row.get(0))?.collect())
            .doing("list what is ours")
    }

    fn knows_crsqlite(&self) -> bool {
        matches!(self.environment.crsqlite_version, None | Some(crsqlite::VERSION))
    }
}

fn cr_sqlite(environment: &Environment) -> Finding {
    let corrosion = if environment.corrosion {
        "; the tables of a Corrosion agent are there too: it gets columns from its schema files, \
         and delivery = \"native\" is refused"
    } else {
        ""
    };
    match environment.crsqlite_version {
        None => Finding::ok("cr-sqlite", format!("not here: plain SQLite{corrosion}")),
        Some(crsqlite::VERSION) => {
            Finding::ok("cr-sqlite", format!("its tables have version 0.17{corrosion}"))
        }
        Some(found) => Finding::wrong(
            "cr-sqlite",
            format!(
                "its tables have version {found}, and dotfill knows 0.17 ({}) only: everything but \
                 reading is refused{corrosion}",
                crsqlite::VERSION
            ),
            "`dotfill --version`, then a release of dotfill that knows this version".to_owned(),
        ),
    }
}
