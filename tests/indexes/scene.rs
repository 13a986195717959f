//! Migrations of one index, and what is asked of them.

use dotfill::engine::{self, LookOptions, Verdict, VerifyReport};
use dotfill::migration::Migration;
use dotfill::monitor::Quiet;
use rusqlite::Connection;

use crate::job::{Job, migration};

/// The section of an index `i` of table `t`; `rest` holds its further lines.
pub fn section(rest: &str) -> String {
    format!("[[change]]\nkind = 'index'\nname = 'i'\ntable = 't'\n{rest}\n")
}

/// A migration of one index.
#[track_caller]
pub fn index(rest: &str) -> Migration {
    migration(&format!("id = \"m\"\n{}", section(rest)))
}

/// A job over `db` that builds one index.
#[track_caller]
pub fn job(db: &str, rest: &str) -> Job {
    Job::new(db, index(rest))
}

/// The SQL of index `i`, where it is there.
pub fn sql(conn: &Connection) -> Option<String> {
    let sql = "SELECT group_concat(sql) FROM sqlite_schema WHERE type = 'index' AND name = 'i'";
    conn.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// What `verify` finds.
#[track_caller]
pub fn verify(job: &Job, integrity: bool) -> VerifyReport {
    let options = LookOptions { integrity, ..LookOptions::default() };
    engine::verify(&job.db, &job.migration, &options, &Quiet).unwrap_or_else(|e| panic!("{e}"))
}

/// Panics unless the index is proven, row by row.
#[track_caller]
pub fn assert_proven(job: &Job) -> VerifyReport {
    let report = verify(job, true);
    assert_eq!(report.verdict, Verdict::Equal, "{report:?}");
    report
}
