//! The digest is of keys, sources and cells: neither the order of insertion, nor rowids, nor VACUUM, nor
//! deleted rows show in it.

use crate::common::{PlainDb, plain_db};
use crate::job::{Job, one_column, threads};
use dotfill::engine;
use dotfill::monitor::Quiet;

fn filled(schema: &str, rows: &[i64], key: &str) -> (PlainDb, String) {
    let db = plain_db(schema);
    for i in rows {
        db.execute_batch(&key.replace('?', &i.to_string())).unwrap();
    }
    let digest = digest(&db);
    (db, digest)
}

fn digest(db: &PlainDb) -> String {
    let job = Job::new(db.db(), one_column("t", "target", "TEXT", "'v-' || src", ""));
    let ran = job.run().digest.expect("a proven run has a digest");
    let digest = engine::digest(&job.db, &job.migration, &threads(3), &Quiet).unwrap();
    assert_eq!(digest.digest, ran, "`digest` and `run` count differently");
    digest.to_json().unwrap()
}

#[track_caller]
fn check(schema: &str, insert: &str) {
    let forth: Vec<i64> = (1..=60).collect();
    let back: Vec<i64> = (1..=60).rev().collect();
    let (_, want) = filled(schema, &forth, insert);
    let (db, got) = filled(schema, &back, insert);
    assert_eq!(got, want, "the order of insertion shows");
    db.execute_batch("DELETE FROM t WHERE src % 3 = 0; VACUUM").unwrap();
    let left: Vec<i64> = (1..=60).filter(|i| i % 3 != 0).collect();
    let (_, want) = filled(schema, &left, insert);
    assert_eq!(digest(&db), want, "deleted rows or VACUUM show");
    db.execute_batch("UPDATE t SET target = 'x' WHERE src = 1").unwrap();
    assert_ne!(digest(&db), want, "premise: the digest is of something");
}

#[test]
fn integer_key() {
    check("CREATE TABLE t (id INTEGER PRIMARY KEY, src)", "INSERT INTO t VALUES (? * 7, ?)");
}

#[test]
fn text_key() {
    check("CREATE TABLE t (id TEXT PRIMARY KEY, src)", "INSERT INTO t VALUES ('k' || ?, ?)");
}

#[test]
fn nocase_key_with_nulls() {
    check(
        "CREATE TABLE t (id TEXT PRIMARY KEY COLLATE NOCASE, src)",
        "INSERT INTO t VALUES (iif(? % 4, 'K' || ?, NULL), ?)",
    );
}

#[test]
fn composite_key() {
    check(
        "CREATE TABLE t (src, b REAL, a INT, PRIMARY KEY (a, b))",
        "INSERT INTO t VALUES (?, ? + 0.5, iif(? % 5, ? % 5, NULL))",
    );
}

#[test]
fn composite_key_without_rowid() {
    check(
        "CREATE TABLE t (src, b BLOB, a INT, PRIMARY KEY (b DESC, a)) WITHOUT ROWID",
        "INSERT INTO t VALUES (?, CAST('b' || ? AS BLOB), ? % 5)",
    );
}

#[test]
fn unique_key() {
    check("CREATE TABLE t (src, u ANY NOT NULL UNIQUE)", "INSERT INTO t VALUES (?, 'u' || ?)");
}
