//! What a comparison with another replica's file reads, in rows: every row of both once, and then no
//! more than what may differ, however little memory it has.

use std::fs;

use dotfill::engine::{self, Against, CompareOptions, VerifyReport};
use dotfill::monitor::Recorder;

use crate::common::{PlainDb, plain_db};
use crate::job::{Job, one_column};

const ROWS: u64 = 60_000;
/// Rows of a range that is read again.
const RANGE: u64 = 8192;
const INTEGER: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, src TEXT)";
const TEXT: &str = "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, src TEXT)";
const PAIR: &str = "CREATE TABLE t (id TEXT NOT NULL COLLATE NOCASE, part INTEGER NOT NULL,
    src TEXT, PRIMARY KEY (id, part DESC)) WITHOUT ROWID";

struct Pair {
    a: (PlainDb, Job),
    b: (PlainDb, Job),
}

impl Pair {
    /// Rows `insert`ed from their numbers `i`, by both.
    fn new(schema: &str, insert: &str) -> Self {
        let side = || {
            let db = plain_db(schema);
            db.execute_batch(&rows(insert, 1, ROWS)).unwrap();
            let migration = one_column("t", "target", "TEXT", "'v-' || src", "");
            let mut job = Job::new(db.db(), migration);
            job.options.tuning.batch_rows_max = 20_000;
            job.run();
            (db, job)
        };
        Self { a: side(), b: side() }
    }

    /// The comparison with so much memory, its list of keys in order, and how many rows it read.
    fn compare(&self, memory_bytes_max: u64) -> (VerifyReport, Vec<String>, u64) {
        let out = self.a.0.folder().join("out.jsonl");
        let options = CompareOptions {
            threads: 2,
            diff: Some(out.clone()),
            memory_bytes_max,
            ..CompareOptions::default()
        };
        let (other, monitor) = (Against::Replica(self.b.1.db.clone()), Recorder::default());
        let (db, migration) = (&self.a.1.db, &self.a.1.migration);
        let report = engine::verify_against(db, migration, &other, &options, &monitor).unwrap();
        let lines = fs::read_to_string(out).unwrap();
        let mut lines: Vec<String> = lines.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        (report, lines, monitor.last().rows_done)
    }

    /// Compares with much memory and with little; both find `rows` in flight and read `at_most`.
    #[track_caller]
    fn check(&self, rows: u64, at_most: u64) {
        let (much, lines, read) = self.compare(64 << 20);
        assert_eq!(lines.len() as u64, rows);
        let in_flight = |report: &VerifyReport| report.comparison.as_ref().unwrap().rows_in_flight;
        assert_eq!(in_flight(&much), rows);
        assert!(read <= at_most, "read {read} rows, of at most {at_most}");
        let (little, same, read) = self.compare(64 << 10);
        assert_eq!((in_flight(&little), &same), (rows, &lines));
        assert!(read <= at_most, "read {read} rows with little memory, of at most {at_most}");
    }
}

fn rows(insert: &str, from: u64, to: u64) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {to})
         INSERT INTO t {insert} FROM n"
    )
}

#[test]
fn of_integer_keys() {
    let pair = Pair::new(INTEGER, "(id, src) SELECT i * 100000, 'src ' || i");
    pair.check(0, 2 * ROWS);
    let update = "UPDATE t SET src = 'new' WHERE id / 100000 BETWEEN 30000 AND 30009";
    pair.b.0.execute_batch(update).unwrap();
    pair.check(10, 2 * ROWS + 4 * RANGE);
    // Many rows between two of this side, some after its last, and one that only it has.
    let between = "(id, src) SELECT 3000000000 + i, 'src'";
    pair.b.0.execute_batch(&rows(between, 1, 30_000)).unwrap();
    let beyond = "(id, src) SELECT 6000000000 + i, 'src'";
    pair.b.0.execute_batch(&rows(beyond, 1, 20_000)).unwrap();
    pair.b.0.execute_batch("DELETE FROM t WHERE id = 100000").unwrap();
    pair.check(50_011, 2 * ROWS + 2 * 50_000 + 6 * RANGE);
}

#[test]
fn of_composite_keys_without_a_rowid() {
    let insert = "(id, part, src) SELECT iif(i % 2, 'k', 'K') || (i / 100), i % 100, 'src ' || i";
    let pair = Pair::new(PAIR, insert);
    pair.check(0, 2 * ROWS);
    pair.b.0.execute_batch("UPDATE t SET src = 'new' WHERE id = 'k300' AND part < 10").unwrap();
    pair.b.0.execute_batch("DELETE FROM t WHERE id = 'k300' AND part = 11").unwrap();
    pair.check(11, 2 * ROWS + 4 * RANGE);
    let more = "(id, part, src) SELECT 'k300', i, 'src'";
    pair.b.0.execute_batch(&rows(more, 1000, 30_999)).unwrap();
    pair.check(30_011, 2 * ROWS + 2 * 30_000 + 4 * RANGE);
}

#[test]
fn of_text_keys_that_are_stored_elsewhere() {
    let pair = Pair::new(TEXT, "(id, src) SELECT 'key ' || i, 'src ' || i");
    pair.check(0, 2 * ROWS);
    pair.b.0.execute_batch("UPDATE t SET src = 'new' WHERE rowid <= 10").unwrap();
    pair.check(10, 4 * ROWS);
    pair.b.0.execute_batch("UPDATE t SET src = 'new'").unwrap();
    pair.check(ROWS, 4 * ROWS);
}
