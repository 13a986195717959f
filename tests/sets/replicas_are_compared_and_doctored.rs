//! Digests and files of two replicas with sets are compared; `doctor` says what is wrong with a set,
//! and what it says puts it right.

use dotfill::doctor::{self, is_healthy};
use dotfill::engine::{self, Against, CompareOptions, LookOptions, Verdict};
use dotfill::monitor::Quiet;

use crate::common::{PlainDb, plain_db};
use crate::set::{PROJECTS, SetJob, tags, visible};

fn filled(rows: i64) -> (PlainDb, SetJob) {
    let db = plain_db(PROJECTS);
    db.execute_batch(&format!(
        "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < {rows})
         INSERT INTO projects (id, tags) SELECT i, '[\"a\", \"b' || i || '\"]' FROM i;"
    ))
    .unwrap();
    let job = SetJob::new(db.db(), tags("json", ""));
    job.run();
    (db, job)
}

/// The verdicts of a comparison with the other's digest, and with its file.
fn compare(here: &SetJob, there: &SetJob) -> [(Verdict, u64, u64); 2] {
    let digest =
        engine::digest(&there.db, &there.migration, &LookOptions::default(), &Quiet).unwrap();
    let digest = Against::Digest { name: "there".to_owned(), digest: Box::new(digest) };
    [digest, Against::Replica(there.db.clone())].map(|against| {
        let options = CompareOptions::default();
        let report =
            engine::verify_against(&here.db, &here.migration, &against, &options, &Quiet).unwrap();
        let comparison = report.comparison.unwrap();
        (report.verdict, comparison.rows_in_flight, comparison.rows_diverged)
    })
}

#[test]
fn equal_in_flight_and_diverged() {
    let ((a, here), (b, there)) = (filled(50), filled(50));
    assert_eq!(compare(&here, &there), [(Verdict::Equal, 0, 0); 2]);
    b.execute_batch(
        "UPDATE projects SET tags = '[\"z\"]' WHERE id = 7; DELETE FROM projects WHERE id = 9",
    )
    .unwrap();
    there.run();
    let [digest, file] = compare(&here, &there);
    assert_eq!((digest.0, file), (Verdict::Inconclusive, (Verdict::Inconclusive, 2, 0)));
    a.execute_batch(
        "UPDATE projects SET tags = '[\"z\"]' WHERE id = 7; DELETE FROM projects WHERE id = 9",
    )
    .unwrap();
    // What is noted and not drained is in flight too.
    assert_eq!(compare(&here, &there)[1].0, Verdict::Inconclusive);
    here.run();
    assert_eq!(compare(&here, &there), [(Verdict::Equal, 0, 0); 2]);
    // An add of ours that is gone without a note is a divergence, and the next run mends it.
    b.execute_batch("DELETE FROM tag_adds WHERE id = 11").unwrap();
    assert_eq!(there.verify().verdict, Verdict::Diverged);
    assert_eq!(there.verify().examples, ["projects: 11"]);
    assert_eq!(compare(&here, &there)[0].0, Verdict::Diverged);
    there.run();
    assert_eq!(compare(&here, &there), [(Verdict::Equal, 0, 0); 2]);
    // So is one of an object that does not exist.
    let dot = crate::set::dot(9, "a");
    b.execute("INSERT INTO tag_adds VALUES (9, 'a', ?1)", [dot]).unwrap();
    assert_eq!(there.verify().verdict, Verdict::Diverged);
    there.run();
    assert_eq!(visible(&a), visible(&b));
}

/// Runs what `doctor` says to type for SQL.
fn follow(db: &PlainDb, what: &str) {
    let findings = doctor::examine(db.db().as_ref()).unwrap();
    let finding = findings.iter().find(|f| f.what.contains(what)).unwrap_or_else(|| {
        panic!("nothing of {what} in {findings:#?}");
    });
    let next = finding.next.clone().unwrap_or_default();
    let command = next.lines().take_while(|line| !line.starts_with("then: ")).collect::<Vec<_>>();
    let output =
        std::process::Command::new("sh").args(["-c", &command.join("\n")]).output().unwrap();
    assert!(output.status.success(), "{next}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_is_lost_is_said_and_put_right() {
    let (db, job) = filled(10);
    let healthy = || is_healthy(&doctor::examine(db.db().as_ref()).unwrap());
    assert!(healthy(), "{:#?}", doctor::examine(db.db().as_ref()));
    let before = visible(&db);
    db.execute_batch("DROP VIEW tags_visible").unwrap();
    assert!(!healthy());
    follow(&db, "view \"tags_visible\"");
    assert!(healthy());
    assert_eq!(visible(&db), before);
    db.execute_batch(
        "DROP TRIGGER _dotfill_1_source; UPDATE projects SET tags = '[\"z\"]' WHERE id = 3",
    )
    .unwrap();
    assert!(!healthy());
    follow(&db, "triggers of set projects.tags");
    assert!(healthy());
    assert_eq!(job.verify().verdict, Verdict::Diverged);
    job.run();
    job.assert_equal();
    db.execute_batch("UPDATE projects SET tags = '[\"y\"]' WHERE id = 3").unwrap();
    assert!(!healthy(), "an object waits");
    job.close();
    assert!(healthy());
    db.execute_batch("DROP TABLE tag_removes").unwrap();
    assert!(!healthy());
}
