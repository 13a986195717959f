//! A row that was deleted and inserted again is a new row, local and merged.

use crate::common::merge;
use crate::scenario::{DERIVE, Pair};

#[test]
fn without_the_column() {
    let pair = Pair::filled(DERIVE);
    pair.a.run("DELETE FROM machines WHERE id = 1", []);
    pair.a.run("INSERT INTO machines(id, app) VALUES (1, 'again')", []);
    assert_eq!(pair.a.owner_version(1), Some(1), "premise: the new row's NULL is at version 1");
    merge(&pair.a, &pair.b);
    assert_eq!(pair.b.owner(1), None, "premise: the merged row does not keep the old value");
    pair.assert_settles(&[]);
    assert_eq!(pair.b.owner(1).as_deref(), Some("o-again"));
}

#[test]
fn with_the_column() {
    let pair = Pair::filled(DERIVE);
    pair.a.run("DELETE FROM machines WHERE id = 1", []);
    pair.a.run("INSERT INTO machines(id, app, owner) VALUES (1, 'again', 'mine')", []);
    pair.assert_settles(&[(1, Some("mine"))]);
}

#[test]
fn with_a_merge_in_between() {
    let pair = Pair::filled(DERIVE);
    pair.a.run("DELETE FROM machines WHERE id = 1", []);
    merge(&pair.a, &pair.b);
    pair.assert_settles(&[]);
    pair.b.run("INSERT INTO machines(id, app) VALUES (1, 'again')", []);
    pair.assert_settles(&[]);
    assert_eq!(pair.a.owner(1).as_deref(), Some("o-again"));
}

#[test]
fn against_a_users_write_on_the_other_replica() {
    let pair = Pair::filled(DERIVE);
    pair.a.run("DELETE FROM machines WHERE id = 1", []);
    pair.a.run("INSERT INTO machines(id, app) VALUES (1, 'again')", []);
    pair.b.run("UPDATE machines SET owner = 'theirs' WHERE id = 1", []);
    // The later life of the row wins, as cr-sqlite's causal length says.
    pair.assert_settles(&[]);
}
