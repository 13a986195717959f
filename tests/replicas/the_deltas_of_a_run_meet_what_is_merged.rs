//! A replica that ships while it follows, with users and merges beside it: another one that merges
//! the same records and applies the chain holds the same.

use std::fs;

use crate::common::{Records, Replica, dotfill, eventually, merge, start};
use crate::scenario::{DERIVE, Pair};

#[test]
fn a_joiner_ends_equal() {
    let pair = Pair::without_column(DERIVE);
    let dir = pair.a.folder().join("deltas");
    let dir = dir.to_str().unwrap();
    let following = start(&[
        "run",
        &pair.migration,
        "--db",
        pair.a.db(),
        "--follow",
        "--deltas",
        dir,
        "--json",
    ]);
    let owner = |id| pair.a.owner(id).unwrap_or_default();
    let phase = || -> String {
        let sql = "SELECT phase FROM _dotfill_migrations";
        pair.a.query_row(sql, [], |row| row.get(0)).unwrap_or_default()
    };
    eventually("it follows", || phase() == "open");
    pair.a.run("UPDATE machines SET app = 'moved' WHERE id = 1", []);
    pair.a.run("UPDATE machines SET owner = 'mine' WHERE id = 3", []);
    pair.a.run("DELETE FROM machines WHERE id = 4", []);
    pair.b.run("INSERT INTO machines(id, app) VALUES (101, 'late')", []);
    pair.b.run("UPDATE machines SET app = NULL WHERE id = 5", []);
    merge(&pair.b, &pair.a);
    eventually("machine 1 is derived again", || owner(1) == "o-moved");
    eventually("machine 101 is filled", || owner(101) == "o-late");
    eventually("machine 5 is NULL again", || owner(5).is_empty());
    let report = following.interrupt().expect_code(4);
    assert!(report.json["delta_digest"].is_string(), "its chain is whole: {}", report.json);

    let joiner = Replica::machines_with_owner();
    merge(&pair.a, &joiner);
    merge(&pair.b, &joiner);
    let before = Records::of(&joiner);
    for written in [true, false] {
        let output = dotfill(&["apply", dir, "--db", joiner.db(), "--json"]).expect_complete();
        assert_eq!(output.counter("rows_written") > 0, written);
        before.assert_none_created(&joiner);
        assert_eq!(joiner.machines_rows(), pair.a.machines_rows());
    }
    joiner.assert_sound();
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let segments = names.filter(|name| name.to_str().unwrap().contains("rows")).count();
    assert!(segments >= 2, "premise: some rows came again");
}

#[test]
fn and_closing_ends_the_chain() {
    let pair = Pair::with_nulls_at_version_1(DERIVE);
    let dir = pair.a.folder().join("deltas");
    let dir = dir.to_str().unwrap();
    let run = |flags: &[&str]| {
        let fixed = ["run", &pair.migration, "--db", pair.a.db(), "--json", "--deltas", dir];
        dotfill(&[&fixed, flags].concat())
    };
    let report = run(&["--close"]).expect_complete();
    assert_eq!(report.counter("delta_rows"), report.counter("rows_written"));
    let joiner = Replica::machines_with_owner();
    merge(&pair.b, &joiner);
    dotfill(&["apply", dir, "--db", joiner.db(), "--json"]).expect_complete();
    assert_eq!(joiner.machines_rows(), pair.a.machines_rows());
    run(&[]).expect_code(2).expect_words(&["closed"]);
}
