//! A row that moves to another key.

use crate::common::merge;
use crate::scenario::{DERIVE, Pair};

#[test]
fn of_a_filled_row_stays_clockless_and_is_derived_on_the_other_replica() {
    let pair = Pair::filled(DERIVE);
    pair.a.run("UPDATE machines SET id = 101 WHERE id = 1", []);
    assert_eq!(pair.a.owner(101).as_deref(), Some("o-app-1"));
    assert_eq!(pair.a.owner_clock(101), None, "premise: only clock rows that exist move along");
    merge(&pair.a, &pair.b);
    assert_eq!(pair.b.owner(101), None, "premise: a clockless cell is not shipped");
    pair.assert_settles(&[]);
    assert_eq!(pair.b.owner(101).as_deref(), Some("o-app-1"));
}

#[test]
fn of_a_row_with_a_users_value_carries_it_along() {
    let pair = Pair::filled(DERIVE);
    pair.a.run("UPDATE machines SET owner = 'mine' WHERE id = 1", []);
    pair.a.run("UPDATE machines SET id = 101 WHERE id = 1", []);
    assert_eq!(pair.a.owner_version(101), Some(2), "premise: a clock row moves one version up");
    pair.assert_settles(&[(101, Some("mine"))]);
}

#[test]
fn together_with_the_source_is_derived_again() {
    let pair = Pair::filled(DERIVE);
    pair.a.run("UPDATE machines SET id = 101, app = 'moved' WHERE id = 1", []);
    pair.assert_settles(&[]);
    assert_eq!(pair.a.owner(101).as_deref(), Some("o-moved"));
}

#[test]
fn of_a_null_at_version_1_is_at_version_2_and_stays() {
    let pair = Pair::with_nulls_at_version_1(DERIVE);
    pair.a.run("UPDATE machines SET id = 101 WHERE id = 1", []);
    assert_eq!(pair.a.owner_version(101), Some(2), "premise: no different from a user's NULL");
    pair.assert_settles(&[(101, None)]);
}
