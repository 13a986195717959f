//! `plan` of a set: the adds, change records, wire bytes and disk that it predicts are those of a run,
//! and of an application that writes the adds itself; and a run for which the disk has no room is
//! refused before it writes.

use std::path::Path;

use dotfill::plan::{ChangePlan, Cost, PlanOptions, Way, plan};

use crate::common::{Records, Replica, plain_db};
use crate::set::{SetJob, migration, tags};

#[track_caller]
fn plan_of(job: &SetJob, options: &PlanOptions) -> ChangePlan {
    let mut made = plan(&job.db, &job.migration, options).unwrap_or_else(|e| panic!("{e}"));
    made.changes.remove(0)
}

#[track_caller]
fn cost(plan: &ChangePlan, way: Way) -> Cost {
    plan.costs.iter().find(|cost| cost.way == way).unwrap().clone()
}

#[track_caller]
fn assert_near(what: &str, predicted: u64, measured: u64) {
    let (p, m) = (predicted as f64, measured as f64);
    assert!((p - m).abs() <= 0.15 * m, "{what}: {predicted} predicted, {measured} measured");
}

fn used(conn: &rusqlite::Connection) -> u64 {
    let pragma = |name: &str| -> u64 {
        conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).unwrap()
    };
    (pragma("page_count") - pragma("freelist_count")) * pragma("page_size")
}

#[test]
fn disk_and_elements_of_a_plain_table() {
    let forms = [
        ("id INTEGER PRIMARY KEY", "i", "json_array('tag' || (i % 50), 'x' || (i % 7), i % 3)"),
        ("id TEXT PRIMARY KEY", "printf('k-%08d-%d', i * 7919 % 100003, i)", "json_array('a', i)"),
        (
            "id BLOB NOT NULL PRIMARY KEY",
            "CAST(hex(i * 104729) AS BLOB)",
            "CASE WHEN i % 3 THEN json_array('one', 'two', 'three', 'four') END",
        ),
    ];
    for (key, id, old) in forms {
        let db = plain_db(&format!(
            "CREATE TABLE projects ({key}, name TEXT, tags TEXT);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
             INSERT INTO projects SELECT {id}, 'name', {old} FROM n;"
        ));
        let mut job =
            SetJob::new(db.db(), migration("projects", "source = 'tags'\nformat = 'json'"));
        job.options = dotfill::engine::RunOptions::default();
        let sampled = plan_of(&job, &PlanOptions::default());
        let counted = plan_of(&job, &PlanOptions { exact: true, ..PlanOptions::default() });
        let before = used(&db);
        let report = job.run();
        let grown = used(&db) - before;
        for plan in [&sampled, &counted] {
            let derive = cost(plan, Way::Derive);
            assert_near(key, derive.file_bytes, grown);
            assert!(derive.chosen && derive.change_records == 0);
            assert_near(key, plan.set.as_ref().unwrap().elements.about, report.rows_written);
        }
        let set = counted.set.unwrap();
        assert_eq!((set.how, set.elements.about), ("counted", report.rows_written));
        assert!(sampled.set.unwrap().elements.max > report.rows_written);
        // Nothing is left to be written.
        let again = plan_of(&job, &PlanOptions { exact: true, ..PlanOptions::default() });
        assert_eq!(again.set.unwrap().to_write.about, 0);
    }
}

#[test]
fn records_of_a_replica_are_those_of_its_own_triggers() {
    let schema = "CREATE TABLE projects (id INTEGER NOT NULL PRIMARY KEY, tags TEXT);
        CREATE TABLE tag_adds (id INTEGER NOT NULL, element NOT NULL, dot BLOB NOT NULL,
          PRIMARY KEY (id, element, dot));
        CREATE TABLE tag_removes (dot BLOB NOT NULL PRIMARY KEY);";
    let a = Replica::with_tables(schema, &["projects", "tag_adds", "tag_removes"]);
    a.run(
        "INSERT INTO projects WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
         WHERE i < 3000) SELECT i, json_array('urgent', 'x' || i, i) FROM n",
        [],
    );
    let job = SetJob::new(a.path(), tags("json", ""));
    let plan = plan_of(&job, &PlanOptions { replicas: 3, ..PlanOptions::default() });
    let (naive, all) = (cost(&plan, Way::Naive), cost(&plan, Way::NaiveEverywhere));
    assert_eq!((naive.change_records, all.change_records), (9000, 27_000));
    assert_eq!(cost(&plan, Way::Derive).wire_bytes, 2 * (16 << 10));
    // An application adds each element itself.
    let before = used(&a);
    let records = Records::of(&a).changes.len();
    a.run(
        "INSERT INTO tag_adds SELECT p.id, e.value, randomblob(16) FROM projects AS p, \
         json_each(p.tags) AS e",
        [],
    );
    assert_eq!(Records::of(&a).changes.len() - records, 9000);
    let bytes: u64 = a
        .query_row(
            "SELECT sum(octet_length(\"table\") + octet_length(pk) + octet_length(cid) + 1 + 48) \
             FROM crsql_changes WHERE \"table\" = 'tag_adds'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_near("wire", naive.wire_bytes, 2 * bytes);
    assert_near("disk", naive.file_bytes, used(&a) - before);
}

#[test]
fn what_is_malformed_is_told_before_the_run() {
    let db = plain_db(
        "CREATE TABLE projects (id INTEGER PRIMARY KEY, tags TEXT);
         INSERT INTO projects VALUES (1, '[\"a\"]'), (2, '[null, \"b\"]'), (3, 'no json');",
    );
    let strict = plan_of(&SetJob::new(db.db(), tags("json", "")), &PlanOptions::default());
    let set = strict.set.as_ref().unwrap();
    assert_eq!((set.elements.about, set.flawed.values().sum::<u64>()), (2, 2));
    assert!(strict.hints[0].contains("the run would stop"), "{:?}", strict.hints);
    let job = SetJob::new(db.db(), tags("json", "malformed = 'skip'"));
    let skips = plan_of(&job, &PlanOptions::default());
    assert!(skips.hints[0].contains("left out"), "{:?}", skips.hints);
    let grown = dotfill::plan::predicted_growth(Path::new(db.db()), &job.migration).unwrap();
    assert!(grown > 0);
}
