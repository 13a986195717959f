//! A user's write and a published value of the same cell, in every order of merging.

use crate::common::{merge, merge_both_ways};
use crate::scenario::{NATIVE, Pair, run};

const MINE: &[(i64, Option<&str>)] = &[(1, Some("aaa"))];

#[test]
fn when_written_before_on_the_other_replica() {
    let pair = Pair::with_clockless_column(NATIVE);
    pair.b.run("UPDATE machines SET owner = 'aaa' WHERE id = 1", []);
    run(&pair.migration, &pair.a);
    merge(&pair.a, &pair.b);
    assert_eq!(pair.b.owner(1).as_deref(), Some("aaa"), "sorts before the migrated value");
    merge(&pair.b, &pair.a);
    pair.assert_equal(MINE);
}

#[test]
fn when_its_merge_comes_first() {
    let pair = Pair::with_clockless_column(NATIVE);
    pair.b.run("UPDATE machines SET owner = 'aaa' WHERE id = 1", []);
    run(&pair.migration, &pair.a);
    merge(&pair.b, &pair.a);
    merge(&pair.a, &pair.b);
    pair.assert_equal(MINE);
}

#[test]
fn when_written_after_on_either_replica() {
    let pair = Pair::with_clockless_column(NATIVE);
    run(&pair.migration, &pair.a);
    merge(&pair.a, &pair.b);
    pair.a.run("UPDATE machines SET owner = 'aaa' WHERE id = 1", []);
    pair.b.run("UPDATE machines SET owner = 'bbb' WHERE id = 2", []);
    assert_eq!(pair.a.owner_version(1), Some(1));
    merge_both_ways(&pair.a, &pair.b);
    pair.assert_equal(&[(1, Some("aaa")), (2, Some("bbb"))]);
}

#[test]
fn when_it_is_a_null() {
    let pair = Pair::with_clockless_column(NATIVE);
    run(&pair.migration, &pair.a);
    merge(&pair.a, &pair.b);
    pair.b.run("UPDATE machines SET owner = NULL WHERE id = 1", []);
    assert_eq!(pair.b.owner_version(1), Some(1), "premise: a write over version 0 is version 1");
    merge_both_ways(&pair.a, &pair.b);
    pair.assert_equal(&[(1, None)]);
}

#[test]
fn when_the_key_changes_the_value_moves_along() {
    let pair = Pair::with_clockless_column(NATIVE);
    run(&pair.migration, &pair.a);
    merge(&pair.a, &pair.b);
    pair.b.run("UPDATE machines SET id = 101 WHERE id = 1", []);
    assert_eq!(pair.b.owner_version(101), Some(1), "premise: a clock row moves one version up");
    merge_both_ways(&pair.a, &pair.b);
    pair.assert_equal(&[]);
}
