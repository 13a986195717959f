//! Sets through the binary alone, as an operator calls it: every old form from `run` to `forget`, a
//! follower, the SQL of `schema` on the real extension, a fleet's whole way with text output, and
//! operations admitted over a database that was really migrated.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{
    Output, PlainDb, Replica, dotfill, eventually, extension, follow, migration_file, plain_db,
};
use crate::scenario::{PROJECTS, projects, shown, site, tags};

/// The migration file of an old form.
fn toml(source: &str) -> String {
    format!(
        "id = \"m\"\n[[change]]\nkind = \"or_set\"\ntable = \"projects\"\n{source}\n\
         adds = \"adds\"\nremoves = \"removes\"\nview = \"visible\"\n"
    )
}

fn visible(db: &PlainDb) -> Vec<String> {
    db.texts("SELECT id || element FROM visible ORDER BY 1").into_iter().flatten().collect()
}

#[test]
fn every_old_form_from_run_to_forget() {
    let child = "source_table = \"old\"\nelement = \"tag\"\nsource_key = [\"project\"]";
    for (source, rows) in [
        ("source = \"tags\"\nformat = \"json\"", "UPDATE projects SET tags = '[\"a\",\"b\"]'"),
        ("source = \"tags\"\nformat = \"csv\"", "UPDATE projects SET tags = ' a,b, '"),
        (
            "source = \"tags\"\nformat = \"lines\"",
            "UPDATE projects SET tags = 'a' || char(10) || 'b'",
        ),
        (
            child,
            "INSERT INTO old SELECT id, 'a' FROM projects; INSERT INTO old SELECT id, 'b' FROM projects",
        ),
    ] {
        let db = plain_db(&format!(
            "{PROJECTS}; CREATE TABLE old (project TEXT, tag TEXT, PRIMARY KEY (project, tag));
             INSERT INTO projects (id) VALUES ('1'), ('2'); {rows};"
        ));
        let file = migration_file(db.folder(), &toml(source));
        let command = |args: &[&str]| {
            let (verb, more) = args.split_first().unwrap();
            let mut all = vec![*verb, &file, "--db", db.db(), "--json"];
            all.extend(more);
            dotfill(&all)
        };
        let report = command(&["run"]).expect_complete();
        assert_eq!(report.counter("rows_written"), 4, "{source}");
        assert_eq!(visible(&db), ["1a", "1b", "2a", "2b"]);
        assert_eq!(command(&["verify"]).expect_code(0).json["verdict"], "equal");
        let digest = command(&["digest"]).expect_code(0).json["digest"].clone();
        command(&["wait"]).expect_code(0);
        let again = command(&["run", "--close"]).expect_complete();
        assert_eq!(again.counter("rows_written"), 0);
        assert_eq!((&again.json["phase"], &again.json["digest"]), (&json!("closed"), &digest));
        command(&["run", "--close"]).expect_complete();
        command(&["run"]).expect_code(2).expect_words(&["it is closed here"]);
        dotfill(&["doctor", "--db", db.db()]).expect_code(0);
        command(&["forget"]).expect_complete();
        assert_eq!(visible(&db), ["1a", "1b", "2a", "2b"]);
        let ours = "SELECT name FROM sqlite_schema WHERE name LIKE '%dotfill%'";
        assert_eq!(db.texts(ours), Vec::<Option<String>>::new());
    }
}

#[test]
fn a_follower_translates_what_others_write() {
    let db = plain_db(&format!("{PROJECTS}; INSERT INTO projects VALUES ('1', 'n', '[\"a\"]')"));
    let file = migration_file(db.folder(), &toml("source = \"tags\"\nformat = \"json\""));
    let mut following = follow(&file, db.db());
    let adds = || db.texts("SELECT id || element FROM adds ORDER BY 1");
    let has = |name: &str| {
        let sql = "SELECT name FROM sqlite_schema WHERE name = 'adds'";
        !db.texts(sql).is_empty() && adds().contains(&Some(name.to_owned()))
    };
    eventually("the first is translated", || has("1a"));
    db.execute_batch("INSERT INTO projects VALUES ('2', 'n', '[\"b\"]')").unwrap();
    eventually("the second is translated", || has("2b"));
    db.execute_batch("UPDATE projects SET tags = '[\"c\"]' WHERE id = '1'").unwrap();
    eventually("a change is translated", || has("1c") && !has("1a"));
    assert!(following.is_alive());
    following.interrupt().expect_code(4);
    assert_eq!(dotfill(&["run", &file, "--db", db.db(), "--json"]).counter("rows_written"), 0);
}

#[test]
fn what_schema_prints_is_taken_by_the_extension() {
    let child =
        "CREATE TABLE old (project TEXT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (project, tag))";
    for (schema, tables, source) in [
        (PROJECTS.to_owned(), &["projects"][..], "source = \"tags\"\nformat = \"json\""),
        (
            format!("{PROJECTS}; {child}"),
            &["projects", "old"],
            "source_table = \"old\"\nelement = \"tag\"\nsource_key = [\"project\"]",
        ),
    ] {
        let replica = Replica::with_tables(&schema, tables);
        replica.run("INSERT INTO projects VALUES ('1', 'n', '[\"a\"]')", []);
        if tables.len() > 1 {
            replica.run("INSERT INTO old VALUES ('1', 'a')", []);
        }
        let folder = TempDir::new().unwrap();
        let file = migration_file(folder.path(), &toml(source));
        let run = ["run", &file, "--db", replica.db(), "--json"];
        dotfill(&run).expect_code(2).expect_words(&["dotfill schema", "--crsqlite"]);
        let printed = dotfill(&["schema", &file, "--db", replica.db()]).expect_code(0).stdout;
        replica.execute_batch(&printed).unwrap();
        // What the comments say, for cr-sqlite without an agent.
        let calls: Vec<&str> = printed
            .lines()
            .filter_map(|line| Some(&line[line.find("SELECT crsql_as_crr")?..]))
            .collect();
        assert_eq!(calls.len(), 2, "{printed}");
        for call in calls {
            replica.run(call.trim_end_matches(';'), []);
        }
        dotfill(&run).expect_complete();
        assert_eq!(replica.count("SELECT count(*) FROM visible"), 1);
        let again = dotfill(&["schema", &file, "--db", replica.db()]).expect_code(0).stdout;
        assert_eq!(again.matches("-- is there already").count(), 2, "{again}");
        replica.assert_sound();
    }
}

/// One replica, its migration file and its fleet, called without `--json`.
struct Life {
    replica: Replica,
    folder: TempDir,
    file: String,
    fleet: String,
}

impl Life {
    fn new(policy: &str) -> Self {
        let replica = projects();
        for i in 1..=40 {
            replica.run("INSERT INTO projects VALUES ('P' || ?1, 'n', '[\"a\",\"b\"]')", [i]);
        }
        let folder = TempDir::new().unwrap();
        let file = migration_file(folder.path(), &tags(policy));
        let fleet = folder.path().join("fleet");
        fs::create_dir(&fleet).unwrap();
        let list = format!("[[replica]]\nid = \"{}\"\nname = \"edge-3\"\n", site(&replica));
        fs::write(fleet.join("fleet.toml"), list).unwrap();
        let fleet = fleet.into_os_string().into_string().unwrap();
        let life = Self { replica, folder, file, fleet };
        let extension = extension().display().to_string();
        life.says(
            "run",
            &["--crsqlite", &extension],
            0,
            &["done and proven, open", "dotfill advance"],
        );
        life
    }

    fn call(&self, verb: &str, more: &[&str]) -> Output {
        let mut args = vec![verb, &self.file, "--db", self.replica.db()];
        args.extend(more);
        dotfill(&args)
    }

    #[track_caller]
    fn says(&self, verb: &str, more: &[&str], code: i32, words: &[&str]) {
        let output = self.call(verb, more).expect_code(code);
        for word in words {
            assert!(output.stdout.contains(word), "no {word:?} in:\n{}", output.stdout);
        }
    }

    #[track_caller]
    fn advance(&self, to: &str, more: &[&str], code: i32, words: &[&str]) {
        let mut args = vec!["--fleet", self.fleet.as_str(), "--to", to];
        args.extend(more);
        self.says("advance", &args, code, words);
    }

    #[track_caller]
    fn ack(&self, more: &[&str], words: &[&str]) {
        let mut args = vec!["--fleet", self.fleet.as_str()];
        args.extend(more);
        self.says("ack", &args, 0, words);
    }

    #[track_caller]
    fn quarantine(&self, args: &[&str], code: i32) -> Output {
        let mut all = vec!["quarantine", args[0], "--db", self.replica.db()];
        all.extend(&args[1..]);
        dotfill(&all).expect_code(code)
    }

    /// A write of an old client that arrives by replication.
    fn arrives(&self, id: &str, text: &str) {
        let table = projects();
        table.run("INSERT INTO projects VALUES (?1, 'n', '[]')", [id]);
        // Later than whatever stands here.
        for i in 0..8 {
            let text = if i < 7 { "[]".to_owned() + &" ".repeat(i) } else { text.to_owned() };
            table.run("UPDATE projects SET tags = ?2 WHERE id = ?1", [id, &text]);
        }
        crate::common::merge(&table, &self.replica);
    }
}

#[test]
fn a_whole_way_with_every_word() {
    let life = Life::new("quarantine");
    to_a_closed_epoch(&life);
    what_arrives(&life);
    the_end(&life);
}

/// Through the gates, with what each says where it does not hold, and one share that is opened again.
fn to_a_closed_epoch(life: &Life) {
    life.advance(
        "read-new-write-old",
        &[],
        6,
        &["FAIL", "(edge-3) has not acknowledged", "dotfill ack"],
    );
    life.ack(&[], &["acknowledges read-old-write-old", "not said"]);
    life.advance("read-new-write-new", &[], 2, &[]);
    life.advance(
        "read-new-write-old",
        &[],
        0,
        &["ok    views-agree", "read-old-write-old -> read-new-write-old"],
    );
    life.ack(&[], &["read-new-write-old"]);
    life.advance("read-new-write-both", &[], 0, &["-> read-new-write-both"]);
    life.ack(&[], &[]);
    life.advance("read-new-write-new", &["--percent", "25"], 6, &["does not say which client"]);
    life.ack(&["--oldest-client", "4.7"], &[]);
    life.advance("read-new-write-new", &["--percent", "25"], 6, &["clients at 4.7, below 4.8.0"]);
    life.ack(&["--oldest-client", "4.8"], &[]);
    life.advance(
        "read-new-write-new",
        &["--percent", "25"],
        0,
        &["the epoch of 25 % of the objects is closed", "--snapshot FILE"],
    );
    let joined = life.replica.count("SELECT count(*) FROM _dotfill_cohort_1");
    assert!((1..40).contains(&joined), "{joined} of 40 objects");
    life.says("status", &[], 0, &["read-new-write-both (25 % closed)"]);
    life.says(
        "rollback",
        &["--to", "read-new-write-both"],
        0,
        &["removes-expressed", "triggers that stay"],
    );
    assert_eq!(
        dotfill(&["status", "--db", life.replica.db(), "--json"]).json[0]["cohort_percent"],
        0
    );
    life.ack(&["--oldest-client", "4.8"], &[]);
    life.advance("read-new-write-new", &[], 0, &["-> read-new-write-new", "--snapshot FILE"]);
    let snapshot = life.folder.path().join("new.jsonl");
    life.says(
        "export",
        &["--snapshot", snapshot.to_str().unwrap()],
        0,
        &["80 visible, by 80 dots"],
    );
}

/// What arrives waits, is listed, exported, replayed and dropped.
fn what_arrives(life: &Life) {
    life.arrives("P1", "[\"a\",\"b\",\"c\"]");
    life.arrives("P2", "[\"d\"]");
    life.arrives("P3", "[\"e\"]");
    life.says("run", &[], 0, &[]);
    life.says("status", &[], 0, &["3 in quarantine", "3 old writes quarantined (new-element)"]);
    let list = life.quarantine(&["list"], 0).stdout;
    for word in [
        "1  ",
        "new-element (waiting)",
        "\"P1\"",
        "new     [\"c\"]",
        "known   [\"a\",\"b\"]",
        "quarantine replay",
        "--snapshot FILE",
    ] {
        assert!(list.contains(word), "no {word:?} in {list}");
    }
    let exported = life.quarantine(&["export"], 0).stdout;
    let rows: Vec<Value> = exported.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0]["detail"]["new"], json!(["c"]), "{exported}");
    assert!(life.quarantine(&["replay", "1"], 0).stderr.contains("1 replayed"));
    assert!(life.quarantine(&["drop", "2"], 0).stderr.contains("1 dropped"));
    assert!(life.quarantine(&["drop", "2", "99"], 1).stderr.contains("2 not"));
    assert_eq!(shown(&life.replica, "P1"), ["a", "b", "c"]);
    assert_eq!(shown(&life.replica, "P2"), ["a", "b"]);
    // The rows are proven while one write is held, also where they are counted again.
    life.says("wait", &[], 0, &["as recorded", "1 old writes are pending or in quarantine"]);
    life.says("wait", &["--recheck"], 0, &["counted again now", "1 old writes are pending or in"]);
    life.replica.execute_batch("CREATE INDEX by_name ON projects(name)").unwrap();
    life.says("wait", &[], 0, &["counted again now"]);
    life.says("verify", &[], 1, &["inconclusive"]);
    life.says("rollback", &["--to", "read-new-write-old"], 6, &["nothing-undecided", "blocked"]);
    life.quarantine(&["drop", "--all"], 0);
    life.says("verify", &[], 0, &["equal"]);
}

fn the_end(life: &Life) {
    let ready = [
        "--oldest-client",
        "4.8",
        "--writers-on-new-form",
        "--old-clients-blocked",
        "--repair-tools-moved",
        "--snapshots-moved",
        "--dashboards-moved",
    ];
    life.advance("compact-old", &["--no-export"], 6, &["does not state --writers-on-new-form"]);
    life.ack(&ready, &[]);
    life.advance("compact-old", &[], 2, &[]);
    let kept = life.folder.path().join("kept.jsonl");
    life.advance("compact-old", &["--export", kept.to_str().unwrap()], 0, &["40 kept in"]);
    life.says("close", &[], 0, &["stays  _dotfill_kept_tags-or-set_0_insert", "dotfill forget"]);
    life.says(
        "forget",
        &[],
        0,
        &["old writes are refused as before", "DROP TRIGGER \"_dotfill_kept"],
    );
    assert_eq!(shown(&life.replica, "P1"), ["a", "b", "c"]);
}

/// Feeds operations to `dotfill admit`; its lines.
fn admit(life: &Life, operations: &[Value]) -> Vec<Value> {
    let lines: String = operations.iter().map(|op| format!("{op}\n")).collect();
    let path = life.folder.path().join("ops.jsonl");
    fs::write(&path, lines).unwrap();
    let args = ["admit", "--db", life.replica.db(), "--ops", path.to_str().unwrap()];
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dotfill"));
    let output = command.args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn operation(op_id: &str, kind: &str, version: u32, effect: &Value) -> Value {
    json!({
        "op_id": op_id, "object": {"table": "projects", "key": ["P7"]}, "kind": kind,
        "schema_version": version, "effect": effect,
    })
}

#[test]
fn operations_are_admitted_over_a_database_that_was_migrated() {
    let life = Life::new("translate");
    let old = |id: &str, element: &str| operation(id, "tags.add", 1, &json!({"element": element}));
    let dot = "000102030405060708090a0b0c0d0e0f";
    let new = operation("n1", "tags.add", 2, &json!({"element": "new", "dot": dot}));
    let answers = admit(&life, &[old("o1", "x"), new.clone()]);
    assert_eq!((&answers[0]["decision"], &answers[0]["form"]), (&json!("apply"), &json!("old")));
    assert_eq!(answers[1]["decision"], "buffer", "{answers:#?}");
    for mode in ["read-new-write-old", "read-new-write-both", "read-new-write-new"] {
        life.ack(&["--oldest-client", "4.8.0"], &[]);
        life.advance(mode, &[], 0, &[]);
    }
    let answers = admit(&life, &[old("o2", "urgent"), old("o3", "a"), old("o1", "x")]);
    let by = |id: &str| answers.iter().find(|answer| answer["op_id"] == id).unwrap();
    assert_eq!((&by("n1")["decision"], &by("n1")["readmitted"]), (&json!("apply"), &json!(true)));
    assert_eq!(by("o1")["decision"], "apply", "decided before, and decided the same");
    // Translations have the dots of the migration: applying them is what dotfill itself would do.
    let known: Vec<u8> = life
        .replica
        .value("SELECT dot FROM project_tag_adds WHERE id = 'P7' AND element = 'a'", []);
    let known: String = known.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(by("o3")["operations"][0]["effect"]["dot"], json!(known));
    for id in ["o2", "o3"] {
        let effect = &by(id)["operations"][0]["effect"];
        let (element, dot) = (effect["element"].as_str().unwrap(), effect["dot"].as_str().unwrap());
        life.replica.run(
            "INSERT OR IGNORE INTO project_tag_adds VALUES ('P7', ?1, unhex(?2))",
            [element, dot],
        );
    }
    assert_eq!(shown(&life.replica, "P7"), ["a", "b", "urgent"]);
    // The same fact by replication adds nothing beside what was applied.
    life.arrives("P7", "[\"a\",\"b\",\"urgent\"]");
    life.says("run", &[], 0, &[]);
    assert_eq!(life.replica.count("SELECT count(*) FROM project_tag_adds WHERE id = 'P7'"), 3);
    life.says("verify", &[], 0, &["equal"]);
}
