//! An export or an apply that is killed before or after any of its commits: the same command then
//! completes, and leaves what an uninterrupted one leaves.
//!
//! The job that is killed is this test binary again, which finds its orders in an environment
//! variable.

use std::fs;
use std::path::{Path, PathBuf};

use dotfill::engine::Outcome;
use dotfill::migration::Migration;
use dotfill::monitor::{Monitor, Quiet};
use rusqlite::types::Value;
use tempfile::TempDir;

use crate::common::Client;
use crate::common::kill::{self, AbortAt};
use crate::deltas::{self, try_apply, try_export, try_export_for};
use crate::job::{Job, assert_sound, one_column};

const ORDERS: &str = "DOTFILL_TEST_KILL_DELTAS";

fn migration() -> Migration {
    one_column("t", "target", "TEXT", "'v-' || src", "delivery = 'derive'")
}

fn execute(verb: &str, folder: &Path, monitor: &dyn Monitor) {
    let outcome = match verb {
        "export" => try_export(&folder.join("a.db"), &migration(), &folder.join("deltas"), monitor)
            .map(|report| report.outcome),
        "export-for" => {
            let [a, b, dir] = ["a.db", "b.db", "deltas"].map(|name| folder.join(name));
            try_export_for(&b, &a, &migration(), &dir, monitor).map(|report| report.outcome)
        }
        _ => try_apply(&folder.join("b.db"), &folder.join("deltas"), 7, monitor)
            .map(|report| report.outcome),
    };
    // One that was killed after its last commit had completed too.
    assert_eq!(outcome.unwrap(), Outcome::Complete, "{verb}");
}

/// The child's half: no test of its own.
#[test]
fn the_command_that_is_killed() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let mut words = orders.splitn(3, ' ');
    let (verb, point) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
    let folder = PathBuf::from(words.next().unwrap());
    execute(verb, &folder, &AbortAt::new(point));
}

/// Runs the child; true where it was killed.
fn killed(verb: &str, point: u64, folder: &Path) -> bool {
    let orders = format!("{verb} {point} {}", folder.display());
    kill::killed(module_path!(), "the_command_that_is_killed", ORDERS, &orders)
}

/// Rows, clock rows, schema, phases.
fn dump(crsqlite: bool, db: &Path) -> Vec<Vec<Value>> {
    let client = Client::open(db);
    assert_sound(&client);
    let mut dump = client.rows("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2", []);
    let mut queries = vec![
        "SELECT * FROM t ORDER BY id",
        "SELECT phase FROM _dotfill_migrations",
        "SELECT phase, seeded, filled, rows_total, rows_passed FROM _dotfill_changes",
        "SELECT host, pid FROM _dotfill_lease",
        "SELECT ordinal, digest, rows_done, whole FROM _dotfill_applied",
        "SELECT * FROM _dotfill_pending_1",
    ];
    if crsqlite {
        queries.push("SELECT * FROM t__crsql_clock ORDER BY 1, 2");
    }
    for sql in queries {
        dump.extend(client.rows(sql, []));
    }
    dump
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn database(db: &Path, rows: &str, crsqlite: bool) -> Client {
    let client = Client::open(db);
    client
        .execute_batch("CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, src TEXT, target TEXT);")
        .unwrap();
    if crsqlite {
        client.run("SELECT crsql_as_crr('t')", []);
    }
    client
        .execute_batch(&format!(
            "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < {rows})
             INSERT INTO t (id, src) SELECT i, 'src ' || i FROM i;"
        ))
        .unwrap();
    client
}

fn finish(client: &Client) {
    client.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
}

/// A run with deltas, beside which rows are changed so that some come again; in small segments.
fn ship_with_rows_again(a: &Client, template: &Path) {
    let job = Job::new(template.join("a.db"), migration());
    let deltas = template.join("deltas");
    deltas::run_a_part(&job, &deltas, 2);
    a.execute_batch("UPDATE t SET src = 'changed' WHERE id % 5 = 0").unwrap();
    deltas::run(&Job::new(template.join("a.db"), migration()), &deltas);
    let mut chain = dotfill::delta::ChainReader::open_directory(&deltas).unwrap();
    let mut again = 0;
    while let Some(item) = chain.next_item().unwrap() {
        if let dotfill::delta::Item::Segment(segment) = item
            && segment.coming() == Some(dotfill::delta::Coming::Again)
        {
            again += segment.rows();
        }
    }
    assert!(again >= 8, "premise: {again} rows come again");
}

#[track_caller]
fn apply_killed_everywhere(crsqlite: bool, rows_again: bool) {
    let folder = TempDir::new().unwrap();
    let template = folder.path().join("template");
    fs::create_dir(&template).unwrap();
    // Cells that have no clock row, and NULLs at version 1, which an insert stamps.
    let a = database(&template.join("a.db"), "80", crsqlite);
    if rows_again {
        ship_with_rows_again(&a, &template);
    } else {
        Job::new(template.join("a.db"), migration()).run();
        deltas::export(template.join("a.db"), &migration(), &template.join("deltas"));
    }
    finish(&a);
    drop(a);
    let b = database(&template.join("b.db"), "70", crsqlite);
    b.execute_batch(
        "UPDATE t SET target = 'user' WHERE id IN (3, 33, 60); DELETE FROM t WHERE id = 9",
    )
    .unwrap();
    finish(&b);
    drop(b);
    killed_everywhere(&folder, crsqlite);
}

/// The same where most keys are not shipped: a block of them before and after one that ships its
/// keys, because a row of it is missing.
#[track_caller]
fn apply_without_keys_killed_everywhere(crsqlite: bool) {
    let folder = TempDir::new().unwrap();
    let template = folder.path().join("template");
    fs::create_dir(&template).unwrap();
    let [a_db, b_db] = ["a.db", "b.db"].map(|name| template.join(name));
    let a = database(&a_db, "210", crsqlite);
    a.execute_batch("UPDATE t SET target = 'of a' WHERE id IN (2, 64, 130, 131, 132)").unwrap();
    Job::new(&a_db, migration()).run();
    let b = database(&b_db, "200", crsqlite);
    b.execute_batch(
        "UPDATE t SET target = 'user' WHERE id IN (3, 33, 150); DELETE FROM t WHERE id = 100",
    )
    .unwrap();
    let report = deltas::export_for(&b_db, &a_db, &migration(), &template.join("deltas"));
    assert_eq!((report.rows, report.rows_implied), (205, 205 - 65 - 10));
    [a, b].iter().for_each(finish);
    killed_everywhere(&folder, crsqlite);
}

#[track_caller]
fn killed_everywhere(folder: &TempDir, crsqlite: bool) {
    let template = folder.path().join("template");
    let whole = folder.path().join("whole");
    copy(&template, &whole);
    execute("apply", &whole, &Quiet);
    let want = dump(crsqlite, &whole.join("b.db"));
    for point in 1.. {
        let place = folder.path().join(point.to_string());
        copy(&template, &place);
        if !killed("apply", point, &place) {
            assert!(point > 25, "premise: only {point} points");
            break;
        }
        assert_sound(&Client::open(&place.join("b.db")));
        execute("apply", &place, &Quiet);
        assert_eq!(dump(crsqlite, &place.join("b.db")), want, "killed at point {point}");
        fs::remove_dir_all(&place).unwrap();
    }
}

#[test]
fn apply_without_keys_to_a_plain_table() {
    apply_without_keys_killed_everywhere(false);
}

#[test]
fn apply_without_keys_to_a_replicated_table() {
    apply_without_keys_killed_everywhere(true);
}

#[test]
fn apply_to_a_plain_table() {
    apply_killed_everywhere(false, false);
}

#[test]
fn apply_of_rows_that_come_again_to_a_plain_table() {
    apply_killed_everywhere(false, true);
}

#[test]
fn apply_to_a_replicated_table() {
    apply_killed_everywhere(true, false);
}

#[test]
fn apply_of_rows_that_come_again_to_a_replicated_table() {
    apply_killed_everywhere(true, true);
}

#[test]
fn export() {
    export_killed_everywhere("export", "600000", 8);
}

#[test]
fn export_without_keys() {
    export_killed_everywhere("export-for", "300000", 4);
}

#[track_caller]
fn export_killed_everywhere(verb: &str, rows: &str, points: u64) {
    let folder = TempDir::new().unwrap();
    let template = folder.path().join("template");
    fs::create_dir(&template).unwrap();
    // Several segments.
    let a = database(&template.join("a.db"), rows, false);
    finish(&a);
    fs::copy(template.join("a.db"), template.join("b.db")).unwrap();
    Client::open(&template.join("b.db"))
        .execute_batch("DELETE FROM t WHERE id IN (1000, 100000, 280000)")
        .unwrap();
    Job {
        options: dotfill::engine::RunOptions::default(),
        ..Job::new(template.join("a.db"), migration())
    }
    .run();
    finish(&a);
    drop(a);
    let whole = folder.path().join("whole");
    copy(&template, &whole);
    execute(verb, &whole, &Quiet);
    let files = |place: &Path| -> Vec<(PathBuf, Vec<u8>)> {
        let dir = place.join("deltas");
        let mut files: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into(), fs::read(entry.path()).unwrap()))
            .collect();
        files.sort();
        files
    };
    let want = files(&whole);
    for point in 1.. {
        let place = folder.path().join(point.to_string());
        copy(&template, &place);
        if !killed(verb, point, &place) {
            assert!(point > points, "premise: only {point} points");
            break;
        }
        execute(verb, &place, &Quiet);
        assert_eq!(files(&place), want, "killed at point {point}");
        fs::remove_dir_all(&place).unwrap();
    }
}
