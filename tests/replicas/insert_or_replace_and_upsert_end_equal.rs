//! INSERT OR REPLACE and UPSERT on a filled row, local and merged.

use crate::common::merge;
use crate::scenario::{DERIVE, Pair};

#[test]
fn replace_without_the_column_is_filled_again() {
    let pair = Pair::filled(DERIVE);
    pair.a.run("INSERT OR REPLACE INTO machines(id, app) VALUES (1, 'new')", []);
    assert_eq!(pair.a.owner(1), None);
    assert_eq!(pair.a.owner_version(1), Some(1), "premise: a REPLACE stamps the clockless cell");
    merge(&pair.a, &pair.b);
    assert_eq!(pair.b.owner(1), None, "premise: the NULL replaces the derived value");
    pair.assert_settles(&[]);
    assert_eq!(pair.b.owner(1).as_deref(), Some("o-new"));
}

#[test]
fn replace_with_the_column_is_a_users() {
    let pair = Pair::filled(DERIVE);
    pair.a.run("REPLACE INTO machines(id, app, owner) VALUES (1, 'new', 'mine')", []);
    pair.assert_settles(&[(1, Some("mine"))]);
}

#[test]
fn replace_twice_before_a_drain_is_a_null_at_version_2() {
    let pair = Pair::filled(DERIVE);
    for app in ["new", "newer"] {
        pair.a.run("INSERT OR REPLACE INTO machines(id, app) VALUES (1, ?1)", [app]);
    }
    assert_eq!(pair.a.owner_version(1), Some(2), "premise: no different from a user's NULL");
    pair.assert_settles(&[(1, None)]);
}

#[test]
fn replace_of_a_row_whose_owner_is_a_users() {
    let pair = Pair::filled(DERIVE);
    pair.a.run("UPDATE machines SET owner = 'mine' WHERE id = 1", []);
    pair.a.run("INSERT OR REPLACE INTO machines(id, app) VALUES (1, 'new')", []);
    assert_eq!(pair.a.owner_version(1), Some(2), "premise: the REPLACE unsets it at version 2");
    pair.assert_settles(&[(1, None)]);
}

#[test]
fn upsert_of_the_source_is_derived_again() {
    let pair = Pair::filled(DERIVE);
    pair.a.run(
        "INSERT INTO machines(id, app) VALUES (1, 'new')
         ON CONFLICT(id) DO UPDATE SET app = excluded.app",
        [],
    );
    assert_eq!(pair.a.owner_clock(1), None, "premise: an UPSERT is an UPDATE of what it names");
    assert_eq!(pair.a.owner(1).as_deref(), Some("o-app-1"), "until the drain");
    pair.assert_settles(&[]);
    assert_eq!(pair.b.owner(1).as_deref(), Some("o-new"));
}

#[test]
fn upsert_of_the_target_is_a_users() {
    let pair = Pair::filled(DERIVE);
    pair.b.run(
        "INSERT INTO machines(id, app, owner) VALUES (1, 'new', 'theirs')
         ON CONFLICT(id) DO UPDATE SET app = excluded.app, owner = excluded.owner",
        [],
    );
    pair.assert_settles(&[(1, Some("theirs"))]);
}
