//! An index that has the name is done only where it has the definition too, and after the proof; the
//! difference is shown, and nothing is written.

use dotfill::engine;
use dotfill::monitor::Quiet;
use dotfill::plan::{PlanOptions, plan};

use crate::common::plain_db;
use crate::job::{Job, migration, objects};
use crate::scene::{assert_proven, job, sql};

const TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT COLLATE NOCASE);
    CREATE TABLE u (a TEXT, b TEXT);
    INSERT INTO t VALUES (1, 'x', 'y'), (2, 'X', 'Y');";

#[test]
fn another_definition_is_refused_and_shown() {
    let cases = [
        ("CREATE INDEX i ON u(a, b)", "columns = ['a', 'b']", "table: u instead of t"),
        (
            "CREATE INDEX i ON t(b, a)",
            "columns = ['a', 'b']",
            "terms: (b collate NOCASE, a) instead",
        ),
        ("CREATE INDEX i ON t(a DESC)", "columns = ['a']", "terms: (a desc) instead of (a)"),
        ("CREATE INDEX i ON t(a COLLATE NOCASE)", "columns = ['a']", "(a collate NOCASE) instead"),
        ("CREATE INDEX i ON t(lower(a))", "columns = ['a']", "(lower ( a )) instead of (a)"),
        (
            "CREATE INDEX i ON t(a) WHERE a > 'x'",
            "columns = ['a']",
            "where: a > 'x' instead of none",
        ),
        ("CREATE INDEX i ON t(a)", "columns = ['a']\nunique = true", "unique: no instead of yes"),
        ("CREATE VIEW i AS SELECT 1", "columns = ['a']", "another definition: it is a view"),
    ];
    for (there, rest, says) in cases {
        let db = plain_db(&format!("{TABLE}{there}"));
        let job = job(db.db(), rest);
        let error = job.expect_error(&["migration.toml:4", says, "give the new one a name"]);
        assert!(matches!(error, engine::RunError::Plan(_)), "{error:?}");
        let planned = plan(&job.db, &job.migration, &PlanOptions::default()).unwrap_err();
        assert_eq!(planned.to_string(), error.to_string());
        assert_eq!(objects(&db, "\\_dotfill\\_%"), Vec::<String>::new(), "{there}");
    }
}

#[test]
fn the_same_definition_in_another_spelling_is_proven_and_kept() {
    let cases = [
        ("create index \"I\" on [t] (`A`, \"b\" collate nocase)", "columns = ['a', 'b']"),
        (
            "CREATE UNIQUE INDEX i ON t(LOWER( a ) , id) WHERE ( A is not null )",
            "expressions = ['lower(\"a\")', 'id']\nwhere = 'a IS NOT NULL'\nunique = true",
        ),
    ];
    for (there, rest) in cases {
        let db = plain_db(&format!("{TABLE}{there}"));
        let job = job(db.db(), rest);
        assert!(plan(&job.db, &job.migration, &PlanOptions::default()).unwrap().indexes[0].exists);
        let report = job.run();
        let index = report.changes[0].index.clone().unwrap();
        assert_eq!((index.build_seconds, index.entries), (None, 2));
        assert_proven(&job);
        // It was there before us, and stays.
        let kept = job.rollback().kept;
        assert_eq!(kept, ["index \"i\" stays: it was there before"]);
        let names =
            "SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND name = 'i' COLLATE NOCASE";
        assert_eq!(db.query_row(names, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
    }
}

#[test]
fn one_that_is_replaced_after_the_proof_is_told() {
    let db = plain_db(TABLE);
    let job = job(db.db(), "columns = ['a']");
    job.run();
    db.execute_batch("DROP INDEX i; CREATE INDEX i ON t(b)").unwrap();
    let verified = crate::scene::verify(&job, false);
    assert_eq!(verified.verdict, engine::Verdict::Diverged);
    assert!(verified.reason.unwrap().contains("terms: (b collate NOCASE) instead of (a)"));
    job.expect_error(&["terms: (b collate NOCASE) instead of (a)"]);
    let found = dotfill::doctor::examine(&job.db).unwrap();
    let text = format!("{found:?}");
    assert!(text.contains("another definition than the migration"), "{text}");
    // A rollback does not drop what somebody else has made.
    assert_eq!(job.rollback().kept, ["index \"i\" stays: somebody has made it anew"]);
    assert!(sql(&db).unwrap().contains("t(b)"));
}

#[test]
fn one_that_was_dropped_is_built_again() {
    let db = plain_db(TABLE);
    let job = job(db.db(), "columns = ['a']");
    job.run();
    db.execute_batch("DROP INDEX i").unwrap();
    assert_eq!(crate::scene::verify(&job, false).verdict, engine::Verdict::Diverged);
    let close = engine::close(&job.db, &job.migration, &job.options, &Quiet).unwrap_err();
    assert!(close.to_string().contains("it is gone"), "{close}");
    assert!(job.run().changes[0].index.as_ref().unwrap().build_seconds.is_some());
    assert_proven(&job);
}

#[test]
fn what_cannot_be_indexed_is_refused_by_line() {
    let cases = [
        ("columns = ['x']", "migration.toml:6: table \"t\" has no column \"x\"; it has id, a, b"),
        ("expressions = ['x + 1']", "migration.toml:6: \"x + 1\" is refused: no such column"),
        ("expressions = ['random()']", "non-deterministic"),
        ("expressions = [\"date('now')\"]", "not deterministic"),
        ("expressions = ['a), (b']", "migration.toml:6: \"a), (b\" is refused"),
        ("expressions = ['(SELECT 1)']", "subqueries"),
        ("columns = ['a']\nwhere = 'a = ?1'", "migration.toml:7"),
        ("columns = ['a']\nwhere = 'a = \"nope\"'", "no such column"),
    ];
    for (rest, says) in cases {
        let db = plain_db(TABLE);
        job(db.db(), rest).expect_error(&[says]);
        assert_eq!(objects(&db, "\\_dotfill\\_%"), Vec::<String>::new());
    }
}

#[test]
fn two_migrations_do_not_share_an_index() {
    let db = plain_db(TABLE);
    let first = job(db.db(), "columns = ['a']");
    first.run();
    let second = format!("id = 'other'\n{}", crate::scene::section("columns = ['a']"));
    let second = Job::new(db.db(), migration(&second));
    second.expect_error(&["was built by migration m here", "dotfill forget m"]);
    first.close();
    engine::forget(&first.db, "m").unwrap();
    second.run();
}
