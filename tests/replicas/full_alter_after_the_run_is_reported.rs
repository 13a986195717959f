//! cr-sqlite's full `crsql_commit_alter` stamps values that have no clock row.

use crate::common::{Records, dotfill, merge_both_ways};
use crate::scenario::{DERIVE, Pair, run};

#[test]
fn and_both_replicas_keep_equal_values() {
    let pair = Pair::filled(DERIVE);
    let before = Records::of(&pair.a);
    pair.a.alter("machines", "ALTER TABLE machines ADD COLUMN region TEXT");
    assert_eq!(pair.a.owner_version(1), Some(1), "premise: a full alter stamps at version 1");
    let stamped = Records::of(&pair.a);
    assert_eq!(stamped.of_column("owner").count(), 20, "premise: every value");
    assert_eq!(
        stamped.versions, before.versions,
        "premise: under the last db_version, so a peer that has seen it never asks for them"
    );

    let report = dotfill(&["doctor", "--db", pair.a.db(), "--json"]);
    report.expect_words(&["machines", "owner", "stamped"]);

    pair.b.alter("machines", "ALTER TABLE machines ADD COLUMN region TEXT");
    merge_both_ways(&pair.a, &pair.b);
    pair.assert_equal(&[]);
    for replica in pair.both() {
        assert_eq!(run(&pair.migration, replica).counter("rows_written"), 0);
    }
    pair.assert_equal(&[]);
}
