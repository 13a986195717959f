//! Everything that is refused: exit code 2, a message with the thing and the remedy, the file as it
//! was.

use std::fs;

use crate::tool::{Folder, MIGRATION, call};

const BY_ID: [&str; 7] = ["stop", "wait", "close", "rollback", "forget", "verify", "digest"];

/// Calls, and expects a refusal that leaves `t.db` as it was, in words and in JSON alike.
#[track_caller]
fn refused(folder: &Folder, args: &[&str], words: &[&str]) {
    let before = fs::read(folder.path("t.db")).ok();
    call(args).expect(2).says(words);
    let mut json = args.to_vec();
    json.push("--json");
    let output = call(&json).expect(2).says(words);
    assert_eq!(output.json()["outcome"], "failed");
    assert_eq!(output.json()["exit_code"], 2);
    assert!(fs::read(folder.path("t.db")).ok() == before, "{args:?} changed the file");
}

#[test]
fn wrong_usage() {
    let folder = Folder::with_rows(1);
    let (m, db) = (folder.arg("m.toml"), folder.arg("t.db"));
    refused(&folder, &["run", &m], &["--db <FILE>"]);
    refused(&folder, &["run", "--db", &db], &["<MIGRATION>"]);
    refused(&folder, &["rum", &m], &["rum", "run"]);
    refused(&folder, &["run", &m, "--db", &db, "--nice"], &["--nice"]);
    refused(&folder, &["run", &m, "--db", &db, "--follow", "--close"], &["--follow", "--close"]);
    let one = ["wait", &m, "--db", &db, "--timeout", "soon"];
    refused(&folder, &one, &["soon", "10m"]);
}

#[test]
fn flags_out_of_bounds() {
    let folder = Folder::with_rows(1);
    let (m, db) = (folder.arg("m.toml"), folder.arg("t.db"));
    for (flags, words) in [
        (["--hold-ms", "0"], ["--hold-ms is 0", "1 to 1000"]),
        (["--rows-per-second", "0"], ["--rows-per-second is 0", "--pause-file"]),
        (["--bytes-per-second", "fast"], ["\"fast\" is no size", "64MiB"]),
        (["--wal-bytes-max", "1MiB"], ["--wal-bytes-max", "4MiB"]),
        (["--stage", "101"], ["--stage is 101", "at most 100"]),
        (["--nodes-percent", "200"], ["\"200\" is no percentage", "0 to 100"]),
        (["--window", "1-2"], ["\"1-2\" is no window", "01:00-05:00"]),
        (["--records-per-transaction", "1001"], ["1 to 1000", "--lift-limits"]),
        (["--limits", "/nowhere/limits.toml"], ["/nowhere/limits.toml", "check the path"]),
        (["--user-triggers", "maybe"], ["maybe", "allow"]),
    ] {
        let mut args = vec!["run", m.as_str(), "--db", &db];
        args.extend(flags);
        refused(&folder, &args, &words);
    }
}

#[test]
fn queries_that_could_never_be_asked() {
    let folder = Folder::with_rows(1);
    let (m, db) = (folder.arg("m.toml"), folder.arg("t.db"));
    for (sql, words) in [
        ("SELECT nonsense FROM", ["--pause-when", "incomplete input"]),
        ("SELEKT 1", ["--pause-when", "near \"SELEKT\": syntax error"]),
        ("SELECT 1 FROM absent", ["--pause-when", "no such table: absent"]),
        ("DELETE FROM t", ["--pause-when", "gives no value"]),
        ("SELECT ?1", ["--pause-when", "?1"]),
        ("SELECT 1; SELECT 2", ["--pause-when", "one query"]),
        ("", ["--pause-when", "is no query"]),
    ] {
        refused(&folder, &["run", &m, "--db", &db, "--pause-when", sql], &words);
    }
    folder.write("limits.toml", "pause-when = \"SELEKT 1\"\n");
    let limits = folder.arg("limits.toml");
    refused(&folder, &["run", &m, "--db", &db, "--limits", &limits], &["--pause-when", "SELEKT"]);
}

#[test]
fn files_that_are_no_database() {
    let folder = Folder::with_rows(2000);
    let m = folder.arg("m.toml");
    let whole = fs::read(folder.path("t.db")).unwrap();
    folder.write("text.db", "x".repeat(5000));
    folder.write("empty.db", "");
    folder.write("half.db", &whole[..whole.len() / 2]);
    fs::create_dir(folder.path("folder.db")).unwrap();
    for (name, words) in [
        ("none.db", ["no such file", "--db"]),
        ("folder.db", ["not a file", "--db"]),
        ("text.db", ["not an SQLite database", "unencrypted"]),
        ("empty.db", ["not an SQLite database", "unencrypted"]),
        ("half.db", ["truncated", "restore the file"]),
    ] {
        let db = folder.arg(name);
        let before = fs::read(folder.path(name)).ok();
        for command in ["run", "status", "stop", "wait", "verify", "close", "rollback", "forget"] {
            refused(&folder, &[command, &m, "--db", &db], &[&db, words[0], words[1]]);
        }
        assert!(fs::read(folder.path(name)).ok() == before, "{name} was changed");
    }
}

#[test]
fn migrations_that_the_database_does_not_know() {
    let folder = Folder::with_rows(1);
    let db = folder.arg("t.db");
    for command in BY_ID.iter().chain(["run", "status"].iter()) {
        refused(&folder, &[command, "unheard", "--db", &db], &["unheard", &db, "dotfill status"]);
    }
    // The same by file, which is fine, and was never run.
    for command in BY_ID {
        let m = folder.arg("m.toml");
        refused(&folder, &[command, &m, "--db", &db], &["labels", &db]);
    }
    folder.run("run", &[]).expect(0);
    for command in BY_ID {
        call(&[command, "unheard", "--db", &db]).expect(2).says(&["unheard", "dotfill status"]);
    }
}

#[test]
fn malformed_migration_files() {
    let folder = Folder::with_rows(1);
    let (m, db) = (folder.arg("m.toml"), folder.arg("t.db"));
    let cases = [
        ("vaule = \"a\"\n", ":9", "unknown key \"vaule\""),
        ("value = \"b\"\n", ":9", "given twice"),
        ("where = 3\n", ":9", "\"where\" must be"),
    ];
    for (line, at, problem) in cases {
        folder.write("m.toml", format!("{MIGRATION}{line}"));
        for command in ["run", "status", "stop", "wait", "verify", "close", "rollback", "forget"] {
            refused(&folder, &[command, &m, "--db", &db], &[&format!("{m}{at}"), problem]);
        }
    }
    let nowhere = folder.arg("nowhere.toml");
    refused(&folder, &["run", &nowhere, "--db", &db], &[&nowhere, "no such migration file"]);
    let here = folder.arg("");
    refused(&folder, &["run", &here, "--db", &db], &["directory"]);
}

#[test]
fn migrations_that_do_not_fit_the_database() {
    let folder = Folder::with_rows(1);
    let (m, db) = (folder.arg("m.toml"), folder.arg("t.db"));
    for (from, to, at, word) in [
        ("\"t\"", "\"u\"", ":5", "u"),
        ("\"label\"", "\"id\"", ":6", "key"),
        ("'l-' || a", "'l-' || random()", ":8", "random"),
        ("'l-' || a", "missing", ":8", "missing"),
        ("'l-' || a", "(SELECT 1)", ":8", "subquer"),
    ] {
        folder.write("m.toml", MIGRATION.replace(from, to));
        refused(&folder, &["run", &m, "--db", &db], &[&format!("{m}{at}"), word]);
    }
}

#[test]
fn another_file_under_a_known_id() {
    let folder = Folder::with_rows(1);
    folder.run("run", &[]).expect(0);
    folder.write("m.toml", MIGRATION.replace("l-", "m-"));
    for command in ["run", "close", "rollback", "verify"] {
        let output = folder.run(command, &[]).expect(2);
        output.says(&["labels", "another file under that id"]);
    }
}
