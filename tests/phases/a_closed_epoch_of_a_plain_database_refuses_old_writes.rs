//! A plain database, whose application replicates it by itself and says so with a row; and an
//! application with an older `SQLite` than dotfill's.

use crate::common::{plain_db, sqlite_shell};
use crate::plain::Plain;
use crate::scenario::{PROJECTS, REFUSAL, tags};

const ROWS: &str =
    "INSERT INTO projects VALUES ('P1', 'one', '[\"a\",\"b\"]'), ('P2', 'two', NULL)";

const SHOWN: &str = "SELECT id || ':' || element FROM project_tags_visible ORDER BY id, element";

fn shown(db: &crate::common::PlainDb) -> Vec<String> {
    db.texts(SHOWN).into_iter().flatten().collect()
}

#[test]
fn a_merge_is_told_by_a_row_in_its_transaction() {
    for (policy, want) in [("translate", "P1:a P1:b P1:c"), ("reject", "P1:a P1:b")] {
        let db = plain_db(&format!("{PROJECTS}; {ROWS};"));
        let job = Plain::new(db.db(), &tags(policy));
        job.close_epoch();
        let write = "UPDATE projects SET tags = '[\"b\",\"c\"]' WHERE id = 'P1'";
        let error = db.execute_batch(write).expect_err("a local write").to_string();
        assert!(error.contains(REFUSAL), "{error}");
        db.execute_batch(&format!(
            "BEGIN; INSERT INTO _dotfill_merging VALUES (1); {write};
             DELETE FROM _dotfill_merging; COMMIT;"
        ))
        .unwrap();
        let error = db.execute_batch("UPDATE projects SET tags = 'x' WHERE id = 'P1'");
        assert!(error.is_err(), "the transaction of the merge is over");
        assert_eq!(shown(&db), ["P1:a", "P1:b"], "nothing is decided yet");
        job.run();
        assert_eq!(shown(&db).join(" "), want, "{policy}");
        job.run();
        assert_eq!(shown(&db).join(" "), want, "{policy}, again");
    }
}

#[test]
fn an_older_sqlite_reads_writes_and_is_refused() {
    let db = plain_db(&format!("{PROJECTS}; {ROWS};"));
    let job = Plain::new(db.db(), &tags("reject"));
    job.run();
    for mode in &crate::plain::STEPS[..2] {
        job.advance(*mode);
    }
    // The validator's triggers stand.
    let script = "UPDATE projects SET tags = '[\"a\",\"b\",\"z\"]' WHERE id = 'P1';
        INSERT INTO project_tag_adds VALUES ('P1', 'z', x'01');";
    assert_eq!(sqlite_shell(db.db(), script), "");
    let mut share = Plain::asked(crate::plain::STEPS[2]);
    share.percent = Some(50);
    job.try_advance(&share, &dotfill::monitor::Quiet).unwrap();
    assert_eq!(sqlite_shell(db.db(), "UPDATE projects SET name = 'half' WHERE id = 'P2'"), "");
    job.advance(crate::plain::STEPS[2]);
    // The triggers of the closed epoch stand.
    let script = format!(
        "UPDATE projects SET name = 'new' WHERE id = 'P1';
         INSERT INTO projects(id, name) VALUES ('P3', 'three');
         BEGIN; INSERT INTO _dotfill_merging VALUES (1);
         UPDATE projects SET tags = '[\"q\"]' WHERE id = 'P2'; DELETE FROM _dotfill_merging; COMMIT;
         {SHOWN};
         PRAGMA integrity_check;"
    );
    assert_eq!(sqlite_shell(db.db(), &script), "P1:a\nP1:b\nP1:z\nok\n");
    let path = db.db().to_owned();
    let refused = std::panic::catch_unwind(|| {
        sqlite_shell(&path, "UPDATE projects SET tags = NULL WHERE id = 'P1'")
    });
    let said = *refused.expect_err("a refusal").downcast::<String>().unwrap();
    assert!(said.contains(REFUSAL), "{said}");
    job.run();
    assert_eq!(sqlite_shell(db.db(), SHOWN), "P1:a\nP1:b\nP1:z\n");
}
