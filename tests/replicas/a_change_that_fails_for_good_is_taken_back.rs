//! A change of a replicated table that fails for good: our values and triggers go, the column stays
//! because connections of the application may still have it in mind, and no record is left.

use crate::common::{Records, Replica, dotfill, migration_file};

const MIGRATION: &str = "id = \"m\"\n[[change]]\nkind = \"column\"\ntable = \"machines\"\n\
    column = \"owner\"\ntype = \"TEXT\"\n\
    value = \"CASE WHEN note = '{' THEN json(note) ELSE 'o-' || app END\"\n";

#[test]
fn what_fails_for_good_is_taken_back_from_a_replicated_table() {
    let replica = Replica::machines();
    replica.insert_machines(500);
    replica.run("UPDATE machines SET note = '{' WHERE id = 400", []);
    let records = Records::of(&replica);
    let file = migration_file(replica.folder(), MIGRATION);
    let run = |flags: &[&str]| {
        dotfill(&[&["run", &file, "--db", replica.db(), "--batch-rows-max", "50"], flags].concat())
    };
    run(&["--json"]).expect_code(1).expect_words(&[
        "malformed JSON",
        "(400)",
        "our values and triggers were taken back",
        "column owner of table machines stays",
    ]);
    assert_eq!(replica.count("SELECT count(owner) FROM machines"), 0);
    let ours = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND name GLOB '_dotfill*'
        OR name GLOB '_dotfill_dirty_*' OR name GLOB '_dotfill_user_*'";
    assert_eq!(replica.count(ours), 0);
    assert_eq!(Records::of(&replica), records);

    replica.run("UPDATE machines SET note = 'right', owner = 'mine' WHERE id = 400", []);
    run(&["--json"]).expect_code(1);
    run(&["--retry", "--json"]).expect_complete();
    assert_eq!(replica.count("SELECT count(*) FROM machines WHERE owner = 'o-' || app"), 499);
    assert_eq!(replica.count("SELECT count(*) FROM machines WHERE owner = 'mine'"), 1);
}
