//! `verify --against`: what is on its way is in flight, what has arrived is equal, and equal sources
//! with different values are a divergence; by the other file and by its digest alike.

use std::fs;

use rusqlite::config::DbConfig;
use serde_json::{Value, json};

use crate::common::{Output, Records, Replica, dotfill, merge_both_ways};
use crate::scenario::{DERIVE, NATIVE, Pair, command};

/// `dotfill digest`, kept in a file of the pair.
fn digest(pair: &Pair, of: &Replica) -> String {
    let path = pair.b.folder().join("digest.json");
    let printed = command("digest", &pair.migration, of).expect_code(0);
    fs::write(&path, printed.json.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn against(pair: &Pair, here: &Replica, other: &str) -> Output {
    dotfill(&["verify", &pair.migration, "--db", here.db(), "--against", other, "--json"])
}

/// Compares each replica with the other, by file and by digest; the one of `a` with `b`'s file.
#[track_caller]
fn compare(pair: &Pair, code: i32, verdict: &str) -> Value {
    let before = pair.both().map(|replica| (replica.schema(), Records::of(replica)));
    let mut found = Vec::new();
    for (here, there) in [(&pair.a, &pair.b), (&pair.b, &pair.a)] {
        let by_digest = against(pair, here, &digest(pair, there)).expect_code(code);
        assert_eq!(by_digest.json["verdict"], verdict, "{}", by_digest.json);
        let by_file = against(pair, here, there.db()).expect_code(code);
        assert_eq!(by_file.json["verdict"], verdict, "{}", by_file.json);
        assert_eq!(by_file.json["in_flight_is_lower_bound"], false);
        let count = |output: &Output| output.counter("rows_in_flight");
        assert!(count(&by_digest) <= count(&by_file), "{} {}", by_digest.json, by_file.json);
        found.push(by_file.json);
    }
    let after = pair.both().map(|replica| (replica.schema(), Records::of(replica)));
    assert!(before == after, "a comparison wrote something");
    found.swap_remove(0)
}

fn settle(pair: &Pair) {
    merge_both_ways(&pair.a, &pair.b);
    pair.run();
}

#[test]
fn changes_are_in_flight_until_they_are_merged_and_drained() {
    let pair = Pair::filled(DERIVE);
    compare(&pair, 0, "equal");
    pair.a.run("UPDATE machines SET app = 'moved' WHERE id = 1", []);
    pair.a.run("INSERT INTO machines(id, app) VALUES (101, 'late')", []);
    pair.b.run("DELETE FROM machines WHERE id = 2", []);
    let found = compare(&pair, 1, "inconclusive");
    assert_eq!((&found["rows_in_flight"], &found["rows_diverged"]), (&json!(3), &json!(0)));
    assert_eq!(found["examples"], json!(["machines: 1", "machines: 2", "machines: 101"]));
    let first = &found["differences"][0];
    assert_eq!((&first["key"], &first["verdict"]), (&json!([1]), &json!("in_flight")));
    assert_eq!(first["here"], json!({"cell": "o-app-1", "sources": {"app": "moved"}}));
    assert_eq!(first["there"], json!({"cell": "o-app-1", "sources": {"app": "app-1"}}));
    let reason = found["reason"].as_str().unwrap();
    assert!(reason.contains("3 rows in flight"), "{reason}");

    // One of them has derived it again, the other has not heard of it.
    command("run", &pair.migration, &pair.a).expect_complete();
    assert_eq!(compare(&pair, 1, "inconclusive")["rows_in_flight"], 3);
    // Merged, and noted on one side only.
    merge_both_ways(&pair.a, &pair.b);
    let found = compare(&pair, 1, "inconclusive");
    assert_eq!(found["rows_in_flight"], 2, "a deleted row needs no drain: {found}");
    settle(&pair);
    compare(&pair, 0, "equal");
}

#[test]
fn a_users_write_is_in_flight_until_it_is_merged() {
    for toml in [DERIVE, NATIVE] {
        let pair = Pair::without_column(toml);
        for replica in pair.both() {
            command("run", &pair.migration, replica).expect_complete();
        }
        merge_both_ways(&pair.a, &pair.b);
        for replica in pair.both() {
            command("run", &pair.migration, replica).expect_complete();
        }
        compare(&pair, 0, "equal");
        pair.a.run("UPDATE machines SET owner = 'mine' WHERE id = 3", []);
        assert_eq!(compare(&pair, 1, "inconclusive")["rows_in_flight"], 1);
        command("run", &pair.migration, &pair.a).expect_complete();
        assert_eq!(compare(&pair, 1, "inconclusive")["rows_in_flight"], 1);
        merge_both_ways(&pair.a, &pair.b);
        // Noted on one replica and known as a user's on the other: the same cell all the same.
        compare(&pair, 0, "equal");
        command("run", &pair.migration, &pair.b).expect_complete();
        compare(&pair, 0, "equal");
    }
}

#[test]
fn a_cell_of_ours_that_was_corrupted_is_a_divergence() {
    let pair = Pair::filled(DERIVE);
    corrupt(&pair.b, 4);
    let found = compare(&pair, 3, "diverged");
    assert_eq!((&found["rows_diverged"], &found["rows_in_flight"]), (&json!(1), &json!(0)));
    assert_eq!((&found["rows_different"], &found["rows_different_there"]), (&json!(0), &json!(1)));
    assert_eq!(found["differences"][0]["there"]["cell"], "corrupted");
    let reason = found["reason"].as_str().unwrap();
    assert!(reason.contains(pair.b.db()) && reason.contains("dotfill run"), "{reason}");
    // Something in flight in the same table does not hide it.
    pair.a.run("UPDATE machines SET app = app || '!' WHERE id <> 4", []);
    let found = compare(&pair, 3, "diverged");
    assert_eq!((&found["rows_diverged"], &found["rows_in_flight"]), (&json!(1), &json!(19)));
    settle(&pair);
    compare(&pair, 0, "equal");
}

#[test]
fn also_when_both_are_closed_or_one_of_them() {
    let pair = Pair::filled(DERIVE);
    pair.a.run("UPDATE machines SET owner = 'mine' WHERE id = 3", []);
    settle(&pair);
    command("close", &pair.migration, &pair.a).expect_code(0);
    compare(&pair, 0, "equal");
    command("close", &pair.migration, &pair.b).expect_code(0);
    compare(&pair, 0, "equal");

    pair.a.run("UPDATE machines SET owner = 'yours' WHERE id = 5", []);
    assert_eq!(compare(&pair, 1, "inconclusive")["rows_in_flight"], 1);
    merge_both_ways(&pair.a, &pair.b);
    compare(&pair, 0, "equal");

    corrupt(&pair.b, 4);
    let found = compare(&pair, 3, "diverged");
    assert!(found["reason"].as_str().unwrap().contains("dotfill forget"), "{found}");
}

/// Writes as nobody should: past every trigger.
fn corrupt(replica: &Replica, id: i64) {
    replica.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    replica.run("UPDATE machines SET owner = 'corrupted' WHERE id = ?1", [id]);
    replica.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, true).unwrap();
}
