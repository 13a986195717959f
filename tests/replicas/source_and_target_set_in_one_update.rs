//! `SET source = .., target = ..` in one statement: the user's target stays.

use crate::scenario::{DERIVE, Pair};

#[test]
fn keeps_the_users_target() {
    let pair = Pair::filled(DERIVE);
    pair.a.run("UPDATE machines SET app = 'x', owner = 'mine' WHERE id = 1", []);
    pair.b.run("UPDATE machines SET owner = 'theirs', app = 'y' WHERE id = 2", []);
    assert_eq!(pair.a.owner(1).as_deref(), Some("mine"), "before any drain");
    assert_eq!(pair.a.owner_version(1), Some(1), "premise: recorded as a change of the target");
    pair.assert_settles(&[(1, Some("mine")), (2, Some("theirs"))]);
}
