//! Tests of the migration file: what a good one gives; what is refused is in the files below.

use std::fs;
use std::path::Path;

use super::*;

mod digest;
mod index;
mod keys;
mod or_set;
mod property;
mod sections;
mod values;

/// A file that uses every key, so that the other tests can replace one line of it.
const FULL: &str = r#"# owners
id = "machines-owner"
epoch = "owner-v1"
minimum_client = "4.8.0"

[budget]
change_records_per_row_max = 1.5
wire_bytes_max = "64MiB"

[[change]]
kind = "column"
table = "machines"
column = "owner"
type = "TEXT"
value = "'o-' || app"
where = "deleted_at IS NULL"
delivery = "derive"
fill_null = false
writable = true
on_error = "skip"
"#;

const SECOND: &str = r#"
[[change]]
kind = "column"
table = "machines"
column = "zone"
type = "TEXT"
"#;

fn parse(text: &str) -> Result<Migration, MigrationError> {
    Migration::parse(text, Path::new("m.toml"))
}

fn good(text: &str) -> Migration {
    parse(text).unwrap_or_else(|error| panic!("refused: {error}\n{text}"))
}

fn refusal(text: &str) -> String {
    match parse(text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(error) => error.to_string(),
    }
}

/// `FULL` with the only line that holds `old` replaced by `new`.
fn with(old: &str, new: &str) -> String {
    assert_eq!(FULL.lines().filter(|line| line.starts_with(old)).count(), 1, "{old}");
    let line = |line| {
        if str::starts_with(line, old) { new } else { line }
    };
    FULL.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Each case replaces one line of `FULL` and must give exactly the message.
fn check(cases: &[(&str, &str, &str)]) {
    for (old, new, want) in cases {
        assert_eq!(refusal(&with(old, new)), *want, "{new}");
    }
}

fn only_column(migration: &Migration) -> &ColumnChange {
    assert_eq!(migration.changes.len(), 1);
    match &migration.changes[0] {
        Change::Column(column) => column,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_key_is_read() {
    let migration = good(FULL);
    assert_eq!(migration.id.as_str(), "machines-owner");
    assert_eq!(migration.epoch.as_deref(), Some("owner-v1"));
    assert_eq!(migration.minimum_client.as_deref(), Some("4.8.0"));
    assert_eq!(migration.budget.change_records_per_row_max, Some(1.5));
    assert_eq!(migration.budget.wire_bytes_max, Some(64 << 20));
    assert_eq!(migration.path, Path::new("m.toml"));
    let column = only_column(&migration);
    assert_eq!(column.table, "machines");
    assert_eq!(column.column, "owner");
    assert_eq!(column.type_name, "TEXT");
    assert_eq!(column.value.as_deref(), Some("'o-' || app"));
    assert_eq!(column.filter.as_deref(), Some("deleted_at IS NULL"));
    assert_eq!((column.delivery, column.on_error), (Delivery::Derive, OnError::Skip));
    assert_eq!((column.fill_null, column.writable), (false, true));
}

#[test]
fn absent_keys_have_their_defaults() {
    let migration = good(&format!("id = \"a\"\n{SECOND}"));
    assert_eq!((migration.epoch.as_ref(), migration.minimum_client.as_ref()), (None, None));
    assert_eq!(migration.budget, Budget::default());
    let column = only_column(&migration);
    assert_eq!((column.value.as_ref(), column.filter.as_ref()), (None, None));
    assert_eq!((column.delivery, column.on_error), (Delivery::Auto, OnError::Fail));
    assert_eq!((column.fill_null, column.writable), (true, true));
}

#[test]
fn later_stages_can_name_the_line_of_a_key() {
    let migration = good(&format!("{FULL}{SECOND}"));
    assert_eq!(migration.at(0, "value"), "m.toml:15");
    assert_eq!(migration.at(0, "no such key"), "m.toml:10");
    assert_eq!(migration.at(1, "column"), "m.toml:25");
    assert_eq!(migration.at(1, "value"), "m.toml:22");
    assert_eq!(migration.at(2, "value"), "m.toml");
    let inline = good(
        "id = 'a'\nchange = [\n{ kind = 'column', table = 't', \
        column = 'c', type = 'INT' }]\n",
    );
    assert_eq!(
        (inline.at(0, "type"), inline.at(0, "value")),
        ("m.toml:3".into(), "m.toml:3".into())
    );
    assert_eq!(good(&FULL.replace('\n', "\r\n")).at(0, "value"), "m.toml:15");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let path = dir.path().join("m.toml");
    let shown = path.display().to_string();
    let message = |path: &Path| match Migration::load(path) {
        Ok(_) => panic!("accepted {}", path.display()),
        Err(error) => error.to_string(),
    };
    let missing = format!("{shown}: there is no such migration file; check the path");
    assert_eq!(message(&path), missing);
    let directory = "this is a directory; name the migration file in it";
    assert_eq!(message(dir.path()), format!("{}: {directory}", dir.path().display()));
    write(&path, b"id = \"a\"\nepoch = \"\xff\"\n");
    let not_text = format!("{shown}:2: byte 18 is not UTF-8; save the file as UTF-8");
    assert_eq!(message(&path), not_text);
    write(&path, &vec![b'\n'; FILE_BYTES_MAX + 1]);
    let size = "a migration file has at most 1048576 bytes; is this the right file?";
    assert_eq!(message(&path), format!("{shown}: {size}"));
    write(&path, &vec![b'\n'; FILE_BYTES_MAX]);
    assert!(message(&path).contains("missing key \"id\""));
    let below_file = message(&path.join("deeper"));
    assert!(below_file.contains("cannot read the migration file: "), "{below_file}");
    assert!(below_file.ends_with("; check the path and its permissions"), "{below_file}");
    write(&path, FULL.as_bytes());
    assert_eq!(Migration::load(&path).map(|m| m.digest).ok(), Some(good(FULL).digest));
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap_or_else(|error| panic!("{error}"));
}
