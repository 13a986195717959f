//! The whole life of a migration on a plain database.

use crate::tool::{Folder, call};

#[test]
fn run_close_and_forget_leave_the_column_and_nothing_else() {
    let folder = Folder::with_rows(3000);
    let before = schema(&folder);

    let first = folder.run("run", &["--json"]).expect(0).json();
    assert_eq!(first["outcome"], "complete");
    assert_eq!((&first["rows_written"], &first["rows_total"]), (&3000.into(), &3000.into()));
    let again = folder.run("run", &["--json"]).expect(0).json();
    assert_eq!(again["rows_written"], 0);
    assert_eq!(again["rows_unchanged"], 3000);
    assert_eq!(again["digest"], first["digest"]);

    let status = folder.status();
    assert_eq!(status["phase"], "open");
    assert_eq!(status["percent"], 100.0);
    assert_eq!(status["proof"]["digest"], first["digest"]);
    folder.run("status", &[]).expect(0);
    folder.run("wait", &["--timeout", "1s"]).expect(0);
    let verified = folder.run("verify", &["--json"]).expect(0).json();
    assert_eq!((&verified["verdict"], &verified["rows_compared"]), (&"equal".into(), &3000.into()));
    let digest = folder.run("digest", &[]).expect(0).json();
    assert_eq!(digest["digest"], first["digest"]);

    folder.run("forget", &[]).expect(2).says(&["it is open", "dotfill close"]);
    let closed = folder.run("close", &["--json"]).expect(0).json();
    assert_eq!((&closed["outcome"], &closed["rows_proven"]), (&"complete".into(), &3000.into()));
    folder.run("run", &[]).expect(2).says(&["closed here", "dotfill forget labels"]);
    folder.run("stop", &[]).expect(2).says(&["nobody runs it", "closed"]);
    folder.run("verify", &[]).expect(0);
    folder.run("wait", &[]).expect(0);
    folder.run("forget", &["--json"]).expect(0);

    assert_eq!(schema(&folder), before.replace("a TEXT)", "a TEXT, \"label\" TEXT)"));
    assert_eq!(folder.number("SELECT count(*) FROM t WHERE label = 'l-' || a"), 3000);
    let none = call(&["status", "--db", &folder.arg("t.db"), "--json"]).expect(0);
    assert_eq!(none.json(), serde_json::json!([]));
    let none = call(&["status", "--db", &folder.arg("t.db")]).expect(0);
    assert!(none.stdout.contains("has no migrations"), "{none:?}");
}

#[test]
fn rollback_takes_the_values_back_and_a_new_run_begins_anew() {
    let folder = Folder::with_rows(2000);
    folder.run("run", &[]).expect(0);
    let user = "UPDATE t SET label = 'mine' WHERE id = 5";
    folder.conn().execute(user, []).unwrap();
    let back = folder.run("rollback", &["--json"]).expect(0).json();
    assert_eq!((&back["outcome"], &back["rows_cleared"]), (&"complete".into(), &1999.into()));
    assert_eq!(folder.number("SELECT count(*) FROM t WHERE label IS NOT NULL"), 1);
    folder.run("status", &[]).expect(0);
    folder.run("wait", &[]).expect(1).says(&["rolled back"]);
    folder.run("run", &[]).expect(2).says(&["rolled back", "dotfill forget labels"]);
    folder.run("forget", &[]).expect(0);
    let closed = folder.run("run", &["--close", "--json"]).expect(0).json();
    let again = folder.run("run", &["--close", "--json"]).expect(0).json();
    for name in ["outcome", "phase", "digest", "rows_total"] {
        assert_eq!(again[name], closed[name], "{name}");
    }
    assert_eq!(again["rows_written"], 0);
    let other = crate::tool::MIGRATION.replace("'l-'", "'m-'");
    std::fs::write(folder.path("m.toml"), other).unwrap();
    folder.run("run", &["--close"]).expect(2).says(&["labels"]);
    folder.write("m.toml", crate::tool::MIGRATION);
    assert_eq!(folder.number("SELECT count(*) FROM t WHERE label = 'l-' || a"), 1999);
    assert_eq!(folder.status()["phase"], "closed");
}

#[test]
fn an_id_stands_for_the_file_that_was_run() {
    let folder = Folder::with_rows(10);
    let db = folder.arg("t.db");
    folder.run("run", &["--stage", "50", "--batch-rows-max", "1"]).expect(4);
    std::fs::remove_file(folder.path("m.toml")).unwrap();
    for command in ["run", "status", "wait", "verify", "digest", "close", "forget"] {
        call(&[command, "labels", "--db", &db]).expect(0);
    }
}

#[test]
fn a_node_outside_the_ramp_does_nothing() {
    let folder = Folder::with_rows(10);
    let output = folder.run("run", &["--nodes-percent", "0", "--json"]).expect(0);
    assert_eq!(output.json()["outcome"], "skipped");
    assert_eq!(folder.number("SELECT count(*) FROM sqlite_schema"), 1);
    folder.run("run", &["--nodes-percent", "100"]).expect(0);
    assert_eq!(folder.number("SELECT count(label) FROM t"), 10);
}

fn schema(folder: &Folder) -> String {
    let conn = folder.conn();
    let mut statement = conn.prepare("SELECT sql FROM sqlite_schema ORDER BY name").unwrap();
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    rows.map(|row| format!("{}\n", row.unwrap())).collect()
}
