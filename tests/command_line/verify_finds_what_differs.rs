//! `verify` proves from the data, and says what it cannot know.

use rusqlite::config::DbConfig;

use crate::tool::Folder;

/// Writes as nobody should: past the triggers.
fn behind_our_back(folder: &Folder, sql: &str) {
    let conn = folder.conn();
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    conn.execute_batch(sql).unwrap();
}

#[test]
fn a_cell_of_ours_that_differs_is_a_divergence() {
    let folder = Folder::with_rows(500);
    folder.run("run", &[]).expect(0);
    behind_our_back(&folder, "UPDATE t SET label = 'wrong' WHERE id IN (7, 8)");
    let said = folder.run("verify", &["--json"]).expect(3).json();
    assert_eq!((&said["verdict"], &said["rows_different"]), (&"diverged".into(), &2.into()));
    assert_eq!(said["examples"], serde_json::json!(["t: 7", "t: 8"]));
    let said = folder.run("verify", &[]).expect(3).stdout;
    assert!(said.contains("diverged") && said.contains("row (7)"), "{said}");
}

#[test]
fn users_cells_and_noted_rows_are_no_divergence() {
    let folder = Folder::with_rows(500);
    folder.run("run", &[]).expect(0);
    folder.conn().execute("UPDATE t SET label = 'mine' WHERE id = 3", []).unwrap();
    folder.run("run", &[]).expect(0);
    folder.conn().execute("UPDATE t SET a = 'moved' WHERE id = 4", []).unwrap();
    let said = folder.run("verify", &["--json"]).expect(0).json();
    assert_eq!((&said["verdict"], &said["rows_pending"]), (&"equal".into(), &1.into()));
}

#[test]
fn nothing_is_claimed_of_a_closed_migration_whose_rows_moved_on() {
    let folder = Folder::with_rows(500);
    folder.run("run", &["--close"]).expect(0);
    folder.conn().execute("UPDATE t SET a = 'moved' WHERE id = 4", []).unwrap();
    let said = folder.run("verify", &["--json"]).expect(1).json();
    assert_eq!((&said["verdict"], &said["rows_different"]), (&"inconclusive".into(), &1.into()));
}
