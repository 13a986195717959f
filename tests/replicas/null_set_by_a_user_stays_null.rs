//! A NULL that a user wrote over a value is a value.

use crate::scenario::{DERIVE, Pair};

#[test]
fn at_version_2_before_the_run() {
    let pair = Pair::with_clockless_column(DERIVE);
    pair.a.run("UPDATE machines SET owner = 'mine' WHERE id = 1", []);
    pair.a.run("UPDATE machines SET owner = NULL WHERE id = 1", []);
    assert_eq!(pair.a.owner_version(1), Some(2), "premise");
    pair.assert_settles(&[(1, None)]);
}

#[test]
fn at_version_2_after_the_run() {
    let pair = Pair::filled(DERIVE);
    pair.b.run("UPDATE machines SET owner = 'theirs' WHERE id = 1", []);
    pair.b.run("UPDATE machines SET owner = NULL WHERE id = 1", []);
    assert_eq!(pair.b.owner_version(1), Some(2), "premise");
    pair.assert_settles(&[(1, None)]);
}

#[test]
fn but_at_version_1_over_a_migrated_value_only_without_fill_null() {
    let toml = format!("{DERIVE}fill_null = false\n");
    let pair = Pair::filled(&toml);
    pair.a.run("UPDATE machines SET owner = NULL WHERE id = 1", []);
    assert_eq!(pair.a.owner_version(1), Some(1), "premise: no different from an INSERT's NULL");
    pair.assert_settles(&[(1, None)]);
}

#[test]
fn and_with_fill_null_both_replicas_agree_on_that_one() {
    let pair = Pair::filled(DERIVE);
    pair.a.run("UPDATE machines SET owner = NULL WHERE id = 1", []);
    assert_eq!(pair.a.owner_version(1), Some(1), "premise: no different from an INSERT's NULL");
    pair.assert_settles(&[]);
}
