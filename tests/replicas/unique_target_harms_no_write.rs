//! A UNIQUE index on the target of a plain table (cr-sqlite itself forbids them).

use crate::common::{PlainDb, Replica, dotfill, migration_file, plain_db};
use crate::scenario::DERIVE;

fn machines() -> PlainDb {
    plain_db(
        "CREATE TABLE machines(id INTEGER NOT NULL PRIMARY KEY, app TEXT, owner TEXT);
         CREATE UNIQUE INDEX machines_owner ON machines(owner);
         INSERT INTO machines(id, app) VALUES (1, 'a'), (2, 'b'), (3, 'c');",
    )
}

#[test]
fn of_a_user() {
    let db = machines();
    let migration = migration_file(db.folder(), DERIVE);
    let run = || dotfill(&["run", &migration, "--db", db.db(), "--json"]);
    run().expect_complete();

    // Both would derive 'o-a'; the application does not hear of it.
    db.execute_batch("INSERT INTO machines(id, app) VALUES (4, 'a')").unwrap();
    db.execute_batch("UPDATE machines SET app = 'a' WHERE id = 2").unwrap();
    run().expect_code(1).expect_words(&["machines", "UNIQUE"]);
    db.execute_batch("INSERT INTO machines(id, app) VALUES (5, 'e')").unwrap();
    db.execute_batch("UPDATE machines SET app = 'd' WHERE id = 4").unwrap();
    db.execute_batch("UPDATE machines SET app = 'b' WHERE id = 2").unwrap();

    run().expect_complete();
    let owners = ["o-a", "o-b", "o-c", "o-d", "o-e"].map(|owner| Some(owner.to_owned()));
    assert_eq!(db.texts("SELECT owner FROM machines ORDER BY id"), owners);
}

#[test]
fn premise_cr_sqlite_forbids_it() {
    let schema = "CREATE TABLE t(id INTEGER NOT NULL PRIMARY KEY, owner TEXT);
                  CREATE UNIQUE INDEX t_owner ON t(owner);";
    let replica = Replica::with_tables(schema, &[]);
    assert!(replica.try_run("SELECT crsql_as_crr('t')", []).is_err());
}
