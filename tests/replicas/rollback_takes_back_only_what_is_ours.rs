//! `rollback` of an open column migration.

use crate::common::{Records, merge_both_ways};
use crate::scenario::{CRSQL_TRIGGERS, DERIVE, Pair, command, triggers};

#[test]
fn and_keeps_the_users_cells() {
    let pair = Pair::filled(DERIVE);
    pair.a.run("UPDATE machines SET owner = 'mine' WHERE id = 1", []);
    pair.a.run("UPDATE machines SET app = 'moved' WHERE id = 2", []);
    merge_both_ways(&pair.a, &pair.b);
    for replica in pair.both() {
        let before = Records::of(replica);
        command("rollback", &pair.migration, replica).expect_code(0);
        before.assert_none_created(replica);
        assert_eq!(triggers(replica), CRSQL_TRIGGERS, "ours are gone");
        assert_eq!(replica.owner(1).as_deref(), Some("mine"));
        let owners = "SELECT count(*) FROM machines WHERE owner IS NOT NULL";
        assert_eq!(replica.count(owners), 1, "only the user's");
        replica.assert_sound();
    }
    assert_eq!(pair.a.machines_rows(), pair.b.machines_rows());

    pair.b.run("UPDATE machines SET owner = 'theirs' WHERE id = 3", []);
    merge_both_ways(&pair.a, &pair.b);
    assert_eq!(pair.a.owner(3).as_deref(), Some("theirs"), "the column still replicates");
}

#[test]
fn of_nulls_at_version_1_leaves_nulls() {
    let pair = Pair::with_nulls_at_version_1(DERIVE);
    pair.run();
    for replica in pair.both() {
        let before = Records::of(replica);
        command("rollback", &pair.migration, replica).expect_code(0);
        before.assert_none_created(replica);
        assert_eq!(replica.count("SELECT count(*) FROM machines WHERE owner IS NOT NULL"), 0);
    }
    merge_both_ways(&pair.a, &pair.b);
    assert_eq!(pair.a.machines_rows(), pair.b.machines_rows());
}
