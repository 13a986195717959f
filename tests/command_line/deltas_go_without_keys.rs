//! `digest --keys`, `export --keys-of`, `apply`: as they are typed, and as the report of an apply says
//! that they are to be typed.

use std::fs;
use std::process::{Command, Stdio};

use crate::tool::{Folder, Output, call};

/// `t.db`, filled, and `new.db` with the same rows, which does not know the migration.
fn replicas(rows: u32) -> Folder {
    let folder = Folder::with_rows(rows);
    folder.conn().execute("VACUUM INTO ?1", [folder.arg("new.db")]).unwrap();
    folder.run("run", &[]).expect(0);
    folder
}

/// The commands in a shell, in the folder, with dotfill in the path.
fn shell(folder: &Folder, commands: &str) -> Output {
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_dotfill"));
    let path = format!("{}:/usr/bin:/bin", binary.parent().unwrap().display());
    let output = Command::new("sh")
        .args(["-e", "-c", commands])
        .current_dir(folder.path(""))
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Output::new(&output)
}

fn missing(folder: &Folder) -> i64 {
    let new = rusqlite::Connection::open(folder.path("new.db")).unwrap();
    let sql = "SELECT count(*) FROM t WHERE label IS NOT 'l-' || a AND a IS NOT NULL";
    new.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn new(folder: &Folder, sql: &str) {
    rusqlite::Connection::open(folder.path("new.db")).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn a_replica_that_knows_nothing_yet_says_its_keys() {
    let folder = replicas(5000);
    let (migration, db) = (folder.arg("m.toml"), folder.arg("new.db"));
    let output = call(&["digest", &migration, "--db", &db, "--keys"]).expect(0);
    assert!(output.stdout.len() <= 16 << 10, "{} bytes", output.stdout.len());
    let same = folder.run("digest", &["--keys", "--json"]).expect(0);
    assert_eq!(output.stdout, same.stdout, "replicas with the same keys print the same");
    let keys = output.json();
    assert_eq!((&keys["kind"], &keys["tables"][0]["rows"]), (&"keys".into(), &5000.into()));
    folder.write("keys.json", &output.stdout);
    let (keys, deltas) = (folder.arg("keys.json"), folder.arg("deltas"));
    let output = folder.run("export", &["--keys-of", &keys, "--deltas", &deltas]).expect(0);
    let all = "5,000 exported; 5,000 without their keys, which the other replica has";
    assert!(output.stdout.contains(all), "{output:#?}");
    let output = call(&["apply", &deltas, "--db", &db]).expect(0);
    assert!(output.stdout.contains("5,000 of 5,000 written"), "{output:#?}");
    assert_eq!(missing(&folder), 0);
}

#[test]
fn three_commands_in_a_pipe() {
    let folder = replicas(3000);
    new(&folder, "DELETE FROM t WHERE id = 1500");
    let pipe = "dotfill digest m.toml --db new.db --keys \
        | dotfill export labels --db t.db --keys-of - --deltas - 2>export.txt \
        | dotfill apply - --db new.db";
    let output = shell(&folder, pipe).expect(0);
    assert!(output.stdout.contains("2,999 of 3,000 written; 1 not here yet"), "{output:#?}");
    let said = fs::read_to_string(folder.path("export.txt")).unwrap();
    assert!(said.contains("without their keys"), "{said}");
    assert_eq!(missing(&folder), 0);
}

/// What the report says is to be done is done, word for word.
#[test]
fn what_the_report_names_brings_what_is_missing() {
    let folder = replicas(3000);
    new(&folder, "INSERT INTO t (id, a) VALUES (-5, NULL)");
    let begin = "dotfill digest m.toml --db new.db --keys > keys.json
        dotfill export labels --db t.db --keys-of keys.json --deltas 'some deltas'";
    shell(&folder, begin).expect(0);
    new(&folder, "DELETE FROM t WHERE id = 1500");
    let output = shell(&folder, "dotfill apply 'some deltas' --db new.db").expect(1);
    for word in ["NOT complete: 1 range with", "table t, from [", "NOT written", "SENDER"] {
        assert!(output.stdout.contains(word), "no {word:?} in {output:#?}");
    }
    assert!(missing(&folder) > 1000);
    let status = call(&["status", "--db", &folder.arg("new.db"), "--json"]).json();
    assert_eq!(status[0]["phase"], "applying");
    let commands: Vec<String> = output
        .stdout
        .lines()
        .filter_map(|line| line.split_once("  dotfill ").map(|(_, command)| command.to_owned()))
        .map(|command| format!("dotfill {}", command.replace("SENDER", "t.db")))
        .collect();
    assert_eq!(commands.len(), 3, "{output:#?}");
    let output = shell(&folder, &commands.join("\n")).expect(0);
    assert!(output.stdout.contains("applied and found in the data"), "{output:#?}");
    assert_eq!(missing(&folder), 0);

    let json = shell(&folder, "dotfill apply 'some deltas' --db new.db --json").expect(1).json();
    assert_eq!((&json["outcome"], &json["ranges_unlike"]), (&"failed".into(), &1.into()));
    assert_eq!(json["remedy"].as_array().unwrap().len(), 3);
}

#[test]
fn what_is_no_key_digest_is_refused() {
    let folder = replicas(100);
    let digest = folder.run("digest", &[]).expect(0);
    folder.write("digest.json", &digest.stdout);
    let deltas = folder.arg("deltas");
    for (name, word) in [("digest.json", "kind"), ("m.toml", "expected"), ("none", "No such file")]
    {
        let name = folder.arg(name);
        let output = folder.run("export", &["--keys-of", &name, "--deltas", &deltas]).expect(2);
        output.says(&["--keys-of", word, "dotfill digest MIGRATION --db FILE --keys"]);
        assert!(!folder.path("deltas").exists());
    }
    let keys = folder.run("digest", &["--keys"]).expect(0);
    folder.write("keys.json", &keys.stdout);
    let against = folder.arg("keys.json");
    folder.run("verify", &["--against", &against]).expect(2).says(&["key digest", "--keys-of"]);
    let both = ["--keys-of", &against, "--only", &against, "--deltas", &deltas];
    folder.run("export", &both).expect(2);
}
