//! Without the right to write, everything that only looks works, and the rest is refused.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::tool::{Folder, call_as_nobody};

#[test]
fn status_works_and_run_is_refused() {
    let folder = Folder::with_rows(100);
    folder.run("run", &[]).expect(0);
    let (m, db) = (folder.arg("m.toml"), folder.arg("t.db"));
    let tools = tempfile::TempDir::new().unwrap();
    fs::set_permissions(tools.path(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&db, Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(&m, Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(folder.path(""), Permissions::from_mode(0o555)).unwrap();
    let before = fs::read(&db).unwrap();

    let seen = call_as_nobody(tools.path(), &["status", "--db", &db, "--json"]).expect(0);
    assert_eq!(seen.json()[0]["phase"], "open");
    call_as_nobody(tools.path(), &["wait", &m, "--db", &db]).expect(0);
    for command in ["run", "close", "rollback", "forget"] {
        let output = call_as_nobody(tools.path(), &[command, &m, "--db", &db]).expect(2);
        output.says(&[&db, "not writable", "user who owns"]);
    }
    assert!(fs::read(&db).unwrap() == before, "the file was changed");
    fs::set_permissions(folder.path(""), Permissions::from_mode(0o755)).unwrap();
}

/// A file in a folder that may not be written, and a folder of tools and results.
struct Locked {
    folder: Folder,
    tools: tempfile::TempDir,
}

impl Locked {
    fn new(folder: Folder) -> Self {
        let tools = tempfile::TempDir::new().unwrap();
        fs::set_permissions(tools.path(), Permissions::from_mode(0o777)).unwrap();
        for entry in fs::read_dir(folder.path("")).unwrap() {
            fs::set_permissions(entry.unwrap().path(), Permissions::from_mode(0o444)).unwrap();
        }
        fs::set_permissions(folder.path(""), Permissions::from_mode(0o555)).unwrap();
        Self { folder, tools }
    }

    fn call(&self, command: &str, flags: &[&str]) -> crate::tool::Output {
        let (m, db) = (self.folder.arg("m.toml"), self.folder.arg("t.db"));
        let mut args = match command {
            "doctor" => vec![command, "--db", &db],
            _ => vec![command, &m, "--db", &db],
        };
        args.extend(flags);
        call_as_nobody(self.tools.path(), &args)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // So that the folder can be removed.
        let _ = fs::set_permissions(self.folder.path(""), Permissions::from_mode(0o755));
    }
}

fn proven() -> Folder {
    let folder = Folder::with_rows(100);
    folder.run("run", &[]).expect(0);
    folder
}

/// Removes what the last connection left beside the file; the file has everything.
fn alone(folder: &Folder) {
    folder.conn().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap_or_default();
    for name in ["t.db-wal", "t.db-shm"] {
        let _ = fs::remove_file(folder.path(name));
    }
}

#[test]
fn whatever_only_looks_works_beside_a_folder_that_cannot_be_written() {
    for journal in ["wal", "delete"] {
        let folder = proven();
        alone(&folder);
        folder.conn().pragma_update(None, "journal_mode", journal).unwrap();
        folder.conn().execute("VACUUM INTO ?1", [folder.arg("u.db")]).unwrap();
        if journal == "wal" {
            alone(&folder);
        }
        let other = folder.arg("u.db");
        let locked = Locked::new(folder);
        for (command, flags) in [
            ("status", &[][..]),
            ("plan", &[]),
            ("doctor", &[]),
            ("verify", &[]),
            ("verify", &["--against", &other]),
            ("digest", &[]),
        ] {
            let said = locked.call(command, flags);
            assert_eq!(said.code, 0, "{journal}: {command} {flags:?}: {said:#?}");
        }
        let deltas = locked.tools.path().join("deltas");
        let said = locked.call("export", &["--deltas", deltas.to_str().unwrap()]).expect(0);
        assert!(said.stdout.contains("100 exported"), "{said:?}");
    }
}

#[test]
fn a_log_that_cannot_be_read_is_named_with_the_remedy() {
    let folder = proven();
    alone(&folder);
    // A connection that is killed leaves a WAL that holds something, and here no index of it.
    let conn = folder.conn();
    conn.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    conn.execute("UPDATE t SET a = 'new' WHERE id = 1", []).unwrap();
    let (db, wal) =
        (fs::read(folder.path("t.db")).unwrap(), fs::read(folder.path("t.db-wal")).unwrap());
    drop(conn);
    let copy = Folder::with_rows(0);
    alone(&copy);
    copy.write("t.db", db);
    copy.write("t.db-wal", wal);
    let locked = Locked::new(copy);
    for command in ["plan", "doctor", "verify", "digest", "export", "status"] {
        let flags: &[&str] = if command == "export" { &["--deltas", "x"] } else { &[] };
        let said = locked.call(command, flags).expect(2);
        said.says(&["t.db", "write-ahead log", "make the folder writable"]);
    }
}

#[test]
fn a_transaction_that_was_cut_short_is_named_with_the_remedy() {
    let folder = proven();
    alone(&folder);
    folder.conn().pragma_update(None, "journal_mode", "delete").unwrap();
    // Enough of a journal for SQLite to ask for the right to undo it.
    folder.write("t.db-journal", [1; 1024]);
    let locked = Locked::new(folder);
    for command in ["plan", "doctor", "verify", "digest", "status"] {
        let said = locked.call(command, &[]).expect(2);
        said.says(&["t.db", "cut short", "make the folder writable"]);
    }
}
