//! After `forget` the schema is what it would be had cr-sqlite added the column itself.

use rusqlite::types::Value;

use crate::common::Replica;
use crate::scenario::{DERIVE, Pair, command};

/// The schema apart from the text of `machines` itself, where ALTER leaves the caller's spelling.
fn schema_but_the_table(replica: &Replica) -> Vec<Vec<Value>> {
    let itself = [Value::Text("table".into()), Value::Text("machines".into())];
    replica.schema().into_iter().filter(|object| object[..2] != itself).collect()
}

fn columns(replica: &Replica) -> Vec<Vec<Value>> {
    replica.rows("SELECT * FROM pragma_table_xinfo('machines')", [])
}

/// What cr-sqlite keeps beside the tables, which must not grow either.
fn sites(replica: &Replica) -> i64 {
    replica.count("SELECT count(*) FROM crsql_site_id")
}

fn assert_as_by_the_extension(pair: &Pair) {
    let twin = Pair::with_clockless_column(DERIVE);
    for (replica, by_extension) in pair.both().into_iter().zip(twin.both()) {
        assert_eq!(schema_but_the_table(replica), schema_but_the_table(by_extension));
        assert_eq!(columns(replica), columns(by_extension));
        assert_eq!(sites(replica), sites(by_extension));
        let clock = "SELECT count(*) FROM machines__crsql_clock";
        assert_eq!(replica.count(clock), by_extension.count(clock));
        replica.assert_sound();
    }
}

#[test]
fn after_close() {
    let pair = Pair::filled(DERIVE);
    for replica in pair.both() {
        command("close", &pair.migration, replica).expect_code(0);
        command("forget", &pair.migration, replica).expect_code(0);
    }
    assert_as_by_the_extension(&pair);
    pair.assert_equal(&[]);
}

#[test]
fn after_rollback() {
    let pair = Pair::filled(DERIVE);
    for replica in pair.both() {
        command("rollback", &pair.migration, replica).expect_code(0);
        command("forget", &pair.migration, replica).expect_code(0);
    }
    assert_as_by_the_extension(&pair);
    let rows: Vec<_> = (1..=20).map(|id| (id, None)).collect();
    pair.assert_equal(&rows);
}

/// The premise: the extension's own alter leaves nothing in the schema but the column and the
/// list of columns in its trigger for updates.
#[test]
fn premise_of_what_an_alter_changes() {
    let (before, after) = (Pair::without_column(DERIVE), Pair::with_clockless_column(DERIVE));
    let (before, after) = (before.a.schema(), after.a.schema());
    assert_eq!(before.len(), after.len());
    let changed: Vec<_> = before.iter().zip(&after).filter(|(old, new)| old != new).collect();
    let names: Vec<_> = changed.iter().map(|(old, _)| old[1].clone()).collect();
    let want = ["machines", "machines__crsql_utrig"].map(|name| Value::Text(name.into()));
    assert_eq!(names, want);
}
