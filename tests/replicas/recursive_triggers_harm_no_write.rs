//! An application that runs with `PRAGMA recursive_triggers = ON`.

use crate::common::{dotfill, merge, migration_file, plain_db};
use crate::scenario::{DERIVE, Pair};

#[test]
fn on_replicas() {
    let pair = Pair::filled(DERIVE);
    for replica in pair.both() {
        replica.pragma_update(None, "recursive_triggers", true).unwrap();
    }
    pair.a.run("REPLACE INTO machines(id, app) VALUES (1, 'new')", []);
    pair.a.run("UPDATE machines SET app = 'moved' WHERE id = 2", []);
    pair.a.run("UPDATE machines SET owner = 'mine' WHERE id = 3", []);
    pair.a.run("INSERT INTO machines(id, app) VALUES (101, 'late')", []);
    let life = pair.a.clock("machines", 1, "-1").map(|clock| clock.col_version);
    assert_eq!(life, Some(3), "premise: here a REPLACE is a delete and an insert");
    assert_eq!(pair.a.owner_version(1), Some(1), "premise");
    merge(&pair.a, &pair.b);
    pair.assert_settles(&[(3, Some("mine"))]);
}

#[test]
fn on_a_plain_database() {
    let db = plain_db(
        "CREATE TABLE machines(id INTEGER NOT NULL PRIMARY KEY, app TEXT);
         INSERT INTO machines(id, app) VALUES (1, 'a'), (2, 'b'), (3, 'c');
         PRAGMA recursive_triggers = ON;",
    );
    let migration = migration_file(db.folder(), DERIVE);
    let run = || dotfill(&["run", &migration, "--db", db.db(), "--json"]).expect_complete();
    run();
    db.execute_batch(
        "REPLACE INTO machines(id, app) VALUES (1, 'new');
         UPDATE machines SET app = 'moved', owner = 'mine' WHERE id = 2;
         UPDATE machines SET id = 30 WHERE id = 3;",
    )
    .unwrap();
    run();
    let owners = ["o-new", "mine", "o-c"].map(|owner| Some(owner.to_owned()));
    assert_eq!(db.texts("SELECT owner FROM machines ORDER BY id"), owners);
}
