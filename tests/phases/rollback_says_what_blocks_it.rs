//! `rollback --to MODE`: what blocks it, and what it leaves behind where nothing does.

use dotfill::engine::{self, BackReport};
use dotfill::monitor::Quiet;
use dotfill::state::Mode;

use crate::common::{PlainDb, plain_db};
use crate::plain::Plain;
use crate::scenario::{PROJECTS, REFUSAL, tags};

const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 200)
    INSERT INTO projects SELECT 'P' || i, 'n', '[\"a\",\"b\"]' FROM i;";

fn back(job: &Plain, to: Mode) -> BackReport {
    engine::roll_back_to(&job.db, &job.migration, to, &job.options, &Quiet).unwrap()
}

fn closed() -> (PlainDb, Plain) {
    let db = plain_db(&format!("{PROJECTS}; {ROWS}"));
    let job = Plain::new(db.db(), &tags("reject"));
    job.close_epoch();
    (db, job)
}

fn blockers(report: &BackReport) -> Vec<&str> {
    let failing = report.conditions.iter().filter(|condition| !condition.holds);
    failing.map(|condition| condition.evidence.as_str()).collect()
}

#[test]
fn removes_that_the_old_form_cannot_express_block_it() {
    let (db, job) = closed();
    db.execute_batch(
        "INSERT INTO project_tag_removes SELECT dot FROM project_tag_adds
         WHERE element = 'a' AND CAST(substr(id, 2) AS INTEGER) <= 124;
         INSERT INTO project_tag_adds VALUES ('P200', 'mine', x'01'), ('P199', 'mine', x'02');",
    )
    .unwrap();
    let triggers = triggers(&db);
    for to in [Mode::ReadNewWriteBoth, Mode::ReadNewWriteOld, Mode::ReadOldWriteOld] {
        let report = back(&job, to);
        assert!(!report.safe && report.mode == Mode::ReadNewWriteNew);
        let blockers = blockers(&report);
        assert!(
            blockers[0].starts_with("124 objects hold removes that the old form cannot express"),
            "{blockers:?}"
        );
        assert!(blockers[1].starts_with("2 objects show elements that the old form lacks"));
        assert_eq!(self::triggers(&db), triggers, "a refused rollback changed the triggers");
    }
    let error = db.execute("UPDATE projects SET tags = '' WHERE id = 'P1'", []).unwrap_err();
    assert!(error.to_string().contains(REFUSAL), "old code is refused as before: {error}");
}

fn triggers(db: &PlainDb) -> Vec<Option<String>> {
    db.texts("SELECT name FROM sqlite_schema WHERE type = 'trigger' ORDER BY 1")
}

#[test]
fn where_nothing_is_lost_the_old_form_is_followed_again() {
    for to in [Mode::ReadNewWriteBoth, Mode::ReadNewWriteOld, Mode::ReadOldWriteOld] {
        let (db, job) = closed();
        // What was written and taken back again blocks nothing.
        db.execute_batch(
            "INSERT INTO project_tag_adds VALUES ('P7', 'mine', x'01');
             INSERT INTO project_tag_removes VALUES (x'01');",
        )
        .unwrap();
        let report = back(&job, to);
        assert!(report.safe, "{:#?}", report.conditions);
        assert_eq!(report.mode, to);
        let validators = report.triggers_kept.iter().filter(|name| name.contains("_touched_"));
        assert_eq!(validators.count() > 0, to == Mode::ReadNewWriteBoth, "{report:#?}");
        assert!(!report.triggers_kept.iter().any(|name| name.contains("_epoch_")));
        db.execute("UPDATE projects SET tags = '[\"z\"]' WHERE id = 'P7'", []).expect("open");
        assert_eq!(shown(&db), ["a", "b", "z"], "noted: its old form beside its adds");
        job.run();
        assert_eq!(shown(&db), ["z"]);
        assert_eq!(db.texts("SELECT mode FROM _dotfill_modes"), [Some(to.to_string())]);
    }
}

fn shown(db: &PlainDb) -> Vec<String> {
    let sql = "SELECT element FROM project_tags_visible WHERE id = 'P7' ORDER BY 1";
    db.texts(sql).into_iter().flatten().collect()
}

#[test]
fn a_cohort_opens_again_where_nothing_is_lost() {
    let db = plain_db(&format!("{PROJECTS}; {ROWS}"));
    let job = Plain::new(db.db(), &tags("reject"));
    job.run();
    job.advance(Mode::ReadNewWriteOld);
    job.advance(Mode::ReadNewWriteBoth);
    let mut share = Plain::asked(Mode::ReadNewWriteNew);
    share.percent = Some(10);
    job.try_advance(&share, &Quiet).unwrap();
    let inside = db.texts("SELECT min(k1) FROM _dotfill_cohort_1")[0].clone().unwrap();
    let add = "INSERT INTO project_tag_adds VALUES (?1, 'mine', x'01')";
    db.execute(add, [&inside]).unwrap();
    let report = back(&job, Mode::ReadNewWriteBoth);
    assert!(!report.safe);
    assert!(blockers(&report)[0].starts_with("1 objects show elements that the old form lacks"));
    db.execute("INSERT INTO project_tag_removes VALUES (x'01')", []).unwrap();
    let report = back(&job, Mode::ReadNewWriteBoth);
    assert!(report.safe, "{:#?}", report.conditions);
    db.execute("UPDATE projects SET tags = '[\"z\"]' WHERE id = ?1", [&inside]).expect("open");
    job.run();
    job.advance(Mode::ReadNewWriteNew);
}

#[test]
fn what_stands_between_two_modes_is_not_closed_nor_rolled_back_whole() {
    let (db, job) = closed();
    let error = engine::close(&job.db, &job.migration, &job.options, &Quiet).unwrap_err();
    assert!(error.to_string().contains("rollback tags-or-set --to"), "{error}");
    let error = engine::rollback(&job.db, &job.migration, &job.options, &Quiet).unwrap_err();
    assert!(error.to_string().contains("rollback tags-or-set --to"), "{error}");
    assert!(back(&job, Mode::ReadOldWriteOld).safe);
    let report = engine::rollback(&job.db, &job.migration, &job.options, &Quiet).unwrap();
    assert_eq!(report.rows_cleared, 400);
    engine::forget(&job.db, "tags-or-set").unwrap();
    let ours = "SELECT name FROM sqlite_schema WHERE name LIKE '%dotfill%'";
    assert_eq!(db.texts(ours), Vec::<Option<String>>::new());
}
