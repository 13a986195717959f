//! cr-sqlite's `merge-equal-values`, which Corrosion switches on.

use crate::scenario::{DERIVE, Pair};

fn switch_on(pair: &Pair) {
    for replica in pair.both() {
        replica.run("SELECT crsql_config_set('merge-equal-values', 1)", []);
        let set: i64 = replica.value("SELECT crsql_config_get('merge-equal-values')", []);
        assert_eq!(set, 1, "premise: the option exists");
    }
}

#[test]
fn with_users_on_both_replicas() {
    let pair = Pair::without_column(DERIVE);
    switch_on(&pair);
    pair.run();
    pair.a.run("UPDATE machines SET owner = 'same' WHERE id = 1", []);
    pair.b.run("UPDATE machines SET owner = 'same' WHERE id = 1", []);
    pair.a.run("UPDATE machines SET owner = 'mine' WHERE id = 2", []);
    pair.b.run("UPDATE machines SET app = 'moved' WHERE id = 2", []);
    pair.assert_settles(&[(1, Some("same")), (2, Some("mine"))]);
}

#[test]
fn with_nulls_at_version_1() {
    let pair = Pair::with_nulls_at_version_1(DERIVE);
    switch_on(&pair);
    pair.run();
    pair.b.run("UPDATE machines SET owner = 'o-app-1', note = 'seen' WHERE id = 1", []);
    pair.assert_settles(&[]);
}
