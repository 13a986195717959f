//! `doctor` and `verify` on a database whose epoch is closed, for a share of the objects or for all.

use crate::common::{Output, dotfill, merge, merge_both_ways, plain_db};
use crate::plain::Plain;
use crate::scenario::{PROJECTS, Scene, projects, tags};
use dotfill::monitor::Quiet;
use dotfill::state::Mode;

const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 50)
    INSERT INTO projects SELECT 'P' || i, 'n', '[\"a\"]' FROM i;";

fn doctor(db: &str) -> Output {
    dotfill(&["doctor", "--db", db, "--json"])
}

#[track_caller]
fn assert_healthy(db: &str, words: &[&str]) {
    let output = doctor(db);
    let text = output.json.to_string();
    assert!(!text.contains("\"wrong\"") && !text.contains("\"owed\""), "{text}");
    output.expect_words(words);
}

#[test]
fn a_closed_epoch_is_healthy_and_a_lost_trigger_is_named() {
    let db = plain_db(&format!("{PROJECTS}; {ROWS}"));
    let job = Plain::new(db.db(), &tags("reject"));
    job.run();
    job.advance(Mode::ReadNewWriteOld);
    job.advance(Mode::ReadNewWriteBoth);
    assert_healthy(db.db(), &[]);
    let mut share = Plain::asked(Mode::ReadNewWriteNew);
    share.percent = Some(30);
    job.try_advance(&share, &Quiet).unwrap();
    assert_healthy(db.db(), &["closed, of a share of its objects"]);
    job.advance(Mode::ReadNewWriteNew);
    assert_healthy(db.db(), &["closed, of all its objects"]);
    let verify = dotfill(&["verify", "tags-or-set", "--db", db.db(), "--json"]).expect_code(0);
    assert_eq!(verify.json["verdict"], "equal");
    // The triggers are others than those of the recorded proof: objects are counted again.
    dotfill(&["wait", "tags-or-set", "--db", db.db(), "--json"]).expect_code(0);

    db.execute_batch(
        "BEGIN; INSERT INTO _dotfill_merging VALUES (1);
         UPDATE projects SET tags = '[\"z\"]' WHERE id = 'P1'; DELETE FROM _dotfill_merging; COMMIT;",
    )
    .unwrap();
    doctor(db.db()).expect_words(&["1 old writes have arrived", "dotfill run"]);
    db.execute_batch("DROP TRIGGER _dotfill_1_epoch_update").unwrap();
    doctor(db.db()).expect_words(&["_dotfill_1_epoch_update lost", "CREATE TRIGGER"]);
}

#[test]
fn verify_is_inconclusive_while_a_write_is_held() {
    let (a, b, old) = (projects(), projects(), projects());
    a.run("INSERT INTO projects VALUES ('P1', 'one', '[\"a\"]')", []);
    merge_both_ways(&a, &b);
    merge_both_ways(&a, &old);
    let scene = Scene::new(&tags("quarantine"), &[&a, &b]);
    scene.close_epoch(&[&a, &b]);
    old.run("UPDATE projects SET tags = '[\"a\",\"c\"]' WHERE id = 'P1'", []);
    merge(&old, &a);
    for _ in 0..2 {
        let verify = scene.command("verify", &a, &[]).expect_code(1);
        assert_eq!(verify.json["verdict"], "inconclusive", "{}", verify.json);
        verify.expect_words(&["1 old writes are pending or wait in quarantine"]);
        scene.run(&a);
    }
    dotfill(&["quarantine", "replay", "1", "--db", a.db()]).expect_code(0);
    let verify = scene.command("verify", &a, &[]).expect_code(0);
    assert_eq!(verify.json["verdict"], "equal", "{}", verify.json);
}
