//! `digest` and `verify --against`: what is printed, what the exit code says, and what is refused.

use std::fs;
use std::process::{Command, Stdio};

use rusqlite::config::DbConfig;
use serde_json::{Value, json};

use crate::tool::{Folder, MIGRATION, Output, call};

/// `t.db` and a second replica `u.db` with the same rows, both filled.
fn replicas(rows: u32) -> Folder {
    let folder = Folder::with_rows(rows);
    let conn = folder.conn();
    conn.execute("VACUUM INTO ?1", [folder.arg("u.db")]).unwrap();
    drop(conn);
    folder.run("run", &[]).expect(0);
    call(&["run", &folder.arg("m.toml"), "--db", &folder.arg("u.db")]).expect(0);
    folder
}

/// `dotfill digest` of `u.db`, in a file.
fn digest(folder: &Folder) -> String {
    let output = call(&["digest", &folder.arg("m.toml"), "--db", &folder.arg("u.db")]).expect(0);
    folder.write("u.json", &output.stdout);
    output.stdout
}

/// Past the triggers.
fn corrupt(folder: &Folder, sql: &str) {
    let conn = folder.conn();
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    conn.execute_batch(sql).unwrap();
}

#[test]
fn a_digest_is_one_small_object_with_or_without_json() {
    let folder = replicas(5000);
    let text = digest(&folder);
    assert!(text.len() <= 16 << 10, "{} bytes", text.len());
    let output = folder.run("digest", &["--json"]).expect(0);
    assert_eq!(output.stdout, text, "replicas with the same rows print the same");
    let digest = output.json();
    assert_eq!((&digest["format"], &digest["phase"]), (&json!(1), &json!("open")));
    assert_eq!((&digest["rows"], &digest["rows_different"]), (&json!(5000), &json!(0)));
    let leaves = digest["changes"][0]["leaves"].as_str().unwrap();
    assert_eq!(leaves.split(' ').count(), 256);
}

#[test]
fn forty_changes_fit_too() {
    let folder = Folder::with_rows(1000);
    let change = |i| {
        format!(
            "[[change]]\nkind = \"column\"\ntable = \"t\"\ntype = \"TEXT\"\nvalue = \"a || '{i}'\"\n\
             column = \"a_column_of_thirty_letters_{i}\"\n"
        )
    };
    let changes: String = (0..40).map(change).collect();
    let toml = format!("id = \"many\"\n{changes}");
    folder.write("m.toml", toml);
    folder.run("run", &[]).expect(0);
    let text = folder.run("digest", &[]).expect(0).stdout;
    assert!(text.len() <= 16 << 10, "{} bytes", text.len());
    folder.conn().execute("VACUUM INTO ?1", [folder.arg("u.db")]).unwrap();
    folder.write("t.json", text);
    let args = |other: &str| {
        let (m, u) = (folder.arg("m.toml"), folder.arg("u.db"));
        ["verify", &m, "--db", &u, "--json", "--against", &folder.arg(other)].map(str::to_owned)
    };
    assert_eq!(call(&args("t.json")).expect(0).json()["verdict"], "equal");
    assert_eq!(call(&args("t.db")).expect(0).json()["verdict"], "equal");
    folder.conn().execute("UPDATE t SET a = 'x' WHERE id = 9", []).unwrap();
    assert_eq!(call(&args("t.db")).expect(1).json()["rows_in_flight"], 40);
}

#[test]
fn by_digest_in_a_file_or_a_pipe() {
    let folder = replicas(500);
    let text = digest(&folder);
    let u = folder.arg("u.json");
    let said = folder.run("verify", &["--against", &u]).expect(0).stdout;
    for word in ["labels: equal; 500 rows", &format!("against {u}: 500 rows there; 0 in flight")] {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
    folder.conn().execute("UPDATE t SET a = 'moved' WHERE id IN (1, 2)", []).unwrap();
    let said = piped(&folder, &text).expect(1);
    let json = said.json();
    assert_eq!(
        (&json["verdict"], &json["against"]),
        (&json!("inconclusive"), &json!("standard input"))
    );
    assert_eq!(
        (&json["in_flight_is_lower_bound"], &json["rows_pending"]),
        (&json!(true), &json!(2))
    );
    let said = folder.run("verify", &["--against", &u]).expect(1).stdout;
    for word in ["inconclusive", "at least", "in flight (2 noted in", "dotfill run labels"] {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
    corrupt(&folder, "UPDATE t SET label = 'wrong' WHERE id = 7");
    let said = folder.run("verify", &["--against", &u]).expect(3).stdout;
    for word in ["diverged", "t.db has 1 row without the derived value", "t: row (7)"] {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
}

/// `verify --against -` with the digest on standard input.
fn piped(folder: &Folder, digest: &str) -> Output {
    use std::io::Write;
    let mut child = Command::new(env!("CARGO_BIN_EXE_dotfill"))
        .args(["verify", &folder.arg("m.toml"), "--db", &folder.arg("t.db"), "--json"])
        .args(["--against", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(digest.as_bytes()).unwrap();
    Output::new(&child.wait_with_output().unwrap())
}

#[test]
fn by_file_with_the_keys_that_differ() {
    let folder = replicas(5000);
    let conn = folder.conn();
    conn.execute_batch("UPDATE t SET a = 'moved' WHERE id = 10; DELETE FROM t WHERE id = 11")
        .unwrap();
    conn.execute("UPDATE t SET label = 'mine' WHERE id = 12", []).unwrap();
    drop(conn);
    corrupt(&folder, "UPDATE t SET label = 'wrong' WHERE id = 4000");
    let (u, out) = (folder.arg("u.db"), folder.arg("out.jsonl"));
    let flags = ["--against", &u, "--diff", &out, "--json"];
    let json = folder.run("verify", &flags).expect(3).json();
    assert_eq!((&json["rows_in_flight"], &json["rows_diverged"]), (&json!(3), &json!(1)));
    assert_eq!(json["examples"], json!(["t: 4000", "t: 10", "t: 11", "t: 12"]));
    let deleted = &json["differences"][2];
    assert_eq!((&deleted["here"], &deleted["there"]["cell"]), (&Value::Null, &json!("l-11")));
    let lines: Vec<Value> = fs::read_to_string(&out)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let line = |id: i64, verdict: &str| json!({"table": "t", "column": "label", "key": [id], "verdict": verdict});
    assert_eq!(lines.len(), 4);
    for (id, verdict) in
        [(10, "in_flight"), (11, "in_flight"), (12, "in_flight"), (4000, "diverged")]
    {
        assert!(lines.contains(&line(id, verdict)), "{lines:?}");
    }
    let said = folder.run("verify", &flags[..4]).expect(3).stdout;
    for word in [
        "t: row (4000) diverged: here label = \"wrong\", a = \"4000\"; there label = \"l-4000\"",
        "t: row (11) in flight: here no such row; there",
        "3 in flight, 1 diverged",
    ] {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
}

/// An edit of a digest; gets some other digest.
type Edit = fn(&mut Value, &str);

#[test]
fn a_digest_whose_sums_do_not_agree_with_its_leaves_is_refused() {
    let folder = replicas(500);
    let text = digest(&folder);
    let sound: Value = serde_json::from_str(&text).unwrap();
    let other = "0123456789abcdef".repeat(4);
    let edits: [(Edit, &str); 8] = [
        (|d, other| d["digest"] = json!(other), "\"digest\""),
        (|d, other| d["sources_digest"] = json!(other), "\"sources_digest\""),
        (|d, other| d["changes"][0]["digest"] = json!(other), "t.label"),
        (|d, _| d["rows"] = json!(501), "rows"),
        (|d, _| d["changes"][0]["rows"] = json!(501), "t.label"),
        (|d, _| d["rows_different"] = json!(501), "rows_different"),
        (
            |d, other| {
                d["changes"][0]["high"] = json!(format!("{}.{}", &other[..16], &other[..16]));
            },
            "t.label",
        ),
        (
            |d, _| {
                let leaves = d["changes"][0]["leaves"].as_str().unwrap().to_owned();
                let (first, rest) = leaves.split_once(' ').unwrap();
                let mut parts: Vec<&str> = first.split('.').collect();
                parts[2] = "0123456789abcdef";
                d["changes"][0]["leaves"] = json!(format!("{} {rest}", parts.join(".")));
            },
            "t.label",
        ),
    ];
    for (edit, word) in edits {
        let mut edited = sound.clone();
        edit(&mut edited, &other);
        folder.write("edited.json", edited.to_string());
        let flags = ["--against", &folder.arg("edited.json")];
        refused(&folder, &flags, &["edited.json", word, "dotfill digest"]);
    }
    folder.write("same.json", sound.to_string());
    folder.run("verify", &["--against", &folder.arg("same.json")]).expect(0);
}

/// Refused, with all of `words`; nothing is written.
#[track_caller]
fn refused(folder: &Folder, flags: &[&str], words: &[&str]) {
    let files = || ["t.db", "u.db", "u.json"].map(|name| fs::read(folder.path(name)).ok());
    let before = files();
    folder.run("verify", flags).expect(2).says(words);
    assert!(files() == before, "{flags:?} wrote something");
    assert!(!folder.path("out.jsonl").exists(), "{flags:?} wrote a list of keys");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let folder = replicas(300);
    let text = digest(&folder);
    let (t, u, json) = (folder.arg("t.db"), folder.arg("u.db"), folder.arg("u.json"));
    let out = folder.arg("out.jsonl");
    refused(&folder, &["--diff", &out], &["--against"]);
    refused(&folder, &["--against", &folder.arg("none")], &["none", "dotfill digest"]);
    refused(&folder, &["--against", &folder.arg("")], &["directory", "dotfill digest"]);
    refused(&folder, &["--against", &t, "--diff", &out], &["t.db is the replica itself"]);
    let words = ["does not say which rows differ", "database file"];
    refused(&folder, &["--against", &json, "--diff", &out], &words);
    refused(&folder, &["--against", &u, "--diff", &t], &["is a database", "another file"]);
    refused(&folder, &["--against", &u, "--diff", "/nowhere/out"], &["cannot create /nowhere/out"]);

    for (from, to, words) in [
        ("\"format\": 1", "\"format\": 2", ["format 2", "same release"]),
        ("\"labels\"", "\"badges\"", ["migration badges", "dotfill digest"]),
        (
            "\"migration_digest\": \"",
            "\"migration_digest\": \"0",
            ["another file", "same migration"],
        ),
        ("\"shape\":\"", "\"shape\":\"0", ["another shape", "key columns"]),
        ("\"phase\": \"open\"", "\"phase\": \"filling\"", ["phase", "dotfill digest"]),
        ("\"format\"", "\"verdict\"", ["u.json is no database", "dotfill digest"]),
        ("{", "", ["u.json is no database", "not what `dotfill digest` prints"]),
    ] {
        assert!(text.contains(from), "premise: {from}");
        folder.write("u.json", text.replacen(from, to, 1));
        refused(&folder, &["--against", &json], &words);
    }
    let halved: String = halve_the_leaves(&text);
    folder.write("u.json", halved);
    refused(&folder, &["--against", &json], &["128 leaves a change, not 256"]);
}

/// A digest of 128 leaves, as another release might print it.
fn halve_the_leaves(text: &str) -> String {
    let mut json: Value = serde_json::from_str(text).unwrap();
    let leaves = json["changes"][0]["leaves"].as_str().unwrap().to_owned();
    let number = |digits| u64::from_str_radix(digits, 16).unwrap();
    let leaves: Vec<Vec<u64>> =
        leaves.split(' ').map(|leaf| leaf.split('.').map(number).collect()).collect();
    let halved: Vec<_> = leaves
        .chunks(2)
        .map(|two| (0..3).map(|i| two[0][i].wrapping_add(two[1][i])).collect::<Vec<_>>())
        .map(|two| format!("{:x}.{:016x}.{:016x}", two[0], two[1], two[2]))
        .collect();
    json["changes"][0]["leaves"] = json!(halved.join(" "));
    json.to_string()
}

#[test]
fn replicas_that_are_not_proven_or_another_table_are_refused() {
    let folder = Folder::with_rows(300);
    folder.conn().execute("VACUUM INTO ?1", [folder.arg("u.db")]).unwrap();
    folder.run("run", &[]).expect(0);
    let (m, u) = (folder.arg("m.toml"), folder.arg("u.db"));
    let out = folder.arg("out.jsonl");
    let against = ["--against", &u, "--diff", &out];
    refused(&folder, &against, &["u.db has never run it", "dotfill run"]);
    call(&["run", &m, "--db", &u, "--stage", "10", "--batch-rows-max", "10"]).expect(4);
    refused(&folder, &against, &["in ", "u.db it is filling", "dotfill run"]);
    call(&["digest", &m, "--db", &u]).expect(2).says(&["u.db it is filling"]);

    fs::remove_file(&u).unwrap();
    let conn = rusqlite::Connection::open(&u).unwrap();
    conn.execute_batch("CREATE TABLE t (id TEXT PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1, 1)")
        .unwrap();
    call(&["run", &m, "--db", &u]).expect(0);
    refused(&folder, &against, &["table t of", "u.db has another shape", "key columns"]);

    fs::remove_file(&u).unwrap();
    let conn = rusqlite::Connection::open(&u).unwrap();
    conn.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)").unwrap();
    folder.write("other.toml", MIGRATION.replace("l-", "m-"));
    call(&["run", &folder.arg("other.toml"), "--db", &u]).expect(0);
    refused(&folder, &against, &["u.db has run another file under that id"]);
}

#[test]
fn closed_replicas_are_compared() {
    let folder = replicas(300);
    folder.conn().execute("UPDATE t SET label = 'mine' WHERE id = 12", []).unwrap();
    folder.run("close", &[]).expect(0);
    let (u, m) = (folder.arg("u.db"), folder.arg("m.toml"));
    assert_eq!(
        folder.run("verify", &["--against", &u, "--json"]).expect(1).json()["rows_in_flight"],
        1
    );
    let conn = rusqlite::Connection::open(&u).unwrap();
    conn.execute("UPDATE t SET label = 'mine' WHERE id = 12", []).unwrap();
    let json = folder.run("verify", &["--against", &u, "--json"]).expect(0).json();
    assert!(json["notes"][0].as_str().unwrap().contains("t.db is closed: 1 row"), "{json}");
    call(&["close", &m, "--db", &u]).expect(0);
    digest(&folder);
    folder.run("verify", &["--against", &folder.arg("u.json")]).expect(0);
}
