//! `export` and `apply` of sets, with every old form and kind of key: the receiver ends with the very
//! adds of the sender, dots included, though it has no old form; again after others have written; and
//! never touches what is not its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use dotfill::engine::{self, Deltas, ExportOptions, LookOptions, RunOptions, Verdict};
use dotfill::monitor::Quiet;
use rusqlite::Connection;

use crate::common::{PlainDb, eventually, plain_db};
use crate::deltas::{apply, assert_same, compare, export, export_with, sets, try_apply};
use crate::set::{PROJECTS, SetJob, dot, migration, rows, tags, visible};

/// Declarations of the key and the names of its columns, with expressions over a number `i`.
const KEYS: [(&str, &[&str], &[&str]); 7] = [
    ("k INTEGER NOT NULL PRIMARY KEY)", &["k"], &["i * 7 - 30"]),
    ("k TEXT PRIMARY KEY)", &["k"], &["'k' || i"]),
    ("k BLOB NOT NULL PRIMARY KEY) WITHOUT ROWID", &["k"], &["CAST('k' || i AS BLOB)"]),
    (
        "\"a b\" TEXT NOT NULL, n INT NOT NULL, PRIMARY KEY (n, \"a b\")) WITHOUT ROWID",
        &["n", "a b"],
        &["i / 4", "'k' || i"],
    ),
    (
        "k REAL NOT NULL, j TEXT NOT NULL, PRIMARY KEY (k DESC, j)) WITHOUT ROWID",
        &["k", "j"],
        &["i / 8 / 2.0", "'k' || i"],
    ),
    (
        "k REAL NOT NULL, j TEXT NOT NULL, PRIMARY KEY (j, k))",
        &["j", "k"],
        &["'k' || i", "i / 2.0"],
    ),
    ("k INTEGER PRIMARY KEY, u TEXT UNIQUE) STRICT", &["k"], &["i"]),
];

/// Old forms of the object `i`.
const FORMS: [(&str, &str); 3] = [
    (
        "json",
        "CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN '[]' WHEN 2 THEN json_array('x', i, 2.5) \
         WHEN 3 THEN json_array('', 'u' || char(233), 'own ' || i) ELSE json_array(i % 7, 'x') END",
    ),
    ("csv", "CASE i % 3 WHEN 0 THEN '' WHEN 1 THEN 'x, y' || i ELSE 'z' END"),
    ("lines", "CASE i % 3 WHEN 0 THEN NULL ELSE 'x' || char(10) || 'y' || (i % 4) END"),
];

const OBJECTS: u32 = 40;

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// Objects, with their old form where `old` is not empty.
fn objects(declaration: &str, names: &[&str], expressions: &[&str], old: &str) -> PlainDb {
    let (extra, column, value) = match old {
        "" => ("", String::new(), String::new()),
        old => ("old TEXT, ", ", old".to_owned(), format!(", {old}")),
    };
    plain_db(&format!(
        "CREATE TABLE objects ({extra}{declaration};
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {OBJECTS})
         INSERT INTO objects ({}{column}) SELECT {}{value} FROM n;",
        quoted(names),
        expressions.join(", ")
    ))
}

fn all_adds(conn: &Connection) -> Vec<String> {
    rows(conn, "SELECT * FROM tag_adds")
}

#[test]
fn every_format_with_every_key() {
    for (declaration, names, expressions) in KEYS {
        for (format, old) in FORMS {
            let what = format!("{declaration} {format}");
            let a = objects(declaration, names, expressions, old);
            let set = migration("objects", &format!("source = 'old'\nformat = '{format}'"));
            let job = SetJob::new(a.db(), set);
            job.run();
            let dir = a.folder().join("deltas");
            let report = export(&job, &dir);
            assert_eq!((report.rows, report.rows_user), (u64::from(OBJECTS), 0), "{what}");
            let b = objects(declaration, names, expressions, "");
            let report = apply(b.db(), &dir);
            assert!(report.rows_written > 0, "{what}");
            assert_eq!(all_adds(&b), all_adds(&a), "{what}");
            assert_eq!(visible(&b), visible(&a), "{what}");
            assert_eq!(apply(b.db(), &dir).rows_written, 0, "{what}");
            assert_same(&job, Path::new(b.db()));
            // A receiver that has the old form can derive, and is compared by sources too.
            let c = objects(declaration, names, expressions, old);
            apply(c.db(), &dir);
            assert_eq!(all_adds(&c), all_adds(&a), "{what}");
            assert_eq!(SetJob::new(c.db(), job.migration.clone()).digest(), job.digest(), "{what}");
        }
    }
}

#[test]
fn a_child_table_and_compound_keys() {
    let schema = "CREATE TABLE objects (a INT NOT NULL, b TEXT NOT NULL, PRIMARY KEY (a, b));";
    let a = plain_db(&format!(
        "{schema} CREATE TABLE tags (b TEXT, a INT, tag, PRIMARY KEY (a, b, tag));
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30)
         INSERT INTO objects SELECT i / 3, 'k' || i FROM n;
         INSERT INTO tags SELECT b, a, 'x' FROM objects WHERE a % 2;
         INSERT INTO tags SELECT b, a, a / 2.0 FROM objects;"
    ));
    let form = "source_table = 'tags'\nelement = 'tag'\nsource_key = ['a', 'b']";
    let job = SetJob::new(a.db(), migration("objects", form));
    job.run();
    let dir = a.folder().join("deltas");
    export(&job, &dir);
    let b = plain_db(&format!(
        "{schema} INSERT INTO objects SELECT i / 3, 'k' || i FROM (
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30)
        SELECT i FROM n)"
    ));
    apply(b.db(), &dir);
    assert_eq!(all_adds(&b), all_adds(&a));
    assert_same(&job, Path::new(b.db()));
}

const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 50)
    INSERT INTO projects (id, tags) SELECT i, '[\"a\", \"b' || (i % 3) || '\"]' FROM i;";

/// A sender and its job; a receiver without the column of the old form.
fn pair() -> (PlainDb, SetJob, PlainDb) {
    let a = plain_db(&format!("{PROJECTS}; {ROWS}"));
    let job = SetJob::new(a.db(), tags("json", ""));
    job.run();
    let b = plain_db("CREATE TABLE projects (id INTEGER NOT NULL PRIMARY KEY, name TEXT);");
    b.execute_batch(
        "INSERT INTO projects (id) WITH RECURSIVE i(i) AS \
         (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 50) SELECT i FROM i",
    )
    .unwrap();
    (a, job, b)
}

#[test]
fn newer_deltas_bring_what_was_removed_and_emptied_meanwhile() {
    let (a, job, b) = pair();
    let dir = a.folder().join("deltas");
    export(&job, &dir);
    apply(b.db(), &dir);
    a.execute_batch(
        "UPDATE projects SET tags = '[\"c\"]' WHERE id % 5 = 0;
         UPDATE projects SET tags = NULL WHERE id % 7 = 0;
         DELETE FROM projects WHERE id IN (3, 30);
         INSERT INTO projects VALUES (100, 'new', '[\"a\"]');",
    )
    .unwrap();
    job.run();
    b.execute_batch("DELETE FROM projects WHERE id IN (3, 30)").unwrap();
    let report = export(&job, &dir);
    assert_eq!(report.rows, 49);
    let report = apply(b.db(), &dir);
    assert_eq!(report.rows_pending, 1);
    b.execute_batch("INSERT INTO projects (id) VALUES (100)").unwrap();
    let report = apply(b.db(), &dir);
    assert_eq!((report.rows_written, report.rows_arrived, report.rows_pending), (1, 1, 0));
    assert_eq!(all_adds(&b), all_adds(&a));
    assert_eq!(visible(&b), visible(&a));
    assert_same(&job, Path::new(b.db()));
    assert!(rows(&b, "SELECT name FROM sqlite_schema WHERE name LIKE '%pending%'").is_empty());
}

#[test]
fn users_adds_stay_and_what_was_removed_stays_removed() {
    let (a, job, b) = pair();
    let dir = a.folder().join("deltas");
    export(&job, &dir);
    b.execute_batch(
        "CREATE TABLE tag_adds (id INTEGER NOT NULL, element NOT NULL, dot BLOB NOT NULL,
           PRIMARY KEY (id, element, dot)) WITHOUT ROWID;
         CREATE TABLE tag_removes (dot BLOB NOT NULL PRIMARY KEY) WITHOUT ROWID;
         INSERT INTO tag_adds VALUES (2, 'mine', x'01'), (2, 'a', x'02'), (99, 'gone', x'03');",
    )
    .unwrap();
    b.execute("INSERT INTO tag_removes VALUES (?1)", [dot(4, "a")]).unwrap();
    apply(b.db(), &dir);
    let own = rows(&b, "SELECT * FROM tag_adds WHERE length(dot) < 16");
    assert_eq!(own.len(), 3, "{own:?}");
    let shown = visible(&b);
    assert!(!shown.contains(&"Integer(4) Text(\"a\")".to_owned()), "{shown:?}");
    assert!(shown.contains(&"Integer(2) Text(\"mine\")".to_owned()), "{shown:?}");
    // What the sender no longer has goes, what users have does not.
    a.execute_batch("UPDATE projects SET tags = '[]'").unwrap();
    job.run();
    export(&job, &dir);
    apply(b.db(), &dir);
    assert_eq!(all_adds(&b), own);
}

#[test]
fn noted_objects_are_left_out_and_counted() {
    let (a, job, _) = pair();
    a.execute_batch("UPDATE projects SET tags = '[\"new\"]' WHERE id IN (7, 8)").unwrap();
    let dir = a.folder().join("deltas");
    let report = export(&job, &dir);
    assert_eq!((report.rows, report.rows_pending), (48, 2));
    assert!(!sets(&dir).contains_key("7"));
}

#[test]
fn ten_differing_objects_move_little() {
    let (a, job, b) = pair();
    let dir = a.folder().join("deltas");
    export(&job, &dir);
    apply(b.db(), &dir);
    let mine = rows(&b, "SELECT * FROM tag_adds");
    b.execute_batch("DELETE FROM tag_adds WHERE id BETWEEN 11 AND 20").unwrap();
    let diff = a.folder().join("diff.jsonl");
    let report = compare(&job, Path::new(b.db()), Some(&diff));
    assert_eq!((report.verdict, report.examples.is_empty()), (Verdict::Diverged, false));
    assert_eq!(std::fs::read_to_string(&diff).unwrap().lines().count(), 10);
    let only = ExportOptions { only: Some(diff), ..ExportOptions::default() };
    let report = export_with(&job, &dir, &only);
    assert_eq!((report.rows, report.rows_missing), (10, 0));
    assert!(report.delta_bytes < 2500, "{}", report.delta_bytes);
    let report = apply(b.db(), &dir);
    assert_eq!((report.rows, report.rows_written), (10, 10));
    assert_eq!(rows(&b, "SELECT * FROM tag_adds"), mine);
    assert_same(&job, Path::new(b.db()));
}

#[test]
fn keys_that_the_receiver_has_are_not_shipped() {
    let (a, job, b) = pair();
    let [whole, dir] = ["whole", "deltas"].map(|name| a.folder().join(name));
    export(&job, &whole);
    apply(b.db(), &whole);
    let look = LookOptions { threads: 2, ..LookOptions::default() };
    let keys = engine::key_digest(Path::new(b.db()), &job.migration, &look, &Quiet).unwrap();
    let options = ExportOptions { keys_of: Some(keys), ..ExportOptions::default() };
    let report = export_with(&job, &dir, &options);
    assert_eq!((report.rows, report.rows_implied), (50, 50));
    b.execute_batch("DELETE FROM tag_adds WHERE id < 9").unwrap();
    apply(b.db(), &dir);
    assert_eq!(all_adds(&b), all_adds(&a));
}

#[test]
fn a_replica_that_derives_derives_what_differs() {
    let (a, job, _) = pair();
    let c = plain_db(&format!("{PROJECTS}; {ROWS}"));
    let theirs = SetJob::new(c.db(), tags("json", ""));
    theirs.run();
    c.execute_batch("UPDATE projects SET tags = '[\"theirs\"]' WHERE id = 9").unwrap();
    theirs.run();
    c.execute_batch("DELETE FROM tag_adds WHERE id = 10").unwrap();
    let dir = a.folder().join("deltas");
    export(&job, &dir);
    let report = apply(c.db(), &dir);
    // Its own old form says what object 9 holds.
    assert_eq!((report.rows_noted, report.rows_derived, report.rows_written), (2, 2, 0));
    theirs.assert_equal();
    assert_eq!(rows(&c, "SELECT element FROM tag_adds WHERE id = 9"), ["Text(\"theirs\")"]);
    assert_eq!(rows(&c, "SELECT element FROM tag_adds WHERE id = 10").len(), 2);
}

#[test]
fn a_fed_replica_derives_for_itself_from_the_next_run_on() {
    let (a, job, _) = pair();
    let dir = a.folder().join("deltas");
    export(&job, &dir);
    let c = plain_db(&format!("{PROJECTS}; {ROWS}"));
    c.execute_batch("UPDATE projects SET tags = '[\"own\"]' WHERE id = 9").unwrap();
    apply(c.db(), &dir);
    let theirs = SetJob::new(c.db(), tags("json", ""));
    assert_eq!(theirs.verify().verdict, Verdict::Inconclusive);
    theirs.run();
    theirs.assert_equal();
    assert_eq!(rows(&c, "SELECT element FROM tag_adds WHERE id = 9"), ["Text(\"own\")"]);
    c.execute_batch("UPDATE projects SET tags = '[\"later\"]' WHERE id = 8").unwrap();
    theirs.run();
    assert_eq!(rows(&c, "SELECT element FROM tag_adds WHERE id = 8"), ["Text(\"later\")"]);
}

#[test]
fn a_fed_replica_is_closed_rolled_back_and_forgotten() {
    let (a, job, b) = pair();
    let dir = a.folder().join("deltas");
    export(&job, &dir);
    let theirs = SetJob::new(b.db(), tags("json", ""));
    apply(b.db(), &dir);
    theirs.close();
    assert_eq!(all_adds(&b), all_adds(&a));
    assert_eq!(visible(&b), visible(&a));
    // A closed replica gets what differs.
    b.execute_batch("DELETE FROM tag_adds WHERE id = 10").unwrap();
    assert_eq!(apply(b.db(), &dir).rows_written, 1);
    assert_eq!(all_adds(&b), all_adds(&a));
    theirs.forget();
    assert!(rows(&b, "SELECT name FROM sqlite_schema WHERE name LIKE '%dotfill%'").is_empty());
    assert_eq!(visible(&b), visible(&a));

    let (_, _, c) = pair();
    apply(c.db(), &dir);
    c.execute_batch("INSERT INTO tag_adds VALUES (2, 'mine', x'01')").unwrap();
    let rolled = SetJob::new(c.db(), tags("json", "")).rollback();
    assert_eq!(rolled.rows_cleared, 100);
    assert_eq!(rows(&c, "SELECT * FROM tag_adds").len(), 1);
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_written() {
    let (a, job, _) = pair();
    let dir = a.folder().join("deltas");
    export(&job, &dir);
    let text_keys = plain_db("CREATE TABLE projects (id TEXT PRIMARY KEY, tags TEXT)");
    let other_adds = plain_db(
        "CREATE TABLE projects (id INTEGER PRIMARY KEY); \
         CREATE TABLE tag_adds (id INTEGER PRIMARY KEY)",
    );
    let other_view = plain_db(
        "CREATE TABLE projects (id INTEGER PRIMARY KEY); CREATE VIEW tags_visible AS SELECT 1",
    );
    for (db, word) in
        [(&text_keys, "do not fit"), (&other_adds, "another shape"), (&other_view, "view")]
    {
        let before = rows(db, "SELECT * FROM sqlite_schema");
        let error = try_apply(Path::new(db.db()), &dir, false, &Quiet).expect_err(word);
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(rows(db, "SELECT * FROM sqlite_schema"), before);
    }
}

#[test]
fn following_fills_objects_when_they_arrive() {
    let (a, job, b) = pair();
    let dir = a.folder().join("deltas");
    export(&job, &dir);
    b.execute_batch("DELETE FROM projects WHERE id > 45").unwrap();
    let options = RunOptions { follow: true, ..RunOptions::default() };
    let cancel = Arc::clone(&options.cancel);
    let (db, deltas) = (Path::new(b.db()).to_owned(), Deltas::Folder(dir));
    let follower = thread::spawn(move || engine::apply(&db, deltas, &options, &Quiet));
    let count = |sql: &str| b.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap_or(0);
    eventually("five sets wait", || count("SELECT count(*) FROM _dotfill_pending_1") == 5);
    b.execute_batch("INSERT INTO projects (id) VALUES (46), (50)").unwrap();
    eventually("two have arrived", || count("SELECT count(*) FROM tag_adds WHERE id > 45") == 4);
    cancel.store(true, Ordering::Relaxed);
    let report = follower.join().unwrap().unwrap();
    assert_eq!(report.rows_arrived, 2);
    assert_eq!(count("SELECT count(*) FROM _dotfill_pending_1"), 3);
}
