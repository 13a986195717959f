//! Deltas of a migration of several changes, of which only some need to travel; and deltas beside
//! triggers of the application and schema changes of others.

use tempfile::TempDir;

use crate::common::{Client, plain_db};
use crate::deltas::{apply_deltas, expect_apply_error, export, try_apply};
use crate::job::{Job, assert_none, assert_sound, column, migration, objects, one_column, threads};
use crate::watch::AfterCommit;
use dotfill::engine::{self, Outcome, Verdict};
use dotfill::monitor::Quiet;

const TABLES: &str = "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, src TEXT);
    CREATE TABLE u (a INT NOT NULL, b TEXT NOT NULL, src TEXT, PRIMARY KEY (a, b DESC)) WITHOUT ROWID;";
const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 90)
    INSERT INTO t (id, src) SELECT i, 'src ' || i FROM i;
    INSERT INTO u (a, b, src) SELECT id % 7, 'b' || id, src FROM t;";

fn several(rest: &str) -> dotfill::migration::Migration {
    let toml = [
        column("t", "first", "TEXT", "'v-' || src", "delivery = 'derive'"),
        column("t", "constant", "TEXT", "'x'", "delivery = 'elide'"),
        column("u", "second", "TEXT", "'w-' || src", "delivery = 'derive'"),
        column("u", "length", "INT", "length(src)", rest),
    ];
    migration(&format!("id = \"m\"\n{}", toml.concat()))
}

#[track_caller]
fn assert_all(client: &Client) {
    assert_none(
        client,
        "SELECT count(*) FROM t WHERE first IS NOT 'v-' || src OR constant IS NOT 'x'",
    );
    assert_none(
        client,
        "SELECT count(*) FROM u WHERE second IS NOT 'w-' || src OR length IS NOT length(src)",
    );
    assert_sound(client);
}

#[test]
fn every_column_is_there_afterwards() {
    let migration = several("delivery = 'virtual'\nwritable = false");
    let folder = TempDir::new().unwrap();
    for name in ["a.db", "b.db"] {
        Client::open(&folder.path().join(name)).execute_batch(&format!("{TABLES}{ROWS}")).unwrap();
    }
    let (a, b) = (folder.path().join("a.db"), folder.path().join("b.db"));
    let dir = folder.path().join("deltas");
    let job = Job::new(&a, migration.clone());
    job.run();
    job.close();
    assert_eq!(export(&a, &migration, &dir).rows, 180);
    let client = Client::open(&b);
    let report = apply_deltas(&b, &dir);
    assert_eq!((report.rows, report.rows_written), (180, 180));
    assert_all(&client);
    let proof = engine::verify(&b, &migration, &threads(1), &Quiet).unwrap();
    assert_eq!(proof.verdict, Verdict::Equal);
    assert_eq!(proof.digest, engine::verify(&a, &migration, &threads(1), &Quiet).unwrap().digest);
    Job::new(&b, migration.clone()).run();
    assert_all(&client);
}

#[test]
fn what_travels_by_itself_is_not_exported() {
    let folder = TempDir::new().unwrap();
    let a = folder.path().join("a.db");
    Client::open(&a).execute_batch(&format!("{TABLES}{ROWS}")).unwrap();
    let migration = one_column("t", "c", "TEXT", "'x'", "delivery = 'elide'");
    Job::new(&a, migration.clone()).run();
    let dir = folder.path().join("deltas");
    let error = crate::deltas::try_export(&a, &migration, &dir, &dotfill::monitor::Quiet);
    let error = error.expect_err("a refusal").to_string();
    assert!(error.contains("elide") && !dir.exists(), "{error}");
}

/// The application's triggers fire for what is applied, and only its own writes are noted.
#[test]
fn triggers_of_the_application_fire_and_ours_do_not() {
    let migration = one_column("t", "target", "TEXT", "'v-' || src", "delivery = 'derive'");
    let a = plain_db(&format!("{TABLES}{ROWS}"));
    Job::new(a.db(), migration.clone()).run();
    let dir = a.folder().join("deltas");
    export(a.db(), &migration, &dir);
    let b = plain_db(&format!(
        "{TABLES}{ROWS} CREATE TABLE log (id INT); ALTER TABLE t ADD COLUMN target TEXT;
         CREATE TRIGGER logged AFTER UPDATE OF target ON t BEGIN INSERT INTO log VALUES (NEW.id); END;"
    ));
    apply_deltas(b.db(), &dir);
    assert_none(&b, "SELECT count(*) - 90 FROM log");
    assert_none(&b, "SELECT count(*) FROM _dotfill_dirty_1");
    assert_none(&b, "SELECT count(*) FROM t WHERE target IS NOT 'v-' || src");
}

/// A value that the table refuses: the row is named, what was written stays, and the same command
/// goes on once the way is free.
#[test]
fn a_value_that_is_refused_names_its_row() {
    let migration = one_column("t", "target", "TEXT", "'v-' || src", "delivery = 'derive'");
    let a = plain_db(&format!("{TABLES}{ROWS}"));
    Job::new(a.db(), migration.clone()).run();
    let dir = a.folder().join("deltas");
    export(a.db(), &migration, &dir);
    let b = plain_db(&format!(
        "{TABLES}{ROWS} ALTER TABLE t ADD COLUMN target TEXT; CREATE UNIQUE INDEX one ON t (target);
         UPDATE t SET target = 'v-src 40' WHERE id = 50;"
    ));
    expect_apply_error(b.db(), &dir, &["row (40)", "UNIQUE", "continues where it stopped"]);
    b.execute_batch("UPDATE t SET target = 'user' WHERE id = 50").unwrap();
    let report = apply_deltas(b.db(), &dir);
    assert_eq!(report.rows_user_written, 1);
    assert_none(&b, "SELECT count(*) FROM t WHERE target IS NOT iif(id = 50, 'user', 'v-' || src)");
}

/// Others change the schema after every third commit; the apply looks again and goes on.
#[test]
fn schema_changes_of_others_are_met() {
    let migration = one_column("t", "target", "TEXT", "'v-' || src", "delivery = 'derive'");
    let a = plain_db(&format!("{TABLES}{ROWS}"));
    Job::new(a.db(), migration.clone()).run();
    let dir = a.folder().join("deltas");
    export(a.db(), &migration, &dir);
    let b = plain_db(&format!("{TABLES}{ROWS}"));
    let app = std::sync::Mutex::new(rusqlite::Connection::open(b.db()).unwrap());
    let monitor = AfterCommit::new(|commits| {
        if commits % 3 == 0 && commits < 40 {
            let sql = format!("CREATE TABLE other_{commits} (x)");
            app.lock().unwrap().execute_batch(&sql).unwrap();
        }
    });
    let report = try_apply(b.db().as_ref(), &dir, 7, &monitor).unwrap();
    assert_eq!((report.outcome, report.rows_written), (Outcome::Complete, 90));
    assert!(objects(&b, "other\\_%").len() > 3, "premise: the schema was changed");
    assert_none(&b, "SELECT count(*) FROM t WHERE target IS NOT 'v-' || src");
}
