//! An index of columns, of expressions, of some rows, a unique one: built on tables of every key kind,
//! proven by counting what the index itself has, closed.

use dotfill::engine::Outcome;
use dotfill::monitor::Recorder;
use dotfill::plan::{PlanOptions, plan};

use crate::common::plain_db;
use crate::job::{assert_sound, objects};
use crate::scene::{assert_proven, job, sql};

const TABLES: [&str; 8] = [
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT COLLATE NOCASE, n INT)",
    "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a TEXT, b TEXT COLLATE NOCASE, n INT)",
    "CREATE TABLE t (id REAL NOT NULL PRIMARY KEY, a TEXT, b TEXT COLLATE NOCASE, n INT)",
    "CREATE TABLE t (id TEXT PRIMARY KEY COLLATE NOCASE, a TEXT, b TEXT COLLATE NOCASE, n INT)",
    "CREATE TABLE t (id BLOB NOT NULL PRIMARY KEY, a TEXT, b TEXT COLLATE NOCASE, n INT) WITHOUT ROWID",
    "CREATE TABLE t (a TEXT, b TEXT COLLATE NOCASE, n INT, id INT NOT NULL, k TEXT NOT NULL
       DEFAULT 'k', PRIMARY KEY (k DESC, id)) WITHOUT ROWID",
    "CREATE TABLE t (id INT NOT NULL UNIQUE, a TEXT, b TEXT COLLATE NOCASE, n INT)",
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT COLLATE NOCASE, n INT) STRICT",
];

const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 300)
    INSERT INTO t (id, a, b, n) SELECT i, iif(i % 7, 'A ' || (i % 40), NULL), 'b' || (i % 5), i FROM i;";

const INDEXES: [(&str, i64); 8] = [
    ("columns = ['a', 'b']", 300),
    ("columns = ['b', 'id']\nunique = true", 300),
    ("expressions = ['lower(a)', '\"b\" COLLATE RTRIM']", 300),
    ("expressions = ['a || n -- a comment', 'n % 10']\nwhere = 'a IS NOT NULL'", 258),
    ("columns = ['n']\nwhere = \"n > 100 AND b = 'b1' -- some\"\nunique = true", 40),
    ("columns = ['id']", 300),
    ("columns = ['a']\nwhere = 'n < 0'", 0),
    ("expressions = ['CASE WHEN n > 5 THEN a END']\nwhere = \"b > ''\"", 300),
];

#[test]
fn on_every_key() {
    for table in TABLES {
        for (rest, entries) in INDEXES {
            let db = plain_db(&format!("{table}; {ROWS}"));
            let job = job(db.db(), rest);
            let planned = plan(&job.db, &job.migration, &PlanOptions::default()).unwrap();
            assert_eq!((planned.changes.len(), planned.indexes.len()), (0, 1));
            let cost = planned.indexes[0].cost;
            assert_eq!((cost.rows, cost.sample_rows, planned.indexes[0].exists), (300, 300, false));
            assert!(cost.file_bytes >= 4096 && cost.wal_bytes >= cost.file_bytes, "{cost:?}");
            assert!(cost.lock_seconds > 0.0 && cost.lock_seconds < 1.0, "{cost:?}");
            assert_eq!(sql(&db), None, "a plan writes nothing");
            assert_eq!(objects(&db, "\\_dotfill\\_%"), Vec::<String>::new());

            let report = job.run();
            let change = &report.changes[0];
            let built = change.index.clone().unwrap();
            assert!(built.build_seconds.is_some(), "{table} {rest}");
            assert_eq!(i64::try_from(built.entries).unwrap(), entries, "{table} {rest}");
            assert_eq!((change.column.as_str(), change.delivery.as_str()), ("i", "index"));
            assert_eq!((report.rows_total, report.rows_written, report.rows_unchanged), (0, 0, 0));
            assert!(sql(&db).is_some());
            assert_sound(&db);
            let verified = assert_proven(&job);
            assert_eq!(i64::try_from(verified.rows_compared).unwrap(), entries);

            // A second run finds it and counts again.
            let again = job.run();
            assert_eq!(again.changes[0].index.as_ref().unwrap().build_seconds, None);
            assert_eq!(i64::try_from(job.close().rows_proven).unwrap(), entries);
        }
    }
}

#[test]
fn the_run_says_how_long_it_locks_others_out() {
    let db = plain_db(&format!("{}; {ROWS}", TABLES[0]));
    let mut job = job(db.db(), "columns = ['a']");
    job.options.tuning.hold_ms = 1;
    let recorder = Recorder::default();
    job.run_to(Outcome::Complete, &recorder);
    let notes = recorder.notes().join("\n");
    for word in ["is one transaction: others cannot write for about", "(an estimate from 300 rows)"]
    {
        assert!(notes.contains(word), "{notes}");
    }
    let event = db.texts("SELECT detail FROM _dotfill_events WHERE kind = 'building'");
    assert_eq!(event.len(), 1);
}

#[test]
fn an_index_of_a_column_that_is_filled_before_it() {
    let db = plain_db(&format!("{}; {ROWS}", TABLES[1]));
    let column = crate::job::column("t", "owner", "TEXT", "'o-' || a", "where = 'a IS NOT NULL'");
    let text = format!("id = 'm'\n{column}{}", crate::scene::section("columns = ['owner', 'id']"));
    let job = crate::job::Job::new(db.db(), crate::job::migration(&text));
    let planned = plan(&job.db, &job.migration, &PlanOptions::default()).unwrap();
    assert_eq!((planned.changes.len(), planned.indexes.len()), (1, 1));
    assert!(planned.file_bytes() > planned.indexes[0].cost.file_bytes);
    let report = job.run();
    assert_eq!((report.rows_total, report.rows_written), (300, 258));
    assert_eq!(report.changes[1].index.as_ref().unwrap().entries, 300);
    let verified = assert_proven(&job);
    assert_eq!(Some(&verified.digest), report.digest.as_ref());
    job.close();
}
