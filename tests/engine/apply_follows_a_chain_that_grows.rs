//! `apply --follow`: files that come into the folder are applied, rows that arrive get their value,
//! until it is told to stop.

use std::fs;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;

use rusqlite::Connection;
use tempfile::TempDir;

use crate::common::{Client, eventually, plain_db};
use crate::deltas::{export, export_for};
use crate::job::{Job, assert_none, assert_sound, objects, one_column};
use dotfill::engine::{self, ApplyReport, Deltas, Outcome, RunOptions};
use dotfill::monitor::{Monitor, Progress, Quiet};

const TABLE: &str = "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, src TEXT);";

fn rows(from: u32, to: u32) -> String {
    format!(
        "WITH RECURSIVE i(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM i WHERE i < {to})
         INSERT INTO t (id, src) SELECT i, 'src ' || i FROM i;"
    )
}

fn follow(crsqlite: bool) {
    let migration = one_column("t", "target", "TEXT", "'v-' || src", "delivery = 'derive'");
    let a = plain_db(&format!("{TABLE}{}", rows(1, 400_000)));
    let job = Job { options: RunOptions::default(), ..Job::new(a.db(), migration.clone()) };
    job.run();
    let whole = a.folder().join("deltas");
    export(a.db(), &migration, &whole);
    let mut files: Vec<_> =
        fs::read_dir(&whole).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert!(files.len() >= 4, "premise: several segments");

    let folder = TempDir::new().unwrap();
    let (db, dir) = (folder.path().join("b.db"), folder.path().join("growing"));
    fs::create_dir(&dir).unwrap();
    let b = Client::open(&db);
    b.execute_batch(TABLE).unwrap();
    if crsqlite {
        b.run("SELECT crsql_as_crr('t')", []);
    }
    b.execute_batch(&rows(1, 399_000)).unwrap();
    fs::copy(whole.join(&files[0]), dir.join(&files[0])).unwrap();

    let options = RunOptions { follow: true, ..RunOptions::default() };
    let cancel = Arc::clone(&options.cancel);
    let runner: thread::JoinHandle<ApplyReport> = {
        let (db, dir) = (db.clone(), dir.clone());
        thread::spawn(move || engine::apply(&db, Deltas::Folder(dir), &options, &Quiet).unwrap())
    };
    for file in &files[1..] {
        fs::copy(whole.join(file), folder.path().join("part")).unwrap();
        fs::rename(folder.path().join("part"), dir.join(file)).unwrap();
        thread::yield_now();
    }
    let filled = |conn: &Connection| -> i64 {
        let sql = "SELECT count(*) FROM t WHERE target = 'v-' || src";
        conn.query_row(sql, [], |row| row.get(0)).unwrap_or(0)
    };
    let phase = |conn: &Connection| -> String {
        conn.query_row("SELECT phase FROM _dotfill_migrations", [], |row| row.get(0))
            .unwrap_or_default()
    };
    eventually("the chain is applied", || filled(&b) == 399_000 && phase(&b) == "applied");
    // In one transaction: a row that is there for a moment would be filled.
    let user = "UPDATE t SET target = 'user' WHERE id = 399001";
    b.execute_batch(&format!("BEGIN; {}; {user}; COMMIT", rows(399_001, 399_500))).unwrap();
    eventually("new rows are filled", || filled(&b) == 399_499);
    cancel.store(true, Ordering::Relaxed);
    let report = runner.join().unwrap();
    assert_eq!(report.outcome, Outcome::Interrupted);
    assert_eq!((report.rows, report.rows_arrived, report.rows_pending), (400_000, 499, 500));
    assert_eq!(report.phase, "applied");
    assert_none(&b, "SELECT count(*) FROM t WHERE target IS NOT 'v-' || src AND id <> 399001");
    assert_eq!(objects(&b, "\\_dotfill\\_1\\_%").is_empty(), crsqlite);
    assert_sound(&b);
}

#[test]
fn into_a_plain_table() {
    follow(false);
}

#[test]
fn into_a_replica() {
    follow(true);
}

/// Keeps what is said.
struct Notes(Arc<Mutex<Vec<String>>>);

impl Monitor for Notes {
    fn progress(&self, _: &Progress) {}

    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

/// Where a range of the chain implies other keys, following goes on, and its end says so.
#[test]
fn following_says_what_could_not_be_written() {
    let migration = one_column("t", "target", "TEXT", "'v-' || src", "delivery = 'derive'");
    let a = plain_db(&format!("{TABLE}{}", rows(1, 1000)));
    Job::new(a.db(), migration.clone()).run();
    let folder = TempDir::new().unwrap();
    let (db, dir) = (folder.path().join("b.db"), folder.path().join("deltas"));
    let b = Client::open(&db);
    b.execute_batch(&format!("{TABLE}{}", rows(1, 1000))).unwrap();
    b.execute_batch("DELETE FROM t WHERE id = 500").unwrap();
    export_for(&db, a.db(), &migration, &dir);
    b.execute_batch("DELETE FROM t WHERE id = 900").unwrap();

    let options = RunOptions { follow: true, ..RunOptions::default() };
    let cancel = Arc::clone(&options.cancel);
    let notes = Arc::new(Mutex::new(Vec::new()));
    let runner: thread::JoinHandle<ApplyReport> = {
        let (db, dir) = (db.clone(), dir.clone());
        let notes = Notes(Arc::clone(&notes));
        thread::spawn(move || engine::apply(&db, Deltas::Folder(dir), &options, &notes).unwrap())
    };
    let filled = |conn: &Connection| -> i64 {
        let sql = "SELECT count(*) FROM t WHERE target = 'v-' || src";
        conn.query_row(sql, [], |row| row.get(0)).unwrap_or(0)
    };
    let is_told =
        || notes.lock().unwrap().iter().any(|note| note.contains("table t: the keys from"));
    eventually("the rest is applied", || filled(&b) > 400 && is_told());
    cancel.store(true, Ordering::Relaxed);
    let report = runner.join().unwrap();
    assert_eq!((report.outcome, report.ranges_unlike), (Outcome::Failed, 1));
    assert_eq!(report.phase, "applying");
    assert_eq!(report.rows + report.rows_unlike, 1000);
    assert_sound(&b);
}
