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
