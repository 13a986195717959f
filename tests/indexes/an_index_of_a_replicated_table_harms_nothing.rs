//! An index of a table of cr-sqlite: no change records, merges go on, and what could make a merge fail
//! is refused with the reason. On a Corrosion node the schema files own the indexes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use dotfill::engine;
use dotfill::monitor::Quiet;

use crate::common::{Replica, corrosion_tables, merge_both_ways};
use crate::job::{Job, migration};

const SECTION: &str = "id = 'm'\n[[change]]\nkind = 'index'\nname = 'machines_by_app'\n\
    table = 'machines'\n";

fn job(replica: &Replica, rest: &str) -> Job {
    Job::new(replica.path(), migration(&format!("{SECTION}{rest}\n")))
}

fn is_there(replica: &Replica) -> bool {
    replica.value("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'machines_by_app')", [])
}

#[test]
fn no_records_are_written_and_replicas_go_on_merging() {
    let (a, b) = (Replica::machines(), Replica::machines());
    a.insert_machines(500);
    merge_both_ways(&a, &b);
    let records =
        |replica: &Replica| -> i64 { replica.value("SELECT count(*) FROM crsql_changes", []) };
    let before = records(&a);
    let job = job(&a, "expressions = ['lower(app)', 'id']\nwhere = 'note IS NOT NULL'");
    let report = job.run();
    assert_eq!(report.changes[0].index.as_ref().unwrap().entries, 500);
    assert_eq!((report.change_records_written, records(&a)), (0, before));
    b.run("UPDATE machines SET app = NULL, note = NULL WHERE id < 10", []);
    b.run("DELETE FROM machines WHERE id > 490", []);
    a.run("INSERT INTO machines VALUES (1000, x'00ff', 5.5)", []);
    merge_both_ways(&a, &b);
    let verified = crate::scene::assert_proven(&job);
    assert_eq!(verified.rows_compared, 500 - 9 - 10 + 1);
    // Each replica builds its own.
    assert!(!is_there(&b));
    assert_eq!(job.close().rows_proven, verified.rows_compared);
    b.run("DELETE FROM machines WHERE id = 20", []);
    merge_both_ways(&a, &b);
    assert!(is_there(&a));
}

/// The premise of the refusal: what the extension makes of such a merge. It says nothing.
#[test]
fn premise_a_unique_index_makes_a_merge_lose_a_value() {
    let (a, b) = (Replica::machines(), Replica::machines());
    b.execute_batch("CREATE UNIQUE INDEX u ON machines(app)").unwrap();
    a.run("INSERT INTO machines VALUES (1, 'one', NULL)", []);
    b.run("INSERT INTO machines VALUES (2, 'one', NULL)", []);
    merge_both_ways(&a, &b);
    let apps = |replica: &Replica| -> Option<String> {
        replica.value("SELECT group_concat(app, ' ') FROM machines", [])
    };
    assert_eq!((apps(&a).as_deref(), apps(&b).as_deref()), (Some("one one"), Some("one")));
}

/// The same of an expression that fails.
#[test]
fn premise_an_expression_that_fails_makes_a_merge_fail_or_lose_a_value() {
    let (a, b) = (Replica::machines(), Replica::machines());
    b.execute_batch("CREATE INDEX j ON machines(json_extract(note, '$.x'))").unwrap();
    a.run("INSERT INTO machines VALUES (1, 'one', 'no json')", []);
    let merged = catch_unwind(AssertUnwindSafe(|| merge_both_ways(&a, &b)));
    let found = b.rows("SELECT note FROM machines WHERE note = 'no json'", []);
    assert!(merged.is_err() || found.is_empty(), "{merged:?} {found:?}");
}

#[test]
fn what_could_make_a_merge_fail_is_refused() {
    let replica = Replica::machines();
    replica.insert_machines(3);
    let cases = [
        (
            "columns = ['app']\nunique = true",
            ["migration.toml:7", "replicated by cr-sqlite", "leave unique out"],
        ),
        (
            "expressions = [\"json_extract(note, '$.x')\"]",
            ["migration.toml:6", "json_extract() may fail", "on_error = \"skip\""],
        ),
        (
            "columns = ['app']\nwhere = \"note ->> '$.x' = 1\"",
            ["migration.toml:7", "->>() may fail", "on_error = \"skip\""],
        ),
        ("expressions = ['abs(app)']", ["migration.toml:6", "abs() may fail", "lower"]),
    ];
    for (rest, words) in cases {
        job(&replica, rest).expect_error(&words);
        assert!(!is_there(&replica));
    }
}

#[test]
fn on_a_corrosion_node_the_schema_files_own_it() {
    let replica = Replica::machines();
    replica.insert_machines(3);
    corrosion_tables(&replica);
    let job = job(&replica, "columns = ['app']");
    job.expect_error(&[
        "schema files own the indexes",
        "add `CREATE INDEX \"machines_by_app\" ON \"machines\" (\"app\");`",
        "corrosion reload",
    ]);
    assert!(!is_there(&replica));
    let statements = dotfill::plan::schema(&job.db, &job.migration).unwrap();
    assert!(!statements[0].exists);
    // As the agent makes it of its schema files.
    replica.execute_batch(&statements[0].sql).unwrap();
    assert_eq!(job.run().changes[0].index.as_ref().unwrap().build_seconds, None);
    assert_eq!(job.close().rows_proven, 3);
}

#[test]
fn what_is_about_values_is_refused_by_name() {
    let replica = Replica::machines();
    replica.insert_machines(3);
    let job = job(&replica, "columns = ['app']");
    job.run();
    let look = engine::LookOptions::default();
    let said = [
        engine::digest(&job.db, &job.migration, &look, &Quiet).map(drop),
        engine::key_digest(&job.db, &job.migration, &look, &Quiet).map(drop),
        engine::export(
            &job.db,
            &job.migration,
            engine::Destination::Folder(replica.folder().join("deltas")),
            &engine::ExportOptions::default(),
            &Quiet,
        )
        .map(drop),
        engine::run_with_deltas(
            &job.db,
            &job.migration,
            engine::Destination::Folder(replica.folder().join("deltas")),
            &job.options,
            &Quiet,
        )
        .map(drop),
    ];
    for (said, words) in said.into_iter().zip([
        "it has indexes only",
        "it fills no column",
        "kind = \"index\" has no values",
        "kind = \"index\" has no values",
    ]) {
        let said = said.unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
    }
    assert!(!replica.folder().join("deltas").exists());
}
