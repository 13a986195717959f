//! A row whose expression fails: the change is taken back, everybody is told the same, and it is tried
//! again only on demand.

use rustix::process::Signal;

use crate::tool::{Folder, MIGRATION, eventually};

const JSON: &str = "CASE WHEN a LIKE '{%' THEN a ->> '$.x' ELSE a END";

/// Rows of which the last one fails.
fn folder(rows: u32, rest: &str) -> Folder {
    let folder = Folder::with_rows(rows);
    folder.write("m.toml", format!("{}{rest}\n", MIGRATION.replace("'l-' || a", JSON)));
    folder.conn().execute("UPDATE t SET a = '{' WHERE id = ?1", [rows]).unwrap();
    folder
}

/// What stands in the schema beside dotfill's own tables of state.
fn schema(folder: &Folder) -> Vec<String> {
    let conn = folder.conn();
    let sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL
        AND (name NOT GLOB '_dotfill_*' OR name GLOB '_dotfill_*[0-9]*') ORDER BY name";
    let mut statement = conn.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn everybody_who_waits_gets_the_same_failure() {
    let folder = folder(30_000, "");
    let before = schema(&folder);
    let flags = ["--rows-per-second", "10000", "--json"];
    let runner = folder.start("run", &flags);
    eventually("it has begun", || folder.status()["percent"].as_f64() > Some(0.0));
    let others = [folder.start("run", &["--json"]), folder.start("run", &["--retry", "--json"])];
    let waiting = folder.start("wait", &["--json"]);
    let told = |output: crate::tool::Output| output.expect(1).json()["error"].clone();
    let error = told(runner.end());
    let text = error.as_str().unwrap();
    for word in ["labels has failed", "30000", "malformed JSON", "--retry", "was taken back"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    for other in others {
        assert_eq!(told(other.end()), error);
    }
    assert_eq!(told(waiting.end()), error);
    assert_eq!(schema(&folder), before);
    assert_eq!(
        folder.status()["failure"],
        text.trim_start_matches("migration labels has failed: ")
    );

    // Later ones are told without a write.
    let state = "SELECT token + heartbeat FROM _dotfill_lease";
    let was = folder.number(state);
    assert_eq!(told(folder.run("run", &["--json"])), error);
    assert_eq!(told(folder.run("wait", &["--json"])), error);
    assert_eq!(folder.number(state), was);
    folder.run("run", &["--retry"]).expect(1).says(&["malformed JSON"]);
    folder.conn().execute("UPDATE t SET a = 'right' WHERE id = 30000", []).unwrap();
    assert_eq!(told(folder.run("run", &["--json"])), error);
    let report = folder.run("run", &["--retry", "--json"]).expect(0).json();
    assert_eq!((&report["rows_written"], &report["outcome"]), (&30_000.into(), &"complete".into()));
    folder.run("wait", &[]).expect(0);
}

#[test]
fn the_file_may_say_to_keep_it() {
    let folder = folder(1000, "on_failure = \"keep\"");
    let flags = ["--batch-rows-max", "100"];
    let failed = folder.run("run", &flags).expect(1);
    assert!(!failed.stderr.contains("taken back"), "{failed:?}");
    assert!(folder.number("SELECT count(label) FROM t") >= 500);
    folder.conn().execute("UPDATE t SET a = 'right' WHERE id = 1000", []).unwrap();
    let report = folder.run("run", &["--retry", "--json"]).expect(0).json();
    assert!(report["rows_written"].as_u64().unwrap() <= 500, "{report}");
}

#[test]
fn what_users_wrote_into_the_column_stays() {
    let folder = folder(20_000, "");
    let runner = folder.start("run", &["--rows-per-second", "10000"]);
    eventually("the column is there", || folder.status()["percent"].as_f64() > Some(0.0));
    folder.conn().execute("UPDATE t SET label = 'mine' WHERE id = 7", []).unwrap();
    runner.end().expect(1).says(&["column label of table t stays", "others have written it"]);
    assert_eq!(folder.number("SELECT count(label) FROM t"), 1);
    assert_eq!(folder.number("SELECT count(*) FROM t WHERE label = 'mine'"), 1);
    folder.run("forget", &[]).expect(0);
    assert_eq!(folder.number("SELECT count(*) FROM sqlite_schema WHERE name GLOB '_dotfill*'"), 0);
}

#[test]
fn a_kill_while_it_is_taken_back_is_resumed() {
    let folder = folder(40_000, "");
    let before = schema(&folder);
    let runner = folder.start("run", &["--batch-rows-max", "500"]);
    eventually("it has failed", || folder.status()["phase"] == "failed");
    runner.signal(Signal::KILL);
    runner.end();
    folder.run("run", &[]).expect(1).says(&["malformed JSON", "was taken back"]);
    assert_eq!(schema(&folder), before);
}

#[test]
fn what_was_proven_once_is_not_taken_back() {
    let folder = folder(100, "");
    folder.conn().execute("UPDATE t SET a = 'right' WHERE id = 100", []).unwrap();
    folder.run("run", &[]).expect(0);
    folder.conn().execute("UPDATE t SET a = '{' WHERE id = 3", []).unwrap();
    folder.run("run", &[]).expect(1).says(&["malformed JSON"]);
    assert_eq!(folder.number("SELECT count(label) FROM t"), 100);
    folder.conn().execute("UPDATE t SET a = 'right' WHERE id = 3", []).unwrap();
    folder.run("run", &[]).expect(0);
}
