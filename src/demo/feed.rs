//! A third replica that cannot derive: a plain copy for reports, without the column that the
//! expression reads. It is fed by deltas of the first replica, and compared with that.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::replica::Replica;
use super::{DemoError, Stage, Step};
use crate::db::{DbError, Doing};
use crate::engine::{
    self, ApplyReport, Deltas, Destination, ExportOptions, ExportReport, Outcome, RunOptions,
};
use crate::plan::{PlanError, PlanOptions, plan};

/// The file of the third replica.
pub(super) const REPORTS: &str = "c.db";
/// The folder of the chain that it is fed.
const DELTAS: &str = "deltas";

/// How the third replica was fed.
#[derive(Clone, Debug, Serialize)]
pub struct Feeding {
    /// The name of its file.
    pub replica: String,
    /// Why dotfill refuses to derive there; absent where it does not.
    pub refusal: Option<String>,
    /// What the export from the first replica says.
    pub export: ExportReport,
    /// What applying its chain says.
    pub apply: ApplyReport,
    /// Rows whose cell is not that of the first replica, afterwards.
    pub rows_different: u64,
    /// Seconds of export and apply.
    pub seconds: f64,
}

/// Makes the third replica and feeds it.
pub(super) fn feed(stage: &mut Stage<'_>, folder: &Path) -> Result<Feeding, DemoError> {
    let (from, to) = (stage.replicas().swap_remove(0), folder.join(REPORTS));
    let copy = Replica { path: to, extension: None };
    make(&copy, &from)?;
    let refusal = match plan(&copy.path, &stage.migration, &PlanOptions::default()) {
        Ok(_) => None,
        Err(PlanError::Refused { problem, .. }) => Some(problem),
        Err(error) => return Err(error.into()),
    };
    let began = Instant::now();
    let (export, apply) = ship(stage, &from, &copy, &folder.join(DELTAS))?;
    let seconds = began.elapsed().as_secs_f64();
    let rows_different = compare(&copy, &from)?;
    let replica = REPORTS.to_owned();
    let feeding = Feeding { replica, refusal, export, apply, rows_different, seconds };
    (stage.say)(Step::Fed(&feeding));
    let rows = stage.made.rows;
    stage.check(
        "c.db cannot derive, for it lacks what the expression reads: run is refused there",
        feeding.refusal.is_some(),
    );
    stage.check(
        "every row of c.db was fed by deltas, and holds what a.db holds",
        feeding.apply.rows_written == rows && feeding.rows_different == 0,
    );
    Ok(feeding)
}

/// The rows that reports need, without the column that the expression reads.
fn make(copy: &Replica, from: &Replica) -> Result<(), DbError> {
    copy.with(|conn| {
        attach(conn, from)?;
        conn.execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE machines(id INTEGER NOT NULL PRIMARY KEY, region TEXT);
             INSERT INTO machines SELECT id, region FROM origin.machines;",
        )
        .doing("copy the rows of the third replica")
    })?;
    Ok(())
}

fn attach(conn: &rusqlite::Connection, from: &Replica) -> Result<(), DbError> {
    conn.execute("ATTACH ?1 AS origin", [from.path.to_string_lossy()])
        .map(|_| ())
        .doing("open the first replica beside the third")
}

/// Export and apply.
fn ship(
    stage: &Stage<'_>,
    from: &Replica,
    copy: &Replica,
    dir: &Path,
) -> Result<(ExportReport, ApplyReport), DemoError> {
    let cancel = || Arc::clone(&stage.options.cancel);
    let options = ExportOptions { cancel: cancel(), ..ExportOptions::default() };
    let to = Destination::Folder(dir.to_owned());
    let export = engine::export(&from.path, &stage.migration, to, &options, stage.monitor)?;
    if export.outcome != Outcome::Complete {
        return Err(DemoError::Interrupted);
    }
    let options = RunOptions { cancel: cancel(), ..RunOptions::default() };
    let deltas = Deltas::Folder(dir.to_owned());
    let apply = engine::apply(&copy.path, deltas, &options, stage.monitor)?;
    match apply.outcome {
        Outcome::Complete => Ok((export, apply)),
        _ => Err(DemoError::Interrupted),
    }
}

/// Rows of either replica that the other does not hold alike.
fn compare(copy: &Replica, from: &Replica) -> Result<u64, DbError> {
    copy.with(|conn| {
        attach(conn, from)?;
        let sql = "SELECT count(*) FROM origin.machines a FULL JOIN main.machines c ON a.id = c.id
                   WHERE a.id IS NULL OR c.id IS NULL OR a.owner IS NOT c.owner";
        conn.query_row(sql, [], |row| row.get(0)).doing("compare the third replica with the first")
    })
}
