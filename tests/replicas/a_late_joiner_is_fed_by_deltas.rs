//! A replica that joins after `close`: cr-sqlite brings its rows, but values without clock rows
//! never come. `export` on an old replica and `apply` on the new one bring them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{Output, Records, Replica, corrosion_tables, dotfill, merge, merge_both_ways};
use crate::scenario::{CRSQL_TRIGGERS, DERIVE, Pair, command, triggers};

/// `dotfill export ID --db FROM --deltas DIR --json`.
#[track_caller]
fn export(from: &Replica, dir: &Path) -> Output {
    let dir = dir.to_str().unwrap();
    dotfill(&["export", "machines-owner", "--db", from.db(), "--deltas", dir, "--json"])
        .expect_complete()
}

/// `dotfill apply DIR --db TO --json`, which creates no change record.
#[track_caller]
fn apply(to: &Replica, dir: &Path) -> Output {
    let before = Records::of(to);
    let output = dotfill(&["apply", dir.to_str().unwrap(), "--db", to.db(), "--json"]);
    before.assert_none_created(to);
    to.assert_sound();
    output.expect_complete()
}

/// A pair that was filled, used and closed, a user's value on each side.
fn closed() -> Pair {
    let pair = Pair::filled(DERIVE);
    pair.a.run("UPDATE machines SET owner = 'mine' WHERE id = 2", []);
    pair.b.run("UPDATE machines SET owner = NULL WHERE id = 3", []);
    pair.b.run("UPDATE machines SET owner = 'b' WHERE id = 3", []);
    pair.b.run("DELETE FROM machines WHERE id = 4", []);
    merge_both_ways(&pair.a, &pair.b);
    for replica in pair.both() {
        command("close", &pair.migration, replica).expect_code(0);
    }
    pair
}

/// A replica of the pair's tables that has merged everything, whose derived values are missing.
fn joiner(pair: &Pair) -> Replica {
    let joiner = Replica::machines_with_owner();
    merge(&pair.a, &joiner);
    merge(&pair.b, &joiner);
    assert_eq!(joiner.owner(1), None, "premise: values without clock rows do not travel");
    assert_eq!(joiner.owner(2).as_deref(), Some("mine"), "premise: users' values do");
    joiner
}

#[track_caller]
fn digest(replica: &Replica) -> String {
    let output = command("digest", "machines-owner", replica).expect_code(0);
    output.json["digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn only_where_a_corrosion_agent_knows_the_column() {
    let pair = closed();
    let new = Replica::machines();
    corrosion_tables(&new);
    let dir = new.folder().join("deltas");
    export(&pair.a, &dir);
    let refused = dotfill(&["apply", dir.to_str().unwrap(), "--db", new.db()]).expect_code(2);
    for word in ["owner", "Corrosion", "schema files", "corrosion reload"] {
        assert!(refused.stderr.contains(word), "no {word:?} in {}", refused.stderr);
    }
    assert_eq!(triggers(&new), CRSQL_TRIGGERS);
}

#[test]
fn and_is_equal_then() {
    let pair = closed();
    let new = joiner(&pair);
    let dir = new.folder().join("deltas");
    let exported = export(&pair.a, &dir);
    assert_eq!((exported.counter("rows"), exported.counter("rows_user")), (17, 2));
    assert!(exported.counter("delta_bytes") > 0 && exported.counter("segments") > 0);
    let applied = apply(&new, &dir);
    assert_eq!(applied.json["migration"], "machines-owner");
    assert_eq!((applied.counter("rows"), applied.counter("rows_written")), (17, 17));
    assert_eq!(new.machines_rows(), pair.a.machines_rows());
    assert_eq!(digest(&new), digest(&pair.a));
    assert_eq!(digest(&new), digest(&pair.b));
    command("verify", "machines-owner", &new).expect_code(0);
    assert_eq!(triggers(&new), CRSQL_TRIGGERS, "nothing of ours is left in the way");
    let status = dotfill(&["status", "--db", new.db(), "--json"]).expect_code(0);
    assert_eq!(status.json[0]["phase"], "applied");
    dotfill(&["doctor", "--db", new.db(), "--json"]).expect_code(0);
    // Again: nothing to do, and it says so.
    let again = apply(&new, &dir);
    assert_eq!((again.counter("rows_written"), again.counter("rows_unchanged")), (0, 17));
    // Users' values win afterwards, in both directions.
    new.run("UPDATE machines SET owner = 'from new' WHERE id = 5", []);
    pair.a.run("UPDATE machines SET owner = 'from a' WHERE id = 6", []);
    merge_both_ways(&new, &pair.a);
    assert_eq!(new.machines_rows(), pair.a.machines_rows());
    let after = apply(&new, &dir);
    assert_eq!(after.counter("rows_user_written"), 2);
    assert_eq!(new.machines_rows(), pair.a.machines_rows());
    command("close", "machines-owner", &new).expect_code(0);
    command("forget", "machines-owner", &new).expect_code(0);
}

#[test]
fn and_gets_rows_that_arrive_after_the_deltas() {
    let pair = closed();
    let new = Replica::machines_with_owner();
    let dir = new.folder().join("deltas");
    export(&pair.a, &dir);
    assert_eq!(apply(&new, &dir).counter("rows_pending"), 17);
    dotfill(&["doctor", "--db", new.db(), "--json"]).expect_words(&["17 values wait"]);
    merge(&pair.a, &new);
    merge(&pair.b, &new);
    // One of them was deleted since.
    pair.a.run("DELETE FROM machines WHERE id = 7", []);
    merge(&pair.a, &new);
    let applied = apply(&new, &dir);
    assert_eq!((applied.counter("rows_pending"), applied.counter("rows_deleted")), (0, 1));
    assert_eq!(new.machines_rows(), pair.a.machines_rows());
}

#[test]
fn and_does_not_bring_back_what_was_deleted() {
    let pair = closed();
    let new = joiner(&pair);
    let dir = new.folder().join("deltas");
    export(&pair.a, &dir);
    pair.b.run("DELETE FROM machines WHERE id IN (8, 9)", []);
    merge(&pair.b, &new);
    let applied = apply(&new, &dir);
    assert_eq!((applied.counter("rows_deleted"), applied.counter("rows_pending")), (2, 0));
    assert_eq!(new.count("SELECT count(*) FROM machines WHERE id IN (8, 9)"), 0);
}

/// NULLs at version 1, of clients that did not know the column: filled, and without a clock row, as
/// on the replicas that derived.
#[test]
fn and_has_the_same_clock_rows_as_the_others() {
    let pair = Pair::with_nulls_at_version_1(DERIVE);
    let new = Replica::machines_with_owner();
    merge(&pair.a, &new);
    assert_eq!(new.owner_version(1), Some(1), "premise: the NULL has a clock row here too");
    pair.run();
    let dir = new.folder().join("deltas");
    assert_eq!(export(&pair.a, &dir).counter("rows"), 20);
    assert_eq!(apply(&new, &dir).counter("rows_written"), 20);
    assert_eq!(new.owner_version(1), None);
    assert_eq!(new.machines_rows(), pair.a.machines_rows());
    new.run("UPDATE machines SET owner = 'user' WHERE id = 1", []);
    merge_both_ways(&new, &pair.a);
    assert_eq!(pair.a.owner(1).as_deref(), Some("user"));
}

/// cr-sqlite has brought the rows, so that no key has to be sent: users' cells stay, and not one
/// change record is made.
#[test]
fn and_needs_no_keys() {
    let pair = closed();
    let new = joiner(&pair);
    let dir = new.folder().join("deltas");
    let keys = dotfill(&["digest", &pair.migration, "--db", new.db(), "--keys"]).expect_code(0);
    let file = new.folder().join("keys.json");
    fs::write(&file, &keys.stdout).unwrap();
    let [dir_arg, file] = [&dir, &file].map(|path| path.to_str().unwrap());
    let command = ["export", "machines-owner", "--db", pair.a.db(), "--deltas", dir_arg];
    let exported =
        dotfill(&[&command[..], &["--keys-of", file, "--json"]].concat()).expect_complete();
    assert_eq!((exported.counter("rows"), exported.counter("rows_implied")), (17, 17));
    let applied = apply(&new, &dir);
    assert_eq!((applied.counter("rows_written"), applied.counter("rows_unlike")), (17, 0));
    assert_eq!(new.machines_rows(), pair.a.machines_rows());
    assert_eq!(digest(&new), digest(&pair.a));
    // A row that comes by replication does not make the same command fail.
    pair.a.run("INSERT INTO machines (id, app) VALUES (5000, 'x')", []);
    merge(&pair.a, &new);
    assert_eq!(apply(&new, &dir).counter("rows_unlike"), 0);
}

/// `dotfill export .. --deltas - | dotfill apply - ..`, as over ssh.
#[test]
fn and_takes_them_from_a_stream() {
    let pair = closed();
    let new = joiner(&pair);
    let binary = env!("CARGO_BIN_EXE_dotfill");
    let mut sender = Command::new(binary)
        .args(["export", "machines-owner", "--db", pair.a.db(), "--deltas", "-", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let receiver = Command::new(binary)
        .args(["apply", "-", "--db", new.db(), "--json"])
        .stdin(sender.stdout.take().unwrap())
        .output()
        .unwrap();
    let sender = sender.wait_with_output().unwrap();
    assert!(sender.status.success() && receiver.status.success(), "{receiver:?}");
    let said = String::from_utf8_lossy(&sender.stderr);
    assert!(said.contains("\"rows\": 17"), "the report goes to standard error: {said}");
    let report: serde_json::Value = serde_json::from_slice(&receiver.stdout).unwrap();
    assert_eq!((&report["rows_written"], &report["outcome"]), (&17.into(), &"complete".into()));
    let status = dotfill(&["status", "--db", new.db(), "--json"]).expect_code(0);
    assert_eq!(
        (&status.json[0]["rows_total"], &status.json[0]["percent"]),
        (&17.into(), &100.0.into())
    );
    assert_eq!(new.machines_rows(), pair.a.machines_rows());
}

/// The column is added where it is missing, with cr-sqlite's triggers for it.
#[test]
fn and_gets_the_column_where_it_lacks_it() {
    let pair = closed();
    let new = Replica::machines();
    let dir = new.folder().join("deltas");
    export(&pair.a, &dir);
    assert_eq!(apply(&new, &dir).counter("rows_pending"), 17);
    merge(&pair.a, &new);
    merge(&pair.b, &new);
    apply(&new, &dir);
    assert_eq!(new.machines_rows(), pair.a.machines_rows());
    new.run("UPDATE machines SET owner = 'new' WHERE id = 1", []);
    assert_eq!(new.owner_version(1), Some(1), "cr-sqlite records the column");
}

#[test]
fn and_a_folder_that_is_no_part_of_the_chain_is_refused() {
    let pair = closed();
    let dir = pair.a.folder().join("deltas");
    export(&pair.a, &dir);
    let again = |dir: &Path| {
        let dir = dir.to_str().unwrap();
        dotfill(&["export", "machines-owner", "--db", pair.a.db(), "--deltas", dir, "--json"])
    };
    again(&dir).expect_code(0);
    pair.a.run("UPDATE machines SET owner = 'user' WHERE id = 9", []);
    again(&dir).expect_code(2).expect_words(&["whole chain", "would write now"]);
    assert!(fs::read_dir(&dir).unwrap().count() >= 3, "the chain is still there");
    dotfill(&["export", "unknown", "--db", pair.a.db(), "--deltas", "x", "--json"]).expect_code(2);
}
