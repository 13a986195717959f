//! What comes after an apply: the replica begins to derive, closes, is rolled back, is forgotten, or
//! feeds others; on plain tables and on real cr-sqlite replicas.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::common::Client;
use crate::deltas::{apply_deltas, export};
use crate::job::{Job, assert_none, assert_sound, objects, one_column, threads};
use dotfill::doctor::{Severity, examine};
use dotfill::engine::{self, Verdict};
use dotfill::migration::Migration;
use dotfill::monitor::Quiet;
use dotfill::state::Phase;
use dotfill::status::{MigrationStatus, StatusReader};

const TABLE: &str = "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, src TEXT);";
const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 100)
    INSERT INTO t (id, src) SELECT i, 'src ' || i FROM i;";

fn migration() -> Migration {
    one_column("t", "target", "TEXT", "'v-' || src", "delivery = 'derive'")
}

/// A replica `b.db` that was fed by the deltas of a closed `a.db`.
struct Fed {
    folder: TempDir,
    job: Job,
    client: Client,
}

impl Fed {
    fn new(crsqlite: bool, more: &str) -> Self {
        let folder = TempDir::new().unwrap();
        for name in ["a.db", "b.db"] {
            let client = Client::open(&folder.path().join(name));
            client.execute_batch(TABLE).unwrap();
            if crsqlite {
                client.run("SELECT crsql_as_crr('t')", []);
            }
            client.execute_batch(ROWS).unwrap();
        }
        let a = Job::new(folder.path().join("a.db"), migration());
        a.run();
        a.close();
        export(&a.db, &migration(), &folder.path().join("deltas"));
        let job = Job::new(folder.path().join("b.db"), migration());
        let client = Client::open(&job.db);
        client.execute_batch(more).unwrap();
        let fed = Self { folder, job, client };
        fed.apply();
        fed
    }

    fn deltas(&self) -> PathBuf {
        self.folder.path().join("deltas")
    }

    fn apply(&self) -> dotfill::engine::ApplyReport {
        apply_deltas(&self.job.db, &self.deltas())
    }

    fn status(&self) -> MigrationStatus {
        StatusReader::open(&self.job.db).unwrap().one("m").unwrap().expect("a migration")
    }

    fn worst(&self) -> Severity {
        examine(&self.job.db).unwrap().first().expect("a finding").severity
    }

    #[track_caller]
    fn assert_derived(&self, but: &str) {
        assert_none(
            &self.client,
            &format!("SELECT count(*) FROM t WHERE NOT ({but}) AND target IS NOT 'v-' || src"),
        );
        assert_sound(&self.client);
    }
}

fn both(test: impl Fn(bool)) {
    test(false);
    test(true);
}

#[test]
fn it_is_applied_proven_and_healthy_and_has_the_digest_of_its_source() {
    both(|crsqlite| {
        let fed = Fed::new(crsqlite, "");
        let status = fed.status();
        assert_eq!((status.phase, status.pending_rows), (Phase::Applied, 0));
        assert!(status.is_proven() && !status.is_resumable());
        assert_eq!(fed.worst(), Severity::Ok, "{:?}", examine(&fed.job.db));
        let a = engine::verify(&fed.folder.path().join("a.db"), &migration(), &threads(1), &Quiet)
            .unwrap();
        let b = engine::verify(&fed.job.db, &migration(), &threads(1), &Quiet).unwrap();
        assert_eq!((a.verdict, b.verdict), (Verdict::Equal, Verdict::Equal));
        assert_eq!(a.digest, b.digest);
        // Nothing of ours is left in the way of a replica's writes; a plain table keeps its marks.
        let triggers = objects(&fed.client, "\\_dotfill\\_1\\_%");
        assert_eq!(triggers.is_empty(), crsqlite, "{triggers:?}");
    });
}

#[test]
fn it_may_derive_for_itself_from_then_on() {
    both(|crsqlite| {
        let fed = Fed::new(crsqlite, "UPDATE t SET src = 'other' WHERE id = 50;");
        fed.client.execute_batch("UPDATE t SET target = 'user' WHERE id = 60").unwrap();
        let report = fed.job.run();
        assert_eq!((report.rows_written, report.rows_user_written), (1, 1));
        fed.assert_derived("id = 60");
        assert_eq!(fed.status().phase, Phase::Open);
        fed.client.execute_batch("UPDATE t SET src = 'again' WHERE id IN (1, 60)").unwrap();
        assert_eq!(fed.job.run().rows_written, 1);
        fed.assert_derived("id = 60");
        fed.job.close();
        assert_eq!(objects(&fed.client, "\\_dotfill\\_%\\_1").len(), 0);
    });
}

#[test]
fn it_is_closed_without_deriving_and_then_forgotten() {
    both(|crsqlite| {
        let fed = Fed::new(crsqlite, "");
        fed.client.execute_batch("UPDATE t SET src = 'newer' WHERE id = 5").unwrap();
        assert!(try_close(&fed).is_err(), "nobody has derived row 5 again");
        fed.client.execute_batch("UPDATE t SET src = 'src 5' WHERE id = 5").unwrap();
        fed.job.close();
        assert_eq!(fed.status().phase, Phase::Closed);
        fed.assert_derived("0");
        assert_eq!(objects(&fed.client, "\\_dotfill\\_1\\_%").len(), 0);
        engine::forget(&fed.job.db, "m").unwrap();
        assert_eq!(objects(&fed.client, "\\_dotfill\\_%").len(), 0);
        fed.assert_derived("0");
    });
}

#[test]
fn it_is_rolled_back_to_what_users_wrote() {
    both(|crsqlite| {
        let fed = Fed::new(crsqlite, "");
        fed.client.execute_batch("UPDATE t SET target = 'user' WHERE id = 60").unwrap();
        assert_eq!(fed.job.rollback().rows_cleared, 99);
        assert_none(
            &fed.client,
            "SELECT count(*) FROM t WHERE target IS NOT CASE id WHEN 60 THEN 'user' END",
        );
        assert_eq!(fed.status().phase, Phase::RolledBack);
        let error = crate::deltas::expect_apply_error(&fed.job.db, &fed.deltas(), &["rolled back"]);
        drop(error);
        engine::forget(&fed.job.db, "m").unwrap();
        assert_eq!(fed.apply().rows_written, 99);
        fed.assert_derived("id = 60");
    });
}

#[test]
fn what_has_not_arrived_is_owed_and_keeps_it_from_closing() {
    both(|crsqlite| {
        let fed = Fed::new(crsqlite, "");
        let folder = TempDir::new().unwrap();
        let db = folder.path().join("c.db");
        let client = Client::open(&db);
        client.execute_batch(TABLE).unwrap();
        if crsqlite {
            client.run("SELECT crsql_as_crr('t')", []);
        }
        assert_eq!(apply_deltas(&db, &fed.deltas()).rows_pending, 100);
        let status = StatusReader::open(&db).unwrap().one("m").unwrap().unwrap();
        assert_eq!(status.pending_rows, 100);
        let findings = examine(&db).unwrap();
        assert_eq!(findings[0].severity, Severity::Owed, "{findings:?}");
        assert!(findings[0].next.as_ref().unwrap().contains("dotfill apply"), "{findings:?}");
        let job = Job::new(&db, migration());
        let error = engine::close(&db, &migration(), &job.options, &dotfill::monitor::Quiet);
        let error = error.expect_err("a refusal").to_string();
        assert!(error.contains("100 values"), "{error}");
        client.execute_batch(ROWS).unwrap();
        let report = apply_deltas(&db, &fed.deltas());
        assert_eq!((report.rows_pending, report.rows_written, report.rows_arrived), (0, 100, 100));
        job.close();
    });
}

#[test]
fn it_feeds_others() {
    both(|crsqlite| {
        let fed = Fed::new(crsqlite, "");
        fed.client.execute_batch("UPDATE t SET target = 'user' WHERE id = 60").unwrap();
        fed.apply();
        let report = export(&fed.job.db, &migration(), &fed.folder.path().join("second"));
        assert_eq!((report.rows, report.rows_user, report.rows_pending), (99, 1, 0));
    });
}

/// The replica lacks what the expression reads: it can be fed, closed and forgotten all the same.
#[test]
fn it_need_not_be_able_to_derive() {
    let fed = Fed::new(false, "");
    let folder = TempDir::new().unwrap();
    let db = folder.path().join("c.db");
    let client = Client::open(&db);
    client
        .execute_batch(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, other INT);
             WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 100)
             INSERT INTO t (id) SELECT i FROM i;",
        )
        .unwrap();
    assert_eq!(apply_deltas(&db, &fed.deltas()).rows_written, 100);
    assert_none(&client, "SELECT count(*) FROM t WHERE target IS NOT 'v-src ' || id");
    let job = Job::new(&db, migration());
    job.expect_error(&["src"]);
    assert_eq!(examine(&db).unwrap()[0].severity, Severity::Ok);
    client.execute_batch("UPDATE t SET target = 'user' WHERE id = 3").unwrap();
    assert_eq!(apply_deltas(&db, &fed.deltas()).rows_user_written, 1);
    job.close();
}

fn try_close(fed: &Fed) -> Result<engine::CloseReport, engine::RunError> {
    engine::close(
        &fed.job.db,
        &migration(),
        &engine::RunOptions::default(),
        &dotfill::monitor::Quiet,
    )
}

#[test]
fn closing_proves_what_was_shipped() {
    for crsqlite in [false, true] {
        let fed = Fed::new(crsqlite, "");
        let spoil = |value: &str| {
            let db = rusqlite::Connection::open(&fed.job.db).unwrap();
            let config = rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER;
            db.set_db_config(config, false).unwrap();
            db.execute("UPDATE t SET target = ?1 WHERE id = 7", [value]).unwrap();
        };
        spoil("rotten");
        let refused = try_close(&fed).expect_err("a refusal").to_string();
        for word in ["1 cells", "7", "dotfill run"] {
            assert!(refused.contains(word), "{refused}");
        }
        spoil("v-src 7");
        assert_eq!(try_close(&fed).expect("closed").rows_proven, 100);
    }
}

#[test]
fn what_users_wrote_on_a_plain_table_is_known_to_a_proof() {
    let fed = Fed::new(
        false,
        "ALTER TABLE t ADD COLUMN target TEXT; UPDATE t SET target = 'mine' WHERE id < 4",
    );
    fed.client.run("UPDATE t SET target = 'mine too' WHERE id = 9", []);
    let report = engine::verify(&fed.job.db, &migration(), &threads(2), &Quiet).unwrap();
    assert_eq!((report.verdict, report.rows_different), (Verdict::Equal, 0), "{report:?}");
    let digest = engine::digest(&fed.job.db, &migration(), &threads(2), &Quiet).unwrap();
    assert_eq!((digest.phase.as_str(), digest.rows_different), ("applied", 0));
}
