//! A set whose old form is the rows of a child table, on real replicas.

use crate::common::{Replica, merge, merge_both_ways};
use crate::scenario::Scene;

const SCHEMA: &str = "CREATE TABLE projects(id TEXT NOT NULL PRIMARY KEY, name TEXT);
    CREATE TABLE tags(project TEXT NOT NULL, tag TEXT NOT NULL, note TEXT, PRIMARY KEY (project, tag));";

const REFUSAL: &str = "old tags write rejected: projects is in epoch tags-v2; upgrade and resync";

fn toml(policy: &str) -> String {
    format!(
        "id = \"tags-or-set\"\nepoch = \"tags-v2\"\n[[change]]\nkind = \"or_set\"\n\
         table = \"projects\"\nsource_table = \"tags\"\nelement = \"tag\"\n\
         source_key = [\"project\"]\nadds = \"project_tag_adds\"\n\
         removes = \"project_tag_removes\"\nview = \"project_tags_visible\"\n\
         old_writes = \"{policy}\"\n"
    )
}

fn replica() -> Replica {
    Replica::with_tables(SCHEMA, &["projects", "tags"])
}

fn shown(replica: &Replica, id: &str) -> String {
    replica.value(
        "SELECT coalesce(group_concat(element, ' '), '') FROM
         (SELECT element FROM project_tags_visible WHERE id = ?1 ORDER BY element)",
        [id],
    )
}

fn closed(policy: &str) -> (Replica, Replica, Replica, Scene) {
    let (a, b, old) = (replica(), replica(), replica());
    a.run("INSERT INTO projects VALUES ('P1', 'one'), ('P2', 'two')", []);
    a.run("INSERT INTO tags VALUES ('P1', 'a', NULL), ('P1', 'b', 'note')", []);
    merge_both_ways(&a, &b);
    merge_both_ways(&a, &old);
    let scene = Scene::new(&toml(policy), &[&a, &b]);
    scene.close_epoch(&[&a, &b]);
    (a, b, old, scene)
}

#[test]
fn rows_come_go_and_change_no_more() {
    let (a, b, _, scene) = closed("reject");
    for sql in [
        "INSERT INTO tags VALUES ('P1', 'c', NULL)",
        "INSERT OR IGNORE INTO tags VALUES ('P2', 'c', NULL)",
        "UPDATE tags SET tag = 'c' WHERE tag = 'b'",
        "UPDATE tags SET project = 'P2' WHERE tag = 'b'",
        "DELETE FROM tags WHERE tag = 'b'",
    ] {
        let error = a.try_run(sql, []).expect_err(sql).to_string();
        assert!(error.ends_with(REFUSAL), "{sql}: {error}");
    }
    a.run("UPDATE tags SET note = 'changed' WHERE tag = 'a'", []);
    a.run("REPLACE INTO tags VALUES ('P1', 'b', 'replaced')", []);
    a.run("DELETE FROM projects WHERE id = 'P1'", []);
    a.run("DELETE FROM tags WHERE project = 'P1'", []);
    assert!(merge(&a, &b) > 0);
    scene.run(&a);
    scene.run(&b);
    for replica in [&a, &b] {
        assert_eq!(shown(replica, "P1"), "");
        assert_eq!(
            replica.count("SELECT count(*) FROM project_tag_adds"),
            0,
            "of a deleted object"
        );
        replica.assert_sound();
    }
}

#[test]
fn rows_that_arrive_are_decided_and_a_row_that_went_leaves_its_element() {
    for (policy, want) in [("translate", "a b c"), ("reject", "a b"), ("quarantine", "a b")] {
        let (a, b, old, scene) = closed(policy);
        old.run("INSERT INTO tags VALUES ('P1', 'c', NULL)", []);
        old.run("DELETE FROM tags WHERE tag = 'b'", []);
        merge(&old, &a);
        assert_eq!(shown(&a, "P1"), "a b", "{policy}: nothing is decided yet");
        scene.run(&a);
        assert_eq!(shown(&a, "P1"), want, "{policy}");
        // The late one translates what it has, and gets what it can no longer derive.
        scene.run(&old);
        for _ in 0..2 {
            for (one, other) in [(&a, &b), (&a, &old), (&b, &old)] {
                merge_both_ways(one, other);
            }
            for replica in [&a, &b] {
                scene.run(replica);
            }
        }
        for replica in [&a, &b] {
            assert_eq!(shown(replica, "P1"), want, "{policy}");
        }
        let late: &str = if policy == "quarantine" { "a b c" } else { want };
        assert_eq!(shown(&old, "P1"), late, "{policy}: an open epoch shows its old form");
    }
}
