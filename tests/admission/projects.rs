//! A database with a table of projects and a migration of their tags, in whatever mode.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use dotfill::admit::{Admission, AdmitLimits, Admitted, Operation};
use dotfill::migration::Migration;
use dotfill::monitor::Quiet;
use dotfill::state::{self, MigrationRow, Mode, ModeRow, Phase};
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

pub const DOT: &str = "000102030405060708090a0b0c0d0e0f";

/// The migration file, with a policy for late writes.
pub fn migration(old_writes: &str) -> String {
    format!(
        "id = \"tags-to-or-set\"\nepoch = \"tags-v2\"\nminimum_client = \"4.8.0\"\n\n[[change]]\n\
         kind = \"or_set\"\ntable = \"projects\"\nsource = \"tags\"\nformat = \"json\"\n\
         adds = \"project_tag_adds\"\nremoves = \"project_tag_removes\"\n\
         view = \"project_tags_visible\"\nold_writes = \"{old_writes}\"\n"
    )
}

/// The database, in a folder of its own.
pub struct Projects {
    pub folder: TempDir,
}

impl Projects {
    /// With project P7, and the migration in a mode.
    pub fn new(mode: Mode, old_writes: &str) -> Self {
        let projects = Self { folder: TempDir::new().unwrap() };
        let conn = projects.conn();
        conn.pragma_update(None, "journal_mode", "WAL").unwrap();
        conn.execute_batch(
            "CREATE TABLE projects (id TEXT NOT NULL PRIMARY KEY, tags TEXT) WITHOUT ROWID;
             INSERT INTO projects VALUES ('P7', '[\"urgent\",\"vip\"]');",
        )
        .unwrap();
        state::create(&conn).unwrap();
        let text = migration(old_writes);
        let parsed = Migration::parse(&text, Path::new("m.toml")).unwrap();
        let id = parsed.id.as_str();
        MigrationRow::insert(&conn, id, &parsed.digest, &text, Phase::Open).unwrap();
        projects.set_mode(mode);
        projects
    }

    pub fn set_mode(&self, mode: Mode) {
        ModeRow { mode, cohort_percent: 0 }.save(&self.conn(), "tags-to-or-set").unwrap();
    }

    pub fn conn(&self) -> Connection {
        let conn = Connection::open(self.folder.path().join("p.db")).unwrap();
        conn.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
        conn
    }

    pub fn db(&self) -> String {
        self.arg("p.db")
    }

    pub fn arg(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn number(&self, sql: &str) -> i64 {
        self.conn().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    pub fn admission(&self) -> Admission<'static> {
        self.limited(AdmitLimits::default())
    }

    pub fn limited(&self, limits: AdmitLimits) -> Admission<'static> {
        Admission::open(self.db().as_ref(), limits, &Quiet).unwrap()
    }

    /// `dotfill admit` on these lines.
    pub fn admit(&self, lines: &str) -> Answers {
        std::fs::write(self.folder.path().join("ops"), lines).unwrap();
        self.call(&["admit", "--db", &self.db(), "--ops", &self.arg("ops")], "")
    }

    /// The binary, with something on standard input.
    pub fn call(&self, args: &[&str], input: &str) -> Answers {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dotfill"))
            .args(args)
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        // One that has ended without reading is judged by what it said.
        let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Answers {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// What a command left behind.
#[derive(Debug)]
pub struct Answers {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Answers {
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in {self:#?}");
        }
        self
    }

    /// The JSON lines of standard output.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.stdout.lines().map(parse).collect()
    }

    /// Line or `-`, id, and decision of each line.
    #[track_caller]
    pub fn brief(&self) -> Vec<String> {
        let lines = self.lines();
        lines.iter().map(|line| format!("{} {}", line["line"], brief(line))).collect()
    }
}

/// Id and decision, and the word that says why.
pub fn brief(line: &Value) -> String {
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let why = match line["decision"].as_str() {
        Some("apply") => text("form"),
        Some("translate") => line["operations"].as_array().unwrap().len().to_string(),
        Some("buffer") => {
            let names = |one: &Value| one.as_object().unwrap().keys().next().unwrap().clone();
            line["missing"].as_array().unwrap().iter().map(names).collect::<Vec<_>>().join(" ")
        }
        Some("reject") => text("reason"),
        _ => text("error"),
    };
    format!("{} {} {why}", text("op_id"), text("decision"))
}

/// Id and decision of each.
pub fn briefs(admitted: &[Admitted]) -> Vec<String> {
    let line = |one: &Admitted| {
        let mut value = one.decision.clone();
        value["op_id"] = json!(one.op_id);
        brief(&value)
    };
    admitted.iter().map(line).collect()
}

/// An operation on P7, with members put over the usual ones.
pub fn json_of(op_id: &str, kind: &str, version: u32, effect: Value, more: Value) -> Value {
    let mut value = json!({
        "op_id": op_id, "object": {"table": "projects", "key": ["P7"]},
        "kind": kind, "schema_version": version, "effect": effect,
    });
    for (key, member) in more.as_object().into_iter().flatten() {
        value[key] = member.clone();
    }
    value
}

/// `tags.add` of the old form.
pub fn old_add(op_id: &str, element: &str) -> Operation {
    old_add_with(op_id, element, json!({}))
}

pub fn old_add_with(op_id: &str, element: &str, more: Value) -> Operation {
    let value = json_of(op_id, "tags.add", 1, json!({"element": element}), more);
    Operation::from_json(value).unwrap()
}

/// `tags.add` of the new form.
pub fn new_add(op_id: &str, more: Value) -> Operation {
    let effect = json!({"element": "new", "dot": DOT});
    Operation::from_json(json_of(op_id, "tags.add", 2, effect, more)).unwrap()
}

/// JSON lines.
pub fn lines(operations: &[Operation]) -> String {
    operations.iter().map(|one| format!("{}\n", one.to_json())).collect()
}
