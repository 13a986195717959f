//! Shipped sets on replicas with the real extension: no record is written, users' adds and deletions
//! win, deleted objects stay deleted, and what is published meanwhile ends the same everywhere.

use dotfill::engine::RunOptions;

use crate::common::{Records, Replica, merge, merge_both_ways};
use crate::deltas::{apply, export, try_apply};
use crate::set::{PROJECTS, SetJob, dot, rows, tags, visible};

const TABLES: &str = "
    CREATE TABLE tag_adds (id INTEGER NOT NULL, element NOT NULL, dot BLOB NOT NULL,
      PRIMARY KEY (id, element, dot));
    CREATE TABLE tag_removes (dot BLOB NOT NULL PRIMARY KEY);";

fn replica() -> Replica {
    Replica::with_tables(&format!("{PROJECTS};{TABLES}"), &["projects", "tag_adds", "tag_removes"])
}

fn job(replica: &Replica) -> SetJob {
    SetJob::new(replica.path(), tags("json", ""))
}

/// A replica that is filled, and one with the same objects that is not.
fn pair() -> (Replica, Replica) {
    let (a, b) = (replica(), replica());
    for id in 1..=30 {
        a.run("INSERT INTO projects (id, tags) VALUES (?1, '[\"x\", \"y\", 3]')", [id]);
    }
    merge_both_ways(&a, &b);
    job(&a).run();
    (a, b)
}

#[test]
fn no_record_is_written_and_users_win() {
    let (a, b) = pair();
    // A user of A removes one, adds one, and a user of B deletes an object and an add.
    a.run("INSERT INTO tag_removes VALUES (?1)", [dot(4, "x")]);
    a.run("INSERT INTO tag_adds VALUES (5, 'mine', x'0102')", []);
    b.run("DELETE FROM projects WHERE id = 7", []);
    b.run("INSERT INTO tag_adds VALUES (8, 'x', ?1)", [dot(8, "x")]);
    b.run("DELETE FROM tag_adds WHERE id = 8", []);
    let dir = a.folder().join("deltas");
    export(&job(&a), &dir);
    let before = Records::of(&b);
    let report = apply(b.path(), &dir);
    assert_eq!((report.rows, report.rows_deleted, report.rows_pending), (30, 1, 0));
    before.assert_none_created(&b);
    assert_eq!(b.count("SELECT count(*) FROM tag_adds WHERE id = 7"), 0);
    // The add that a user has deleted is not made again.
    assert_eq!(b.count("SELECT count(*) FROM tag_adds WHERE id = 8"), 2);
    merge_both_ways(&a, &b);
    job(&a).run();
    assert_eq!(visible(&a), visible(&b));
    assert_eq!(rows(&a, "SELECT * FROM tag_adds"), rows(&b, "SELECT * FROM tag_adds"));
    assert!(!visible(&b).contains(&"Integer(4) Text(\"x\")".to_owned()));
    assert!(visible(&b).contains(&"Integer(5) Text(\"mine\")".to_owned()));
    for replica in [&a, &b] {
        replica.assert_sound();
    }
    // The fed replica derives for itself, and agrees.
    job(&b).run();
    assert_eq!(job(&a).digest(), job(&b).digest());
}

#[test]
fn objects_that_have_not_arrived_are_filled_when_they_do() {
    let (a, _) = pair();
    let late = replica();
    let dir = a.folder().join("deltas");
    export(&job(&a), &dir);
    let report = apply(late.path(), &dir);
    assert_eq!((report.rows_pending, report.rows_written), (30, 0));
    merge(&a, &late);
    let report = apply(late.path(), &dir);
    assert_eq!((report.rows_pending, report.rows_arrived), (0, 30));
    assert_eq!(rows(&a, "SELECT * FROM tag_adds"), rows(&late, "SELECT * FROM tag_adds"));
    assert_eq!(visible(&a), visible(&late));
    late.assert_sound();
}

#[test]
fn a_late_joiner_without_tables_is_told_how_to_make_them() {
    let (a, _) = pair();
    let late = Replica::with_tables(PROJECTS, &["projects"]);
    let dir = a.folder().join("deltas");
    export(&job(&a), &dir);
    let error = try_apply(late.path(), &dir, false, &dotfill::monitor::Quiet).expect_err("tables");
    assert!(error.to_string().contains("--crsqlite"), "{error}");
    assert!(RunOptions::default().crsqlite.is_none());
    try_apply(late.path(), &dir, true, &dotfill::monitor::Quiet).unwrap();
    merge(&a, &late);
    apply(late.path(), &dir);
    assert_eq!(rows(&a, "SELECT * FROM tag_adds"), rows(&late, "SELECT * FROM tag_adds"));
    // What users add from now on travels.
    late.run("INSERT INTO tag_adds VALUES (9, 'late', x'0102')", []);
    merge_both_ways(&a, &late);
    assert_eq!(visible(&a), visible(&late));
}
