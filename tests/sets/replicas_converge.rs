//! Two and three replicas with the real extension: no record is written by the migration, replicas
//! agree whenever each is filled, and what users add and remove wins over it.

use rusqlite::params;

use crate::common::{Records, Replica, extension, merge, merge_both_ways};
use crate::set::{PROJECTS, SetJob, adds, dot, rows, tags, visible};

const TABLES: &str = "
    CREATE TABLE tag_adds (id INTEGER NOT NULL, element NOT NULL, dot BLOB NOT NULL,
      PRIMARY KEY (id, element, dot));
    CREATE TABLE tag_removes (dot BLOB NOT NULL PRIMARY KEY);";

/// A replica whose tables of the new form are there, as a cluster's schema files would have it.
fn replica() -> Replica {
    Replica::with_tables(&format!("{PROJECTS};{TABLES}"), &["projects", "tag_adds", "tag_removes"])
}

fn job(replica: &Replica) -> SetJob {
    SetJob::new(replica.path(), tags("json", ""))
}

fn insert(replica: &Replica, id: i64, tags: &str) {
    replica.run("INSERT INTO projects (id, tags) VALUES (?1, ?2)", params![id, tags]);
}

fn set_tags(replica: &Replica, id: i64, tags: &str) {
    replica.run("UPDATE projects SET tags = ?2 WHERE id = ?1", params![id, tags]);
}

/// What a new client does: removes every add that it sees.
fn remove(replica: &Replica, id: i64, element: &str) {
    replica.run(
        "INSERT OR IGNORE INTO tag_removes SELECT dot FROM tag_adds WHERE id = ?1 AND element = ?2",
        params![id, element],
    );
}

fn add(replica: &Replica, id: i64, element: &str, dot: u8) {
    let dot = vec![dot; 16];
    replica.run("INSERT INTO tag_adds VALUES (?1, ?2, ?3)", params![id, element, dot]);
}

fn assert_same(replicas: &[&Replica]) {
    let first = rows(replicas[0], "SELECT * FROM tag_adds");
    for other in &replicas[1..] {
        assert_eq!(rows(other, "SELECT * FROM tag_adds"), first);
        assert_eq!(visible(other), visible(replicas[0]));
    }
    for replica in replicas {
        job(replica).assert_equal();
        assert_eq!(job(replica).digest(), job(replicas[0]).digest());
        replica.assert_sound();
    }
}

#[test]
fn no_record_is_written_and_a_second_run_adds_nothing() {
    let a = replica();
    for id in 1..=50 {
        insert(&a, id, r#"["x", "y", 3]"#);
    }
    let before = Records::of(&a);
    let report = job(&a).run();
    assert_eq!((report.rows_written, report.change_records_written), (150, 0));
    before.assert_none_created(&a);
    let found = adds(&a, &job(&a).migration);
    assert!(found.values().all(|set| set.len() == 3 && set.iter().all(|(_, ours)| *ours)));
    assert_eq!(job(&a).run().rows_written, 0);
    before.assert_none_created(&a);
    assert_eq!(a.count("SELECT count(*) FROM tag_adds__crsql_clock"), 0);
    assert_eq!(a.count("SELECT count(*) FROM tag_adds__crsql_pks"), 0);
    job(&a).assert_equal();
}

#[test]
fn tables_are_made_with_the_extension_and_refused_without() {
    let a = Replica::with_tables(PROJECTS, &["projects"]);
    insert(&a, 1, r#"["x"]"#);
    let schema = a.schema();
    let refusal = job(&a).refusal();
    for words in
        ["migration.toml:5", "tag_adds", "--crsqlite PATH", "`dotfill schema migration.toml"]
    {
        assert!(refusal.contains(words), "{refusal}");
    }
    assert_eq!(a.schema(), schema);
    let mut with = job(&a);
    with.options.crsqlite = Some(extension().to_owned());
    with.run();
    assert_eq!(visible(&a), ["Integer(1) Text(\"x\")"]);
    // What users write from now on is recorded.
    let before = Records::of(&a).changes.len();
    add(&a, 1, "y", 9);
    remove(&a, 1, "x");
    assert_eq!(Records::of(&a).changes.len(), before + 2);
    assert_eq!(visible(&a), ["Integer(1) Text(\"y\")"]);
    job(&a).assert_equal();
}

#[test]
fn a_removal_stands_on_a_replica_that_is_filled_late() {
    let (a, b) = (replica(), replica());
    insert(&a, 7, r#"["urgent", "vip"]"#);
    merge_both_ways(&a, &b);
    job(&a).run();
    remove(&a, 7, "urgent");
    merge_both_ways(&a, &b);
    job(&b).run();
    merge_both_ways(&a, &b);
    assert_eq!(visible(&b), ["Integer(7) Text(\"vip\")"]);
    assert_same(&[&a, &b]);
    // An old client sends the whole of the old form again: the same dots, so it stays removed.
    set_tags(&b, 7, r#"["vip", "urgent"]"#);
    merge_both_ways(&a, &b);
    let late = replica();
    merge(&a, &late);
    for replica in [&a, &b, &late] {
        job(replica).run();
        assert_eq!(visible(replica), ["Integer(7) Text(\"vip\")"]);
    }
    assert_same(&[&a, &b, &late]);
}

#[test]
fn users_write_before_during_and_after() {
    let (a, b) = (replica(), replica());
    insert(&a, 1, r#"["x", "y"]"#);
    insert(&a, 2, r#"["z"]"#);
    add(&a, 1, "early", 1);
    merge_both_ways(&a, &b);
    job(&a).run();
    add(&a, 1, "late", 2);
    add(&b, 2, "z", 3);
    remove(&a, 2, "z");
    merge_both_ways(&a, &b);
    job(&b).run();
    merge_both_ways(&a, &b);
    // The removal had not seen the other add of z.
    let want = ["early", "late", "x", "y"].map(|e| format!("Integer(1) Text({e:?})"));
    let want: Vec<_> = want.into_iter().chain(["Integer(2) Text(\"z\")".to_owned()]).collect();
    for replica in [&a, &b] {
        job(replica).run();
        assert_eq!(visible(replica), want);
    }
    assert_same(&[&a, &b]);
}

#[test]
fn a_source_that_changes_by_merge_is_followed() {
    let (a, b) = (replica(), replica());
    for id in 1..=20 {
        insert(&a, id, r#"["x"]"#);
    }
    merge_both_ways(&a, &b);
    job(&a).run();
    job(&b).run();
    set_tags(&a, 3, r#"["y"]"#);
    a.run("DELETE FROM projects WHERE id = 4", []);
    insert(&a, 21, r#"["n"]"#);
    set_tags(&b, 3, r#"["z"]"#);
    merge_both_ways(&a, &b);
    let records = Records::of(&a);
    job(&a).run();
    records.assert_none_created(&a);
    job(&b).run();
    assert_same(&[&a, &b]);
    assert_eq!(a.count("SELECT count(*) FROM tag_adds WHERE id = 4"), 0);
    assert_eq!(a.count("SELECT count(*) FROM tag_adds WHERE id = 3"), 1);
    assert_eq!(a.count("SELECT count(*) FROM tag_adds WHERE id = 21"), 1);
}

#[test]
fn a_user_deletes_a_migrated_add_and_it_stays_deleted() {
    let (a, b) = (replica(), replica());
    insert(&a, 1, r#"["x", "y"]"#);
    merge_both_ways(&a, &b);
    job(&a).run();
    a.run("DELETE FROM tag_adds WHERE element = 'x'", []);
    set_tags(&a, 1, r#"["y", "x"]"#);
    job(&a).run();
    assert_eq!(visible(&a), ["Integer(1) Text(\"y\")"]);
    merge_both_ways(&a, &b);
    job(&b).run();
    merge_both_ways(&a, &b);
    job(&b).run();
    assert_same(&[&a, &b]);
    assert_eq!(visible(&b), ["Integer(1) Text(\"y\")"]);
}

/// A migrated add that some replica published has a sentinel; it is no longer ours to delete.
#[test]
fn a_published_add_is_kept_when_its_source_goes() {
    let (a, b) = (replica(), replica());
    insert(&a, 1, r#"["x"]"#);
    merge_both_ways(&a, &b);
    // Whoever publishes it does so before the other replica is filled.
    a.run("INSERT INTO tag_adds VALUES (1, 'x', ?1)", params![dot(1, "x")]);
    job(&b).run();
    merge_both_ways(&a, &b);
    set_tags(&a, 1, "[]");
    merge_both_ways(&a, &b);
    job(&a).run();
    job(&b).run();
    assert_same(&[&a, &b]);
    assert_eq!(visible(&a), ["Integer(1) Text(\"x\")"]);
}

#[test]
fn close_leaves_no_trace_but_the_new_form() {
    let a = replica();
    insert(&a, 1, r#"["x", "y"]"#);
    let job = job(&a);
    job.run();
    set_tags(&a, 1, r#"["y"]"#);
    job.close();
    assert_eq!(visible(&a), ["Integer(1) Text(\"y\")"]);
    job.assert_equal();
    job.forget();
    assert_eq!(
        a.count("SELECT count(*) FROM sqlite_schema WHERE sql LIKE '%\\_dotfill%' ESCAPE '\\'"),
        0
    );
    assert_eq!(visible(&a), ["Integer(1) Text(\"y\")"]);
    // The same id begins anew, and replaces the view that it left.
    job.run();
    job.assert_equal();
}

#[test]
fn rollback_takes_back_only_what_is_ours() {
    let a = Replica::with_tables(PROJECTS, &["projects"]);
    for id in 1..=30 {
        insert(&a, id, r#"["x", "y"]"#);
    }
    let schema = a.schema();
    let mut job = job(&a);
    job.options.crsqlite = Some(extension().to_owned());
    job.run();
    assert_eq!(job.rollback().rows_cleared, 60);
    job.forget();
    let left = |sql: &str| rows(&a, sql);
    assert_eq!(a.schema(), schema, "tables that hold nothing of a user's go");
    job.run();
    add(&a, 1, "mine", 5);
    let report = job.rollback();
    assert_eq!((report.rows_cleared, report.kept.len()), (60, 1), "{:?}", report.kept);
    assert_eq!(left("SELECT id, element FROM tag_adds"), ["Integer(1) Text(\"mine\")"]);
    job.forget();
    a.assert_sound();
}
