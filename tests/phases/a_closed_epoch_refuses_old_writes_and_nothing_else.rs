//! What a closed epoch does to applications' writes, local ones and those that arrive.

use rusqlite::ErrorCode;

use crate::common::{Client, Replica, merge, merge_both_ways};
use crate::scenario::{REFUSAL, Scene, add, projects, shown, tags};

/// Two replicas in a closed epoch, with P1 (`a`, `b`) and P2 (no tags).
fn closed(policy: &str) -> (Replica, Replica, Scene) {
    let (a, b) = (projects(), projects());
    a.run("INSERT INTO projects VALUES ('P1', 'one', '[\"a\",\"b\"]'), ('P2', 'two', NULL)", []);
    merge_both_ways(&a, &b);
    let scene = Scene::new(&tags(policy), &[&a, &b]);
    scene.close_epoch(&[&a, &b]);
    (a, b, scene)
}

#[track_caller]
fn refused(client: &Client, sql: &str) {
    let error = client.try_run(sql, []).expect_err(sql);
    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::ConstraintViolation), "{sql}: {error}");
    assert!(error.to_string().ends_with(REFUSAL), "{sql}: {error}");
}

#[test]
fn local_old_writes_abort_whatever_their_form() {
    let (a, _, _) = closed("reject");
    for sql in [
        "UPDATE projects SET tags = '[\"c\"]' WHERE id = 'P1'",
        "UPDATE projects SET tags = NULL WHERE id = 'P1'",
        "UPDATE OR IGNORE projects SET name = 'x', tags = '[]' WHERE id = 'P1'",
        "UPDATE OR REPLACE projects SET tags = 'no json' WHERE id = 'P2'",
        "INSERT INTO projects VALUES ('P3', 'three', '[\"a\"]')",
        "INSERT OR IGNORE INTO projects VALUES ('P3', 'three', '[\"a\"]')",
        "REPLACE INTO projects VALUES ('P1', 'one', '[\"b\"]')",
        "INSERT INTO projects VALUES ('P1', 'x', '[\"z\"]') ON CONFLICT DO UPDATE SET tags = excluded.tags",
    ] {
        refused(&a, sql);
    }
    assert_eq!(shown(&a, "P1"), ["a", "b"]);
    assert_eq!(a.count("SELECT count(*) FROM projects"), 2);
    a.pragma_update(None, "recursive_triggers", true).unwrap();
    refused(&a, "REPLACE INTO projects VALUES ('P1', 'one', '[\"b\"]')");
    a.assert_sound();
}

#[test]
fn what_says_nothing_in_the_old_form_passes() {
    let (a, b, scene) = closed("reject");
    for recursive in [false, true] {
        a.pragma_update(None, "recursive_triggers", recursive).unwrap();
        a.run("UPDATE projects SET name = 'renamed' WHERE id = 'P1'", []);
        a.run("UPDATE projects SET name = 'r2', tags = tags WHERE id = 'P1'", []);
        a.run("REPLACE INTO projects VALUES ('P1', 'replaced', '[\"a\",\"b\"]')", []);
        a.run(
            "INSERT INTO projects VALUES ('P1', 'upserted', '[\"a\",\"b\"]')
             ON CONFLICT DO UPDATE SET name = excluded.name, tags = excluded.tags",
            [],
        );
        a.run("INSERT OR IGNORE INTO projects(id, name) VALUES ('P3', 'three')", []);
        a.run("INSERT OR REPLACE INTO projects VALUES ('P4', 'four', '[]')", []);
        a.run("INSERT OR REPLACE INTO projects VALUES ('P5', 'five', '')", []);
    }
    add(&a, "P3", "new");
    a.run("DELETE FROM projects WHERE id = 'P5'", []);
    assert_eq!(shown(&a, "P1"), ["a", "b"]);
    merge_both_ways(&a, &b);
    scene.run(&a);
    scene.run(&b);
    merge_both_ways(&a, &b);
    for replica in [&a, &b] {
        assert_eq!(shown(replica, "P1"), ["a", "b"]);
        assert_eq!(shown(replica, "P3"), ["new"]);
        assert_eq!(replica.count("SELECT count(*) FROM projects"), 4);
        replica.assert_sound();
    }
}

#[test]
fn after_a_refusal_the_connection_goes_on_and_what_it_writes_is_replicated() {
    let (a, b, _) = closed("reject");
    refused(&a, "UPDATE projects SET tags = '[\"c\"]' WHERE id = 'P1'");
    a.execute_batch("BEGIN").unwrap();
    a.run("UPDATE projects SET name = 'first' WHERE id = 'P1'", []);
    refused(&a, "UPDATE projects SET tags = '[\"c\"]' WHERE id = 'P1'");
    a.run("UPDATE projects SET name = 'second' WHERE id = 'P2'", []);
    a.execute_batch("COMMIT").unwrap();
    add(&a, "P2", "new");
    let bit: i64 = a.value("SELECT crsql_internal_sync_bit()", []);
    assert_eq!(bit, 0, "the extension's sync bit is stuck");
    assert!(merge(&a, &b) > 0);
    let names: Vec<_> = b.rows("SELECT name FROM projects ORDER BY id", []);
    assert_eq!(names, a.rows("SELECT name FROM projects ORDER BY id", []));
    assert_eq!(shown(&b, "P2"), ["new"]);
}

#[test]
fn a_merge_is_never_refused_and_the_next_writes_are_replicated() {
    for policy in ["reject", "translate", "quarantine"] {
        let (a, b, scene) = closed(policy);
        let old = projects();
        merge_both_ways_of_projects(&a, &old);
        old.run("UPDATE projects SET tags = '[\"b\",\"c\"]', name = 'old' WHERE id = 'P1'", []);
        old.run("INSERT INTO projects VALUES ('P9', 'nine', '[\"x\"]')", []);
        old.run("UPDATE projects SET tags = 'no json' WHERE id = 'P2'", []);
        assert!(merge(&old, &a) > 0);
        let bit: i64 = a.value("SELECT crsql_internal_sync_bit()", []);
        assert_eq!(bit, 0, "the extension's sync bit is stuck");
        a.run("UPDATE projects SET name = 'after' WHERE id = 'P2'", []);
        assert_eq!(shown(&a, "P1"), ["a", "b"], "{policy}: nothing is decided yet");
        scene.run(&a);
        merge_both_ways(&a, &b);
        scene.run(&b);
        merge_both_ways(&a, &b);
        let (want, nine): (&[&str], &[&str]) = match policy {
            "translate" => (&["a", "b", "c"], &["x"]),
            _ => (&["a", "b"], &[]),
        };
        for replica in [&a, &b] {
            assert_eq!(shown(replica, "P1"), want, "{policy}");
            assert_eq!(shown(replica, "P9"), nine, "{policy}");
            let name: String = replica.value("SELECT name FROM projects WHERE id = 'P2'", []);
            assert_eq!(name, "after");
            replica.assert_sound();
        }
        let reasons: Vec<_> = scene.quarantine(&a).into_iter().map(|(reason, _)| reason).collect();
        let want: &[&str] = match policy {
            "translate" => &["malformed"],
            _ => &["new-element", "new-element", "malformed"],
        };
        assert_eq!(sorted(&reasons), sorted(want), "{policy}");
    }
}

fn sorted<T: AsRef<str>>(all: &[T]) -> Vec<String> {
    let mut all: Vec<String> = all.iter().map(|one| one.as_ref().to_owned()).collect();
    all.sort();
    all
}

/// Sends what an application that knows no sets can take: the changes of `projects`.
fn merge_both_ways_of_projects(from: &Replica, to: &Replica) {
    let records = crate::common::Records::of(from);
    to.execute_batch("BEGIN IMMEDIATE").unwrap();
    for change in records.changes.iter().filter(|change| change.table == "projects") {
        crate::common::apply(to, change);
    }
    to.execute_batch("COMMIT").unwrap();
}
