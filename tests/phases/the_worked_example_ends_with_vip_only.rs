//! The example of the README: a removed tag that an old client sends again. The README's own text is
//! the script: its commands are run by a shell, its statements by an application, and what it shows has
//! to be what they print.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use rusqlite::types::Value;
use tempfile::TempDir;

use crate::common::{Replica, extension, merge, merge_both_ways};
use crate::scenario::{PROJECTS, REFUSAL, Scene, projects, remove, shown, tags};

const README: &str = include_str!("../../README.md");

/// A part of the script, and what it prints.
#[derive(Debug)]
struct Act {
    what: What,
    prints: Vec<String>,
}

#[derive(Debug)]
enum What {
    Shell(String),
    Statement { on: String, sql: String },
    Replication(String),
}

/// The script of the README: the block after the line that announces it.
fn script() -> Vec<Act> {
    let (_, rest) = README.split_once("An example, as it goes on three replicas").unwrap();
    let (_, block) = rest.split_once("```text\n").unwrap();
    let (block, _) = block.split_once("\n```").unwrap();
    let mut acts: Vec<Act> = Vec::new();
    for line in block.lines() {
        let what = if let Some(command) = line.strip_prefix("$ ") {
            What::Shell(command.to_owned())
        } else if let Some((on, sql)) = line.split_once(".db> ") {
            What::Statement { on: on.to_owned(), sql: sql.to_owned() }
        } else if let Some(said) = line.strip_prefix("-- ") {
            What::Replication(said.to_owned())
        } else {
            match acts.last_mut() {
                // A loop goes on to its end.
                Some(Act { what: What::Shell(command), prints })
                    if prints.is_empty() && is_open(command) =>
                {
                    command.extend(["\n", line]);
                }
                last => last.expect("something is done first").prints.push(line.to_owned()),
            }
            continue;
        };
        acts.push(Act { what, prints: Vec::new() });
    }
    acts
}

fn is_open(command: &str) -> bool {
    let words = |word: &str| command.split([' ', ';', '\n']).filter(|w| *w == word).count();
    words("do") > words("done")
}

/// Three replicas in one folder, as the README calls them.
struct Stage {
    replicas: BTreeMap<&'static str, Replica>,
    scene: Scene,
    folder: TempDir,
}

impl Stage {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let replica = |name: &'static str| {
            let replica = Replica::at(&folder.path().join(format!("{name}.db")));
            replica.execute_batch(PROJECTS).unwrap();
            replica.run("SELECT crsql_as_crr('projects')", []);
            (name, replica)
        };
        let replicas = BTreeMap::from(["a", "b", "late"].map(replica));
        let scene = Scene::new(&tags("reject"), &[&replicas["a"], &replicas["b"]]);
        symlink(&scene.migration, folder.path().join("tags.toml")).unwrap();
        symlink(&scene.fleet, folder.path().join("fleet")).unwrap();
        symlink(extension(), folder.path().join("crsqlite.so")).unwrap();
        symlink(env!("CARGO_BIN_EXE_dotfill"), folder.path().join("dotfill")).unwrap();
        Self { replicas, scene, folder }
    }

    fn play(&self, what: &What) -> Vec<String> {
        match what {
            What::Shell(command) => shell(self.folder.path(), command),
            What::Statement { on, sql } => statement(&self.replicas[on.as_str()], sql),
            What::Replication(said) => {
                self.replicate(said);
                Vec::new()
            }
        }
    }

    fn replicate(&self, said: &str) {
        let [a, b, late] = ["a", "b", "late"].map(|name| &self.replicas[name]);
        match said {
            "a.db and b.db have merged" => drop(merge_both_ways(a, b)),
            "a.db, b.db and late.db have merged" => {
                for (one, other) in [(a, b), (b, late), (a, late), (a, b)] {
                    merge_both_ways(one, other);
                }
            }
            "b.db has what late.db has sent" => {
                assert!(merge(late, b) > 0, "premise: the write is on its way");
            }
            other => panic!("the test does not know how {other:?}"),
        }
    }
}

fn shell(folder: &Path, command: &str) -> Vec<String> {
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-ec", command])
        .current_dir(folder)
        .env("PATH", path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {}\n{said}", output.status);
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

fn statement(replica: &Replica, sql: &str) -> Vec<String> {
    if !sql.starts_with("SELECT") {
        return match replica.try_run(sql, []) {
            Ok(_) => Vec::new(),
            Err(error) => vec![format!("Error: {}", words(&error))],
        };
    }
    let word = |value: Value| match value {
        Value::Text(text) => text,
        other => format!("{other:?}"),
    };
    let row = |row: Vec<Value>| row.into_iter().map(word).collect::<Vec<_>>().join("|");
    replica.rows(sql, []).into_iter().map(row).collect()
}

/// What `SQLite` says, as its shell shows it.
fn words(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    }
}

/// True where lines are as the script has them; `...` stands for any part of a line, or for any lines.
fn is_as_told(told: &[String], printed: &[String]) -> bool {
    match (told.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((told, rest)), _) if told == "..." => {
            (0..=printed.len()).any(|skipped| is_as_told(rest, &printed[skipped..]))
        }
        (Some((told, rest)), Some((line, more))) => fits(told, line) && is_as_told(rest, more),
        _ => false,
    }
}

fn fits(told: &str, line: &str) -> bool {
    let Some((head, tail)) = told.split_once("...") else { return told == line };
    line.len() >= head.len() + tail.len() && line.starts_with(head) && line.ends_with(tail)
}

#[test]
fn as_the_readme_tells_it() {
    let acts = script();
    assert!(acts.len() > 15, "premise: {acts:#?}");
    let stage = Stage::new();
    for act in &acts {
        let printed = stage.play(&act.what);
        assert!(
            is_as_told(&act.prints, &printed),
            "{:?}\nis told to print\n{}\nand prints\n{}",
            act.what,
            act.prints.join("\n"),
            printed.join("\n")
        );
    }
    for replica in stage.replicas.values() {
        assert_eq!(shown(replica, "P7"), ["vip"]);
        replica.assert_sound();
    }
    // The rejected write is in quarantine where it arrived, for a machine to read, too.
    let listed = stage.scene.quarantine(&stage.replicas["b"]);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0].0, "removed-element");
    assert_eq!(listed[0].1["removed"], serde_json::json!(["urgent"]));
    assert_eq!(listed[0].1["known"], serde_json::json!(["vip"]));
}

#[test]
fn all_three_show_vip_only_whoever_meets_first() {
    let orders = [[(0, 1), (1, 2), (0, 2)], [(2, 0), (2, 1), (0, 1)], [(1, 2), (0, 1), (2, 0)]];
    for order in orders {
        let replicas = [projects(), projects(), projects()];
        let [a, b, late] = &replicas;
        let scene = Scene::new(&tags("reject"), &[a, b]);
        a.run("INSERT INTO projects VALUES ('P7', 'seven', '[\"urgent\",\"vip\"]')", []);
        merge_both_ways(a, b);
        merge_both_ways(a, late);
        scene.close_epoch(&[a, b]);
        remove(a, "P7", "urgent");
        late.run("UPDATE projects SET tags = '[\"urgent\"]' WHERE id = 'P7'", []);
        late.run("UPDATE projects SET tags = '[\"urgent\",\"vip\"]' WHERE id = 'P7'", []);
        scene.run(late);
        for _ in 0..2 {
            for (one, other) in order {
                merge_both_ways(&replicas[one], &replicas[other]);
            }
            for replica in &replicas {
                scene.run(replica);
            }
        }
        for replica in &replicas {
            assert_eq!(shown(replica, "P7"), ["vip"], "{order:?}");
            replica.assert_sound();
        }
        for replica in [a, b] {
            let reasons: Vec<String> = scene.quarantine(replica).into_iter().map(|r| r.0).collect();
            assert_eq!(reasons, ["removed-element"], "{order:?}");
            let status = scene.command("status", replica, &[]).json;
            assert_eq!(status[0]["old_writes"][0]["outcome"], "rejected", "{status}");
            assert_eq!(status[0]["pending_writes"], 0, "{status}");
            let write = "UPDATE projects SET tags = '[\"vip\",\"urgent\"]' WHERE id = 'P7'";
            let error = replica.try_run(write, []).expect_err("the epoch is closed").to_string();
            assert!(error.contains(REFUSAL), "{error}");
        }
    }
}
