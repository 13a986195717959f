//! `advance --percent`: the epoch of a share of the objects is closed first.

use std::collections::BTreeSet;

use rusqlite::Connection;

use dotfill::engine::Outcome;
use dotfill::monitor::Quiet;
use dotfill::state::Mode;

use crate::common::plain_db;
use crate::plain::Plain;
use crate::scenario::{PROJECTS, REFUSAL, tags};

const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 400)
    INSERT INTO projects SELECT 'P' || i, 'n', '[\"a\",\"b' || (i % 3) || '\"]' FROM i;";

fn share(job: &Plain, percent: u8) -> u64 {
    let mut asked = Plain::asked(Mode::ReadNewWriteNew);
    asked.percent = Some(percent);
    let report = job.try_advance(&asked, &Quiet).unwrap();
    assert!(report.gate && report.outcome == Outcome::Complete, "{:#?}", report.conditions);
    assert_eq!((report.mode, report.cohort_percent), (Mode::ReadNewWriteBoth, percent));
    report.objects_joined
}

fn members(conn: &Connection) -> BTreeSet<String> {
    let mut statement = conn.prepare("SELECT k1 FROM _dotfill_cohort_1").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn set(conn: &Connection, id: &str, tags: &str) -> rusqlite::Result<usize> {
    conn.execute("UPDATE projects SET tags = ?2 WHERE id = ?1", [id, tags])
}

fn shown(conn: &Connection, id: &str) -> String {
    conn.query_row(
        "SELECT coalesce(group_concat(element, ' '), '') FROM
         (SELECT element FROM project_tags_visible WHERE id = ?1 ORDER BY element)",
        [id],
        |row| row.get(0),
    )
    .unwrap()
}

#[test]
fn a_share_grows_and_only_its_objects_refuse_old_writes() {
    let db = plain_db(&format!("{PROJECTS}; {ROWS}"));
    let job = Plain::new(db.db(), &tags("reject"));
    job.run();
    job.advance(Mode::ReadNewWriteOld);
    job.advance(Mode::ReadNewWriteBoth);
    let joined = share(&job, 10);
    let first = members(&db);
    assert_eq!(joined, first.len() as u64);
    assert!((20..60).contains(&first.len()), "{}", first.len());
    let inside = first.first().unwrap().clone();
    let outside = (1..=400).map(|i| format!("P{i}")).find(|id| !first.contains(id)).unwrap();

    let error = set(&db, &inside, "[\"z\"]").expect_err("its epoch is closed").to_string();
    assert!(error.contains(REFUSAL), "{error}");
    set(&db, &outside, "[\"a\",\"z\"]").expect("its epoch is open");
    db.execute("INSERT INTO projects VALUES ('new', 'n', '[\"n\"]')", []).expect("a new row");
    db.execute("INSERT INTO project_tag_adds VALUES (?1, 'extra', x'01')", [&inside]).unwrap();
    job.run();
    assert_eq!(shown(&db, &outside), "a z");
    assert_eq!(shown(&db, "new"), "n");
    assert!(shown(&db, &inside).contains("extra"));

    let mut smaller = Plain::asked(Mode::ReadNewWriteNew);
    smaller.percent = Some(5);
    let error = job.try_advance(&smaller, &Quiet).expect_err("it only grows").to_string();
    assert!(error.contains("a share only grows"), "{error}");
    share(&job, 60);
    let second = members(&db);
    assert!(first.is_subset(&second) && second.len() > 150, "{}", second.len());
    assert!(shown(&db, &inside).contains("extra"));
    job.advance(Mode::ReadNewWriteNew);
    set(&db, &outside, "[\"y\"]").expect_err("all are closed");
    set(&db, "new", "[\"y\"]").expect_err("all are closed");
    job.run();
    assert_eq!(shown(&db, &outside), "a z");
    assert!(shown(&db, &inside).contains("extra"));
}

#[test]
fn new_objects_join_at_the_next_run() {
    let db = plain_db(&format!("{PROJECTS}; {ROWS}"));
    let job = Plain::new(db.db(), &tags("reject"));
    job.run();
    job.advance(Mode::ReadNewWriteOld);
    job.advance(Mode::ReadNewWriteBoth);
    share(&job, 50);
    let before = members(&db).len();
    db.execute_batch(
        "WITH RECURSIVE i(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM i WHERE i < 1099)
         INSERT INTO projects SELECT 'P' || i, 'n', '[\"a\"]' FROM i;",
    )
    .unwrap();
    assert_eq!(members(&db).len(), before);
    job.run();
    let joined = members(&db).len() - before;
    assert!((20..80).contains(&joined), "{joined} of 100 new objects joined");
}
