//! Threads that write all the time while a job works: afterwards every row is as a model of their
//! writes says. Both ways of evaluating, plain and replicated.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use dotfill::engine::Outcome;
use dotfill::monitor::Quiet;
use rusqlite::Connection;

use crate::common::{Client, Replica, eventually, plain_db};
use crate::deltas::{assert_holds_what_an_export_does, try_run};
use crate::job::{Job, assert_sound, one_column};
use crate::limits_hold::EXPENSIVE;

const ROWS: i64 = 50_000;
const THREADS: i64 = 2;
/// A thread writes at most this often, so that a slow machine ends too.
const WRITES_MAX: u64 = 4_000;

/// What a row should hold: its source, and the target where a user wrote it.
type Model = BTreeMap<i64, (String, Option<String>)>;

fn model(rows: i64, thread: i64) -> Model {
    let own = (1..=rows).filter(|id| id % THREADS == thread);
    own.map(|id| (id, (format!("app-{id}"), None))).collect()
}

/// A source of numbers that needs no seed from outside.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// One thread's writes, on rows that no other thread touches. A REPLACE that leaves the target out
/// is, to cr-sqlite, a NULL at version 2 where the cell had a clock row, and so a user's: only a
/// plain table gets one (`replaces`).
fn write(writer: &Writer, thread: i64, stop: &AtomicBool, mut model: Model) -> Model {
    let (conn, replaces) = (writer.get(), matches!(writer, Writer::Plain(_)));
    let mut numbers = Numbers(u64::try_from(thread).unwrap() + 7);
    let mut fresh = 1_000_000 + thread;
    let run = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
        let mut statement = conn.prepare_cached(sql).unwrap();
        assert_eq!(statement.execute(params).unwrap(), 1, "{sql}");
    };
    for n in 0..WRITES_MAX {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        // The sleep is the pace of an application, nothing waits for it.
        thread::sleep(Duration::from_micros(300));
        let start = i64::try_from(numbers.below(u64::try_from(ROWS).unwrap())).unwrap();
        let (&id, row) = model.range(start..).next().or(model.iter().next()).unwrap();
        let (row, text) = (row.clone(), format!("w{thread}-{n}"));
        let owned = model.get_mut(&id).unwrap();
        fresh += THREADS;
        match numbers.below(8) {
            0 => {
                run("INSERT INTO machines (id, app) VALUES (?1, ?2)", &[&fresh, &text]);
                model.insert(fresh, (text, None));
            }
            1 => {
                let sql = "INSERT INTO machines (id, app, owner) VALUES (?1, ?2, ?2)";
                run(sql, &[&fresh, &text]);
                model.insert(fresh, (text.clone(), Some(text)));
            }
            2 => {
                run("UPDATE machines SET app = ?2 WHERE id = ?1", &[&id, &text]);
                owned.0 = text;
            }
            3 => {
                run("UPDATE machines SET owner = ?2 WHERE id = ?1", &[&id, &text]);
                owned.1 = Some(text);
            }
            4 => {
                run("UPDATE machines SET app = ?2, owner = ?2 WHERE id = ?1", &[&id, &text]);
                *owned = (text.clone(), Some(text));
            }
            5 => {
                run("UPDATE machines SET id = ?2 WHERE id = ?1", &[&id, &fresh]);
                model.remove(&id);
                model.insert(fresh, row);
            }
            6 => {
                run("DELETE FROM machines WHERE id = ?1", &[&id]);
                model.remove(&id);
            }
            _ if replaces => {
                run("REPLACE INTO machines (id, app) VALUES (?1, ?2)", &[&id, &text]);
                *owned = (text, None);
            }
            _ => {
                let sql = "REPLACE INTO machines (id, app, owner) VALUES (?1, ?2, ?2)";
                run(sql, &[&id, &text]);
                *owned = (text.clone(), Some(text));
            }
        }
    }
    model
}

/// Runs while others write, then once more; every row is as the model says.
fn check(job: &Job, connect: &(dyn Fn() -> Writer + Sync), evaluated_by: &str) {
    begin(job);
    let stop = AtomicBool::new(false);
    let models: Vec<Model> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|n| {
                let stop = &stop;
                scope.spawn(move || write(&connect(), n, stop, model(ROWS, n)))
            })
            .collect();
        let report = job.run();
        assert_eq!(report.changes[0].evaluated_by, evaluated_by, "premise");
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    check_rows(job, models);
}

/// Follows and ships while others write, until all is drained and shipped; every row is as the model
/// says, and the chain has what an export ships.
fn check_shipping(job: &Job, connect: &(dyn Fn() -> Writer + Sync)) {
    begin(job);
    let dir = job.db.with_extension("deltas");
    let mut options = job.options.clone();
    options.follow = true;
    options.cancel = Arc::default();
    let follower = Job { db: job.db.clone(), migration: job.migration.clone(), options };
    let stop = AtomicBool::new(false);
    let models: Vec<Model> = thread::scope(|scope| {
        let follow = scope.spawn(|| try_run(&follower, &dir, &Quiet).unwrap());
        let threads: Vec<_> = (0..THREADS)
            .map(|n| {
                let stop = &stop;
                scope.spawn(move || write(&connect(), n, stop, model(ROWS, n)))
            })
            .collect();
        let models = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let conn = Connection::open(&follower.db).unwrap();
        let left = "SELECT (SELECT count(*) FROM _dotfill_dirty_1)
            + (SELECT count(*) FROM _dotfill_reship_1)
            + (SELECT count(*) FROM _dotfill_migrations WHERE phase <> 'open')";
        eventually("all is drained and shipped", || {
            conn.query_row(left, [], |row| row.get::<_, i64>(0)).unwrap_or(1) == 0
        });
        follower.options.cancel.store(true, Ordering::Relaxed);
        let report = follow.join().unwrap();
        assert!(report.delta_digest.is_some(), "{report:?}");
        models
    });
    assert_holds_what_an_export_does(job, &dir);
    check_rows(job, models);
}

/// The column is there first, so that every thread may write it.
fn begin(job: &Job) {
    let mut first = Job::new(&job.db, job.migration.clone());
    first.options.tuning.stage_percent = Some(0.001);
    first.options.tuning.batch_rows_max = 1;
    first.run_to(Outcome::Interrupted, &Quiet);
}

/// Every row is as the models say, once a last run has drained.
fn check_rows(job: &Job, models: Vec<Model>) {
    job.run();
    let conn = Connection::open(&job.db).unwrap();
    assert_sound(&conn);
    let want: Model = models.into_iter().flatten().collect();
    let mut found = 0;
    let mut statement = conn.prepare("SELECT id, app, owner FROM machines").unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let (id, app, owner): (i64, String, Option<String>) =
            (row.get(0).unwrap(), row.get(1).unwrap(), row.get(2).unwrap());
        let (source, user) =
            want.get(&id).unwrap_or_else(|| panic!("row {id} is not in the model"));
        let derived = user.clone().unwrap_or_else(|| format!("v-{source}"));
        assert_eq!((&app, owner), (source, Some(derived)), "row {id}");
        found += 1;
    }
    assert_eq!(found, want.len());
    assert!(want.values().filter(|(_, user)| user.is_some()).count() > 10, "premise: they wrote");
    assert_eq!(job.run().rows_written, 0);
}

enum Writer {
    Plain(Connection),
    Replica(Client),
}

impl Writer {
    fn get(&self) -> &Connection {
        match self {
            Self::Plain(connection) => connection,
            Self::Replica(client) => client,
        }
    }
}

fn job(db: &str, value: &str) -> Job {
    let value = value.replace("src", "app");
    let mut job =
        Job::new(db, one_column("machines", "owner", "TEXT", &value, "delivery = 'derive'"));
    job.options.tuning.batch_rows_max = 500;
    // One thread leaves evaluating to the writer, whatever was measured on a busy machine.
    job.options.tuning.threads = if value.contains("hex") { 2 } else { 1 };
    job
}

fn plain(value: &str, check: impl FnOnce(&Job, &(dyn Fn() -> Writer + Sync))) {
    let db = plain_db(&format!(
        "CREATE TABLE machines (id INTEGER NOT NULL PRIMARY KEY, app TEXT, note TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
         INSERT INTO machines (id, app) SELECT i, 'app-' || i FROM n"
    ));
    let path = db.db().to_owned();
    let connect = || {
        let conn = Connection::open(&path).unwrap();
        conn.busy_timeout(Duration::from_secs(30)).unwrap();
        conn.pragma_update(None, "synchronous", "NORMAL").unwrap();
        Writer::Plain(conn)
    };
    check(&job(db.db(), value), &connect);
}

fn replicated(value: &str, check: impl FnOnce(&Job, &(dyn Fn() -> Writer + Sync))) {
    let replica = Replica::machines();
    replica.insert_machines(u32::try_from(ROWS).unwrap());
    let path = replica.path().to_owned();
    let connect = || Writer::Replica(Client::open(&path));
    check(&job(replica.db(), value), &connect);
}

#[test]
fn on_a_plain_table_while_the_writer_evaluates() {
    plain("'v-' || src", |job, connect| check(job, connect, "writer"));
}

#[test]
fn on_a_plain_table_while_readers_evaluate() {
    plain(EXPENSIVE, |job, connect| check(job, connect, "readers"));
}

#[test]
fn on_a_replicated_table_while_the_writer_evaluates() {
    replicated("'v-' || src", |job, connect| check(job, connect, "writer"));
}

#[test]
fn on_a_replicated_table_while_readers_evaluate() {
    replicated(EXPENSIVE, |job, connect| check(job, connect, "readers"));
}

#[test]
fn on_a_plain_table_while_deltas_are_shipped() {
    plain("'v-' || src", check_shipping);
}

#[test]
fn on_a_plain_table_while_readers_evaluate_and_deltas_are_shipped() {
    plain(EXPENSIVE, check_shipping);
}

#[test]
fn on_a_replicated_table_while_deltas_are_shipped() {
    replicated("'v-' || src", check_shipping);
}
