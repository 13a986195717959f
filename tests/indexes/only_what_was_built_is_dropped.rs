//! Rollback drops an index that the migration has built, forget keeps it, and so does close.

use dotfill::engine;
use dotfill::state::Phase;
use dotfill::status::StatusReader;

use crate::common::plain_db;
use crate::job::objects;
use crate::scene::{job, sql};

const TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);
    INSERT INTO t VALUES (1, 'x'), (2, 'y');";

#[test]
fn rollback_drops_what_was_built() {
    let db = plain_db(TABLE);
    let job = job(db.db(), "columns = ['a']");
    job.run();
    assert!(sql(&db).is_some());
    let report = job.rollback();
    assert_eq!((report.rows_cleared, sql(&db)), (0, None));
    assert_eq!(report.kept, ["index \"i\" was dropped"]);
    // A second one has nothing left to do.
    assert_eq!(job.rollback().kept, Vec::<String>::new());
    job.expect_error(&["it was rolled back here"]);
    engine::forget(&job.db, "m").unwrap();
    assert_eq!(objects(&db, "\\_dotfill\\_%"), Vec::<String>::new());
    job.run();
}

#[test]
fn close_and_forget_keep_it() {
    let db = plain_db(TABLE);
    let job = job(db.db(), "columns = ['a']");
    job.run();
    let error = engine::forget(&job.db, "m").unwrap_err().to_string();
    assert!(error.contains("it is open"), "{error}");
    assert_eq!(job.close().rows_proven, 2);
    let status = StatusReader::open(&job.db).unwrap().one("m").unwrap().unwrap();
    assert_eq!((status.phase, status.percent), (Phase::Closed, 100.0));
    assert_eq!(status.proof.unwrap()["rows"], 2);
    engine::forget(&job.db, "m").unwrap();
    assert!(sql(&db).is_some());
    assert_eq!(objects(&db, "\\_dotfill\\_%"), Vec::<String>::new());
}
