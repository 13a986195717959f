//! Ten cells of a replica were changed behind everyone's back. What shows it (a digest), names them
//! (`verify --diff`) and brings them (`export --only`, `apply`) is small whatever the table's size,
//! and the replicas are equal in the end, whatever phase the damaged one is in.

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use serde_json::json;

use crate::common::{Output, Records, Replica, dotfill, merge, merge_both_ways};
use crate::scenario::{DERIVE, Pair, command};

const ROWS: u32 = 10_000;
const BYTES_MAX: u64 = 64 << 10;

/// Two filled replicas with as many rows.
fn pair() -> Pair {
    let pair = Pair::without_column(DERIVE);
    pair.a.run("DELETE FROM machines", []);
    pair.a.insert_machines(ROWS);
    merge_both_ways(&pair.a, &pair.b);
    pair.run();
    pair
}

/// Changes ten cells, one of them to NULL, as a program without triggers does.
fn damage(db: &Replica) {
    let raw = Connection::open(db.path()).unwrap();
    raw.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    let changed = raw
        .execute(
            "UPDATE machines SET owner = CASE id WHEN 1000 THEN NULL ELSE owner || '?' END
             WHERE id % 1000 = 0",
            [],
        )
        .unwrap();
    assert_eq!(changed, 10, "premise");
}

/// What was written to the folder of the damaged replica.
struct Moved {
    digest: PathBuf,
    list: PathBuf,
    chain: PathBuf,
}

impl Moved {
    fn bytes(&self) -> u64 {
        let chain = fs::read_dir(&self.chain).unwrap().map(|entry| entry.unwrap().metadata());
        let chain: u64 = chain.map(|meta| meta.unwrap().len()).sum();
        chain
            + [&self.digest, &self.list].map(|p| fs::metadata(p).unwrap().len()).iter().sum::<u64>()
    }
}

fn against(damaged: &Replica, other: &str, more: &[&str]) -> Output {
    let command = ["verify", "machines-owner", "--db", damaged.db(), "--json", "--against", other];
    dotfill(&[&command[..], more].concat())
}

/// The user's way from a digest that differs to replicas that are equal; what `apply` said.
#[track_caller]
fn repair(sound: &Replica, damaged: &Replica) -> Output {
    let path = |name: &str| damaged.folder().join(name);
    let moved =
        Moved { digest: path("digest.json"), list: path("list.ndjson"), chain: path("some") };
    let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let printed = command("digest", "machines-owner", sound).expect_code(0);
    fs::write(&moved.digest, &printed.stdout).unwrap();
    against(damaged, &text(&moved.digest), &[]).expect_code(3);
    let found = against(damaged, sound.db(), &["--diff", &text(&moved.list)]).expect_code(3);
    assert_eq!(found.counter("rows_diverged"), 10, "{}", found.json);
    let (list, chain) = (text(&moved.list), text(&moved.chain));
    let arguments =
        ["export", "machines-owner", "--db", sound.db(), "--only", &list, "--deltas", &chain];
    let exported = dotfill(&[&arguments[..], &["--json"]].concat()).expect_complete();
    assert_eq!(exported.counter("rows"), 10);
    let before = Records::of(damaged);
    let applied = dotfill(&["apply", &chain, "--db", damaged.db(), "--json"]).expect_complete();
    before.assert_none_created(damaged);
    assert!(moved.bytes() < BYTES_MAX, "{} bytes move", moved.bytes());
    let after = against(damaged, sound.db(), &[]).expect_code(0);
    assert_eq!(after.json["verdict"], "equal");
    assert_eq!(damaged.machines_rows(), sound.machines_rows());
    damaged.assert_sound();
    applied
}

/// It derives for itself: what was shipped tells which rows, and what is there fills what is NULL.
#[test]
fn to_a_replica_that_is_open() {
    let pair = pair();
    damage(&pair.b);
    let applied = repair(&pair.a, &pair.b);
    let counts = ["rows_written", "rows_noted", "rows_derived"].map(|name| applied.counter(name));
    assert_eq!((counts, &applied.json["phase"]), ([1, 9, 9], &json!("open")));
    command("run", &pair.migration, &pair.b).expect_complete();
}

/// Nothing has to move where a replica derives: it is told to, and does.
#[test]
fn or_nothing_at_all_where_it_derives_again() {
    let pair = pair();
    damage(&pair.b);
    let told = against(&pair.b, pair.a.db(), &[]).expect_code(3);
    told.expect_words(&["10 rows without the derived value", "`dotfill run machines-owner`"]);
    let run = command("run", &pair.migration, &pair.b).expect_complete();
    assert_eq!(run.counter("rows_written"), 10);
    against(&pair.b, pair.a.db(), &[]).expect_code(0);
}

#[test]
fn to_a_replica_that_is_closed() {
    let pair = pair();
    command("close", &pair.migration, &pair.b).expect_code(0);
    damage(&pair.b);
    let told = against(&pair.b, pair.a.db(), &[]).expect_code(3);
    told.expect_words(&["not followed", "--only", "dotfill apply"]);
    let applied = repair(&pair.a, &pair.b);
    assert_eq!((applied.counter("rows_written"), &applied.json["phase"]), (10, &json!("closed")));
}

/// A plain copy without the column that the expression reads: its keys and cells are compared.
#[test]
fn to_a_replica_that_cannot_derive() {
    let pair = Pair::filled(DERIVE);
    let path = |name: &str| pair.b.folder().join(name).to_str().unwrap().to_owned();
    let (copy, whole, list, some) = (path("copy.db"), path("whole"), path("list"), path("some"));
    let conn = Connection::open(&copy).unwrap();
    conn.execute("ATTACH ?1 AS origin", [pair.a.db()]).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; CREATE TABLE machines(id INTEGER NOT NULL PRIMARY KEY);
         INSERT INTO main.machines SELECT id FROM origin.machines",
    )
    .unwrap();
    let export = ["export", "machines-owner", "--db", pair.a.db(), "--deltas"];
    dotfill(&[&export[..], &[&whole]].concat()).expect_code(0);
    dotfill(&["apply", &whole, "--db", &copy]).expect_code(0);
    let verify = ["verify", "machines-owner", "--db", &copy, "--json"];
    let against = [&verify[..], &["--against", pair.a.db(), "--diff", &list]].concat();
    let equal = dotfill(&against).expect_code(0);
    equal.expect_words(&[
        "keys and values alone",
        "cannot derive: value = ",
        "no such column: app",
    ]);
    // Alone it has nothing to say, and neither has its digest.
    let digest = ["digest", "machines-owner", "--db", &copy, "--json"];
    for command in [&verify, &digest] {
        dotfill(command).expect_code(2).expect_words(&["cannot derive", "`dotfill apply`"]);
    }
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    conn.execute_batch("UPDATE main.machines SET owner = 'x' WHERE id IN (3, 7)").unwrap();
    conn.execute_batch("UPDATE main.machines SET owner = NULL WHERE id = 9").unwrap();
    let diverged = dotfill(&against).expect_code(3);
    diverged.expect_words(&["3 rows with different values", "--only", "dotfill apply"]);
    // From the other side alike.
    dotfill(&["verify", "machines-owner", "--db", pair.a.db(), "--against", &copy]).expect_code(3);
    dotfill(&[&export[..], &[&some, "--only", &list]].concat()).expect_code(0);
    let applied = dotfill(&["apply", &some, "--db", &copy, "--json"]).expect_complete();
    assert_eq!(applied.counter("rows_written"), 3);
    dotfill(&against).expect_code(0);
}

#[test]
fn to_a_replica_that_was_fed() {
    let pair = pair();
    let fed = Replica::machines_with_owner();
    merge(&pair.a, &fed);
    let dir = fed.folder().join("whole");
    let dir = dir.to_str().unwrap();
    dotfill(&["export", "machines-owner", "--db", pair.a.db(), "--deltas", dir]).expect_code(0);
    dotfill(&["apply", dir, "--db", fed.db()]).expect_code(0);
    damage(&fed);
    let applied = repair(&pair.a, &fed);
    assert_eq!((applied.counter("rows_written"), &applied.json["phase"]), (10, &json!("applied")));
}
