//! `advance --to compact-old` on two real replicas: no change record, nothing comes back by a merge,
//! and a late write is still seen.

use std::fs;

use crate::common::{Records, Replica, apply, merge, merge_both_ways};
use crate::scenario::{Scene, add, projects, remove, shown, tags};

const STATED: [&str; 5] = [
    "--writers-on-new-form",
    "--old-clients-blocked",
    "--repair-tools-moved",
    "--snapshots-moved",
    "--dashboards-moved",
];

fn ack(scene: &Scene, replica: &Replica) {
    let mut more = vec!["--fleet", scene.fleet.as_str(), "--oldest-client", "4.8.0"];
    more.extend(STATED);
    scene.command("ack", replica, &more).expect_code(0);
}

/// Sends everything that a replica has, as if the other one had never seen it.
fn resend(from: &Replica, to: &Replica) {
    to.execute_batch("BEGIN IMMEDIATE").unwrap();
    for change in &Records::of(from).changes {
        apply(to, change);
    }
    to.execute_batch("COMMIT").unwrap();
}

#[test]
fn the_old_form_of_a_column_goes_without_a_change_record() {
    let (a, b, old) = (projects(), projects(), projects());
    for i in 1..=50 {
        a.run("INSERT INTO projects VALUES ('P' || ?1, 'n', '[\"a\",\"b\"]')", [i]);
    }
    b.run("UPDATE projects SET name = 'b' WHERE id = 'P0'", []);
    merge_both_ways(&a, &b);
    merge_both_ways(&a, &old);
    let scene = Scene::new(&tags("reject"), &[&a, &b]);
    scene.close_epoch(&[&a, &b]);
    remove(&a, "P1", "a");
    add(&b, "P2", "c");
    merge_both_ways(&a, &b);
    let before = Records::of(&old);

    ack(&scene, &a);
    ack(&scene, &b);
    let kept = scene.folder().join("kept.jsonl");
    for replica in [&a, &b] {
        let versions = Records::of(replica).versions;
        let args = ["--export", kept.to_str().unwrap()];
        let output = scene.advance(replica, "compact-old", &args).expect_code(0);
        assert_eq!(output.json["compaction"]["rows_removed"], 50, "{}", output.json);
        assert_eq!(output.json["compaction"]["done"], true);
        assert_eq!(Records::of(replica).versions, versions, "a site's db_version moved");
        assert_eq!(replica.count("SELECT count(*) FROM projects WHERE tags IS NOT NULL"), 0);
        let again = scene.advance(replica, "compact-old", &args).expect_code(0);
        assert_eq!(again.json["compaction"]["rows_removed"], 0, "{}", again.json);
    }
    let lines = fs::read_to_string(&kept).unwrap();
    assert_eq!(lines.lines().count(), 100, "each replica kept its rows");
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["row"]["tags"], "[\"a\",\"b\"]", "{first}");

    // Nothing is left to send, and what an old replica sends again does not come back.
    assert_eq!(merge(&a, &b) + merge(&b, &a), 0);
    resend(&a, &b);
    resend(&b, &a);
    resend(&old, &a);
    for replica in [&a, &b] {
        assert_eq!(replica.count("SELECT count(*) FROM projects WHERE tags IS NOT NULL"), 0);
        assert_eq!(shown(replica, "P1"), ["b"]);
        assert_eq!(shown(replica, "P2"), ["a", "b", "c"]);
        replica.assert_sound();
    }
    before.assert_none_created(&old);

    // A write of an old client that is later than what was removed arrives, and is refused.
    old.run("UPDATE projects SET tags = '[\"a\",\"late\"]' WHERE id = 'P1'", []);
    merge(&old, &a);
    scene.run(&a);
    assert_eq!(scene.quarantine(&a).last().map(|(reason, _)| reason.as_str()), Some("new-element"));
    assert_eq!(shown(&a, "P1"), ["b"]);
    let again = scene.advance(&a, "compact-old", &["--no-export"]).expect_code(0);
    assert_eq!(again.json["compaction"]["rows_removed"], 1, "{}", again.json);
    merge_both_ways(&a, &b);
    scene.run(&b);
    assert_eq!(shown(&b, "P1"), ["b"]);
    assert_eq!(
        a.rows("SELECT * FROM project_tags_visible ORDER BY 1, 2", []),
        b.rows("SELECT * FROM project_tags_visible ORDER BY 1, 2", [])
    );
}

#[test]
fn the_rows_of_a_child_table_leave_tombstones() {
    const SCHEMA: &str = "CREATE TABLE projects(id TEXT NOT NULL PRIMARY KEY, name TEXT);
        CREATE TABLE tags(project TEXT NOT NULL, tag TEXT NOT NULL, note TEXT, PRIMARY KEY (project, tag));";
    let toml = "id = \"tags-or-set\"\n[[change]]\nkind = \"or_set\"\ntable = \"projects\"\n\
        source_table = \"tags\"\nelement = \"tag\"\nsource_key = [\"project\"]\n\
        adds = \"project_tag_adds\"\nremoves = \"project_tag_removes\"\n\
        view = \"project_tags_visible\"\nold_writes = \"translate\"\n";
    let replica = || Replica::with_tables(SCHEMA, &["projects", "tags"]);
    let (a, b) = (replica(), replica());
    a.run("INSERT INTO projects VALUES ('P1', 'one')", []);
    a.run("INSERT INTO tags VALUES ('P1', 'a', 'n'), ('P1', 'b', NULL)", []);
    // A row that was deleted and came back: its causal length is 3.
    a.run("DELETE FROM tags WHERE tag = 'b'", []);
    a.run("INSERT INTO tags VALUES ('P1', 'b', NULL)", []);
    merge_both_ways(&a, &b);
    let before = Records::of(&a);
    let scene = Scene::new(toml, &[&a, &b]);
    scene.close_epoch(&[&a, &b]);
    ack(&scene, &a);
    ack(&scene, &b);
    for replica in [&a, &b] {
        let output = scene.advance(replica, "compact-old", &["--no-export"]).expect_code(0);
        assert_eq!(output.json["compaction"]["rows_removed"], 2, "{}", output.json);
    }
    for replica in [&a, &b] {
        replica.execute_batch("BEGIN IMMEDIATE").unwrap();
        for change in before.changes.iter().filter(|change| change.table == "tags") {
            apply(replica, change);
        }
        replica.execute_batch("COMMIT").unwrap();
        assert_eq!(replica.count("SELECT count(*) FROM tags"), 0, "an old row came back");
        assert_eq!(shown(replica, "P1"), ["a", "b"]);
        replica.assert_sound();
    }
    assert_eq!(merge(&a, &b) + merge(&b, &a), 0);
    let clocks = "SELECT p.project, p.tag, c.col_name, c.col_version FROM tags__crsql_clock AS c
        JOIN tags__crsql_pks AS p ON p.__crsql_key = c.key ORDER BY 1, 2, 3";
    assert_eq!(a.rows(clocks, []), b.rows(clocks, []));
    let versions: Vec<i64> = a
        .rows(clocks, [])
        .into_iter()
        .map(|row| match row[3] {
            rusqlite::types::Value::Integer(v) => v,
            _ => 0,
        })
        .collect();
    assert_eq!(versions, [2, 4], "one tombstone each");
}
