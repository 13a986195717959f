//! `corrosion backup` copies the file, dotfill's tables with it, and makes the copied node a remote
//! one: a node that begins with such a copy has the values and the state, and owes nothing.

use crate::common::{Client, Replica, corrosion_tables, dotfill};
use crate::scenario::{DERIVE, Pair};

/// What `corrosion backup` (klukai 0.1.4, src/main.rs) does to a copy of the file.
fn back_up(node: &Replica) -> String {
    let path = format!("{}.backup", node.db());
    node.run("VACUUM INTO ?1", [&path]);
    let copy = rusqlite::Connection::open(&path).unwrap();
    copy.execute_batch(
        "CREATE TEMP TABLE gone AS SELECT site_id FROM crsql_site_id WHERE ordinal = 0;
         DELETE FROM crsql_site_id WHERE ordinal = 0;
         INSERT INTO crsql_site_id (site_id) SELECT site_id FROM gone;
         UPDATE machines__crsql_clock SET site_id = (SELECT max(ordinal) FROM crsql_site_id)
           WHERE site_id = 0;
         PRAGMA journal_mode = WAL;",
    )
    .unwrap();
    path
}

#[test]
fn nothing_is_written_and_users_cells_stay() {
    let pair = Pair::with_clockless_column(DERIVE);
    corrosion_tables(&pair.a);
    pair.run();
    pair.a.run("UPDATE machines SET owner = 'mine' WHERE id = 1", []);
    let path = back_up(&pair.a);
    let joined = Client::open(std::path::Path::new(&path));
    let site: Vec<u8> = joined.value("SELECT crsql_site_id()", []);
    assert_ne!(site, pair.a.site_id(), "premise: the joiner is another node");
    let owners = |client: &Client| client.rows("SELECT id, owner FROM machines ORDER BY id", []);
    assert_eq!(owners(&joined), owners(&pair.a));
    let report = dotfill(&["run", &pair.migration, "--db", &path, "--json"]).expect_complete();
    assert_eq!(report.counter("rows_written"), 0);
    joined.run("UPDATE machines SET app = 'moved' WHERE id = 2", []);
    dotfill(&["run", &pair.migration, "--db", &path, "--json"]).expect_complete();
    let owner = |id: i64| joined.value::<String>("SELECT owner FROM machines WHERE id = ?1", [id]);
    assert_eq!((owner(1).as_str(), owner(2).as_str()), ("mine", "o-moved"));
}
