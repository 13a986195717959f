//! Blocks that claim keys which the receiver does not have, or more of them than memory is for: nothing
//! of them is written, whatever they say, and everything else is.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;

use crate::common::Client;
use crate::deltas::{export_for, try_apply};
use crate::job::{Job, assert_none, one_column};
use dotfill::db::Datum;
use dotfill::delta::{
    ChainReader, ChainWriter, DirectorySink, ImpliedKeys, KeyDigest, Rows, encode_block,
};
use dotfill::engine::Outcome;
use dotfill::migration::Migration;
use dotfill::monitor::Quiet;

const TABLE: &str = "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, src TEXT, target TEXT);";

fn migration() -> Migration {
    one_column("t", "target", "TEXT", "'v-' || src", "delivery = 'derive'")
}

/// A replica `b.db` with rows `key(1)..=key(rows)`, and the header of deltas for it.
struct Case {
    folder: TempDir,
    rows: u32,
    key: fn(u32) -> String,
}

impl Case {
    fn new(rows: u32, key: fn(u32) -> String) -> Self {
        let case = Self { folder: TempDir::new().unwrap(), rows, key };
        for name in ["a.db", "b.db"] {
            let conn = Client::open(&case.path(name));
            conn.execute_batch(TABLE).unwrap();
            conn.execute_batch("BEGIN").unwrap();
            let mut insert = conn.prepare("INSERT INTO t (id, src) VALUES (?1, ?2)").unwrap();
            // Of the sender nothing is needed but a header.
            let rows = if name == "a.db" { 1 } else { rows };
            for i in 1..=rows {
                insert.execute((key(i), i)).unwrap();
            }
            drop(insert);
            conn.execute_batch("COMMIT").unwrap();
        }
        Job::new(case.path("a.db"), migration()).run();
        export_for(case.path("b.db"), case.path("a.db"), &migration(), &case.path("header"));
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn key(&self, i: u32) -> Vec<Datum> {
        vec![Datum::Text((self.key)(i).into_bytes())]
    }

    /// The keys of rows `from..=to`, as they are.
    fn keys(&self, from: u32, to: u32) -> ImpliedKeys {
        let mut digest = KeyDigest::new();
        for i in from..=to {
            digest.push(self.key(i).iter().map(Datum::as_ref));
        }
        let (first, last) = (self.key(from), self.key(to));
        ImpliedKeys { first, last, digest: digest.finish(), absent: Vec::new() }
    }

    /// A chain of these blocks, each with as many values.
    fn write(&self, name: &str, blocks: &[(ImpliedKeys, u32)]) -> PathBuf {
        let dir = self.path(name);
        let header = ChainReader::open_directory(&self.path("header")).unwrap().header().clone();
        let sink = Box::new(DirectorySink::create(&dir).unwrap());
        let mut writer = ChainWriter::create(sink, &header).unwrap();
        for (keys, values) in blocks {
            let mut rows = Rows::implied(keys.clone());
            for _ in 0..*values {
                rows.push([], Datum::Text(b"value".to_vec()).as_ref());
            }
            let block = encode_block(&header.shapes[0], &rows).unwrap();
            writer.push(0, &[block], "keys:00").unwrap();
        }
        writer.finish(&[]).unwrap();
        dir
    }

    fn apply(&self, dir: &Path) -> dotfill::engine::ApplyReport {
        try_apply(&self.path("b.db"), dir, 1000, &Quiet).unwrap()
    }

    fn b(&self) -> Client {
        Client::open(&self.path("b.db"))
    }
}

fn short(i: u32) -> String {
    format!("k{i:05}")
}

fn filled(conn: &Connection) -> u32 {
    conn.query_row("SELECT count(*) FROM t WHERE target = 'value'", [], |row| row.get(0)).unwrap()
}

#[test]
fn keys_that_are_not_the_receivers() {
    let case = Case::new(300, short);
    assert_eq!(case.rows, 300);
    let of = |from, to| case.keys(from, to);
    let absent =
        |runs: &[std::ops::Range<u32>]| ImpliedKeys { absent: runs.to_vec(), ..of(1, 100) };
    let bounds =
        |first, last| ImpliedKeys { first: case.key(first), last: case.key(last), ..of(1, 100) };
    let integers = ImpliedKeys {
        first: vec![Datum::Integer(1)],
        last: vec![Datum::Blob(vec![0xff])],
        ..of(1, 300)
    };
    let nulls = ImpliedKeys { first: vec![Datum::Null], last: vec![Datum::Null], ..of(1, 300) };
    let forged = vec![
        (of(1, 100), 99),
        (of(1, 100), 101),
        (of(1, 100), 200_000),
        (ImpliedKeys { digest: [7; 32], ..of(1, 100) }, 100),
        (bounds(1, 99), 100),
        (bounds(2, 101), 100),
        (bounds(1, 300), 100),
        (bounds(100, 1), 100),
        (absent(&[0..1, 5..200]), 100),
        (absent(&[50..51, 100..101]), 100),
        (nulls, 300),
        (of(299, 310), 12),
    ];
    let blocks: u64 = forged.len() as u64;
    let dir = case.write("forged", &forged);
    let report = case.apply(&dir);
    assert_eq!((report.outcome, report.ranges_unlike, report.rows), (Outcome::Failed, blocks, 0));
    assert_none(&case.b(), "SELECT count(*) FROM t WHERE target IS NOT NULL");
    // Bounds are only where the look begins and ends: the digest is of all keys.
    let sound = vec![(of(1, 100), 100), (integers, 300), (absent(&[0..10, 98..100]), 88)];
    let report = case.apply(&case.write("sound", &sound));
    assert_eq!((report.outcome, report.ranges_unlike), (Outcome::Complete, 0));
    assert_eq!(filled(&case.b()), 300);
}

/// The rows without a value get none.
#[test]
fn values_belong_to_the_rows_that_have_one() {
    let case = Case::new(100, short);
    let keys = ImpliedKeys { absent: vec![0..3, 50..51, 90..100], ..case.keys(1, 100) };
    let report = case.apply(&case.write("some", &[(keys, 86)]));
    assert_eq!((report.outcome, report.rows_written), (Outcome::Complete, 86));
    assert_none(
        &case.b(),
        "SELECT count(*) FROM t WHERE (target IS NULL) IS NOT
         (src <= 3 OR src = 51 OR src > 90) AND typeof(src) = 'integer'",
    );
    assert_eq!(filled(&case.b()), 86);
}

/// Keys of 6 KiB, as many as 24 MiB: more than a block may make a receiver hold, and more than any
/// sender puts into one, whatever their digest is.
#[test]
fn more_keys_than_memory_is_for() {
    let case = Case::new(4000, |i| format!("{i:06144}"));
    let dir = case.write("large", &[(case.keys(1, 4000), 4000), (case.keys(1, 1000), 1000)]);
    let report = case.apply(&dir);
    assert_eq!((report.outcome, report.ranges_unlike), (Outcome::Failed, 1));
    assert_eq!((report.rows, filled(&case.b())), (1000, 1000));
}
