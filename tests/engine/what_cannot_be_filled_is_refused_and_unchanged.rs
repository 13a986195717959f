//! Refusals: each names what is wrong, and leaves every byte of the file as it was.

use std::fs;
use std::path::{Path, PathBuf};

use crate::job::{Job, column, migration, one_column};
use dotfill::monitor::Quiet;
use rusqlite::Connection;
use tempfile::TempDir;

const SCHEMA: &str = "
    CREATE TABLE t (id INTEGER PRIMARY KEY, src TEXT, other INT, gen AS (src || 'x'),
        gen2 TEXT AS (src || 'y') STORED);
    INSERT INTO t (src) VALUES ('a'), ('b');
    CREATE TABLE keyless (src TEXT);
    CREATE TABLE nullable (src TEXT UNIQUE);
    CREATE TABLE hidden (rowid TEXT PRIMARY KEY, oid INT, _rowid_ INT, src TEXT);
    CREATE TABLE pair (a INT, b INT, src TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;
    CREATE VIEW v AS SELECT * FROM t;
    CREATE VIRTUAL TABLE fts USING fts5(src);";

/// A database in a folder of its own, in WAL mode, that nobody has open.
fn database(schema: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("refused.db");
    let conn = Connection::open(&path).unwrap();
    conn.pragma_update(None, "journal_mode", "WAL").unwrap();
    conn.execute_batch(schema).unwrap();
    conn.close().unwrap();
    (folder, path)
}

/// Every file of a folder, with its bytes.
fn bytes(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[track_caller]
fn refused(table: &str, column: &str, type_name: &str, value: &str, rest: &str, words: &[&str]) {
    let (folder, path) = database(SCHEMA);
    let before = bytes(folder.path());
    let job = Job::new(path, one_column(table, column, type_name, value, rest));
    job.expect_error(words);
    assert!(bytes(folder.path()) == before, "a refused run changed a file");
}

#[test]
fn tables_without_a_key_by_which_a_row_is_found_again() {
    refused("keyless", "c", "TEXT", "src", "", &["keyless", "no usable key", "PRIMARY KEY"]);
    refused("nullable", "c", "TEXT", "src", "", &["nullable", "no usable key", "NOT NULL"]);
}

#[test]
fn a_table_that_hides_its_rowid() {
    refused("hidden", "c", "TEXT", "src", "", &["hidden", "rowid", "rename"]);
}

#[test]
fn what_is_no_ordinary_table() {
    refused("fts", "c", "TEXT", "src", "", &["fts", "virtual"]);
    refused("fts_data", "c", "TEXT", "block", "", &["fts_data", "shadow"]);
    refused("v", "c", "TEXT", "src", "", &["\"v\"", "view"]);
    refused("absent", "c", "TEXT", "src", "", &["no table", "absent"]);
}

#[test]
fn targets_that_cannot_be_written() {
    refused("t", "id", "INTEGER", "1", "", &["migration.toml:", "part of the key"]);
    refused("pair", "b", "INT", "a", "", &["part of the key"]);
    refused("t", "other", "TEXT", "src", "", &["exists with type INT", "own type"]);
    refused("t", "gen2", "TEXT", "src", "", &["generated column", "virtual"]);
}

#[test]
fn expressions_that_are_none() {
    let value = |value: &str, words: &[&str]| refused("t", "c", "TEXT", value, "", words);
    value("SELECT 1", &["migration.toml:", "value", "refused"]);
    value("(SELECT src FROM t)", &["subqueries", "own row"]);
    value("count(src)", &["refused"]);
    value("row_number() OVER ()", &["refused"]);
    value("random()", &["non-deterministic"]);
    value("date('now')", &["not deterministic"]);
    value("DATE ( 'NOW' )", &["not deterministic"]);
    value("datetime()", &["not deterministic"]);
    value("strftime('%s', 'now')", &["not deterministic"]);
    value("date(src, 'localtime')", &["not deterministic"]);
    value("current_timestamp", &["refused"]);
    value("absent", &["no such column: absent", "src"]);
    value("\"absent\"", &["no such column"]);
    value("absent(src)", &["no such function"]);
    value("src, other", &["refused"]);
    value("src), (other", &["exactly one"]);
    value("?1", &["refused"]);
    value("c || src", &["reads", "\"c\"", "column that it fills"]);
    value("src FROM t; DROP TABLE t", &["refused"]);
}

#[test]
fn comments_and_parentheses_that_end_the_expression_early() {
    let value = |value: &str| refused("t", "c", "TEXT", value, "", &["refused"]);
    value("1) FROM t /*");
    value("1) FROM t --");
    value("1), (2");
    value("1) VIRTUAL, d AS (2");
    value("1); DROP TABLE t; --");
    value("src) || (SELECT 1");
    value("/* nothing */");
    value("-- nothing");
}

#[test]
fn conditions_are_judged_too() {
    let filter = |sql: &str| format!("where = {}", toml::Value::String(sql.to_owned()));
    let refuse = |sql: &str, words: &[&str]| {
        refused("t", "c", "TEXT", "src", &filter(sql), words);
    };
    refuse("EXISTS (SELECT 1)", &["where", "subqueries"]);
    refuse("random() > 0", &["non-deterministic"]);
    refuse("1) OR (1", &["where"]);
    refuse("c IS NULL", &["column that it fills"]);
}

#[test]
fn the_last_of_several_changes() {
    let (folder, path) = database(SCHEMA);
    let before = bytes(folder.path());
    let toml = format!(
        "id = \"m\"\n{}{}",
        crate::job::column("t", "c", "TEXT", "src", ""),
        crate::job::column("t", "d", "TEXT", "random()", "")
    );
    Job::new(path, migration(&toml)).expect_error(&["migration.toml:", "non-deterministic"]);
    assert!(bytes(folder.path()) == before);
}

#[track_caller]
fn refused_file(path: &Path, words: &[&str]) {
    let folder = path.parent().unwrap();
    let before = bytes(folder);
    let job = Job::new(path, one_column("t", "c", "TEXT", "src", ""));
    job.expect_error(words);
    assert!(bytes(folder) == before, "a refused run changed a file");
}

#[test]
fn files_that_are_no_database() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.db");
    refused_file(&path, &["no such file", "--db"]);
    fs::write(&path, b"").unwrap();
    refused_file(&path, &["not an SQLite database"]);
    let noise: Vec<u8> =
        (0..8192_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(&path, noise).unwrap();
    refused_file(&path, &["encrypted"]);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused_file(&path, &["not a file"]);
}

#[test]
fn a_truncated_file() {
    let (_folder, path) = database(SCHEMA);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 4096]).unwrap();
    refused_file(&path, &["truncated", "backup"]);
    fs::write(&path, &whole[..60]).unwrap();
    refused_file(&path, &["not an SQLite database"]);
}

#[test]
fn a_file_whose_journal_cannot_be_a_wal() {
    let (folder, path) = database(SCHEMA);
    let other = Connection::open(&path).unwrap();
    other.pragma_update(None, "journal_mode", "DELETE").unwrap();
    other.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
    let mut statement = other.prepare("SELECT id FROM t").unwrap();
    let mut rows = statement.query([]).unwrap();
    rows.next().unwrap();
    let before = bytes(folder.path());
    let job = Job::new(&path, one_column("t", "c", "TEXT", "src", ""));
    job.expect_error(&["journal mode", "WAL", "nobody else"]);
    assert!(bytes(folder.path()) == before);
    drop(rows);
    drop(statement);
    other.execute_batch("COMMIT").unwrap();
    drop(other);
    job.run();
}

/// Root may write anywhere: as root the refusal is looked at by a child that is not.
#[test]
fn a_file_that_is_read_only() {
    const CHILD: &str = "DOTFILL_TEST_READ_ONLY";
    if let Some(path) = std::env::var_os(CHILD) {
        refused_file(Path::new(&path), &["not writable"]);
        return;
    }
    let (folder, path) = database(SCHEMA);
    set_mode(folder.path(), 0o755);
    set_mode(&path, 0o444);
    let name = concat!(module_path!(), "::a_file_that_is_read_only");
    let name = name.split_once("::").unwrap().1;
    let exe = std::env::current_exe().unwrap();
    let mut child = std::process::Command::new(exe);
    child.args([name, "--exact"]).env(CHILD, &path);
    if rustix::process::geteuid().is_root() {
        use std::os::unix::process::CommandExt;
        child.uid(65_534);
    }
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn another_file_under_a_known_id() {
    let (_folder, path) = database(SCHEMA);
    Job::new(&path, one_column("t", "c", "TEXT", "src", "")).run();
    let changed = Job::new(&path, one_column("t", "c", "TEXT", "src || 'x'", ""));
    changed.expect_error(&["another file under that id", "new id"]);
    assert!(dotfill::engine::close(&path, &changed.migration, &changed.options, &Quiet).is_err());
}

#[test]
fn a_column_that_another_migration_fills() {
    let (_folder, path) = database(SCHEMA);
    let text = |id: &str, value: &str| {
        migration(&format!("id = \"{id}\"\n{}", column("t", "c", "TEXT", value, "")))
    };
    let first = Job::new(&path, text("first", "'v-' || src"));
    first.run();
    let second = Job::new(&path, text("second", "'w-' || src"));
    second.expect_error(&["column c of table t", "first", "open", "dotfill rollback first"]);
    let known: u64 = Connection::open(&path)
        .and_then(|db| db.query_row("SELECT count(*) FROM _dotfill_migrations", [], |r| r.get(0)))
        .unwrap();
    assert_eq!(known, 1);
    first.rollback();
    second.run();
}
