//! An INSERT that leaves the target out is filled, where it happened and where it was merged.

use crate::common::{Records, merge};
use crate::scenario::{DERIVE, Pair, run};

#[test]
fn after_the_run() {
    let pair = Pair::filled(DERIVE);
    pair.a.run("INSERT INTO machines(id, app) VALUES (101, 'new')", []);
    assert_eq!(pair.a.owner_version(101), Some(1), "premise: NULL, stamped at version 1");
    merge(&pair.a, &pair.b);
    assert_eq!(pair.b.owner_version(101), Some(1), "premise: the NULL is shipped");
    pair.assert_settles(&[]);
    assert_eq!(pair.b.owner(101).as_deref(), Some("o-new"));
}

#[test]
fn before_the_run() {
    let pair = Pair::with_nulls_at_version_1(DERIVE);
    pair.run();
    pair.assert_equal(&[]);
    pair.assert_settles(&[]);
}

#[test]
fn and_the_filled_cell_is_clockless() {
    let pair = Pair::with_nulls_at_version_1(DERIVE);
    pair.run();
    for replica in pair.both() {
        assert_eq!(replica.owner_clock(1), None, "the same on every replica");
        assert_eq!(Records::of(replica).of_column("owner").count(), 0);
    }
}

#[test]
fn on_a_replica_that_lacks_the_column() {
    let pair = Pair::without_column(DERIVE);
    run(&pair.migration, &pair.a);
    pair.b.run("INSERT INTO machines(id, app) VALUES (101, 'new')", []);
    merge(&pair.b, &pair.a);
    assert_eq!(pair.a.owner_clock(101), None, "premise: nothing is shipped for the column");
    pair.assert_settles(&[]);
    assert_eq!(pair.a.owner(101).as_deref(), Some("o-new"));
}

#[test]
fn while_an_insert_that_knows_it_is_a_users() {
    let pair = Pair::filled(DERIVE);
    pair.a.run("INSERT INTO machines(id, app, owner) VALUES (101, 'new', 'mine')", []);
    pair.assert_settles(&[(101, Some("mine"))]);
}

#[test]
fn unless_null_has_a_meaning_of_its_own() {
    let toml = format!("{DERIVE}fill_null = false\n");
    let pair = Pair::filled(&toml);
    pair.a.run("INSERT INTO machines(id, app) VALUES (101, 'new')", []);
    pair.assert_settles(&[(101, None)]);
}
