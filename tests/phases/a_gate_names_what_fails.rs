//! `advance` prints every condition with its evidence, and exits 6 where one fails.

use std::fs;

use serde_json::Value;

use crate::common::{Output, dotfill, merge_both_ways};
use crate::scenario::{Scene, add, projects, site, tags};

/// The failing conditions of a report: name and evidence.
fn failing(output: &Output) -> Vec<(String, String)> {
    let conditions = output.json["conditions"].as_array().expect("conditions").iter();
    let text = |c: &Value, key: &str| c[key].as_str().unwrap_or_default().to_owned();
    conditions
        .filter(|c| c["holds"] == false)
        .inspect(|c| assert!(!text(c, "remedy").is_empty(), "{c}"))
        .map(|c| (text(c, "name"), text(c, "evidence")))
        .collect()
}

#[track_caller]
fn refused(output: Output, name: &str, words: &str) {
    let output = output.expect_code(6);
    assert_eq!(output.json["advanced"], false);
    let failing = failing(&output);
    assert!(
        failing.iter().any(|(got, evidence)| got == name && evidence.contains(words)),
        "no {name} with {words:?} in {failing:?}"
    );
}

#[test]
fn each_condition_fails_with_its_evidence_and_then_holds() {
    let (a, b) = (projects(), projects());
    a.run("INSERT INTO projects VALUES ('P1', 'one', '[\"a\",\"b\"]'), ('P2', 'two', NULL)", []);
    merge_both_ways(&a, &b);
    b.run("UPDATE projects SET name = 'from b' WHERE id = 'P2'", []);
    merge_both_ways(&a, &b);
    let scene = Scene::new(&tags("reject"), &[&a, &b]);
    scene.run(&a);
    scene.run(&b);
    let to = "read-new-write-old";

    refused(scene.command("advance", &a, &["--to", to]), "fleet-acknowledged", "nobody says");
    let alone = scene.command("advance", &a, &["--to", to, "--alone"]);
    refused(alone, "fleet-acknowledged", "another site of cr-sqlite has written here");
    refused(scene.advance(&a, to, &[]), "acknowledged", &site(&b));
    scene.ack(&a);
    refused(scene.advance(&a, to, &[]), "acknowledged", "has not acknowledged");
    scene.ack(&b);
    scene.advance(&a, to, &[]).expect_code(0);
    let again = scene.advance(&a, to, &[]).expect_code(0);
    assert_eq!(again.json["advanced"], false, "{}", again.json);
    scene
        .advance(&a, "read-new-write-new", &[])
        .expect_code(2)
        .expect_words(&["read-new-write-both comes next"]);
    scene.advance(&a, "read-old-write-old", &[]).expect_code(2).expect_words(&["rollback"]);
    refused(
        scene.advance(&a, "read-new-write-both", &[]),
        "acknowledged",
        "read-old-write-old only",
    );
    scene.advance(&b, to, &[]).expect_code(0);
    scene.advance_all(&[&a, &b], "read-new-write-both");

    // One form alone is written.
    add(&a, "P1", "new-only");
    scene.ack(&a);
    scene.ack(&b);
    let new = "read-new-write-new";
    let output = scene.advance(&a, new, &[]).expect_code(6);
    let failing = failing(&output);
    for name in ["views-agree", "validator-clean"] {
        let found = failing.iter().find(|(got, _)| got == name).expect(name);
        assert!(found.1.contains("projects ('P1')") && found.1.contains("'new-only'"), "{found:?}");
    }
    let status = scene.command("status", &a, &[]).json;
    assert_eq!(status[0]["disagreements"], 1, "{status}");
    a.run("UPDATE projects SET tags = '[\"a\",\"b\",\"new-only\"]' WHERE id = 'P1'", []);

    // A client that is too old.
    scene.ack(&a);
    scene
        .command("ack", &b, &["--fleet", &scene.fleet, "--oldest-client", "4.7.10"])
        .expect_code(0);
    refused(scene.advance(&a, new, &[]), "clients", "still has clients at 4.7.10, below 4.8.0");
    merge_both_ways(&a, &b);
    scene.run(&b);
    scene.advance_all(&[&a, &b], new);

    // Compaction.
    let old = "compact-old";
    scene.advance(&a, old, &[]).expect_code(2).expect_words(&["--export FILE", "--no-export"]);
    scene.ack(&a);
    scene.ack(&b);
    let kept = scene.folder().join("kept.jsonl");
    let kept = kept.to_str().unwrap();
    refused(
        scene.advance(&a, old, &["--export", kept]),
        "ready-for-compaction",
        "does not state --writers-on-new-form --old-clients-blocked",
    );
    assert!(!fs::exists(kept).unwrap(), "nothing was begun");

    // Every decision left an event.
    let gates = a.count("SELECT count(*) FROM _dotfill_events WHERE kind = 'gate'");
    let modes = a.count("SELECT count(*) FROM _dotfill_events WHERE kind = 'mode'");
    assert!(gates >= 10 && modes == 3, "{gates} gates, {modes} modes");
}

#[test]
fn people_read_a_table() {
    let a = projects();
    a.run("INSERT INTO projects VALUES ('P1', 'one', '[\"a\"]')", []);
    let scene = Scene::new(&tags("reject"), &[&a]);
    scene.run(&a);
    let args = ["advance", &scene.migration, "--db", a.db(), "--to", "read-new-write-old"];
    let output = dotfill(&args).expect_code(6);
    assert!(
        output.stdout.contains("ok    backfill-proven     proven over 1 objects\n"),
        "{}",
        output.stdout
    );
    assert!(output.stdout.contains("FAIL  fleet-acknowledged  nobody says"), "{}", output.stdout);
    assert!(output.stdout.contains("        -> name the fleet's folder with --fleet DIR"));
    assert!(output.stdout.contains("tags-or-set: still in read-old-write-old"));
    let output = dotfill(&[&args[..], &["--alone"]].concat()).expect_code(0);
    assert!(output.stdout.ends_with("tags-or-set: read-old-write-old -> read-new-write-old\n"));
    let status = dotfill(&["status", "--db", a.db()]).expect_code(0);
    assert!(status.stdout.contains("open, read-new-write-old"), "{}", status.stdout);
}

#[test]
fn a_migration_of_columns_has_no_modes() {
    let a = projects();
    let scene = Scene::new(
        "id = \"names\"\n[[change]]\nkind = \"column\"\ntable = \"projects\"\ncolumn = \"upper\"\n\
         type = \"TEXT\"\nvalue = \"upper(name)\"\n",
        &[&a],
    );
    scene.command("run", &a, &[]).expect_complete();
    scene.advance(&a, "read-new-write-old", &[]).expect_code(2).expect_words(&["has no modes"]);
    scene
        .command("ack", &a, &["--fleet", &scene.fleet])
        .expect_code(2)
        .expect_words(&["has no modes"]);
    assert_eq!(scene.command("status", &a, &[]).json[0]["mode"], Value::Null);
}
