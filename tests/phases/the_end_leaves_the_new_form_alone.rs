//! `close` and `forget` of a set's migration: in which modes it ends, and what is left of it.

use dotfill::engine::{self, ForgetReport, RunError};
use dotfill::monitor::Quiet;
use dotfill::state::Mode;

use crate::common::{
    PlainDb, Replica, dotfill, extension, merge, merge_both_ways, plain_db, sqlite_shell,
};
use crate::plain::Plain;
use crate::scenario::{PROJECTS, REFUSAL, Scene, add, projects, remove, shown, tags};

const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 40)
    INSERT INTO projects SELECT 'P' || i, 'n', '[\"a\",\"b\"]' FROM i;";

/// What of ours is in a schema.
const OURS: &str = "SELECT name FROM sqlite_schema WHERE name LIKE '%dotfill%' ORDER BY 1";

fn ours(replica: &Replica) -> Vec<String> {
    let mut statement = replica.prepare(OURS).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn ack(scene: &Scene, replica: &Replica) {
    let more = [
        "--fleet",
        scene.fleet.as_str(),
        "--oldest-client",
        "4.8.0",
        "--writers-on-new-form",
        "--old-clients-blocked",
        "--repair-tools-moved",
        "--snapshots-moved",
        "--dashboards-moved",
    ];
    scene.command("ack", replica, &more).expect_code(0);
}

fn compact(scene: &Scene, replicas: &[&Replica]) {
    for replica in replicas {
        ack(scene, replica);
    }
    for replica in replicas {
        scene.advance(replica, "compact-old", &["--no-export"]).expect_code(0);
    }
}

fn forget(db: &str) -> crate::common::Output {
    dotfill(&["forget", "tags-or-set", "--db", db, "--json"])
}

#[test]
fn on_replicas_old_writes_stay_refused_without_any_table_of_ours() {
    let (a, b, old) = (projects(), projects(), projects());
    a.execute_batch(ROWS).unwrap();
    b.run("UPDATE projects SET name = 'b' WHERE id = 'P0'", []);
    merge_both_ways(&a, &b);
    merge_both_ways(&a, &old);
    let scene = Scene::new(&tags("reject"), &[&a, &b]);
    scene.close_epoch(&[&a, &b]);
    remove(&a, "P1", "a");
    merge_both_ways(&a, &b);
    compact(&scene, &[&a, &b]);
    for replica in [&a, &b] {
        let closed = scene.command("close", replica, &[]).expect_complete();
        let names = ["_dotfill_kept_tags-or-set_0_insert", "_dotfill_kept_tags-or-set_0_update"];
        assert_eq!(closed.json["validators"], serde_json::json!(names), "{}", closed.json);
        scene.command("close", replica, &[]).expect_complete();
        scene.command("verify", replica, &[]).expect_code(0);
        dotfill(&["wait", "tags-or-set", "--db", replica.db(), "--json"]).expect_code(0);
        dotfill(&["doctor", "--db", replica.db()]).expect_code(0);
        let forgotten = forget(replica.db()).expect_complete();
        assert_eq!(forgotten.json["validators"], serde_json::json!(names));
        assert_eq!(forgotten.json["tables_kept"], serde_json::json!([]));
        assert_eq!(ours(replica), names, "nothing else is left");
        dotfill(&["doctor", "--db", replica.db()]).expect_code(0);
    }
    // Reads, adds, removes and merges go on, and old writes are refused as before.
    remove(&a, "P2", "b");
    add(&a, "P2", "c");
    let write = "UPDATE projects SET tags = '[\"x\"]' WHERE id = 'P2'";
    let error = a.execute(write, []).expect_err("a refusal").to_string();
    assert!(error.contains(REFUSAL), "{error}");
    a.run("UPDATE projects SET name = 'm' WHERE id = 'P2'", []);
    merge_both_ways(&a, &b);
    // An old client's late write arrives without an error, and nobody sees it.
    old.run("UPDATE projects SET tags = '[\"a\",\"late\"]' WHERE id = 'P1'", []);
    merge(&old, &b);
    for replica in [&a, &b] {
        assert_eq!(shown(replica, "P1"), ["b"]);
        assert_eq!(shown(replica, "P2"), ["a", "c"]);
        replica.assert_sound();
    }
    let seen = "SELECT element FROM project_tags_visible WHERE id = 'P2' ORDER BY 1";
    assert_eq!(sqlite_shell(b.db(), seen), "a\nc\n", "an older SQLite reads it");
    // The emptied old form is no truth: running the migration again would delete the adds.
    let extension = extension().display().to_string();
    let again = scene.command("run", &a, &["--crsqlite", &extension]).expect_code(2);
    again.expect_words(&["_dotfill_kept_tags-or-set_0_insert", "would delete"]);
}

/// A plain database whose set is at its end, and its job.
fn compacted(schema: &str, toml: &str) -> (PlainDb, Plain) {
    let db = plain_db(schema);
    let job = Plain::new(db.db(), toml);
    job.close_epoch();
    // Compaction wants acknowledgements, which a plain database states by a name of its own.
    let folder = tempfile::TempDir::new().unwrap();
    let fleet = folder.path().to_str().unwrap();
    std::fs::write(folder.path().join("fleet.toml"), "[[replica]]\nid = \"p\"\n").unwrap();
    let file = crate::common::migration_file(folder.path(), toml);
    let mut ack = vec!["ack", &file, "--db", db.db(), "--fleet", fleet, "--replica", "p"];
    ack.extend(["--oldest-client", "4.8.0", "--writers-on-new-form", "--old-clients-blocked"]);
    ack.extend(["--repair-tools-moved", "--snapshots-moved", "--dashboards-moved"]);
    dotfill(&ack).expect_code(0);
    let advance = ["advance", &file, "--db", db.db(), "--fleet", fleet, "--to", "compact-old"];
    dotfill(&[&advance[..], &["--no-export"]].concat()).expect_code(0);
    (db, job)
}

fn close(job: &Plain) -> Result<Vec<String>, RunError> {
    engine::close(&job.db, &job.migration, &job.options, &Quiet).map(|report| report.validators)
}

fn merging(db: &PlainDb, sql: &str) {
    let sql = format!(
        "BEGIN; INSERT INTO _dotfill_merging VALUES (1); {sql};
         DELETE FROM _dotfill_merging; COMMIT;"
    );
    db.execute_batch(&sql).unwrap();
}

#[test]
fn in_a_plain_table_the_row_that_tells_a_merge_stays() {
    let (db, job) = compacted(&format!("{PROJECTS}; {ROWS}"), &tags("translate"));
    assert_eq!(close(&job).unwrap().len(), 2);
    let report = engine::forget(&job.db, "tags-or-set").unwrap();
    let merging_table = vec!["_dotfill_merging".to_owned()];
    assert!(matches!(&report, ForgetReport { tables_kept, .. } if *tables_kept == merging_table));
    merging(&db, "UPDATE projects SET tags = '[\"late\"]' WHERE id = 'P3'");
    let script = "UPDATE projects SET name = 'x' WHERE id = 'P3';
        INSERT INTO project_tag_removes SELECT dot FROM project_tag_adds
            WHERE id = 'P3' AND element = 'a';
        SELECT element FROM project_tags_visible WHERE id = 'P3'";
    assert_eq!(sqlite_shell(db.db(), script), "b\n");
    let error = db.execute_batch("INSERT INTO projects VALUES ('N', 'n', '[\"x\"]')");
    assert!(error.expect_err("a refusal").to_string().contains(REFUSAL));
    db.execute_batch("INSERT INTO projects VALUES ('N', 'n', NULL)").expect("says nothing");

    // Another migration comes and goes, and the triggers go on to work.
    let other = Plain::new(
        db.db(),
        "id = \"up\"\n[[change]]\nkind = \"column\"\n\
        table = \"projects\"\ncolumn = \"upper\"\ntype = \"TEXT\"\nvalue = \"upper(name)\"\n",
    );
    other.run();
    engine::rollback(&other.db, &other.migration, &other.options, &Quiet).unwrap();
    engine::forget(&other.db, "up").unwrap();
    merging(&db, "UPDATE projects SET tags = NULL WHERE id = 'P3'");
    db.execute_batch("UPDATE projects SET tags = 'x' WHERE id = 'P3'").expect_err("a refusal");
    dotfill(&["doctor", "--db", db.db()]).expect_code(0);
    // What `forget` prints makes way for the schema change.
    db.execute_batch("ALTER TABLE projects DROP COLUMN tags").expect_err("triggers name it");
    for name in &report.validators {
        db.execute_batch(&format!("DROP TRIGGER \"{name}\"")).unwrap();
    }
    db.execute_batch("ALTER TABLE projects DROP COLUMN tags").unwrap();
    assert_eq!(sqlite_shell(db.db(), "SELECT count(*) FROM project_tags_visible"), "79\n");
}

#[test]
fn the_rows_of_a_child_table_stay_refused_too() {
    let schema = "CREATE TABLE projects(id TEXT NOT NULL PRIMARY KEY, name TEXT);
        CREATE TABLE tags(project TEXT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (project, tag));
        INSERT INTO projects VALUES ('P1', 'one'); INSERT INTO tags VALUES ('P1', 'a'), ('P1', 'b')";
    let toml = "id = \"tags-or-set\"\n[[change]]\nkind = \"or_set\"\ntable = \"projects\"\n\
        source_table = \"tags\"\nelement = \"tag\"\nsource_key = [\"project\"]\n\
        adds = \"project_tag_adds\"\nremoves = \"project_tag_removes\"\n\
        view = \"project_tags_visible\"\nold_writes = \"translate\"\n";
    let (db, job) = compacted(schema, toml);
    assert_eq!(close(&job).unwrap().len(), 3);
    engine::forget(&job.db, "tags-or-set").unwrap();
    let error = db.execute_batch("INSERT INTO tags VALUES ('P1', 'x')").expect_err("a refusal");
    assert!(error.to_string().contains("old tags write rejected"), "{error}");
    merging(&db, "INSERT INTO tags VALUES ('P1', 'late')");
    db.execute_batch("DELETE FROM tags").expect_err("a refusal");
    db.execute_batch("DELETE FROM projects").expect("an object goes");
}

#[test]
fn it_ends_in_the_first_modes_and_after_the_last_only() {
    for (steps, says) in [
        (0, None),
        (1, None),
        (2, Some("--to read-new-write-new` goes on")),
        (3, Some("--to compact-old` goes on")),
    ] {
        let db = plain_db(&format!("{PROJECTS}; {ROWS}"));
        let job = Plain::new(db.db(), &tags("reject"));
        job.run();
        crate::plain::STEPS[..steps].iter().for_each(|mode| drop(job.advance(*mode)));
        match (close(&job), says) {
            (Ok(validators), None) => {
                assert!(validators.is_empty());
                let error = job.try_advance(&Plain::asked(crate::plain::STEPS[steps]), &Quiet);
                let error = error.expect_err("closed").to_string();
                assert!(error.contains("it is closed here"), "{error}");
                engine::forget(&job.db, "tags-or-set").unwrap();
                assert_eq!(db.texts(OURS), Vec::<Option<String>>::new());
                db.execute_batch("UPDATE projects SET tags = '' WHERE id = 'P1'").expect("free");
                // It may begin anew.
                job.run();
                job.advance(Mode::ReadNewWriteOld);
            }
            (Err(error), Some(says)) => assert!(error.to_string().contains(says), "{error}"),
            (result, says) => panic!("{steps}: {result:?}, {says:?}"),
        }
    }
}

#[test]
fn what_is_undecided_or_left_is_refused_with_its_remedy() {
    let (db, job) = compacted(&format!("{PROJECTS}; {ROWS}"), &tags("quarantine"));
    merging(&db, "UPDATE projects SET tags = '[\"new\"]' WHERE id = 'P3'");
    let error = close(&job).expect_err("held").to_string();
    assert!(error.contains("1 in quarantine") && error.contains("quarantine list"), "{error}");
    dotfill(&["quarantine", "replay", "--all", "--db", db.db()]).expect_code(0);
    let error = close(&job).expect_err("something is left").to_string();
    assert!(error.contains("still has something of the old form"), "{error}");
    job.try_advance(&Plain::asked(Mode::CompactOld), &Quiet).unwrap();
    close(&job).unwrap();
    // What came by replication since is told by doctor, not by the application.
    merging(&db, "UPDATE projects SET tags = '[\"late\"]' WHERE id = 'P4'");
    let doctor = dotfill(&["doctor", "--db", db.db(), "--json"]);
    doctor.expect_words(&["holds something of the old form again"]);
    db.execute_batch("DROP TRIGGER \"_dotfill_kept_tags-or-set_0_update\"").unwrap();
    let doctor = dotfill(&["doctor", "--db", db.db(), "--json"]);
    doctor.expect_words(&["_dotfill_kept_tags-or-set_0_update lost", "CREATE TRIGGER"]);
}
