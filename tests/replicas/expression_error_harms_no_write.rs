//! An expression that errors on some rows stops dotfill, and nobody else.

use crate::common::{Replica, merge, merge_both_ways};
use crate::scenario::{Pair, command, run};

const JSON: &str = r#"
id = "machines-owner"

[[change]]
kind = "column"
table = "machines"
column = "owner"
type = "TEXT"
value = "json_extract(note, '$.x')"
delivery = "derive"
"#;

/// Both replicas are filled from sound JSON.
fn filled(toml: &str) -> Pair {
    let pair = Pair::without_column(toml);
    pair.a.run("UPDATE machines SET note = json_object('x', app)", []);
    merge_both_ways(&pair.a, &pair.b);
    pair.run();
    assert_eq!(pair.b.owner(1).as_deref(), Some("app-1"));
    pair
}

/// Bad JSON by INSERT, UPDATE, REPLACE and UPSERT, all recorded.
fn users_write_bad_json(replica: &Replica) {
    for (write, id, version) in [
        ("INSERT INTO machines(id, app, note) VALUES (101, 'bad', '{')", 101, 1),
        ("UPDATE machines SET note = '{' WHERE id = 1", 1, 3),
        ("REPLACE INTO machines(id, app, note) VALUES (2, 'bad', '{')", 2, 3),
        (
            "INSERT INTO machines(id, app, note) VALUES (3, 'bad', '{')
             ON CONFLICT(id) DO UPDATE SET note = excluded.note",
            3,
            3,
        ),
    ] {
        replica.run(write, []);
        let clock = replica.clock("machines", id, "note").unwrap();
        assert_eq!((clock.col_version, clock.site), (version, 0), "{write}");
    }
}

#[test]
fn local_or_merged() {
    let pair = filled(JSON);
    users_write_bad_json(&pair.a);
    merge(&pair.a, &pair.b);

    for replica in pair.both() {
        let output = command("run", &pair.migration, replica).expect_code(1);
        output.expect_words(&["machines", "JSON"]);
    }

    // Writes after the failure are recorded too, and reach the other replica.
    pair.a.run("INSERT INTO machines(id, app, note) VALUES (102, 'worse', '[')", []);
    pair.b.run("UPDATE machines SET note = '[' WHERE id = 4", []);
    assert_eq!(pair.b.clock("machines", 4, "note").map(|clock| clock.site), Some(0));
    merge_both_ways(&pair.a, &pair.b);
    assert_eq!(pair.a.machines_rows().len(), 22);
    let notes = "SELECT group_concat(note) FROM (SELECT note FROM machines ORDER BY id)";
    assert_eq!(pair.a.value::<String>(notes, []), pair.b.value::<String>(notes, []));
}

#[test]
fn and_repairing_the_row_is_the_remedy() {
    let pair = filled(JSON);
    users_write_bad_json(&pair.a);
    command("run", &pair.migration, &pair.a).expect_code(1);
    pair.b.run("UPDATE machines SET app = 'seen' WHERE id = 5", []);
    pair.a.run("UPDATE machines SET note = json_object('x', app) WHERE note = '{'", []);
    merge_both_ways(&pair.a, &pair.b);
    pair.run();
    let wrong = "SELECT count(*) FROM machines WHERE owner IS NOT json_extract(note, '$.x')";
    assert_eq!((pair.a.count(wrong), pair.b.count(wrong)), (0, 0));
    assert_eq!(pair.a.machines_rows(), pair.b.machines_rows());
}

#[test]
fn and_with_skip_the_run_goes_on() {
    let pair = filled(&format!("{JSON}on_error = \"skip\"\n"));
    pair.a.run("UPDATE machines SET note = '{' WHERE id = 1", []);
    pair.a.run("UPDATE machines SET note = json_object('x', 'new') WHERE id = 2", []);
    merge(&pair.a, &pair.b);
    for replica in pair.both() {
        run(&pair.migration, replica);
        assert_eq!(replica.owner(2).as_deref(), Some("new"));
    }
    assert_eq!(pair.a.machines_rows(), pair.b.machines_rows());
}
