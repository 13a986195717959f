//! What cannot be translated is refused by file, line and remedy, before anything is written; and what
//! another migration or command is about is not touched.

use dotfill::migration::Migration;
use dotfill::plan::schema;

use crate::common::{Replica, plain_db};
use crate::set::{PROJECTS, SetJob, migration, rows, tags};

const ADDS: &str = "CREATE TABLE tag_adds (id INTEGER NOT NULL, element NOT NULL, dot BLOB NOT NULL, \
                    PRIMARY KEY (id, element, dot))";

/// A schema, the migration, and what the refusal says.
fn refused(schema: &str, migration: Migration, words: &[&str]) {
    let db = plain_db(schema);
    let before = rows(&db, "SELECT * FROM sqlite_schema");
    let said = SetJob::new(db.db(), migration).refusal();
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said}");
    }
    assert_eq!(rows(&db, "SELECT * FROM sqlite_schema"), before);
}

fn child(rest: &str) -> Migration {
    migration("projects", &format!("source_table = 'child'\nelement = 'tag'\n{rest}"))
}

#[test]
fn what_is_missing_or_has_another_shape() {
    let json = || tags("json", "");
    refused("SELECT 1", json(), &["migration.toml:4", "no table \"projects\""]);
    refused(
        "CREATE TABLE projects (id INTEGER PRIMARY KEY)",
        json(),
        &["migration.toml:8", "no column \"tags\"", "there are id"],
    );
    refused("CREATE TABLE projects (tags TEXT PRIMARY KEY)", json(), &["is part of the key"]);
    refused(
        "CREATE TABLE projects (element TEXT PRIMARY KEY, tags)",
        json(),
        &["name of a column of the adds", "rename"],
    );
    refused(
        "CREATE TABLE projects (id TEXT PRIMARY KEY COLLATE NOCASE, tags)",
        json(),
        &["collation NOCASE", "BINARY"],
    );
    refused(
        "CREATE TABLE projects (id TEXT PRIMARY KEY, tags); INSERT INTO projects VALUES (NULL, '')",
        json(),
        &["NULL in its key column"],
    );
    refused(
        &format!("{PROJECTS}; CREATE TABLE tags_visible (x)"),
        json(),
        &["migration.toml:7", "is a table here, not a view"],
    );
    refused(
        &format!("{PROJECTS}; CREATE VIEW tags_visible AS SELECT 1"),
        json(),
        &["there already", "DROP VIEW"],
    );
    refused(
        &format!("{PROJECTS}; CREATE VIEW tag_adds AS SELECT 1"),
        json(),
        &["migration.toml:5", "is a view here, not a table"],
    );
    refused(
        &format!(
            "{PROJECTS}; CREATE TABLE tag_adds (id INTEGER, element, dot, more, PRIMARY KEY (id, element, dot))"
        ),
        json(),
        &["another shape", "4 columns", "dotfill schema"],
    );
    refused(
        &format!(
            "{PROJECTS}; CREATE TABLE tag_adds (id TEXT, element, dot, PRIMARY KEY (id, element, dot))"
        ),
        json(),
        &["affinity Text", "has Integer"],
    );
    refused(
        &format!("{PROJECTS}; {}", ADDS.replace("element NOT", "element TEXT NOT")),
        json(),
        &["\"element\" has affinity Text"],
    );
    refused(
        &format!("{PROJECTS}; CREATE TABLE tag_removes (dot BLOB, id, PRIMARY KEY (dot, id))"),
        json(),
        &["migration.toml:6", "another shape"],
    );
    // Texts are all that the other formats have.
    let db = plain_db(&format!("{PROJECTS}; {}", ADDS.replace("element NOT", "element TEXT NOT")));
    SetJob::new(db.db(), tags("csv", "")).run();
}

#[test]
fn what_is_wrong_with_a_child_table() {
    let parent = "CREATE TABLE projects (id INTEGER PRIMARY KEY)";
    refused(parent, child(""), &["migration.toml:8", "no table \"child\""]);
    refused(
        &format!("{parent}; CREATE TABLE child (n INTEGER PRIMARY KEY, id, name)"),
        child(""),
        &["migration.toml:9", "no column \"tag\""],
    );
    refused(
        &format!("{parent}; CREATE TABLE child (n INTEGER PRIMARY KEY, project, tag)"),
        child(""),
        &["no column \"id\"", "source_key"],
    );
    refused(
        &format!("{parent}; CREATE TABLE child (n INTEGER PRIMARY KEY, id, tag)"),
        child(""),
        &["no index that begins with \"id\"", "CREATE INDEX \"child_key\" ON \"child\" (\"id\")"],
    );
    refused(
        &format!("{parent}; CREATE TABLE child (id, tag, PRIMARY KEY (id, tag))"),
        child("source_key = ['id', 'tag']"),
        &["it names 2 columns, the key has 1"],
    );
}

#[test]
fn a_table_that_is_replicated_with_one_that_is_not() {
    let replica = Replica::with_tables(&format!("{PROJECTS}; {ADDS}"), &["projects"]);
    let said = SetJob::new(replica.path(), tags("json", "")).refusal();
    assert!(said.contains("SELECT crsql_as_crr('tag_adds')"), "{said}");
    let replica = Replica::with_tables(&format!("{PROJECTS}; {ADDS}"), &["tag_adds"]);
    let said = SetJob::new(replica.path(), tags("json", "")).refusal();
    assert!(said.contains("replicated by cr-sqlite, and table \"projects\" is not"), "{said}");
}

#[test]
fn tables_of_another_migration_are_refused() {
    let db = plain_db(PROJECTS);
    SetJob::new(db.db(), tags("json", "")).run();
    let other = Migration::parse(
        "id = 'other'\n[[change]]\nkind = 'or_set'\ntable = 'projects'\nsource = 'name'\n\
         format = 'csv'\nadds = 'other_adds'\nremoves = 'TAG_REMOVES'\nview = 'other_view'\n",
        "other.toml".as_ref(),
    );
    let said = SetJob::new(db.db(), other.unwrap()).refusal();
    assert!(said.contains("\"TAG_REMOVES\" is made by migration tags-v2 here"), "{said}");
}

/// What `dotfill schema` prints is what `run` accepts.
#[test]
fn the_schema_that_is_printed_fits() {
    for (table, key) in [("a TEXT NOT NULL, b REAL NOT NULL", "a, b"), ("a BLOB NOT NULL", "a")] {
        let schema_of = format!("CREATE TABLE projects ({table}, tags TEXT, PRIMARY KEY ({key}))");
        let replica = Replica::with_tables(&schema_of, &["projects"]);
        let found = schema(replica.path(), &tags("json", "")).unwrap();
        assert_eq!(found.len(), 2);
        for statement in &found {
            assert!(!statement.exists);
            replica.execute_batch(&statement.sql).unwrap();
            replica.run("SELECT crsql_as_crr(?1)", [&statement.table]);
        }
        SetJob::new(replica.path(), tags("json", "")).run();
        assert!(schema(replica.path(), &tags("json", "")).unwrap().iter().all(|s| s.exists));
    }
}
