//! A malformed old form fails the change for good: everybody is told the same, what we made is taken
//! back but for what is a user's, and it is tried again on demand only.

use dotfill::engine::{self, RunError};
use dotfill::migration::Migration;
use rusqlite::Connection;

use crate::common::{PlainDb, Replica, extension, plain_db};
use crate::set::{PROJECTS, SetJob, rows, tags, visible};
use crate::watch::AfterCommit;

const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 1500)
    INSERT INTO projects (id, tags) SELECT i, '[\"a\", \"b' || (i % 3) || '\"]' FROM i;
    UPDATE projects SET tags = '{' WHERE id = 1400;";

/// The schema without dotfill's own tables of state.
fn schema(conn: &Connection) -> Vec<String> {
    rows(
        conn,
        "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL
         AND (name NOT GLOB '_dotfill_*' OR name GLOB '_dotfill_*[0-9]*')",
    )
}

fn scene(migration: Migration) -> (PlainDb, SetJob) {
    let db = plain_db(&format!("{PROJECTS};{ROWS}"));
    let mut job = SetJob::new(db.db(), migration);
    job.options.tuning.batch_rows_max = 500;
    (db, job)
}

#[track_caller]
fn failure(job: &SetJob) -> String {
    match job.try_run(&dotfill::monitor::Quiet) {
        Err(RunError::Failed { message, .. }) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_made_is_gone_and_the_next_run_begins_anew() {
    let (db, mut job) = scene(tags("json", ""));
    let before = schema(&db);
    let said = failure(&job);
    for words in ["row (1400), tags", "--retry", "taken back"] {
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(schema(&db), before);
    assert_eq!(rows(&db, "SELECT * FROM _dotfill_sets"), [""; 0]);
    assert_eq!(rows(&db, "SELECT * FROM _dotfill_changes"), [""; 0]);
    assert_eq!(failure(&job), said);
    db.execute_batch("UPDATE projects SET tags = '[]' WHERE id = 1400").unwrap();
    assert_eq!(failure(&job), said);
    job.options.retry = true;
    job.run();
    assert_eq!(visible(&db).len(), 2998);
    job.assert_equal();
}

#[test]
fn a_failed_one_that_left_nothing_can_be_forgotten() {
    let (db, job) = scene(tags("json", ""));
    failure(&job);
    job.forget();
    assert_eq!(rows(&db, "SELECT name FROM sqlite_schema WHERE name GLOB '_dotfill*'"), [""; 0]);
}

#[test]
fn what_users_wrote_meanwhile_stays() {
    let (db, job) = scene(tags("json", ""));
    let path = db.db().to_owned();
    let monitor = AfterCommit::new(move |commits| {
        if commits == 3 {
            let conn = Connection::open(&path).unwrap();
            conn.execute_batch("INSERT INTO tag_adds VALUES (1, 'mine', x'0102')").unwrap();
        }
    });
    let error = job.try_run(&monitor).expect_err("a failure").to_string();
    drop(monitor);
    assert!(error.contains("tag_adds\" is kept: it holds what users wrote"), "{error}");
    let want = ["Integer(1) Text(\"mine\") 0102"];
    assert_eq!(rows(&db, "SELECT * FROM tag_adds"), want);
    let names = "SELECT name FROM sqlite_schema WHERE name IN ('tag_removes', 'tags_visible')";
    assert_eq!(rows(&db, names), [""; 0]);
}

#[test]
fn the_file_may_say_to_keep_it() {
    let (db, mut job) = scene(tags("json", "on_failure = 'keep'"));
    let said = failure(&job);
    assert!(!said.contains("taken back"), "{said}");
    assert!(rows(&db, "SELECT * FROM tag_adds").len() >= 2000);
    let plain = tags("json", "");
    assert_ne!(plain.digest, job.migration.digest);
    db.execute_batch("UPDATE projects SET tags = '[]' WHERE id = 1400").unwrap();
    job.options.retry = true;
    assert!(job.run().rows_written < 1000);
    job.assert_equal();
}

#[test]
fn what_was_proven_once_stays() {
    let (db, job) = scene(tags("json", ""));
    db.execute_batch("UPDATE projects SET tags = '[]' WHERE id = 1400").unwrap();
    job.run();
    db.execute_batch("UPDATE projects SET tags = '{' WHERE id = 1400").unwrap();
    let said = failure(&job);
    assert!(!said.contains("taken back"), "{said}");
    assert_eq!(visible(&db).len(), 2998);
    db.execute_batch("UPDATE projects SET tags = '[]' WHERE id = 1400").unwrap();
    job.run();
    job.assert_equal();
}

#[test]
fn on_cr_sqlite_no_record_and_no_table_is_left() {
    let replica = Replica::with_tables(PROJECTS, &["projects"]);
    replica.execute_batch(ROWS).unwrap();
    let before = schema(&replica);
    let version: i64 = replica.value("SELECT crsql_db_version()", []);
    let mut job = SetJob::new(replica.db(), tags("json", ""));
    job.options.tuning.batch_rows_max = 500;
    job.options.crsqlite = Some(extension().to_owned());
    let said = failure(&job);
    assert!(said.contains("taken back"), "{said}");
    assert_eq!(schema(&replica), before);
    assert_eq!(replica.value::<i64>("SELECT crsql_db_version()", []), version);
}

#[test]
fn a_proof_is_of_the_tables_of_the_set_too() {
    let (db, job) = scene(tags("json", "malformed = 'skip'"));
    job.run();
    let attest = || {
        let looking = engine::LookOptions::default();
        let quiet = &dotfill::monitor::Quiet;
        engine::attest(&job.db, &job.migration, false, &looking, quiet).unwrap()
    };
    assert!(!attest().counted);
    for sql in [
        "CREATE INDEX one ON tag_adds (dot)",
        "CREATE TRIGGER two AFTER INSERT ON tag_removes BEGIN SELECT 1; END",
        "CREATE TRIGGER three INSTEAD OF DELETE ON tags_visible BEGIN SELECT 1; END",
    ] {
        db.execute_batch(sql).unwrap();
        assert!(attest().counted, "{sql}");
        job.run();
        assert!(!attest().counted, "{sql}");
    }
    let mut closing = SetJob::new(db.db(), job.migration.clone());
    closing.options.close = true;
    closing.run();
    let closed = attest();
    assert!(!closed.counted, "{closed:?}");
    assert_eq!(closed.rows, 1500);
}
