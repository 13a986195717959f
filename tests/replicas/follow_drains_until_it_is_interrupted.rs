//! `run --follow`: rows are derived as they change, until Ctrl-C.

use crate::common::{Records, eventually, follow, merge};
use crate::scenario::{DERIVE, Pair, run};

#[test]
fn local_and_merged() {
    let pair = Pair::filled(DERIVE);
    let mut following = follow(&pair.migration, pair.a.db());

    pair.a.run("UPDATE machines SET app = 'moved' WHERE id = 1", []);
    pair.b.run("INSERT INTO machines(id, app) VALUES (101, 'late')", []);
    pair.b.run("UPDATE machines SET owner = 'theirs' WHERE id = 2", []);
    merge(&pair.b, &pair.a);
    let records = Records::of(&pair.a);
    let owner = |id| pair.a.owner(id).unwrap_or_default();
    eventually("machine 1 is derived again", || owner(1) == "o-moved");
    eventually("machine 101 is filled", || owner(101) == "o-late");
    assert_eq!(owner(2), "theirs");
    records.assert_none_created(&pair.a);
    assert!(following.is_alive(), "it follows until it is stopped");

    following.interrupt().expect_code(4);
    assert_eq!(run(&pair.migration, &pair.a).counter("rows_written"), 0);
    pair.assert_settles(&[(2, Some("theirs"))]);
}
