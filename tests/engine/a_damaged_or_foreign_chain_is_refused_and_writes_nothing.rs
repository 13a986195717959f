//! Deltas that are damaged, of another migration or of another table: refused with the reason, and
//! the database stays as it was, to the byte of its schema and rows.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use rusqlite::types::Value;
use tempfile::TempDir;

use crate::common::Client;
use crate::deltas::{apply_deltas, expect_apply_error, export};
use crate::job::{Job, one_column};
use dotfill::engine::{self, Deltas, RunError, RunOptions};
use dotfill::migration::Migration;
use dotfill::monitor::Quiet;

const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 100)
    INSERT INTO t (id, src) SELECT i, 'src ' || i FROM i;";

fn migration(value: &str) -> Migration {
    one_column("t", "target", "TEXT", value, "delivery = 'derive'")
}

struct Case {
    folder: TempDir,
    client: Client,
}

impl Case {
    /// A replica `b.db` whose table is `schema`, beside the deltas of `a.db`.
    fn new(schema: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let a = folder.path().join("a.db");
        let client = Client::open(&a);
        client.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, src TEXT);").unwrap();
        client.execute_batch(ROWS).unwrap();
        Job::new(&a, migration("'v-' || src")).run();
        export(&a, &migration("'v-' || src"), &folder.path().join("deltas"));
        let client = Client::open(&folder.path().join("b.db"));
        client.execute_batch(schema).unwrap();
        client.execute_batch(ROWS).unwrap();
        Self { folder, client }
    }

    fn db(&self) -> PathBuf {
        self.folder.path().join("b.db")
    }

    fn deltas(&self) -> PathBuf {
        self.folder.path().join("deltas")
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(self.deltas()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn dump(&self) -> Vec<Vec<Value>> {
        let mut dump = self.client.rows("SELECT * FROM sqlite_schema ORDER BY name", []);
        dump.extend(self.client.rows("SELECT * FROM t", []));
        dump
    }

    #[track_caller]
    fn assert_refused(&self, words: &[&str]) {
        let before = self.dump();
        expect_apply_error(self.db(), &self.deltas(), words);
        assert_eq!(self.dump(), before, "a refused apply wrote something");
    }
}

const SAME: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, src TEXT);";

#[test]
fn a_signal_while_the_deltas_are_verified() {
    let case = Case::new(SAME);
    let before = case.dump();
    let options = RunOptions::default();
    options.cancel.store(true, Ordering::Relaxed);
    let deltas = Deltas::Folder(case.deltas());
    let error = engine::apply(&case.db(), deltas, &options, &Quiet).expect_err("interrupted");
    assert!(matches!(error, RunError::Interrupted { .. }), "{error}");
    assert_eq!(case.dump(), before);
    apply_deltas(case.db(), &case.deltas());
}

#[test]
fn another_key() {
    Case::new("CREATE TABLE t (id TEXT PRIMARY KEY, src TEXT);").assert_refused(&["told by", "id"]);
    Case::new("CREATE TABLE t (id INTEGER, src TEXT, PRIMARY KEY (id, src));")
        .assert_refused(&["told by", "src"]);
}

#[test]
fn another_type_of_the_column() {
    Case::new("CREATE TABLE t (id INTEGER PRIMARY KEY, src TEXT, target INT);")
        .assert_refused(&["target", "INT"]);
}

#[test]
fn a_generated_column() {
    Case::new("CREATE TABLE t (id INTEGER PRIMARY KEY, src TEXT, target TEXT AS (src));")
        .assert_refused(&["generated"]);
}

#[test]
fn no_such_table() {
    let case = Case::new(SAME);
    case.client.execute_batch("ALTER TABLE t RENAME TO u").unwrap();
    expect_apply_error(case.db(), &case.deltas(), &["no table"]);
}

#[test]
fn another_migration_under_the_same_id() {
    let case = Case::new(SAME);
    let job = Job::new(case.db(), migration("'other-' || src"));
    job.run();
    case.assert_refused(&["another file under that id"]);
}

#[test]
fn a_migration_that_is_half_done_here() {
    let case = Case::new(SAME);
    let job = Job::new(case.db(), migration("'v-' || src"));
    job.run();
    case.client.execute_batch("UPDATE _dotfill_migrations SET phase = 'filling'").unwrap();
    case.assert_refused(&["half way", "dotfill run"]);
}

#[test]
fn every_file_with_a_byte_changed_or_cut_off_or_gone() {
    let case = Case::new(SAME);
    let last = case.files().len() - 1;
    for (i, file) in case.files().iter().enumerate() {
        let sound = fs::read(file).unwrap();
        for at in (0..sound.len()).step_by(41).chain([sound.len() - 1]) {
            let mut damaged = sound.clone();
            damaged[at] ^= 0x20;
            fs::write(file, &damaged).unwrap();
            case.assert_refused(&[]);
        }
        for bytes in [0, 1, sound.len() / 2, sound.len() - 1] {
            fs::write(file, &sound[..bytes]).unwrap();
            case.assert_refused(&[]);
        }
        if i != last {
            fs::remove_file(file).unwrap();
            case.assert_refused(&[]);
        }
        fs::write(file, &sound).unwrap();
    }
    assert_eq!(apply_deltas(case.db(), &case.deltas()).rows_written, 100);
}

#[test]
fn no_folder_at_all() {
    let case = Case::new(SAME);
    expect_apply_error(case.db(), Path::new("/nonexistent/deltas"), &[]);
}
