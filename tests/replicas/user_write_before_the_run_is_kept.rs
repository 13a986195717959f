//! A user's value from before the run stays, on the replica of the user and on the other.

use crate::common::merge_both_ways;
use crate::scenario::{DERIVE, Pair, run};

fn user_writes(pair: &Pair) {
    pair.a.run("UPDATE machines SET owner = 'mine' WHERE id = 1", []);
    pair.b.run("UPDATE machines SET owner = 'theirs' WHERE id = 2", []);
}

#[test]
fn where_the_cells_were_clockless() {
    let pair = Pair::with_clockless_column(DERIVE);
    user_writes(&pair);
    assert_eq!(pair.a.owner_version(1), Some(1), "premise: a first write is version 1");

    let output = run(&pair.migration, &pair.a);
    assert_eq!(output.counter("rows_user_written"), 1);
    assert_eq!(output.counter("rows_written"), 19);
    assert_eq!(pair.a.owner(1).as_deref(), Some("mine"));

    pair.assert_settles(&[(1, Some("mine")), (2, Some("theirs"))]);
}

#[test]
fn where_the_cells_were_null_at_version_1() {
    let pair = Pair::with_nulls_at_version_1(DERIVE);
    user_writes(&pair);
    assert_eq!(pair.a.owner_version(1), Some(2), "premise: a write over version 1 is version 2");

    pair.run();
    assert_eq!(pair.a.owner(1).as_deref(), Some("mine"));
    assert_eq!(pair.b.owner(1).as_deref(), Some("o-app-1"), "not merged yet");

    pair.assert_settles(&[(1, Some("mine")), (2, Some("theirs"))]);
}

#[test]
fn where_it_was_merged_before_the_run() {
    let pair = Pair::with_clockless_column(DERIVE);
    user_writes(&pair);
    merge_both_ways(&pair.a, &pair.b);
    pair.run();
    pair.assert_equal(&[(1, Some("mine")), (2, Some("theirs"))]);
    pair.assert_settles(&[(1, Some("mine")), (2, Some("theirs"))]);
}
