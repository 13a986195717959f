//! What deltas do where users have written, where rows are missing, and while others write: on
//! plain tables, and on real cr-sqlite replicas.

use std::fs;

use rusqlite::Connection;
use tempfile::TempDir;

use crate::common::{Client, plain_db};
use crate::deltas::{apply_deltas, expect_apply_error, export, try_apply};
use crate::job::{Job, assert_none, assert_sound, column, migration as migration_of, one_column};
use crate::watch::AfterCommit;
use dotfill::engine::Outcome;
use dotfill::migration::Migration;
use dotfill::monitor::Quiet;

const TABLE: &str = "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, src TEXT, n INT);";
const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 200)
    INSERT INTO t (id, src, n) SELECT format('k%04d', i), 'src ' || i, i FROM i;";

fn migration() -> Migration {
    one_column("t", "target", "TEXT", "'v-' || src", "delivery = 'derive'")
}

/// A folder with a filled replica `a.db`, its deltas, and the database to feed.
struct Fleet {
    folder: TempDir,
    crsqlite: bool,
}

impl Fleet {
    fn new(crsqlite: bool) -> Self {
        let fleet = Self { folder: TempDir::new().unwrap(), crsqlite };
        let a = fleet.database("a.db");
        drop(a);
        let job = Job::new(fleet.path("a.db"), migration());
        job.run();
        assert_eq!(export(fleet.path("a.db"), &migration(), &fleet.path("deltas")).rows, 200);
        fleet
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// A database with the rows, by a site of its own, and no target column.
    fn database(&self, name: &str) -> Client {
        let client = Client::open(&self.path(name));
        client.execute_batch(TABLE).unwrap();
        if self.crsqlite {
            client.run("SELECT crsql_as_crr('t')", []);
        }
        client.execute_batch(ROWS).unwrap();
        client
    }

    /// The database to feed, with the target column.
    fn with_column(&self) -> Client {
        let client = self.database("b.db");
        let alter = "ALTER TABLE t ADD COLUMN target TEXT";
        if self.crsqlite {
            client.run("SELECT crsql_begin_alter('t')", []);
            client.execute_batch(alter).unwrap();
            client.run("SELECT crsql_commit_alter('t')", []);
        } else {
            client.execute_batch(alter).unwrap();
        }
        client
    }
}

/// Every cell is the derived one, but those of rows `but`, which hold `held`.
#[track_caller]
fn assert_fed(conn: &Connection, but: &str, held: &str) {
    assert_none(
        conn,
        &format!(
            "SELECT count(*) FROM t WHERE target IS NOT CASE WHEN {but} THEN {held} \
             ELSE 'v-' || src END"
        ),
    );
    assert_sound(conn);
}

fn users_written_before_are_left_alone(crsqlite: bool) {
    let fleet = Fleet::new(crsqlite);
    let b = fleet.with_column();
    b.execute_batch("UPDATE t SET target = 'user' WHERE n % 50 = 3").unwrap();
    let report = apply_deltas(fleet.path("b.db"), &fleet.path("deltas"));
    assert_eq!((report.rows, report.rows_written, report.rows_user_written), (200, 196, 4));
    assert_fed(&b, "n % 50 = 3", "'user'");
    let again = apply_deltas(fleet.path("b.db"), &fleet.path("deltas"));
    assert_eq!((again.rows_written, again.rows_unchanged, again.rows_user_written), (0, 196, 4));
}

#[test]
fn users_values_from_before_stay_on_a_plain_table() {
    users_written_before_are_left_alone(false);
}

#[test]
fn users_values_from_before_stay_on_a_replica() {
    users_written_before_are_left_alone(true);
}

/// One user's write after each commit, all over the table, ahead of the writer and behind it.
fn users_write_meanwhile(crsqlite: bool) {
    let fleet = Fleet::new(crsqlite);
    let b = fleet.with_column();
    let app = Client::open(&fleet.path("b.db"));
    let writes = std::sync::Mutex::new((0, app));
    let monitor = AfterCommit::new(|commits| {
        let mut writes = writes.lock().unwrap();
        if commits > 3 && writes.0 < 20 {
            let n = writes.0 * 37 % 200 + 1;
            writes.0 += 1;
            writes.1.run("UPDATE t SET target = 'user' WHERE n = ?1", [n]);
        }
    });
    let report = try_apply(&fleet.path("b.db"), &fleet.path("deltas"), 7, &monitor).unwrap();
    assert_eq!(report.outcome, Outcome::Complete);
    assert!(monitor.commits() > 25, "premise: there are many batches");
    let users: i64 = b.value("SELECT count(*) FROM t WHERE target = 'user'", []);
    assert_eq!(users, 20);
    assert_fed(&b, "target = 'user'", "'user'");
    // And still after another apply.
    apply_deltas(fleet.path("b.db"), &fleet.path("deltas"));
    let users: i64 = b.value("SELECT count(*) FROM t WHERE target = 'user'", []);
    assert_eq!(users, 20);
    drop(monitor);
}

#[test]
fn users_values_of_meanwhile_stay_on_a_plain_table() {
    users_write_meanwhile(false);
}

#[test]
fn users_values_of_meanwhile_stay_on_a_replica() {
    users_write_meanwhile(true);
}

/// What a user writes after the apply is noticed by the next one, also by a replica without marks.
fn users_write_afterwards(crsqlite: bool) {
    let fleet = Fleet::new(crsqlite);
    let b = fleet.with_column();
    apply_deltas(fleet.path("b.db"), &fleet.path("deltas"));
    b.execute_batch("UPDATE t SET target = 'user' WHERE n IN (7, 70)").unwrap();
    let report = apply_deltas(fleet.path("b.db"), &fleet.path("deltas"));
    assert_eq!((report.rows_written, report.rows_user_written), (0, 2));
    assert_fed(&b, "n IN (7, 70)", "'user'");
}

#[test]
fn users_values_of_afterwards_stay_on_a_plain_table() {
    users_write_afterwards(false);
}

#[test]
fn users_values_of_afterwards_stay_on_a_replica() {
    users_write_afterwards(true);
}

#[test]
fn rows_that_are_missing_get_their_value_when_they_arrive() {
    let fleet = Fleet::new(false);
    let b = fleet.with_column();
    b.execute_batch("DELETE FROM t WHERE n > 150").unwrap();
    let (db, deltas) = (fleet.path("b.db"), fleet.path("deltas"));
    let report = apply_deltas(&db, &deltas);
    assert_eq!((report.rows_written, report.rows_pending), (150, 50));
    assert_fed(&b, "0", "''");
    b.execute_batch(
        "INSERT INTO t (id, src, n) VALUES ('k0160', 'src 160', 160);
         INSERT INTO t (id, src, n, target) VALUES ('k0161', 'src 161', 161, 'user');",
    )
    .unwrap();
    let report = apply_deltas(&db, &deltas);
    assert_eq!(report.rows_pending, 48);
    assert_fed(&b, "n = 161", "'user'");
}

#[test]
fn rows_that_were_deleted_on_a_replica_stay_deleted() {
    let fleet = Fleet::new(true);
    let b = fleet.with_column();
    b.run("DELETE FROM t WHERE n IN (5, 55)", []);
    let report = apply_deltas(fleet.path("b.db"), &fleet.path("deltas"));
    assert_eq!((report.rows_deleted, report.rows_pending, report.rows_written), (2, 0, 198));
    assert_none(&b, "SELECT count(*) FROM t WHERE n IN (5, 55)");
    assert_none(
        &b,
        "SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_dotfill\\_%\\_1' ESCAPE '\\'",
    );
}

/// A cell of ours that holds something else, unnoticed, is written again by the next apply.
#[test]
fn what_was_lost_unnoticed_is_written_again() {
    let fleet = Fleet::new(true);
    let b = fleet.with_column();
    apply_deltas(fleet.path("b.db"), &fleet.path("deltas"));
    // As somebody with SQLite alone could: no trigger of cr-sqlite fires.
    let raw = Connection::open(fleet.path("b.db")).unwrap();
    raw.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    raw.execute_batch("UPDATE t SET target = NULL WHERE n BETWEEN 20 AND 90").unwrap();
    let report = apply_deltas(fleet.path("b.db"), &fleet.path("deltas"));
    assert_eq!((report.rows_written, report.rows_unchanged), (71, 129));
    assert_fed(&b, "0", "''");
}

/// A replica that derives keeps what it derives: deltas fill what it lacks, and what they hold
/// otherwise is derived again there.
#[test]
fn a_replica_that_derives_keeps_its_own_values() {
    let fleet = Fleet::new(true);
    let b = fleet.with_column();
    b.execute_batch("UPDATE t SET src = 'other' WHERE n = 9").unwrap();
    let job = Job::new(fleet.path("b.db"), migration());
    job.run();
    let raw = Connection::open(fleet.path("b.db")).unwrap();
    raw.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    raw.execute_batch("UPDATE t SET target = NULL WHERE n IN (10, 11)").unwrap();
    // A cell that holds another value is derived again, never overwritten; so is what is noted.
    raw.execute_batch("UPDATE t SET target = 'stale' WHERE n IN (20, 21)").unwrap();
    b.execute_batch("UPDATE t SET src = 'noted' WHERE n IN (11, 12)").unwrap();
    let report = apply_deltas(fleet.path("b.db"), &fleet.path("deltas"));
    assert_eq!((report.rows_written, report.phase.as_str()), (1, "open"));
    // Of the three that differ one has another source here: it is right as it is.
    assert_eq!((report.rows_noted, report.rows_derived), (3, 4));
    assert_eq!((report.rows_unchanged, report.rows), (195, 200));
    assert_eq!(job.run().rows_written, 0);
    assert_fed(&b, "0", "''");
    job.close();
}

/// A closed replica of cr-sqlite takes what differs, where nobody else owns the cell, and is closed
/// as before.
#[test]
fn a_closed_replica_gets_what_it_has_lost() {
    let fleet = Fleet::new(true);
    let b = fleet.with_column();
    let job = Job::new(fleet.path("b.db"), migration());
    job.run();
    job.close();
    b.execute_batch("UPDATE t SET target = 'user' WHERE n = 15").unwrap();
    let raw = Connection::open(fleet.path("b.db")).unwrap();
    raw.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    raw.execute_batch(
        "UPDATE t SET target = NULL WHERE n = 10; UPDATE t SET target = 'x' WHERE n = 11",
    )
    .unwrap();
    let schema = b.rows("SELECT name FROM sqlite_schema ORDER BY 1", []);
    let report = apply_deltas(fleet.path("b.db"), &fleet.path("deltas"));
    assert_eq!((report.rows_written, report.rows_user_written), (2, 1));
    assert_eq!(report.phase, "closed");
    assert_fed(&b, "n = 15", "'user'");
    assert_eq!(b.rows("SELECT name FROM sqlite_schema ORDER BY 1", []), schema);
}

/// Rows whose noted source has changed are left out, counted, and shipped after a run.
#[test]
fn noted_rows_are_left_out_of_an_export_until_they_are_derived_again() {
    let db = plain_db(&format!("{TABLE}{ROWS}"));
    let job = Job::new(db.db(), migration());
    job.run();
    db.execute_batch(
        "UPDATE t SET src = 'changed' WHERE n IN (1, 2, 3); UPDATE t SET target = 'u' WHERE n = 4;",
    )
    .unwrap();
    let report = export(db.db(), &migration(), &db.folder().join("one"));
    assert_eq!((report.rows, report.rows_pending, report.rows_user), (196, 4, 0));
    job.run();
    let report = export(db.db(), &migration(), &db.folder().join("two"));
    assert_eq!((report.rows, report.rows_pending, report.rows_user), (199, 0, 1));
    // A second chain, with newer values, overwrites what the first one brought.
    let to = plain_db(&format!("{TABLE}{ROWS}"));
    assert_eq!(apply_deltas(to.db(), &db.folder().join("one")).rows_written, 196);
    let second = apply_deltas(to.db(), &db.folder().join("two"));
    assert_eq!((second.rows_written, second.rows_unchanged), (3, 196));
    assert_none(
        &to,
        "SELECT count(*) FROM t WHERE target IS NOT CASE n WHEN 1 THEN 'v-changed' WHEN 2 THEN \
         'v-changed' WHEN 3 THEN 'v-changed' WHEN 4 THEN NULL ELSE 'v-' || src END",
    );
}

/// Only the rows that a list names: a replica that has differing ones gets those, and stays what it
/// was; one that has nothing is not taken for a whole one.
#[test]
fn a_list_of_rows_is_all_that_travels() {
    let fleet = Fleet::new(true);
    let b = fleet.with_column();
    let (db, whole, some) = (fleet.path("b.db"), fleet.path("deltas"), fleet.path("some"));
    let list = fleet.path("diff.ndjson");
    std::fs::write(
        &list,
        "{\"table\": \"t\", \"key\": [\"k0010\"]}\n\n{\"table\": \"T\", \"column\": \"target\", \
         \"key\": [\"k0020\"], \"more\": 1}\n{\"table\": \"t\", \"key\": [\"k0010\"]}\n\
         {\"table\": \"t\", \"key\": [\"nowhere\"]}\n",
    )
    .unwrap();
    let only = |list: &std::path::Path, dir: &std::path::Path| {
        let options =
            dotfill::engine::ExportOptions { only: Some(list.to_owned()), ..Default::default() };
        let to = dotfill::engine::Destination::Folder(dir.to_owned());
        dotfill::engine::export(&fleet.path("a.db"), &migration(), to, &options, &Quiet)
    };
    let report = only(&list, &some).unwrap();
    assert_eq!((report.rows, report.rows_missing), (2, 1));
    expect_apply_error(&db, &some, &["only some", "whole export first"]);
    apply_deltas(&db, &whole);
    let raw = Connection::open(&db).unwrap();
    raw.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    raw.execute_batch("UPDATE t SET target = 'x' WHERE n IN (10, 20)").unwrap();
    let applied = apply_deltas(&db, &some);
    assert_eq!((applied.rows, applied.rows_written, applied.phase.as_str()), (2, 2, "applied"));
    assert_fed(&b, "0", "''");
    assert_eq!(apply_deltas(&db, &whole).rows_unchanged, 200);
    for (line, word) in [
        ("{\"table\": \"u\", \"key\": [1]}", "\"u\""),
        ("{\"table\": \"t\", \"key\": [1, 2]}", "2 values"),
        ("{\"table\": \"t\", \"key\": [null]}", "null"),
        ("{\"table\": \"t\", \"key\": [{\"blob\": \"0\"}]}", "no key value"),
        ("{\"table\": \"t\"}", "key"),
        ("nonsense", "no JSON"),
    ] {
        std::fs::write(&list, format!("\n{line}\n")).unwrap();
        let error = only(&list, &fleet.path("refused")).expect_err("a refusal").to_string();
        assert!(error.contains(word) && error.contains(":2:"), "{error}");
        assert!(!fleet.path("refused").exists(), "a refused export made its folder");
    }
}

/// Values that were derived as NULL arrive as NULL, also over an older value.
#[test]
fn a_null_is_a_value_too() {
    let db = plain_db(&format!("{TABLE}{ROWS}"));
    let toml = "where = 'n % 2 = 0'";
    let migration = one_column("t", "target", "TEXT", "'v-' || src", toml);
    let job = Job::new(db.db(), migration.clone());
    job.run();
    export(db.db(), &migration, &db.folder().join("one"));
    let to = plain_db(&format!("{TABLE}{ROWS}"));
    assert_eq!(apply_deltas(to.db(), &db.folder().join("one")).rows, 200);
    db.execute_batch("UPDATE t SET n = n + 1 WHERE n IN (100, 101)").unwrap();
    job.run();
    export(db.db(), &migration, &db.folder().join("two"));
    let second = apply_deltas(to.db(), &db.folder().join("two"));
    assert_eq!((second.rows, second.rows_written), (200, 2));
    let held: Option<String> =
        to.query_row("SELECT target FROM t WHERE id = 'k0100'", [], |row| row.get(0)).unwrap();
    assert_eq!(held, None);
}

/// What was done of one chain says nothing of another, whose files come before the place where the
/// first one ended.
#[test]
fn rows_of_a_newer_chain_are_remembered_too() {
    let columns = |name: &str| column("t", name, "TEXT", "'v-' || src", "delivery = 'derive'");
    let migration = migration_of(&format!("id = \"m\"\n{}{}", columns("one"), columns("two")));
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["a.db", "b.db"] {
        Client::open(&path(name)).execute_batch(&format!("{TABLE}{ROWS}")).unwrap();
    }
    let a = Client::open(&path("a.db"));
    let job = Job::new(path("a.db"), migration.clone());
    job.run();
    export(path("a.db"), &migration, &path("first"));
    assert_eq!(apply_deltas(path("b.db"), &path("first")).segments, 2, "premise");
    a.execute_batch("INSERT INTO t (id, src, n) VALUES ('k9999', 'new', 201)").unwrap();
    job.run();
    for place in ["second", "first", "second"] {
        if !path(place).exists() {
            export(path("a.db"), &migration, &path(place));
        }
        let report = apply_deltas(path("b.db"), &path(place));
        assert_eq!((report.rows_pending, report.rows_deleted), (2, 0), "{place}");
    }
    fs::rename(path("second"), path("old")).unwrap();
    fs::rename(path("first"), path("second")).unwrap();
    assert_eq!(apply_deltas(path("b.db"), &path("second")).rows_deleted, 0);
}
