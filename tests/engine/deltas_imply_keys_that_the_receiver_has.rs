//! Deltas without keys, for a replica that has the same keys: where it has not, only the keys of
//! those ranges are shipped; where its keys change afterwards, nothing of those ranges is written,
//! and the commands that the report names bring what is missing.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;

use crate::common::Client;
use crate::deltas::{apply_deltas, export, export_for, key_digest, try_apply};
use crate::job::{Job, assert_none, assert_sound, one_column};
use crate::watch::AfterCommit;
use dotfill::engine::{self, ApplyReport, Deltas, Destination, ExportOptions, Outcome, RunOptions};
use dotfill::migration::Migration;
use dotfill::monitor::Quiet;
use dotfill::verify::KeysReport;

/// Rows of the larger tables: more than a few blocks.
const ROWS: u32 = 40_000;

fn migration() -> Migration {
    one_column("t", "target", "TEXT", "'u' || src", "delivery = 'derive'")
}

/// Rows with keys as ULIDs are, in order and beyond guessing, and sources like `12345678-42`.
fn fill(conn: &Connection, rows: u32) {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut state = 7_u64;
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    conn.execute_batch("BEGIN").unwrap();
    let mut insert = conn.prepare("INSERT INTO t (id, n, src) VALUES (?1, ?2, ?3)").unwrap();
    for n in 1..=rows {
        let time = 1_700_000_000_000 + u128::from(n) * 37;
        let chance = u128::from(random()) << 16 | u128::from(random() & 0xffff);
        let id = time << 80 | chance;
        let id: String =
            (0..26).rev().map(|i| DIGITS[(id >> (i * 5) & 31) as usize] as char).collect();
        let src = format!("{}-{}", random() % (1 << 32), random() % 100);
        insert.execute((id, n, src)).unwrap();
    }
    drop(insert);
    conn.execute_batch("COMMIT").unwrap();
}

/// A folder with a filled replica `a.db` and one to be fed, `b.db`, both with the same rows.
struct Pair {
    folder: TempDir,
}

impl Pair {
    fn new(count: u32, crsqlite: bool) -> Self {
        let pair = Self { folder: TempDir::new().unwrap() };
        for name in ["a.db", "b.db"] {
            let client = Client::open(&pair.path(name));
            client
                .execute_batch(
                    "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, src TEXT, n INT, target TEXT)",
                )
                .unwrap();
            if crsqlite {
                client.run("SELECT crsql_as_crr('t')", []);
            }
            fill(&client, count);
        }
        pair.run();
        pair
    }

    fn run(&self) {
        let options = RunOptions::default();
        Job { options, ..Job::new(self.path("a.db"), migration()) }.run();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn b(&self) -> Client {
        Client::open(&self.path("b.db"))
    }

    fn export(&self, name: &str) -> engine::ExportReport {
        export_for(self.path("b.db"), self.path("a.db"), &migration(), &self.path(name))
    }

    fn apply(&self, name: &str) -> ApplyReport {
        apply_deltas(self.path("b.db"), &self.path(name))
    }

    /// An apply in large batches, however it ends.
    fn try_apply(&self, name: &str) -> ApplyReport {
        try_apply(&self.path("b.db"), &self.path(name), 1000, &Quiet).unwrap()
    }
}

/// Every row of the replica holds the derived value, but those `but`.
#[track_caller]
fn assert_fed(conn: &Connection, but: &str) {
    assert_none(
        conn,
        &format!("SELECT count(*) FROM t WHERE target IS NOT 'u' || src AND NOT ({but})"),
    );
    assert_sound(conn);
}

/// Keys in order cost nothing but the bounds of blocks. `DOTFILL_DELTA_ROWS` asks for another number
/// of rows.
#[test]
fn a_row_costs_its_value() {
    let rows = std::env::var("DOTFILL_DELTA_ROWS").map_or(100_000, |rows| rows.parse().unwrap());
    let pair = Pair::new(rows, false);
    let report = pair.export("deltas");
    let rows = u64::from(rows);
    assert_eq!((report.rows, report.rows_implied), (rows, rows));
    println!("{:.2} bytes a row, keys implied", report.bytes_per_row);
    assert!(report.bytes_per_row <= 5.5, "{}", report.bytes_per_row);
    let options = RunOptions::default();
    let deltas = Deltas::Folder(pair.path("deltas"));
    let applied = engine::apply(&pair.path("b.db"), deltas, &options, &Quiet).unwrap();
    assert_eq!((applied.outcome, applied.rows_written), (Outcome::Complete, rows));
    assert_fed(&pair.b(), "0");
}

/// What one odd row costs, beyond the same without.
#[track_caller]
fn one_range_is_shipped(odd: &str, missing: u64) {
    let pair = Pair::new(ROWS, false);
    let same = pair.export("same");
    let shipped = export(pair.path("a.db"), &migration(), &pair.path("shipped"));
    let b = pair.b();
    b.execute_batch(odd).unwrap();
    let report = pair.export("deltas");
    let range = report.rows - report.rows_implied;
    assert_eq!(report.rows, u64::from(ROWS));
    assert!((1..400).contains(&range), "{odd}: {range} rows with keys");
    let bytes = report.delta_bytes - same.delta_bytes;
    let each = (shipped.delta_bytes - same.delta_bytes) / u64::from(ROWS) + 1;
    println!("{odd}: {range} rows with keys, {bytes} bytes more");
    assert!(bytes <= range * each + 1024, "{odd}: {bytes} bytes more for {range} rows at {each}");
    let applied = pair.try_apply("deltas");
    assert_eq!((applied.outcome, applied.rows_unlike), (Outcome::Complete, 0));
    assert_eq!(applied.rows_pending, missing);
    assert_fed(&b, "src = 'odd'");
}

#[test]
fn one_row_is_missing() {
    one_range_is_shipped("DELETE FROM t WHERE n = 20000", 1);
}

#[test]
fn one_row_is_too_many() {
    one_range_is_shipped(
        "INSERT INTO t (id, src) SELECT id || 'x', 'odd' FROM t WHERE n = 20000",
        0,
    );
}

#[test]
fn one_key_is_another() {
    one_range_is_shipped("UPDATE t SET id = id || 'x', src = 'odd' WHERE n = 20000", 1);
}

/// Users' cells on either replica, in every range.
fn users_cells_stay(crsqlite: bool) {
    let pair = Pair::new(3000, crsqlite);
    let a = Client::open(&pair.path("a.db"));
    a.execute_batch("UPDATE t SET target = 'of a' WHERE n % 5 = 1 OR n BETWEEN 500 AND 900")
        .unwrap();
    let users: u64 = a.value("SELECT count(*) FROM t WHERE target = 'of a'", []);
    let b = pair.b();
    b.execute_batch("UPDATE t SET target = 'of b' WHERE n % 7 = 2").unwrap();
    pair.run();
    let report = pair.export("deltas");
    assert_eq!((report.rows, report.rows_user), (3000 - users, users));
    assert_eq!(report.rows_implied, report.rows);
    let left: u64 = b.value(
        "SELECT count(*) FROM t WHERE target = 'of b' AND NOT (n % 5 = 1 OR n BETWEEN 500 AND 900)",
        [],
    );
    let applied = pair.try_apply("deltas");
    assert_eq!((applied.outcome, applied.rows_user_written), (Outcome::Complete, left));
    assert_fed(&b, "n % 5 = 1 OR n BETWEEN 500 AND 900 OR n % 7 = 2");
    assert_none(
        &b,
        "SELECT count(*) FROM t WHERE (target = 'of b') IS NOT (n % 7 = 2)
                     AND target IS NOT NULL AND NOT target = 'u' || src",
    );
    let of_a = "SELECT count(*) FROM t WHERE n % 7 <> 2 AND target IS NOT NULL
                AND (n % 5 = 1 OR n BETWEEN 500 AND 900)";
    assert_none(&b, of_a);
}

#[test]
fn users_cells_stay_on_plain_tables() {
    users_cells_stay(false);
}

#[test]
fn users_cells_stay_on_replicas() {
    users_cells_stay(true);
}

/// The keys change after the digest was made: two ranges are not written, everything else is, and
/// the remedy brings the rest.
fn keys_change_before_the_apply(crsqlite: bool) {
    let pair = Pair::new(ROWS, crsqlite);
    assert_eq!(pair.export("deltas").rows_implied, u64::from(ROWS));
    let b = pair.b();
    b.execute_batch(
        "DELETE FROM t WHERE n = 5; INSERT INTO t (id, src) SELECT id || 'x', 'odd' FROM t WHERE n = 39999",
    )
    .unwrap();
    for _ in 0..2 {
        let applied = pair.try_apply("deltas");
        assert_eq!(applied.outcome, Outcome::Failed);
        assert_eq!((applied.ranges_unlike, applied.phase.as_str()), (2, "applying"));
        let first = applied.first_unlike.clone().expect("the first");
        let id: String = b.value("SELECT min(id) FROM t", []);
        assert_eq!((first.table.as_str(), first.first[0].as_str()), ("t", Some(id.as_str())));
        assert_eq!(applied.rows + applied.rows_unlike, u64::from(ROWS));
        assert!(applied.rows > 0 && applied.reason.unwrap().contains("2 ranges"));
        let empty: u64 =
            b.value("SELECT count(*) FROM t WHERE target IS NULL AND src <> 'odd'", []);
        assert_eq!(empty + 1, applied.rows_unlike, "nothing of the ranges, all of the others");
    }
    let report = pair.export("more");
    assert!(report.rows_implied > report.rows * 9 / 10);
    let applied = pair.try_apply("more");
    assert_eq!((applied.outcome, applied.phase.as_str()), (Outcome::Complete, "applied"));
    let deleted = u64::from(crsqlite);
    assert_eq!((applied.rows_deleted, applied.rows_pending), (deleted, 1 - deleted));
    assert_fed(&b, "src = 'odd'");
}

#[test]
fn keys_that_change_before_the_apply_to_a_plain_table() {
    keys_change_before_the_apply(false);
}

#[test]
fn keys_that_change_before_the_apply_to_a_replica() {
    keys_change_before_the_apply(true);
}

/// The same folder again, when the keys are as they were.
#[test]
fn ranges_whose_keys_have_come_are_written_by_the_same_command() {
    let pair = Pair::new(ROWS, false);
    pair.export("deltas");
    let b = pair.b();
    b.execute_batch(
        "CREATE TEMP TABLE gone AS SELECT id, src, n FROM t WHERE n = 5; DELETE FROM t WHERE n = 5",
    )
    .unwrap();
    assert_eq!(pair.try_apply("deltas").ranges_unlike, 1);
    b.execute_batch("INSERT INTO t (id, src, n) SELECT id, src, n FROM gone").unwrap();
    let applied = pair.try_apply("deltas");
    assert_eq!((applied.outcome, applied.rows), (Outcome::Complete, u64::from(ROWS)));
    assert_fed(&b, "0");
}

/// Rows that come after everything was applied do not make the same command fail.
#[test]
fn keys_that_change_after_the_apply_are_no_failure() {
    let pair = Pair::new(2000, false);
    pair.export("deltas");
    pair.apply("deltas");
    let b = pair.b();
    b.execute_batch("INSERT INTO t (id, src) SELECT id || 'x', 'odd' FROM t WHERE n = 9").unwrap();
    let again = pair.apply("deltas");
    assert_eq!((again.rows, again.rows_changed, again.rows_unlike), (0, 2000, 0));
    // Another chain in the same place is not taken for the one that was applied.
    fs::remove_dir_all(pair.path("deltas")).unwrap();
    let a = Client::open(&pair.path("a.db"));
    a.execute_batch("UPDATE t SET src = 'new' WHERE n = 7").unwrap();
    pair.run();
    pair.export("elsewhere");
    fs::rename(pair.path("elsewhere"), pair.path("deltas")).unwrap();
    b.execute_batch("INSERT INTO t (id, src) SELECT id || 'y', 'odd' FROM t WHERE n = 1500")
        .unwrap();
    let other = pair.try_apply("deltas");
    assert_eq!((other.outcome, other.rows_changed), (Outcome::Failed, 0));
    assert!(other.rows_unlike > 0);
}

/// Rows are inserted and deleted after every commit of the apply, ahead of the writer and behind.
fn keys_change_meanwhile(crsqlite: bool) {
    let pair = Pair::new(ROWS, crsqlite);
    pair.export("deltas");
    let app = pair.b();
    let writes = std::sync::Mutex::new((0_u32, app));
    let monitor = AfterCommit::new(|commits| {
        let mut writes = writes.lock().unwrap();
        let begun = "SELECT EXISTS (SELECT 1 FROM t WHERE target IS NOT NULL)";
        if commits > 3 && writes.0 < 20 && (writes.0 > 0 || writes.1.value::<bool>(begun, [])) {
            let n = writes.0 * 1777 % ROWS + 1;
            writes.0 += 1;
            writes.1.run("DELETE FROM t WHERE n = ?1", [n]);
            let odd = "INSERT INTO t (id, src) SELECT id || 'x', 'odd' FROM t WHERE n = ?1";
            writes.1.run(odd, [n + 1]);
        }
    });
    let report = try_apply(&pair.path("b.db"), &pair.path("deltas"), 500, &monitor).unwrap();
    assert_eq!(report.outcome, Outcome::Failed, "premise: a range has changed before its turn");
    assert!(report.rows > 0, "premise: a range has not");
    drop(monitor);
    let b = pair.b();
    // What was written is right: nobody has another row's value.
    assert_none(&b, "SELECT count(*) FROM t WHERE target <> 'u' || src");
    assert_none(&b, "SELECT count(*) FROM t WHERE src = 'odd' AND target IS NOT NULL");
    pair.export("more");
    let report = pair.try_apply("more");
    assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.reason);
    assert_fed(&b, "src = 'odd'");
}

#[test]
fn keys_that_change_meanwhile_on_a_plain_table() {
    keys_change_meanwhile(false);
}

#[test]
fn keys_that_change_meanwhile_on_a_replica() {
    keys_change_meanwhile(true);
}

fn keys(db: &Path) -> KeysReport {
    key_digest(db, &migration()).unwrap()
}

fn export_with(pair: &Pair, keys: KeysReport) -> Result<engine::ExportReport, String> {
    let options = ExportOptions { keys_of: Some(keys), ..ExportOptions::default() };
    let dir = pair.path("refused");
    engine::export(&pair.path("a.db"), &migration(), Destination::Folder(dir), &options, &Quiet)
        .map_err(|error| error.to_string())
}

#[test]
fn a_key_digest_of_something_else_is_refused_by_name() {
    let pair = Pair::new(1000, false);
    let good = keys(&pair.path("b.db"));
    let refused = |change: &dyn Fn(&mut KeysReport), words: &[&str]| {
        let mut bad = good.clone();
        change(&mut bad);
        let error = export_with(&pair, bad).expect_err("a refusal");
        for word in words.iter().chain(&["--keys-of", "dotfill digest"]) {
            assert!(error.contains(word), "no {word:?} in {error}");
        }
        assert!(!pair.path("refused").exists(), "something was written");
    };
    refused(&|bad| bad.migration = "other".to_owned(), &["migration other"]);
    refused(&|bad| bad.migration_digest = "0".repeat(64), &["another file"]);
    refused(&|bad| bad.tables[0].table = "u".to_owned(), &["nothing of table \"t\""]);
    refused(&|bad| bad.tables[0].key = "\"id\" INT".to_owned(), &["\"id\" INT", "\"id\" TEXT"]);
    refused(&|bad| bad.tables[0].ranges.swap(0, 1), &["order"]);
    refused(
        &|bad| {
            let again = bad.tables[0].ranges[0].clone();
            bad.tables[0].ranges.insert(0, again);
        },
        &["order"],
    );
    refused(&|bad| bad.tables[0].ranges[0].through.clear(), &["order"]);
}

/// Sums that lie make the sender leave out keys; the receiver finds that, and writes nothing.
#[test]
fn a_key_digest_that_lies_does_no_harm() {
    let pair = Pair::new(1000, false);
    let b = pair.b();
    b.execute_batch("UPDATE t SET id = id || 'x', src = 'odd' WHERE n % 2 = 0").unwrap();
    let mut lie = keys(&pair.path("a.db"));
    for range in &mut lie.tables[0].ranges[..3] {
        range.keys.rows += 1;
    }
    let report = export_with(&pair, lie).unwrap();
    assert!(report.rows_implied > 0 && report.rows_implied < report.rows);
    let applied = pair.try_apply("refused");
    assert_eq!((applied.outcome, applied.rows_unlike), (Outcome::Failed, report.rows_implied));
    assert_none(&b, "SELECT count(*) FROM t WHERE src = 'odd' AND target IS NOT NULL");
    assert_none(&b, "SELECT count(*) FROM t WHERE target <> 'u' || src");
}

#[test]
fn a_key_digest_does_not_depend_on_how_rows_are_stored() {
    let pair = Pair::new(5000, false);
    let b = pair.b();
    b.execute_batch(
        "CREATE TABLE u AS SELECT * FROM t ORDER BY n * 7919 % 5003; DELETE FROM t;
         INSERT INTO t (id, src, n) SELECT id, src, n FROM u; DROP TABLE u; VACUUM;",
    )
    .unwrap();
    assert_eq!(keys(&pair.path("b.db")), keys(&pair.path("a.db")));
    b.execute_batch("DROP TABLE t").unwrap();
    let error = key_digest(&pair.path("b.db"), &migration()).expect_err("no table");
    assert!(error.to_string().contains("no table \"t\""), "{error}");
}
