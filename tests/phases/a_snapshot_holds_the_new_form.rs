//! `export --snapshot`: a client that begins from it has what the replica shows, and nothing else.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use dotfill::engine::{self, SnapshotTo};
use dotfill::monitor::Quiet;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::common::{Replica, dotfill, merge_both_ways, plain_db};
use crate::plain::Plain;
use crate::scenario::{PROJECTS, Scene, add, projects, remove, site, tags};

const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 1500)
    INSERT INTO projects SELECT 'P' || i, 'n', '[\"a\",\"b\"]' FROM i;";

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a client has that begins from the lines: object and element of what is visible.
fn resync(text: &str) -> BTreeSet<(String, String)> {
    let client = Connection::open_in_memory().unwrap();
    client
        .execute_batch("CREATE TABLE adds (id, element, dot); CREATE TABLE removes (dot)")
        .unwrap();
    for line in lines(text) {
        for one in line["elements"].as_array().into_iter().flatten() {
            for dot in one["dots"].as_array().unwrap() {
                let row = [&line["key"][0], &one["element"], dot].map(|v| v.as_str().unwrap());
                client.execute("INSERT INTO adds VALUES (?1, ?2, ?3)", row).unwrap();
            }
        }
        for dot in line["dots"].as_array().into_iter().flatten() {
            client.execute("INSERT INTO removes VALUES (?1)", [dot.as_str().unwrap()]).unwrap();
        }
    }
    let sql = "SELECT DISTINCT id, element FROM adds WHERE dot NOT IN (SELECT dot FROM removes)";
    pairs(&client, sql)
}

fn pairs(conn: &Connection, sql: &str) -> BTreeSet<(String, String)> {
    let mut statement = conn.prepare(sql).unwrap();
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
}

/// The last line says what the others are.
#[track_caller]
fn assert_whole(text: &str) {
    let body = &text[..=text.trim_end().rfind('\n').unwrap()];
    let end = lines(text).pop().unwrap();
    assert_eq!(end["digest"], blake3::hash(body.as_bytes()).to_hex().to_string(), "{end}");
    let all = lines(body);
    let objects = all.iter().filter(|line| line.get("elements").is_some()).count();
    assert_eq!(end["objects"], objects);
    let removes: usize = all.iter().filter_map(|line| line["dots"].as_array().map(Vec::len)).sum();
    assert_eq!(end["removes"], removes);
}

fn everything(replica: &Replica) -> BTreeSet<(String, String)> {
    pairs(replica, "SELECT id, element FROM project_tags_visible")
}

#[test]
fn replicas_that_hold_the_same_write_the_same() {
    let (a, b) = (projects(), projects());
    a.execute_batch(ROWS).unwrap();
    b.run("UPDATE projects SET name = 'b' WHERE id = 'P0'", []);
    merge_both_ways(&a, &b);
    let scene = Scene::new(&tags("reject"), &[&a, &b]);
    scene.close_epoch(&[&a, &b]);
    remove(&a, "P1", "a");
    remove(&a, "P2", "a");
    remove(&a, "P2", "b");
    add(&b, "P3", "a");
    add(&b, "P3", "c");
    merge_both_ways(&a, &b);
    let file = scene.folder().join("new.jsonl");
    std::fs::write(&file, "of yesterday").unwrap();
    let mut bodies = Vec::new();
    for replica in [&a, &b] {
        let output = scene.command("export", replica, &["--snapshot", file.to_str().unwrap()]);
        let report = output.expect_complete().json;
        let text = std::fs::read_to_string(&file).unwrap();
        assert_whole(&text);
        assert_eq!(resync(&text), everything(replica));
        let all = lines(&text);
        let head = &all[0];
        assert_eq!(head["format"], "dotfill-snapshot");
        assert_eq!(head["migration"], "tags-or-set");
        assert_eq!(
            (&head["epoch"], &head["mode"]),
            (&json!("tags-v2"), &json!("read-new-write-new"))
        );
        assert_eq!(head["replica"], site(replica));
        assert_eq!(head["sets"][0]["key"], json!(["id"]));
        let seen = "SELECT max(db_version) FROM crsql_changes WHERE site_id = ?1";
        for other in [&a, &b] {
            let most: i64 = replica.value(seen, [other.site_id()]);
            assert_eq!(head["versions"][site(other)], most, "{head}");
        }
        assert_eq!(report["objects"], 1500);
        assert_eq!(
            (&report["elements"], &report["dots"]),
            (&json!(2998), &json!(2999)),
            "{report}"
        );
        assert_eq!(all.last().unwrap()["digest"], report["digest"]);
        bodies.push(text.split_once('\n').unwrap().1.rsplit_once("\n{").unwrap().0.to_owned());
    }
    assert_eq!(bodies[0], bodies[1]);
    let left = std::fs::read_dir(scene.folder()).unwrap().flatten();
    let left: Vec<_> = left.filter(|f| f.file_name().to_string_lossy().contains(".tmp")).collect();
    assert!(left.is_empty(), "{left:?}");

    // The stream is the lines alone; the report goes to standard error.
    let stream = dotfill(&["export", "tags-or-set", "--db", a.db(), "--snapshot", "-", "--json"]);
    let stream = stream.expect_code(0);
    assert_whole(&stream.stdout);
    assert!(
        stream.stderr.contains("\"objects\": 1500") || stream.stderr.contains("\"objects\":1500")
    );
}

/// Moves a tag between objects, in one transaction, whenever something is written.
struct Meanwhile {
    out: Rc<RefCell<Vec<u8>>>,
    db: String,
    moves: u32,
}

impl Write for Meanwhile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.moves += 1;
        let conn = Connection::open(&self.db).unwrap();
        conn.execute_batch(&format!(
            "BEGIN; INSERT OR IGNORE INTO project_tag_removes SELECT dot FROM project_tag_adds
                 WHERE element = 'one';
             INSERT INTO project_tag_adds
                 SELECT 'P' || (1 + 379 * {0} % 1500), 'one', CAST('d{0}' AS BLOB); COMMIT;",
            self.moves
        ))
        .unwrap();
        self.out.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn it_is_one_moment_whatever_is_written_meanwhile() {
    let db = plain_db(&format!("{PROJECTS}; {ROWS}"));
    let job = Plain::new(db.db(), &tags("reject"));
    job.close_epoch();
    db.execute_batch("INSERT INTO project_tag_adds VALUES ('P700', 'one', x'01')").unwrap();
    let out = Rc::default();
    let writer = Meanwhile { out: Rc::clone(&out), db: db.db().to_owned(), moves: 0 };
    let to = SnapshotTo::Stream(Box::new(writer));
    let cancel = Arc::new(AtomicBool::new(false));
    let report = engine::snapshot(&job.db, &job.migration, to, &cancel, &Quiet).unwrap();
    let text = String::from_utf8(out.take()).unwrap();
    assert_whole(&text);
    assert_eq!((report.counts.objects, report.counts.elements), (1500, 3001));
    let shown = resync(&text);
    let one: Vec<_> = shown.iter().filter(|(_, element)| element == "one").collect();
    assert_eq!(one, [&("P700".to_owned(), "one".to_owned())]);
    let moved: i64 =
        db.query_row("SELECT count(*) FROM project_tag_removes", [], |r| r.get(0)).unwrap();
    assert!(moved > 5, "premise: others wrote meanwhile");
}

#[test]
fn what_lags_or_has_no_sets_is_refused_and_no_file_is_touched() {
    let db = plain_db(&format!("{PROJECTS}; {ROWS}"));
    let job = Plain::new(db.db(), &tags("reject"));
    let path = db.folder().join("kept.jsonl");
    std::fs::write(&path, "kept").unwrap();
    let migration = crate::common::migration_file(db.folder(), &tags("reject"));
    let export = |code, words: &[&str]| {
        let snapshot = path.to_str().unwrap();
        let args = ["export", &migration, "--db", db.db(), "--snapshot", snapshot, "--json"];
        dotfill(&args).expect_code(code).expect_words(words);
        assert_eq!(std::fs::read_to_string(&path).unwrap() == "kept", code != 0);
    };
    export(2, &["dotfill run"]);
    job.run();
    db.execute_batch("UPDATE projects SET tags = '[\"z\"]' WHERE id = 'P9'").unwrap();
    export(2, &["1 objects wait to be derived", "dotfill run tags-or-set"]);
    job.run();
    export(0, &[]);
    let cancel = Arc::new(AtomicBool::new(true));
    std::fs::write(&path, "kept").unwrap();
    let to = SnapshotTo::File(path.clone());
    let error = engine::snapshot(&job.db, &job.migration, to, &cancel, &Quiet).unwrap_err();
    assert!(error.to_string().contains("interrupted while writing the snapshot"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
    dotfill(&["export", &migration, "--db", db.db(), "--snapshot", "/nowhere/x"])
        .expect_code(1)
        .expect_words(&["cannot write /nowhere/x", "--snapshot"]);
    dotfill(&["export", &migration, "--db", db.db()]).expect_code(2);
    dotfill(&["export", &migration, "--db", db.db(), "--snapshot", "a", "--deltas", "b"])
        .expect_code(2);
}
