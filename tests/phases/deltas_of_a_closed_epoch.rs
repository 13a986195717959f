//! Deltas that are exported after the epoch was closed, and after the old form was removed: a late
//! joiner shows what the others show; it derives nothing from an old form that is gone, and a
//! replica whose own epoch is closed is left alone.

use std::path::Path;

use dotfill::engine::{
    self, CompareOptions, Deltas, Destination, ExportOptions, LookOptions, Outcome, Verdict,
};
use dotfill::monitor::Quiet;
use rusqlite::Connection;

use crate::common::{PlainDb, dotfill, migration_file, plain_db};
use crate::plain::Plain;
use crate::scenario::{PROJECTS, tags};

const ROWS: &str =
    "INSERT INTO projects VALUES ('P1', 'one', '[\"a\",\"b\"]'), ('P2', 'two', NULL),
    ('P3', 'three', '[\"c\"]')";

const SHOWN: &str = "SELECT id || ':' || element FROM project_tags_visible ORDER BY id, element";
const ADDS: &str = "SELECT id || element || hex(dot) FROM project_tag_adds ORDER BY 1";

fn texts(conn: &Connection, sql: &str) -> Vec<String> {
    let mut statement = conn.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn old_write(db: &PlainDb, id: &str, tags: &str) {
    db.execute_batch(&format!(
        "BEGIN; INSERT INTO _dotfill_merging VALUES (1);
         UPDATE projects SET tags = '{tags}' WHERE id = '{id}';
         DELETE FROM _dotfill_merging; COMMIT;"
    ))
    .unwrap();
}

fn export(job: &Plain, dir: &Path) {
    let destination = Destination::Folder(dir.to_owned());
    let options = ExportOptions::default();
    engine::export(&job.db, &job.migration, destination, &options, &Quiet)
        .unwrap_or_else(|error| panic!("{error}"));
}

fn apply(job: &Plain, dir: &Path) -> engine::ApplyReport {
    let deltas = Deltas::Folder(dir.to_owned());
    let report = engine::apply(&job.db, deltas, &job.options, &Quiet)
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(report.outcome, Outcome::Complete);
    report
}

/// An epoch that is closed, in which one write of the old form was translated, or rejected.
fn closed(policy: &str) -> (PlainDb, Plain) {
    let db = plain_db(&format!("{PROJECTS}; {ROWS};"));
    let job = Plain::new(db.db(), &tags(policy));
    job.close_epoch();
    old_write(&db, "P3", "[\"c\",\"late\"]");
    job.run();
    db.execute_batch(
        "INSERT INTO project_tag_removes SELECT dot FROM project_tag_adds WHERE element = 'a'",
    )
    .unwrap();
    (db, job)
}

/// Removes the old form, with the acknowledgements that this takes.
fn compact(db: &PlainDb, policy: &str) {
    let toml = migration_file(db.folder(), &tags(policy));
    let fleet = db.folder().join("fleet");
    std::fs::create_dir(&fleet).unwrap();
    std::fs::write(fleet.join("fleet.toml"), "[[replica]]\nid = \"a\"\n").unwrap();
    let at = [toml.as_str(), "--db", db.db(), "--fleet", fleet.to_str().unwrap()];
    let stated = [
        "--replica",
        "a",
        "--oldest-client",
        "4.8.0",
        "--writers-on-new-form",
        "--old-clients-blocked",
        "--repair-tools-moved",
        "--snapshots-moved",
        "--dashboards-moved",
    ];
    dotfill(&[&["ack"], &at[..], &stated[..]].concat()).expect_code(0);
    let to = ["--to", "compact-old", "--no-export"];
    dotfill(&[&["advance"], &at[..], &to[..]].concat()).expect_code(0);
}

/// A joiner to which the CRDT layer has brought objects, removes and users' adds.
fn joiner(of: &PlainDb, toml: &str) -> (PlainDb, Plain) {
    let db = plain_db(PROJECTS);
    for sql in [
        "INSERT INTO projects SELECT * FROM it.projects",
        "CREATE TABLE project_tag_removes (dot BLOB NOT NULL PRIMARY KEY) WITHOUT ROWID",
        "INSERT INTO project_tag_removes SELECT * FROM it.project_tag_removes",
    ] {
        db.execute_batch(&format!("ATTACH '{}' AS it; {sql}; DETACH it;", of.db())).unwrap();
    }
    let job = Plain::new(db.db(), toml);
    (db, job)
}

#[test]
fn a_late_joiner_shows_what_the_others_show() {
    for policy in ["translate", "reject"] {
        let (a, job) = closed(policy);
        let dir = a.folder().join("deltas");
        export(&job, &dir);
        let (b, late) = joiner(&a, &tags(policy));
        apply(&late, &dir);
        assert_eq!(texts(&b, SHOWN), texts(&a, SHOWN), "{policy}");
        assert_eq!(texts(&b, ADDS), texts(&a, ADDS), "{policy}");
        // The old form does not say what it should hold, so it is compared by its adds.
        let error = engine::verify(&late.db, &late.migration, &LookOptions::default(), &Quiet);
        assert!(error.unwrap_err().to_string().contains("closed epoch"));
        let against = engine::Against::Replica(job.db.clone());
        let options = CompareOptions::default();
        let report =
            engine::verify_against(&late.db, &late.migration, &against, &options, &Quiet).unwrap();
        assert_eq!(report.verdict, Verdict::Equal, "{report:#?}");
    }
}

#[test]
fn nothing_is_derived_from_an_old_form_that_is_gone() {
    let (a, job) = closed("translate");
    // What a user has removed stays so: the old form is emptied all the same.
    compact(&a, "translate");
    assert_eq!(texts(&a, "SELECT count(*) || '' FROM projects WHERE tags IS NOT NULL"), ["0"]);
    let dir = a.folder().join("deltas");
    export(&job, &dir);
    let (b, late) = joiner(&a, &tags("translate"));
    apply(&late, &dir);
    let want = texts(&a, SHOWN);
    assert_eq!((texts(&b, SHOWN), want.len()), (want.clone(), 3));
    let step = late.try_advance(&Plain::asked(crate::plain::STEPS[0]), &Quiet);
    assert!(step.expect_err("a step").to_string().contains("has no mode of its own"));
    let error = engine::run(&late.db, &late.migration, &late.options, &Quiet).expect_err("refused");
    assert!(error.to_string().contains("nothing to derive from"), "{error}");
    assert_eq!(texts(&b, SHOWN), want);
    // It passes on what it was told.
    let again = b.folder().join("again");
    export(&late, &again);
    let (c, later) = joiner(&a, &tags("translate"));
    apply(&later, &again);
    assert_eq!(texts(&c, SHOWN), want);
    assert!(engine::run(&later.db, &later.migration, &later.options, &Quiet).is_err());
    engine::close(&late.db, &late.migration, &late.options, &Quiet).unwrap();
    assert_eq!(texts(&b, SHOWN), want);
}

#[test]
fn a_replica_whose_epoch_is_closed_is_left_alone() {
    // What was exported while the epoch was open knows nothing of what was decided since.
    let open = plain_db(&format!("{PROJECTS}; {ROWS};"));
    open.execute_batch("UPDATE projects SET tags = '[\"other\"]' WHERE id = 'P1'").unwrap();
    let early = Plain::new(open.db(), &tags("reject"));
    early.run();
    let dir = open.folder().join("deltas");
    export(&early, &dir);
    let (a, job) = closed("reject");
    let before = texts(&a, ADDS);
    let report = apply(&job, &dir);
    assert_eq!((report.rows_written, report.rows_noted, report.rows_derived), (0, 0, 0));
    assert_eq!(texts(&a, ADDS), before);
}
