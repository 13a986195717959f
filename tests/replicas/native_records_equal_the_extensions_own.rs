//! `native` writes what cr-sqlite would have written, as a site of its own.

use crate::common::{ChangeRecord, Records, Replica, merge};
use crate::scenario::{NATIVE, Pair, run};

/// A record without what may differ: version, site and `db_version`.
fn common(records: &Records) -> Vec<ChangeRecord> {
    let strip = |record: &ChangeRecord| ChangeRecord {
        col_version: 0,
        db_version: 0,
        site_id: Vec::new(),
        ..record.clone()
    };
    let mut stripped: Vec<_> = records.of_column("owner").map(strip).collect();
    stripped.sort_by(|a, b| a.pk.cmp(&b.pk));
    stripped
}

#[test]
fn for_the_same_logical_update() {
    let pair = Pair::with_clockless_column(NATIVE);
    let twin = Pair::with_clockless_column(NATIVE);
    twin.a.run("UPDATE machines SET owner = 'o-' || app", []);

    let before = Records::of(&pair.a);
    let output = run(&pair.migration, &pair.a);
    assert_eq!(output.counter("change_records_written"), 20);
    let after = Records::of(&pair.a);
    assert_eq!(common(&after), common(&Records::of(&twin.a)));

    let local = pair.a.site_id();
    assert!(after.of_column("owner").all(|record| record.col_version == 0));
    assert!(after.of_column("owner").all(|record| record.site_id != local), "a publisher site");
    assert_eq!(after.versions[&local], before.versions[&local], "nothing is attributed to us");
    assert_eq!(after.changes.len(), before.changes.len() + 20);
}

#[test]
fn and_a_replica_that_merges_them_has_the_same_cells() {
    let pair = Pair::with_clockless_column(NATIVE);
    run(&pair.migration, &pair.a);
    assert!(merge(&pair.a, &pair.b) >= 20);
    pair.assert_equal(&[]);
    assert_eq!(pair.b.owner_version(1), Some(0));
    assert_eq!(merge(&pair.b, &pair.a), 0);
}

#[test]
fn and_a_second_run_writes_none() {
    let pair = Pair::with_clockless_column(NATIVE);
    run(&pair.migration, &pair.a);
    let records = Records::of(&pair.a);
    let again = run(&pair.migration, &pair.a);
    assert_eq!(again.counter("rows_written"), 0);
    assert_eq!(again.counter("change_records_written"), 0);
    assert_eq!(Records::of(&pair.a), records);
}

#[test]
fn and_fill_a_null_at_its_own_version() {
    let pair = Pair::with_nulls_at_version_1(NATIVE);
    run(&pair.migration, &pair.a);
    let clock = pair.a.owner_clock(1).unwrap();
    assert_eq!(clock.col_version, 1, "in place");
    assert_ne!(clock.site, 0, "but published by a site of ours");
    merge(&pair.a, &pair.b);
    pair.assert_equal(&[]);
}

#[test]
fn and_run_on_both_replicas_they_merge_to_the_same_cells() {
    let pair = Pair::with_clockless_column(NATIVE);
    run(&pair.migration, &pair.a);
    run(&pair.migration, &pair.b);
    crate::common::merge_both_ways(&pair.a, &pair.b);
    pair.assert_equal(&[]);
}

/// A change of `machines.owner` that a publisher site would ship.
fn published(of: &Replica, id: i64, col_version: i64) -> ChangeRecord {
    let mut record = Records::of(of)
        .changes
        .into_iter()
        .find(|record| {
            let pk: Vec<u8> = of.value("SELECT crsql_pack_columns(?1)", [id]);
            record.column == "app" && record.pk == pk
        })
        .unwrap();
    record.column = "owner".into();
    record.value = format!("o-app-{id}").into();
    record.col_version = col_version;
    record.db_version = 1;
    record.site_id = vec![7; 16];
    record
}

/// The premises, without dotfill: a version-0 value merges into a clockless cell and loses to a
/// user's version 1; at equal versions a value wins over NULL, and over no other user's value.
#[test]
fn premise_version_0_merges_and_loses() {
    let pair = Pair::with_clockless_column(NATIVE);
    pair.b.run("UPDATE machines SET owner = 'theirs' WHERE id = 2", []);
    for id in 1..=2 {
        crate::common::apply(&pair.b, &published(&pair.a, id, 0));
    }
    assert_eq!(pair.b.owner(1).as_deref(), Some("o-app-1"));
    assert_eq!(pair.b.owner_version(1), Some(0));
    assert_eq!(pair.b.owner(2).as_deref(), Some("theirs"));

    pair.b.run("UPDATE machines SET owner = 'mine' WHERE id = 1", []);
    assert_eq!(pair.b.owner_version(1), Some(1));
}

#[test]
fn premise_a_value_wins_over_a_null_of_the_same_version() {
    let pair = Pair::with_nulls_at_version_1(NATIVE);
    pair.b.run("UPDATE machines SET owner = NULL, note = 'x' WHERE id = 1", []);
    assert_eq!(pair.b.owner_version(1), Some(1), "premise: NULL to NULL is no change");
    crate::common::apply(&pair.b, &published(&pair.a, 1, 1));
    assert_eq!(pair.b.owner(1).as_deref(), Some("o-app-1"));
    assert_eq!(pair.b.owner_version(1), Some(1));
}
