//! A user's value from after the run replaces the migrated one everywhere.

use crate::common::merge;
use crate::scenario::{DERIVE, Pair, run};

#[test]
fn on_the_same_and_on_the_other_replica() {
    let pair = Pair::filled(DERIVE);
    pair.a.run("UPDATE machines SET owner = 'mine' WHERE id = 1", []);
    pair.b.run("UPDATE machines SET owner = 'theirs' WHERE id = 2", []);
    assert_eq!(pair.a.owner_version(1), Some(1), "premise: over a clockless cell, version 1");
    pair.assert_settles(&[(1, Some("mine")), (2, Some("theirs"))]);
}

#[test]
fn where_the_other_replica_runs_only_later() {
    let pair = Pair::with_clockless_column(DERIVE);
    run(&pair.migration, &pair.a);
    pair.a.run("UPDATE machines SET owner = 'mine' WHERE id = 1", []);
    merge(&pair.a, &pair.b);
    assert_eq!(pair.b.owner(1).as_deref(), Some("mine"));
    pair.assert_settles(&[(1, Some("mine"))]);
}

#[test]
fn where_two_users_disagree_the_crdt_decides() {
    let pair = Pair::filled(DERIVE);
    pair.a.run("UPDATE machines SET owner = 'aaa' WHERE id = 1", []);
    pair.b.run("UPDATE machines SET owner = 'zzz' WHERE id = 1", []);
    pair.assert_settles(&[(1, Some("zzz"))]);
}

#[test]
fn of_a_source_is_derived_again_on_both_replicas() {
    let pair = Pair::filled(DERIVE);
    pair.a.run("UPDATE machines SET app = 'moved' WHERE id = 1", []);
    pair.b.run("UPDATE machines SET app = NULL WHERE id = 2", []);
    pair.assert_settles(&[]);
    assert_eq!(pair.b.owner(1).as_deref(), Some("o-moved"));
    assert_eq!(pair.a.owner(2), None);
}

#[test]
fn of_the_value_that_is_already_there_leaves_no_record() {
    let pair = Pair::filled(DERIVE);
    pair.a.run("UPDATE machines SET owner = 'o-app-1' WHERE id = 1", []);
    assert_eq!(pair.a.owner_clock(1), None, "premise: an UPDATE to an equal value is no change");
    pair.assert_settles(&[]);
}
