//! `status` counts old writes by what became of them and why, and every transition, gate decision and
//! count is an event with a time.

use crate::common::{Replica, dotfill, merge, merge_both_ways};
use crate::scenario::{Scene, projects, remove, tags};

fn status(replica: &Replica) -> serde_json::Value {
    let output = dotfill(&["status", "--db", replica.db(), "--json"]).expect_code(0);
    output.json[0].clone()
}

/// How many writes had this outcome for this reason.
fn writes(status: &serde_json::Value, outcome: &str, reason: &str) -> u64 {
    let all = status["old_writes"].as_array().unwrap().iter();
    let mut found = all.filter(|one| one["outcome"] == outcome && one["reason"] == reason);
    found.next().map_or(0, |one| one["writes"].as_u64().unwrap())
}

fn events(replica: &Replica) -> Vec<(String, String)> {
    let sql = "SELECT at, kind, detail FROM _dotfill_events ORDER BY id";
    let mut statement = replica.prepare(sql).unwrap();
    let row = |row: &rusqlite::Row<'_>| {
        let (at, kind, detail): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        assert!(at.len() == 24 && at.ends_with('Z'), "{kind} at {at}");
        Ok((kind, detail))
    };
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
}

#[test]
fn by_policy_outcome_and_reason() {
    for policy in ["translate", "reject", "quarantine"] {
        let (a, b, old) = (projects(), projects(), projects());
        for i in 1..=5 {
            a.run("INSERT INTO projects VALUES ('P' || ?1, 'n', '[\"a\"]')", [i]);
        }
        merge_both_ways(&a, &b);
        merge_both_ways(&a, &old);
        let scene = Scene::new(&tags(policy), &[&a, &b]);
        scene.close_epoch(&[&a, &b]);
        remove(&a, "P3", "a");
        for (id, text) in [
            ("P1", "[\"a\",\"new\"]"),
            ("P2", "[\"a\", \"a \"]"),
            ("P3", "[ \"a\"]"),
            ("P4", "{"),
            ("P5", "[\"a\" ]"),
        ] {
            old.run("UPDATE projects SET tags = ?2 WHERE id = ?1", [id, text]);
        }
        merge(&old, &a);
        let before = status(&a);
        assert_eq!((&before["pending_writes"], &before["quarantined"]), (&5.into(), &0.into()));
        assert_eq!(before["mode"], "read-new-write-new");
        scene.run(&a);
        let after = status(&a);
        assert_eq!(after["pending_writes"], 0);
        let outcome = match policy {
            "translate" => "translated",
            "reject" => "rejected",
            _ => "quarantined",
        };
        for (reason, count) in
            [("new-element", 2), ("removed-element", 1), ("malformed", 1), ("nothing-new", 1)]
        {
            assert_eq!(writes(&after, outcome, reason), count, "{policy} {reason}: {after}");
        }
        let listed = match policy {
            "translate" => 1,
            "reject" => 5,
            _ => 3,
        };
        assert_eq!(after["quarantined"], listed, "{policy}: {after}");
        let text = dotfill(&["status", "--db", a.db()]).expect_code(0).stdout;
        for line in [
            format!("tags-or-set: {listed} in quarantine"),
            format!("tags-or-set: 2 old writes {outcome} (new-element)"),
        ] {
            assert!(text.contains(&line), "{line}:\n{text}");
        }
        let events = events(&a);
        let has = |kind: &str, detail: &str| {
            assert!(events.iter().any(|(k, d)| k == kind && d.contains(detail)), "{events:#?}");
        };
        has("mode", "read-new-write-both (0 %) to read-new-write-new (100 %)");
        has("gate", "to read-new-write-new: every condition holds");
        has("settled", if policy == "quarantine" { "2 in quarantine" } else { "2 " });
        // A gate that refuses is an event too, and so is what an operator decides.
        scene.advance(&a, "compact-old", &["--no-export"]).expect_code(6);
        dotfill(&["quarantine", "replay", "1", "--db", a.db()]).expect_code(0);
        let events = self::events(&a);
        let kinds = |kind: &str, word: &str| {
            events.iter().filter(|(k, d)| k == kind && d.contains(word)).count()
        };
        assert_eq!((kinds("gate", "refused"), kinds("quarantine", "write 1 replayed")), (1, 1));
    }
}

#[test]
fn disagreements_are_counted_as_they_open_and_end() {
    let a = projects();
    a.run("INSERT INTO projects VALUES ('P1', 'n', '[\"a\"]')", []);
    let scene = Scene::new(&tags("reject"), &[&a]);
    scene.run(&a);
    scene.advance_all(&[&a], "read-new-write-old");
    scene.advance_all(&[&a], "read-new-write-both");
    remove(&a, "P1", "a");
    scene.run(&a);
    assert_eq!(status(&a)["disagreements"], 1);
    a.run("UPDATE projects SET tags = '[]' WHERE id = 'P1'", []);
    scene.run(&a);
    assert_eq!(status(&a)["disagreements"], 0);
    let found: Vec<_> = events(&a).into_iter().filter(|(kind, _)| kind == "validated").collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].1.contains("1 objects whose forms differ, 0 before"), "{found:?}");
    assert!(found[1].1.contains("0 objects whose forms differ, 1 before"), "{found:?}");
}
