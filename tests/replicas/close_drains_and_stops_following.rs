//! `close`: the last drain, the last proof, and no trigger left.

use crate::common::{Records, dotfill, merge_both_ways};
use crate::scenario::{CRSQL_TRIGGERS, DERIVE, Pair, command, triggers};

#[test]
fn on_both_replicas() {
    let pair = Pair::filled(DERIVE);
    assert!(triggers(&pair.a).len() > CRSQL_TRIGGERS.len(), "following while open");
    pair.a.run("UPDATE machines SET app = 'moved' WHERE id = 1", []);
    pair.a.run("UPDATE machines SET owner = 'mine' WHERE id = 2", []);
    pair.b.run("INSERT INTO machines(id, app) VALUES (101, 'late')", []);
    merge_both_ways(&pair.a, &pair.b);
    for replica in pair.both() {
        let before = Records::of(replica);
        command("close", &pair.migration, replica).expect_code(0);
        before.assert_none_created(replica);
        assert_eq!(triggers(replica), CRSQL_TRIGGERS);
    }
    pair.assert_equal(&[(2, Some("mine"))]);
    let sent = merge_both_ways(&pair.a, &pair.b);
    assert_eq!(sent, 0, "closing made something to ship");
}

#[test]
fn and_is_proven_in_the_status() {
    let pair = Pair::filled(DERIVE);
    pair.a.run("UPDATE machines SET app = 'moved' WHERE id IN (1, 2, 3)", []);
    let status = || dotfill(&["status", "--db", pair.a.db(), "--json"]);
    let open = status();
    assert_eq!(open.json[0]["id"], "machines-owner");
    assert_eq!(open.json[0]["dirty_rows"], 3);
    command("close", &pair.migration, &pair.a).expect_code(0);
    let closed = status().expect_code(0);
    assert_eq!(closed.json[0]["dirty_rows"], 0);
    assert_eq!(closed.json[0]["rows_total"], 20);
}
