//! An application on the system's `sqlite3` while the migration is open.

use crate::common::{dotfill, extension, migration_file, plain_db, sqlite_shell};
use crate::scenario::{DERIVE, Pair};

const WRITES: &str = "
    INSERT INTO machines(id, app) VALUES (101, 'old');
    UPDATE machines SET app = 'older' WHERE id = 2;
    UPDATE machines SET app = 'x', owner = 'mine' WHERE id = 3;
    REPLACE INTO machines(id, app) VALUES (4, 'oldest');
    DELETE FROM machines WHERE id = 5;
    SELECT owner FROM machines WHERE id = 1;
";

#[test]
fn on_a_plain_database() {
    let db = plain_db(
        "CREATE TABLE machines(id INTEGER NOT NULL PRIMARY KEY, app TEXT);
         INSERT INTO machines(id, app) VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e');",
    );
    let migration = migration_file(db.folder(), DERIVE);
    let run = || dotfill(&["run", &migration, "--db", db.db(), "--json"]).expect_complete();
    run();
    assert_eq!(sqlite_shell(db.db(), WRITES), "o-a\n");
    run();
    let owners = ["o-a", "o-older", "mine", "o-oldest", "o-old"].map(|o| Some(o.to_owned()));
    assert_eq!(db.texts("SELECT owner FROM machines ORDER BY id"), owners);
    assert_eq!(sqlite_shell(db.db(), "PRAGMA integrity_check"), "ok\n");
}

#[test]
fn on_a_replica_with_the_extension() {
    let pair = Pair::filled(DERIVE);
    let script = format!(
        ".load {} sqlite3_crsqlite_init\n{WRITES}\nSELECT crsql_finalize();",
        extension().display()
    );
    assert_eq!(sqlite_shell(pair.a.db(), &script), "o-app-1\nfinalized\n");
    for (id, column) in [(101, "app"), (2, "app"), (3, "owner"), (4, "app"), (5, "-1")] {
        let clock = pair.a.clock("machines", id, column);
        assert_eq!(clock.map(|clock| clock.site), Some(0), "{id}.{column} is on record");
    }
    pair.assert_settles(&[(3, Some("mine"))]);
    assert_eq!(pair.b.owner(101).as_deref(), Some("o-old"));
}
