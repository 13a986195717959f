//! `run --deltas`: the chain has what an export ships afterwards, whatever others write meanwhile and
//! however slow whoever takes it; what it does not fit is refused before anything is written.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use dotfill::delta::{ChainReader, MemorySource};
use dotfill::engine::{Destination, Outcome, RunOptions};
use dotfill::monitor::Quiet;
use rusqlite::Connection;

use crate::common::{PlainDb, eventually, plain_db};
use crate::deltas::{
    apply_deltas, assert_holds_what_an_export_does, expect_apply_error, export, run, run_a_part,
    run_to, try_run, values, values_of, values_so_far,
};
use crate::job::{Job, assert_none, assert_sound, column, migration, objects, one_column};
use crate::watch::{AfterCommit, cancel_after};

fn rows(table: &str, n: u32) -> String {
    format!(
        "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < {n})
         INSERT INTO {table} (id, src) SELECT i, 'src ' || i FROM i;"
    )
}

fn database(key: &str, n: u32) -> PlainDb {
    plain_db(&format!("CREATE TABLE t (id {key}, src TEXT);{}", rows("t", n)))
}

const INTEGER: &str = "INTEGER NOT NULL PRIMARY KEY";
const TEXT: &str = "TEXT NOT NULL PRIMARY KEY";

fn job(db: &PlainDb) -> Job {
    Job::new(db.db(), one_column("t", "target", "TEXT", "'v-' || src", "delivery = 'derive'"))
}

/// A copy of a database as it is now.
fn copy(db: &PlainDb, name: &str) -> String {
    let path = db.folder().join(name);
    db.execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_chain_is_that_of_an_export_for_every_kind_of_key() {
    for table in [
        "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, src TEXT);",
        "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, src TEXT);",
        "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, src TEXT) WITHOUT ROWID;",
        "CREATE TABLE t (id INT NOT NULL, src TEXT NOT NULL, PRIMARY KEY (src, id DESC)) \
         WITHOUT ROWID;",
        "CREATE TABLE t (id TEXT COLLATE NOCASE NOT NULL PRIMARY KEY, src TEXT);",
    ] {
        let db = plain_db(&format!("{table}{}", rows("t", 205)));
        let empty = copy(&db, "b.db");
        let job = job(&db);
        let dir = db.folder().join("deltas");
        let report = run(&job, &dir);
        assert_eq!((report.delta_rows, report.rows_written), (205, 205), "{table}");
        let bytes: u64 =
            fs::read_dir(&dir).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        assert_eq!(report.delta_bytes, bytes, "{table}");
        assert_eq!(assert_holds_what_an_export_does(&job, &dir), 0, "{table}");
        assert_eq!(objects(&db, "\\_dotfill\\_reship%"), Vec::<String>::new());
        assert_none(&db, "SELECT count(*) FROM _dotfill_shipped");
        let fed = apply_deltas(&empty, &dir);
        assert_eq!(fed.rows_written, 205, "{table}");
    }
}

#[test]
fn large_values_are_shipped_a_few_at_a_time() {
    let db = database(INTEGER, 40);
    let value = "'v-' || src || hex(zeroblob(1000000))";
    let rest = "delivery = 'derive'";
    let job = Job::new(db.db(), one_column("t", "target", "TEXT", value, rest));
    let dir = db.folder().join("deltas");
    assert_eq!(run(&job, &dir).delta_rows, 40);
    assert_eq!(assert_holds_what_an_export_does(&job, &dir), 0);
    let mut chain = ChainReader::open_directory(&dir).unwrap();
    while let Some(item) = chain.next_item().unwrap() {
        if let dotfill::delta::Item::Segment(segment) = item {
            let most = (0..segment.blocks()).map(|i| segment.block_rows(i)).max();
            assert!(most <= Some(3), "{most:?} rows of 2 MB in a block");
        }
    }
}

#[test]
fn a_table_without_rows_is_a_whole_chain() {
    let db = plain_db("CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, src TEXT)");
    let report = run(&job(&db), &db.folder().join("deltas"));
    assert_eq!(report.delta_rows, 0);
    assert!(values(&db.folder().join("deltas")).is_empty());
}

/// Acts at every k-th commit of the job.
fn run_beside(db: &PlainDb, dir: &Path, writes: &[&str]) -> Job {
    let job = job(db);
    let conn = Connection::open(db.db()).unwrap();
    conn.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
    let writes: Vec<String> = writes.iter().map(ToString::to_string).collect();
    let next = AtomicU64::new(0);
    // Commits of segments come from another thread, and may be within a transaction of the job.
    let monitor = AfterCommit::new(move |commits| {
        if commits % 4 == 0
            && let Some(sql) = writes.get(next.fetch_add(1, Ordering::Relaxed) as usize)
        {
            let _ = conn.busy_timeout(std::time::Duration::ZERO);
            if conn.execute_batch(sql).is_err() {
                next.fetch_sub(1, Ordering::Relaxed);
            }
        }
    });
    let report = try_run(&job, dir, &monitor).unwrap();
    assert_eq!(report.outcome, Outcome::Complete);
    job
}

#[test]
fn what_others_change_behind_and_before_the_fill_is_shipped_again() {
    for key in [INTEGER, TEXT] {
        let db = database(key, 300);
        let empty = copy(&db, "b.db");
        let dir = db.folder().join("deltas");
        let writes = [
            "UPDATE t SET src = 'changed' WHERE id IN (1, 2, 290)",
            "UPDATE t SET src = NULL WHERE id IN (3, 291)",
            "DELETE FROM t WHERE id IN (4, 292)",
            "INSERT INTO t (id, src) VALUES (4, 'again'), (5000, 'new')",
            "UPDATE t SET target = 'user' WHERE id IN (5, 293)",
            "UPDATE t SET target = NULL WHERE id IN (6, 294)",
            "UPDATE t SET id = 6000 WHERE id = 7",
            "UPDATE t SET id = 7 WHERE id = 299",
            "UPDATE t SET src = 'changed again' WHERE id IN (1, 3, 4, 290)",
        ];
        let job = run_beside(&db, &dir, &writes);
        assert_sound(&db);
        assert_none(&db, "SELECT count(*) FROM _dotfill_dirty_1");
        assert_holds_what_an_export_does(&job, &dir);
        let values = values(&dir);
        let null = values.values().filter(|value| *value == "NULL").count();
        assert!(null >= 1, "a NULL is shipped as one");

        // On a replica with the same rows and users' cells, every cell of ours is the same; twice.
        let b = Connection::open(&empty).unwrap();
        b.execute_batch(&format!(
            "ATTACH '{}' AS a; DELETE FROM t; INSERT INTO t SELECT id, src FROM a.t;
             ALTER TABLE t ADD COLUMN target TEXT;
             UPDATE t SET target = 'user' WHERE id IN (SELECT id FROM a.t WHERE target = 'user')",
            db.db()
        ))
        .unwrap();
        let equal =
            "SELECT count(*) FROM t JOIN a.t AS o USING (id) WHERE t.target IS NOT o.target";
        assert!(apply_deltas(&empty, &dir).rows_written > 250);
        assert_none(&b, equal);
        assert_eq!(apply_deltas(&empty, &dir).rows_written, 0, "applying again changes nothing");
        assert_none(&b, equal);
        // What comes later in the chain is not overwritten by what came before, when it is written
        // again because somebody else has lost it.
        b.execute_batch(
            "INSERT INTO _dotfill_self VALUES (1);
             UPDATE t SET target = 'lost' WHERE target LIKE 'v-%';
             DELETE FROM _dotfill_self",
        )
        .unwrap();
        assert!(apply_deltas(&empty, &dir).rows_written > 250);
        assert_none(&b, equal);
    }
}

#[test]
fn rows_that_are_renumbered_meanwhile_are_shipped_again() {
    let db = database(TEXT, 400);
    db.execute_batch("DELETE FROM t WHERE id IN (SELECT id FROM t WHERE rowid % 3 = 0)").unwrap();
    let dir = db.folder().join("deltas");
    let job = run_beside(&db, &dir, &["VACUUM", "UPDATE t SET src = 'x' WHERE id = '1'"]);
    assert_eq!(assert_holds_what_an_export_does(&job, &dir), 0);
    assert_eq!(values(&dir).len(), 267);
}

#[test]
fn several_changes_ship_one_after_the_other() {
    let db = plain_db(&format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, src TEXT); CREATE TABLE u (id TEXT PRIMARY KEY \
         NOT NULL, src TEXT);{}{}",
        rows("t", 90),
        rows("u", 70)
    ));
    let change =
        |table: &str, name: &str, value: &str, rest: &str| column(table, name, "TEXT", value, rest);
    let text = format!(
        "id = \"m\"\n{}{}{}",
        change("u", "target", "'v-' || src", "delivery = 'derive'"),
        change("t", "fixed", "'x'", "delivery = 'elide'"),
        change("t", "target", "'v-' || src", "delivery = 'derive'"),
    );
    let job = Job::new(db.db(), migration(&text));
    let dir = db.folder().join("deltas");
    assert_eq!(run(&job, &dir).delta_rows, 160);
    assert_eq!(assert_holds_what_an_export_does(&job, &dir), 0);
}

/// A stream that takes nothing until it is told to, and counts what it was given.
#[derive(Clone, Default)]
struct Slow {
    open: Arc<AtomicBool>,
    taken: Arc<Mutex<Vec<u8>>>,
    waits: Arc<AtomicBool>,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The header is taken: it is written before the job begins.
        while !self.taken.lock().unwrap().is_empty() && !self.open.load(Ordering::Relaxed) {
            self.waits.store(true, Ordering::Relaxed);
            thread::sleep(std::time::Duration::from_millis(1));
        }
        self.taken.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_slow_sink_does_not_slow_the_fill() {
    let db = database(INTEGER, 2000);
    let job = job(&db);
    let sink = Slow::default();
    let runner = {
        let (sink, job) = (sink.clone(), Job::new(&job.db, job.migration.clone()));
        thread::spawn(move || run_to(&job, Destination::Stream(Box::new(sink)), &Quiet).unwrap())
    };
    let phase = || -> String {
        let sql = "SELECT phase FROM _dotfill_migrations";
        db.query_row(sql, [], |row| row.get(0)).unwrap_or_default()
    };
    eventually("the fill is done and proven while nothing is taken", || phase() == "open");
    assert!(sink.waits.load(Ordering::Relaxed), "premise: the sink was given something");
    let header = sink.taken.lock().unwrap().len();
    assert!(header < 1000, "premise: no segment was taken");
    sink.open.store(true, Ordering::Relaxed);
    let report = runner.join().unwrap();
    assert_eq!((report.outcome, report.delta_rows), (Outcome::Complete, 2000));
    let stream = sink.taken.lock().unwrap().clone();
    assert_eq!(stream.len() as u64, report.delta_bytes);
    let chain = ChainReader::open(Box::new(MemorySource::of(stream))).unwrap();
    assert_eq!(values_of(chain).len(), 2000);
    assert_eq!(objects(&db, "\\_dotfill\\_reship%"), Vec::<String>::new());
}

#[test]
fn a_sink_that_takes_nothing_does_not_keep_a_job_from_being_stopped() {
    let db = database(INTEGER, 500);
    let job = job(&db);
    let sink = Slow::default();
    let monitor = cancel_after(40, &job.options.cancel);
    let report = run_to(&job, Destination::Stream(Box::new(sink.clone())), &monitor).unwrap();
    assert_eq!(report.outcome, Outcome::Interrupted);
    assert_eq!(report.delta_digest, None);
    sink.open.store(true, Ordering::Relaxed);
    // A stream cannot be continued: the next one has all rows, of those that were filled too.
    let job = Job::new(db.db(), job.migration);
    let sink = Slow { open: Arc::new(AtomicBool::new(true)), ..Slow::default() };
    let report = run_to(&job, Destination::Stream(Box::new(sink.clone())), &Quiet).unwrap();
    assert!(report.rows_written < 500, "premise: some were filled before");
    assert_eq!(report.delta_rows, 500);
}

/// A pipe whose reader goes after some bytes.
struct Broken(usize);

impl Write for Broken {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 < bytes.len() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.0 -= bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_goes_is_told_and_what_was_filled_stays() {
    let db = database(INTEGER, 3000);
    let job = job(&db);
    let error = run_to(&job, Destination::Stream(Box::new(Broken(2000))), &Quiet).unwrap_err();
    assert!(error.to_string().contains("whoever read it has gone"), "{error}");
    let filled = "SELECT count(*) FROM t WHERE target IS NOT NULL";
    let filled: u64 = db.query_row(filled, [], |row| row.get(0)).unwrap();
    assert!(filled > 0, "premise");
    let report = run(&job, &db.folder().join("deltas"));
    assert_eq!((report.rows_written, report.delta_rows), (3000 - filled, 3000));
}

#[test]
fn a_run_without_deltas_between_two_with_them_loses_nothing() {
    let db = database(INTEGER, 300);
    let dir = db.folder().join("deltas");
    let first = job(&db);
    run_a_part(&first, &dir, 3);
    db.execute_batch("UPDATE t SET src = 'changed' WHERE id < 5").unwrap();
    let job = job(&db);
    job.run();
    assert_none(&db, "SELECT count(*) FROM _dotfill_dirty_1");
    run(&job, &dir);
    assert_eq!(assert_holds_what_an_export_does(&job, &dir), 0);
}

/// A refusal, which has written nothing to the database.
#[track_caller]
fn refused(db: &PlainDb, job: &Job, dir: &Path, words: &[&str]) {
    let dump = |db: &PlainDb| db.texts("SELECT coalesce(sql, name) FROM sqlite_schema");
    let before = dump(db);
    let error = try_run(job, dir, &Quiet).expect_err("a refusal").to_string();
    for word in words {
        assert!(error.contains(word), "nothing says {word:?} in: {error}");
    }
    assert_eq!(dump(db), before);
}

#[test]
fn folders_of_something_else_are_refused_and_nothing_is_written() {
    let (a, b) = (database(INTEGER, 200), database(INTEGER, 200));
    let dir = a.folder().join("deltas");
    let first = job(&a);
    run_a_part(&first, &dir, 3);
    // Another database would not have remembered what it derived again meanwhile.
    refused(&b, &job(&b), &dir, &["a chain that this database does not feed", "a new one"]);
    // An export would not ship again what was drained meanwhile.
    job(&b).run();
    let options = dotfill::engine::ExportOptions::default();
    let into = Destination::Folder(dir.clone());
    let error =
        dotfill::engine::export(Path::new(b.db()), &first.migration, into, &options, &Quiet);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("a part of the deltas of a run"), "{error}");
    run(&job(&a), &dir);
    refused(&a, &job(&a), &dir, &["whole chain", "another folder"]);
    let exported = b.folder().join("exported");
    export(b.db(), &first.migration, &exported);
    let manifest = fs::read_dir(&exported).unwrap().map(|e| e.unwrap().path()).max().unwrap();
    fs::remove_file(manifest).unwrap();
    refused(&b, &job(&b), &exported, &["a part of an export", "`dotfill export`"]);
    let file = b.folder().join("file");
    fs::write(&file, "").unwrap();
    refused(&b, &job(&b), &file, &["file"]);
}

#[test]
fn what_ships_nothing_is_refused_and_nothing_is_written() {
    let db = database(INTEGER, 20);
    for (delivery, value) in [("elide", "'x'"), ("native", "'v-' || src")] {
        let rest = format!("delivery = '{delivery}'");
        let job = Job::new(db.db(), one_column("t", "target", "TEXT", value, &rest));
        let words: &[&str] =
            if delivery == "elide" { &["no value has to be exported"] } else { &[] };
        refused(&db, &job, &db.folder().join("deltas"), words);
        assert!(!db.folder().join("deltas").exists());
    }
}

#[test]
fn closing_ships_what_the_last_transaction_derives() {
    let db = database(INTEGER, 300);
    let dir = db.folder().join("deltas");
    let mut job = job(&db);
    job.options.close = true;
    run(&job, &dir);
    let phase: String =
        db.query_row("SELECT phase FROM _dotfill_migrations", [], |row| row.get(0)).unwrap();
    assert_eq!(phase, "closed");
    assert_eq!(assert_holds_what_an_export_does(&job, &dir), 0);
    refused(&db, &job, &db.folder().join("other"), &["closed"]);
}

#[test]
fn a_follower_ships_what_it_drains_and_its_chain_goes_on_later() {
    let db = database(INTEGER, 300);
    let (b, dir) = (copy(&db, "b.db"), db.folder().join("deltas"));
    let follow = || {
        let job = Job { options: RunOptions { follow: true, ..job(&db).options }, ..job(&db) };
        let (cancel, dir) = (Arc::clone(&job.options.cancel), dir.clone());
        let runner = thread::spawn(move || {
            let report = try_run(&job, &dir, &Quiet).unwrap();
            assert_eq!(report.outcome, Outcome::Interrupted);
            assert!(report.delta_digest.is_some(), "stopped in good order: the chain is whole");
        });
        (cancel, runner)
    };
    let said = |id: &str| {
        let mut chain = ChainReader::open_directory(&dir).unwrap();
        values_so_far(&mut chain).remove(&(0, id.to_owned())).unwrap_or_default()
    };
    for round in 0..2 {
        let (cancel, runner) = follow();
        let text = format!("round {round}");
        let phase = "SELECT count(*) FROM _dotfill_migrations WHERE phase = 'open'";
        eventually("it follows", || {
            db.query_row(phase, [], |row| row.get::<_, i64>(0)).unwrap_or(0) == 1
        });
        db.execute("UPDATE t SET src = ?1 WHERE id IN (1, 299)", [&text]).unwrap();
        eventually("the drained rows are shipped", || {
            ["1", "299"].iter().all(|id| said(id) == format!("'v-{text}'"))
        });
        let kept = "SELECT count(*) FROM _dotfill_reship_1";
        eventually("and forgotten", || {
            db.query_row(kept, [], |row| row.get::<_, i64>(0)).unwrap() == 0
        });
        cancel.store(true, Ordering::Relaxed);
        runner.join().unwrap();
        assert_eq!(assert_holds_what_an_export_does(&job(&db), &dir), 0);
    }
    let conn = Connection::open(&b).unwrap();
    conn.execute_batch("UPDATE t SET src = 'round 1' WHERE id IN (1, 299)").unwrap();
    apply_deltas(&b, &dir);
    assert_none(&conn, "SELECT count(*) FROM t WHERE target IS NOT 'v-' || src");
    // A run that does not follow ends the chain for good.
    run(&job(&db), &dir);
    refused(&db, &job(&db), &dir, &["whole chain"]);
}

#[test]
fn two_writers_of_one_folder_are_told() {
    let (a, b) = (database(INTEGER, 50), database(INTEGER, 50));
    let dir = a.folder().join("deltas");
    job(&b).run();
    let sink = dotfill::delta::DirectorySink::create(&dir).unwrap();
    refused(&a, &job(&a), &dir, &["another dotfill writes deltas into", "deltas"]);
    drop(sink);
    run(&job(&a), &dir);
    assert!(
        fs::read_dir(&dir)
            .unwrap()
            .all(|e| { e.unwrap().file_name().to_str().unwrap().ends_with(".dotfill") })
    );
}

#[test]
fn segments_of_an_unknown_kind_are_refused() {
    let db = database(INTEGER, 50);
    let empty = copy(&db, "b.db");
    let dir = db.folder().join("deltas");
    run(&job(&db), &dir);
    let header = ChainReader::open_directory(&dir).unwrap().header().clone();
    let other = db.folder().join("other");
    let sink = dotfill::delta::DirectorySink::create(&other).unwrap();
    let mut writer = dotfill::delta::ChainWriter::create(Box::new(sink), &header).unwrap();
    writer.push(0, &[], "later:1").unwrap();
    writer.finish(&[]).unwrap();
    expect_apply_error(&empty, &other, &["does not say how they come", "newer"]);
}
