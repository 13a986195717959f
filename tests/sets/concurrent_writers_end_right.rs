//! Old and new clients write while a set is filled, followed and closed: nothing of theirs is lost,
//! no write of theirs fails, and the adds are those of the old form in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use dotfill::monitor::Quiet;
use rusqlite::{Connection, params};

use crate::common::{Client, Replica, plain_db};
use crate::set::{PROJECTS, SetJob, rows, tags};

const OBJECTS: i64 = 4000;

fn fill(conn: &Connection) {
    conn.execute_batch(&format!(
        "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < {OBJECTS})
         INSERT INTO projects (id, tags) SELECT i, '[\"a\",\"b' || (i % 7) || '\"]' FROM i;"
    ))
    .unwrap();
}

/// Writes anything, as fast as it can, until it is told to stop; how much it wrote.
fn write(conn: &Connection, seed: u64, stop: &AtomicBool) -> u64 {
    let mut state = seed;
    let mut next = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut writes = 0;
    while !stop.load(Ordering::Relaxed) {
        let id = next(OBJECTS as u64 + 500) as i64 + 1;
        let element = format!("w{}", next(5));
        match next(6) {
            0 | 1 => conn.execute(
                "INSERT INTO projects (id, tags) VALUES (?1, json_array(?2, 'a'))
                 ON CONFLICT (id) DO UPDATE SET tags = excluded.tags",
                params![id, element],
            ),
            2 => conn.execute("UPDATE projects SET tags = NULL WHERE id = ?1", [id]),
            3 => conn.execute("DELETE FROM projects WHERE id = ?1", [id]),
            4 => {
                let dot = [seed.to_le_bytes(), writes_dot(writes)].concat();
                conn.execute("INSERT INTO tag_adds VALUES (?1, ?2, ?3)", params![id, element, dot])
            }
            _ => conn.execute(
                "INSERT OR IGNORE INTO tag_removes SELECT dot FROM tag_adds WHERE id = ?1",
                [id],
            ),
        }
        .unwrap_or_else(|error| panic!("a write failed: {error}"));
        conn.query_row("SELECT count(*) FROM tags_visible WHERE id = ?1", [id], |_| Ok(()))
            .unwrap_or_else(|error| panic!("a read failed: {error}"));
        writes += 1;
    }
    writes
}

fn writes_dot(n: u64) -> [u8; 8] {
    n.to_be_bytes()
}

/// Writes until it is told to stop; how much it wrote.
type Writer = Box<dyn FnOnce(&AtomicBool) -> u64 + Send>;

/// Runs the job beside `writers`, then to its end.
fn beside(job: &SetJob, writers: Vec<Writer>) {
    let stop = Arc::new(AtomicBool::new(false));
    let written = AtomicU64::new(0);
    thread::scope(|scope| {
        for writer in writers {
            let (stop, written) = (&stop, &written);
            scope.spawn(move || written.fetch_add(writer(stop), Ordering::Relaxed));
        }
        let report = job.try_run(&Quiet);
        stop.store(true, Ordering::Relaxed);
        report.unwrap();
    });
    assert!(written.load(Ordering::Relaxed) > 10, "premise: others wrote meanwhile");
    job.run();
    job.assert_equal();
    job.close();
    job.assert_equal();
}

/// The adds that are not users', and what the old form holds, as rows.
fn check(conn: &Connection) {
    let ours = "SELECT id, element FROM tag_adds WHERE length(dot) = 16 AND substr(dot, 1, 8) \
                NOT IN (x'0100000000000000', x'0200000000000000')";
    let old = "SELECT p.id, j.value FROM projects AS p, json_each(p.tags) AS j";
    assert_eq!(rows(conn, ours), rows(conn, old));
    assert_eq!(rows(conn, "PRAGMA integrity_check"), ["Text(\"ok\")"]);
}

fn job(db: &std::path::Path) -> SetJob {
    let mut job = SetJob::new(db, tags("json", ""));
    job.options.tuning.batch_rows_max = 200;
    // The tables are there before the writers begin.
    job.options.tuning.stage_percent = Some(0.1);
    job.try_run(&Quiet).unwrap();
    job.options.tuning.stage_percent = None;
    job
}

#[test]
fn on_a_plain_database() {
    let db = plain_db(PROJECTS);
    fill(&db);
    let job = job(db.db().as_ref());
    let writer = |seed: u64| -> Writer {
        let path = db.db().to_owned();
        Box::new(move |stop| {
            let conn = Connection::open(path).unwrap();
            conn.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
            write(&conn, seed, stop)
        })
    };
    beside(&job, vec![writer(1), writer(2)]);
    check(&db);
}

#[test]
fn on_a_replica() {
    let tables = "CREATE TABLE tag_adds (id INTEGER NOT NULL, element NOT NULL, dot BLOB NOT NULL,
                    PRIMARY KEY (id, element, dot));
                  CREATE TABLE tag_removes (dot BLOB NOT NULL PRIMARY KEY)";
    let schema = format!("{PROJECTS};{tables}");
    let replica = Replica::with_tables(&schema, &["projects", "tag_adds", "tag_removes"]);
    fill(&replica);
    let job = job(replica.path());
    let path = replica.path().to_owned();
    beside(&job, vec![Box::new(move |stop| write(&Client::open(&path), 1, stop))]);
    check(&replica);
}
