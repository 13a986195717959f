//! What the plan predicts is what the statements of a run really cost on the whole table: file
//! growth, change records, wire bytes and WAL, for tables of every kind of key and fullness.

use std::path::{Path, PathBuf};

use dotfill::layout::crsqlite::{self, Publisher};
use dotfill::layout::{Delivery, FillSql, Filter, Layout, note_schema};
use dotfill::migration::Migration;
use dotfill::plan::{
    ChangePlan, Cost, PlanOptions, Records, Resolved, Way, plan, record_bytes, resolve,
};
use dotfill::split::{Position, Splitter};
use dotfill::{db, state};
use rusqlite::Connection;
use rusqlite::types::ToSql;

const COLUMNS: [&str; 4] = ["app", "region", "image", "updated"];

/// A database of `machines`, as an application or the extension would have made it.
struct Fixture {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

#[derive(Clone, Copy)]
struct Shape {
    rows: u64,
    /// The declaration of the key column `id`, and what follows the table's columns.
    key: (&'static str, &'static str),
    /// The key of the row numbered `i`.
    id: &'static str,
    /// The order of insertion.
    order: &'static str,
    replicated: bool,
}

const PLAIN: Shape = Shape {
    rows: 100_000,
    key: ("INTEGER PRIMARY KEY NOT NULL", ")"),
    id: "i",
    order: "i",
    replicated: false,
};

impl Shape {
    fn build(self) -> Fixture {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("app.db");
        let conn = Connection::open(&path).expect("a database");
        conn.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536; \
             CREATE TABLE machines (id {}, app TEXT, region TEXT, image TEXT, updated INTEGER{};",
            self.key.0, self.key.1
        ))
        .expect("a table");
        if self.replicated {
            self.replicate(&conn);
        }
        let rows = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) \
             INSERT INTO machines SELECT {}, 'app-' || (i % 5000), \
             substr('iadlhrams', 1 + (i % 3) * 3, 3), 'registry.example/app-' || (i % 5000) || \
             '@sha256:' || printf('%040x', i * 7919), 1700000000 + i FROM n ORDER BY {};",
            self.rows, self.id, self.order
        );
        conn.execute_batch(&rows).expect("rows");
        if self.replicated {
            clock_rows(&conn);
        }
        conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);").expect("a checkpoint");
        Fixture { _folder: folder, path }
    }

    /// The tables and triggers of cr-sqlite 0.17.
    fn replicate(self, conn: &Connection) {
        let of = |row: &str| COLUMNS.map(|c| format!("{row}.\"{c}\"")).join(",");
        let trigger = |suffix: &str, event: &str, call: &str| {
            format!(
                "CREATE TRIGGER \"machines__crsql_{suffix}\" AFTER {event} ON \"machines\" \
                 WHEN crsql_internal_sync_bit() = 0 BEGIN VALUES ({call}); END;"
            )
        };
        let update = format!(
            "crsql_after_update('machines', NEW.\"id\", OLD.\"id\", {}, {})",
            of("NEW"),
            of("OLD")
        );
        crsqlite::register(conn).expect("functions");
        conn.execute_batch(&format!(
            "CREATE TABLE crsql_master (key TEXT PRIMARY KEY, value ANY);
             INSERT INTO crsql_master VALUES ('crsqlite_version', 170000);
             CREATE TABLE crsql_site_id (site_id BLOB NOT NULL, ordinal INTEGER PRIMARY KEY);
             CREATE UNIQUE INDEX crsql_site_id_site_id ON crsql_site_id (site_id);
             INSERT INTO crsql_site_id VALUES (x'000102030405060708090a0b0c0d0e0f', 0);
             CREATE TABLE crsql_db_versions (site_id BLOB NOT NULL PRIMARY KEY,
               db_version INTEGER NOT NULL) STRICT;
             INSERT INTO crsql_db_versions VALUES (x'000102030405060708090a0b0c0d0e0f', {});
             CREATE TABLE machines__crsql_clock (key INTEGER NOT NULL, col_name TEXT NOT NULL,
               col_version INTEGER NOT NULL, db_version INTEGER NOT NULL,
               site_id INTEGER NOT NULL DEFAULT 0, seq INTEGER NOT NULL,
               ts TEXT NOT NULL DEFAULT '0', PRIMARY KEY (key, col_name)) WITHOUT ROWID, STRICT;
             CREATE INDEX machines__crsql_clock_dbv_idx
               ON machines__crsql_clock (site_id, db_version);
             CREATE TABLE machines__crsql_pks (__crsql_key INTEGER PRIMARY KEY, id);
             CREATE UNIQUE INDEX machines__crsql_pks_pks ON machines__crsql_pks (id);
             {}{}{}",
            self.rows / 1000 + 1,
            trigger("itrig", "INSERT", "crsql_after_insert('machines', NEW.\"id\")"),
            trigger("utrig", "UPDATE", &update),
            trigger("dtrig", "DELETE", "crsql_after_delete('machines', OLD.\"id\")"),
        ))
        .expect("cr-sqlite's tables");
    }
}

fn plan_of(fixture: &Fixture, migration: &Migration, replicas: u64) -> ChangePlan {
    let options = PlanOptions { replicas, ..PlanOptions::default() };
    let mut made = plan(&fixture.path, migration, &options).expect("a plan");
    assert_eq!(made.changes.len(), 1);
    made.changes.remove(0)
}

/// A clock row for each cell, a thousand rows to the transaction.
fn clock_rows(conn: &Connection) {
    let values = COLUMNS
        .iter()
        .enumerate()
        .map(|(i, c)| format!("({i}, '{c}')"))
        .collect::<Vec<_>>()
        .join(", ");
    conn.execute_batch(&format!(
        "INSERT INTO machines__crsql_pks (id) SELECT id FROM machines ORDER BY rowid;
         INSERT INTO machines__crsql_clock
         SELECT __crsql_key, c.column2, 1, __crsql_key / 1000 + 1, 0,
           __crsql_key % 1000 * 4 + c.column1, '0'
         FROM machines__crsql_pks CROSS JOIN (VALUES {values}) AS c;"
    ))
    .expect("clock rows");
}

fn migration(delivery: &str, rest: &str) -> Migration {
    let text = format!(
        "id = \"owner\"\n[[change]]\nkind = \"column\"\ntable = \"machines\"\n\
         column = \"owner\"\ntype = \"TEXT\"\nvalue = \"'o-' || app\"\n\
         delivery = \"{delivery}\"\n{rest}\n"
    );
    Migration::parse(&text, Path::new("owner.toml")).expect("a migration")
}

/// What a run really costs.
#[derive(Debug)]
struct Real {
    file_bytes: u64,
    wal_bytes: u64,
    records: Records,
}

/// Runs the writer's statements over the whole table.
fn run(fixture: &Fixture, migration: &Migration, batch: u64) -> Real {
    let path = &fixture.path;
    let before = std::fs::metadata(path).expect("the file").len();
    let mut conn = db::open(path, db::Access::Write).expect("open");
    crsqlite::register(&conn).expect("functions");
    let Resolved { target, column_exists, .. } =
        resolve(&mut conn, migration, 0).expect("resolved");
    conn.execute_batch("PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = OFF;")
        .expect("pragmas");
    conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)
        .expect("no triggers");
    let tx = conn.transaction().expect("begin");
    match (&target.layout, column_exists) {
        (_, true) => {}
        (Layout::Plain, _) => {
            tx.execute_batch("ALTER TABLE machines ADD COLUMN owner TEXT").expect("a column");
        }
        (Layout::CrSqlite(_), _) => {
            crsqlite::add_column(&tx, &target.table, "owner TEXT").expect("a column");
        }
    }
    state::create(&tx).expect("our tables");
    tx.execute_batch(&note_schema(&target)).expect("our notes");
    if let (Layout::CrSqlite(cr), true) = (&target.layout, column_exists) {
        tx.execute(&cr.seed(&target, &[]), [i64::MIN, i64::MAX]).expect("seeded");
    }
    tx.execute("INSERT INTO _dotfill_lease (migration, token) VALUES ('owner', 1)", [])
        .expect("a lease");
    tx.commit().expect("commit");
    let ordinal = fill(&mut conn, &target, batch);
    let wal = path.with_extension("db-wal");
    let wal_bytes = std::fs::metadata(wal).expect("the WAL").len();
    let records = match ordinal {
        Some(ordinal) => record_bytes(&conn, &target, ordinal, 0).expect("records"),
        None => Records::default(),
    };
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
    let file_bytes = std::fs::metadata(path).expect("the file").len() - before;
    Real { file_bytes, wal_bytes, records }
}

fn fill(conn: &mut Connection, target: &dotfill::layout::Target, batch: u64) -> Option<i64> {
    let sql = FillSql::new(target);
    let filter = Filter { dirty: false, user: target.overwrite };
    let mut after: Option<Position> = None;
    let mut ordinal = None;
    while let Some(range) =
        Splitter::new(conn, &target.table, batch, after.take()).next_range().expect("a range")
    {
        let tx = conn.transaction().expect("begin");
        tx.execute("UPDATE _dotfill_lease SET heartbeat = heartbeat + 1", []).expect("a beat");
        let bounded = range.bounded();
        let parameters: Vec<&dyn ToSql> = range.parameters().collect();
        if let (Some(cr), Delivery::Native) = (sql.crsqlite(), target.delivery) {
            let publisher = Publisher::advance(&tx, "owner").expect("a publisher");
            let version: [&dyn ToSql; 2] = [&publisher.db_version, &publisher.ordinal];
            let all: Vec<&dyn ToSql> = range.parameters().chain(version).collect();
            tx.prepare_cached(&sql.publish(cr, bounded, filter))
                .and_then(|mut s| s.execute(all.as_slice()))
                .expect("published");
            ordinal = Some(publisher.ordinal);
        }
        tx.prepare_cached(&sql.update(bounded, filter))
            .and_then(|mut s| s.execute(parameters.as_slice()))
            .expect("filled");
        tx.commit().expect("commit");
        after = Some(range.through);
    }
    ordinal
}

fn cost(plan: &ChangePlan, way: Way) -> &Cost {
    plan.costs.iter().find(|cost| cost.way == way).expect("every way has a cost")
}

/// The difference in percent of what was measured.
#[expect(clippy::cast_precision_loss, reason = "a percentage")]
fn off(predicted: u64, measured: u64) -> f64 {
    (predicted as f64 / measured.max(1) as f64 - 1.0) * 100.0
}

fn check(name: &str, what: &str, predicted: u64, measured: u64) {
    let off = off(predicted, measured);
    println!("{name}: {what} predicted {predicted} measured {measured}: {off:+.1} %");
    // Some pages more or less are nothing to anybody.
    let near = predicted.abs_diff(measured) <= 10 * 4096;
    assert!(near || off.abs() <= 15.0, "{name}: {what} {predicted} {measured}: {off:+.1} %");
}

fn compare(name: &str, shape: Shape, delivery: &str, rest: &str) {
    compare_with(name, &shape.build(), delivery, rest);
}

fn compare_with(name: &str, fixture: &Fixture, delivery: &str, rest: &str) {
    let migration = migration(delivery, rest);
    let began = std::time::Instant::now();
    let planned = plan_of(fixture, &migration, 3);
    println!("{name}: {} rows planned in {:?}", planned.rows, began.elapsed());
    let native = planned.delivery == Delivery::Native;
    let real = run(fixture, &migration, if native { 200 } else { 10_000 });
    let chosen = planned.chosen().expect("a delivery");
    check(name, "file", chosen.file_bytes, real.file_bytes);
    check(name, "WAL", chosen.wal_bytes, real.wal_bytes);
    if native {
        check(name, "records", chosen.change_records, real.records.count);
        check(name, "wire", chosen.wire_bytes, real.records.bytes * 2);
    }
}

#[test]
fn derive_on_a_plain_table_grows_as_predicted() {
    compare("plain", PLAIN, "derive", "");
}

#[test]
fn derive_on_a_loose_table_grows_as_predicted() {
    let shape = Shape { order: "(i * 7919) % 100003", ..PLAIN };
    compare("loose", shape, "derive", "");
}

#[test]
fn derive_with_a_condition_grows_as_predicted() {
    compare("condition", PLAIN, "derive", "where = \"updated % 3 = 0\"");
}

#[test]
fn derive_on_a_table_without_rowid_grows_as_predicted() {
    let shape = Shape {
        key: ("TEXT PRIMARY KEY", ") WITHOUT ROWID"),
        id: "printf('01J%023d', i * 48271 % 2147483647)",
        order: "1",
        rows: 50_000,
        ..PLAIN
    };
    compare("without rowid", shape, "derive", "");
}

#[test]
fn derive_on_a_replicated_table_grows_as_predicted() {
    compare("cr derive", Shape { replicated: true, ..PLAIN }, "derive", "");
}

#[test]
fn users_cells_of_a_replicated_table_stay_out_of_the_bill() {
    let fixture = Shape { replicated: true, ..PLAIN }.build();
    let conn = db::open(&fixture.path, db::Access::Write).expect("open");
    crsqlite::register(&conn).expect("functions");
    let table = db::Table::read(&conn, "machines").expect("a table");
    crsqlite::add_column(&conn, &table, "owner TEXT").expect("a column");
    conn.execute_batch(
        "UPDATE machines SET owner = 'me' WHERE id % 3 = 0; \
         INSERT INTO machines__crsql_clock \
         SELECT id, 'owner', 1, 200, 0, id, '0' FROM machines WHERE id % 3 = 0; \
         PRAGMA wal_checkpoint(TRUNCATE);",
    )
    .expect("users' cells");
    drop(conn);
    let users = plan_of(&fixture, &migration("derive", ""), 1).cells.users;
    check("users", "cells", users.about, 33_333);
    assert!(users.min <= 33_333 && users.max >= 33_333);
    compare_with("users", &fixture, "derive", "");
}

#[test]
fn native_grows_and_ships_as_predicted() {
    compare("cr native", Shape { replicated: true, ..PLAIN }, "native", "");
}

#[test]
fn native_with_text_keys_grows_and_ships_as_predicted() {
    let shape = Shape {
        key: ("TEXT PRIMARY KEY NOT NULL", ")"),
        id: "printf('01J%023d', i * 48271 % 2147483647)",
        rows: 50_000,
        replicated: true,
        ..PLAIN
    };
    compare("cr native text", shape, "native", "");
}

#[test]
fn a_naive_update_is_billed_for_every_record_and_receiver() {
    let shape = Shape { rows: 30_000, replicated: true, ..PLAIN };
    let fixture = shape.build();
    let planned = plan_of(&fixture, &migration("auto", ""), 3);
    let (naive, everywhere) = (cost(&planned, Way::Naive), cost(&planned, Way::NaiveEverywhere));
    assert_eq!(naive.change_records, 30_000);
    assert_eq!(everywhere.change_records, 90_000);
    assert_eq!(everywhere.wire_bytes, 3 * naive.wire_bytes);
    assert_eq!(naive.disk_bytes, 3 * naive.file_bytes);
    let derive = cost(&planned, Way::Derive);
    assert!(derive.chosen && derive.change_records == 0 && derive.wire_bytes == 2 * 16_384);
    assert!(derive.file_bytes < naive.file_bytes);
    assert!(!cost(&planned, Way::Virtual).possible);
    assert!(!planned.owes.is_empty());
}

#[test]
fn an_exact_plan_counts() {
    let shape = Shape { rows: 60_000, ..PLAIN };
    let fixture = shape.build();
    let migration = migration("derive", "where = \"updated % 4 = 0\"");
    let sampled = plan_of(&fixture, &migration, 1).cells.with_value;
    assert!(sampled.min <= 15_000 && sampled.max >= 15_000 && !sampled.is_exact());
    let options = PlanOptions { exact: true, ..PlanOptions::default() };
    let exact = plan(&fixture.path, &migration, &options).expect("a plan");
    assert_eq!(exact.changes[0].cells.with_value.about, 15_000);
    assert!(exact.changes[0].cells.with_value.is_exact());
}

#[test]
fn a_plan_writes_nothing() {
    let shape = Shape { rows: 1_000, ..PLAIN };
    let fixture = shape.build();
    let before = std::fs::read(&fixture.path).expect("the file");
    plan_of(&fixture, &migration("auto", ""), 1);
    assert_eq!(std::fs::read(&fixture.path).expect("the file"), before);
}

#[test]
fn users_cells_are_counted_and_left_out() {
    let shape = Shape { rows: 1_000, ..PLAIN };
    let fixture = shape.build();
    let conn = Connection::open(&fixture.path).expect("open");
    conn.execute_batch(
        "ALTER TABLE machines ADD COLUMN owner TEXT; \
         UPDATE machines SET owner = 'me' WHERE id % 10 = 0;",
    )
    .expect("users' cells");
    let planned = plan_of(&fixture, &migration("auto", ""), 1);
    assert_eq!(planned.cells.users.about, 100);
    assert_eq!(planned.cells.to_fill.about, 900);
    assert!(planned.cells.to_fill.is_exact());
}

#[test]
fn an_empty_table_costs_next_to_nothing() {
    let shape = Shape { rows: 1, order: "1 LIMIT 0", ..PLAIN };
    let fixture = shape.build();
    let made = plan(&fixture.path, &migration("auto", ""), &PlanOptions::default());
    let made = made.expect("a plan").changes.remove(0);
    assert_eq!((made.rows, made.ranges, made.sample_rows), (0, 0, 0));
    assert_eq!(cost(&made, Way::Naive).disk_bytes, 0);
}

#[test]
fn a_row_that_cannot_be_filled_is_a_hint() {
    let shape = Shape { rows: 500, ..PLAIN };
    let fixture = shape.build();
    let text = "id = \"m\"\n[[change]]\nkind = \"column\"\ntable = \"machines\"\ncolumn = \"o\"\n\
                type = \"TEXT\"\nvalue = \"CASE updated WHEN 1700000100 THEN json_extract(app, '$.x') END\"\n";
    let migration = Migration::parse(text, Path::new("m.toml")).expect("a migration");
    let planned = plan_of(&fixture, &migration, 1);
    assert!(planned.hints.iter().any(|hint| hint.contains("on_error")), "{:?}", planned.hints);
    assert!(!cost(&planned, Way::Naive).possible);
}
