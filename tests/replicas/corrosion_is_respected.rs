//! Databases of a Corrosion agent, known by their `__corro_*` tables.

use crate::common::{Records, corrosion_tables};
use crate::scenario::{
    CRSQL_TRIGGERS, DERIVE, NATIVE, Pair, assert_refused, command, run, triggers,
};

fn of_corrosion(pair: Pair) -> Pair {
    for replica in pair.both() {
        corrosion_tables(replica);
    }
    pair
}

/// As the agent adds a column when its schema is reloaded: without stamping any value.
fn reload_with_column(pair: &Pair, column: &str) {
    for replica in pair.both() {
        replica.run("SELECT crsql_begin_alter('machines')", []);
        replica.execute_batch(&format!("ALTER TABLE machines ADD COLUMN {column}")).unwrap();
        replica.run("SELECT crsql_commit_alter('main', 'machines', 1)", []);
    }
}

#[test]
fn native_is_refused() {
    let pair = of_corrosion(Pair::with_clockless_column(NATIVE));
    let words = ["native", "Corrosion", "publisher site", "delivery = \\\"derive\\\""];
    assert_refused("run", &pair.migration, &pair.a, &words);
    assert_refused("plan", &pair.migration, &pair.a, &words);
    command("run", &pair.migration, &pair.a).expect_code(2);
}

#[test]
fn derive_is_refused_where_the_column_is_missing() {
    let pair = of_corrosion(Pair::without_column(DERIVE));
    let words =
        ["owner", "Corrosion", "add `owner TEXT` to table machines", "schema files", "reload"];
    assert_refused("run", &pair.migration, &pair.a, &words);
    assert_refused("plan", &pair.migration, &pair.a, &words);
    command("run", &pair.migration, &pair.a).expect_code(2);
    assert_eq!(triggers(&pair.a), CRSQL_TRIGGERS);
}

#[test]
fn derive_is_refused_where_the_column_was_added_behind_the_agents_back() {
    let pair = of_corrosion(Pair::without_column(DERIVE));
    pair.a.execute_batch("ALTER TABLE machines ADD COLUMN owner TEXT").unwrap();
    let words = ["owner", "Corrosion", "machines__crsql_utrig", "DROP COLUMN", "reload"];
    assert_refused("run", &pair.migration, &pair.a, &words);
    command("run", &pair.migration, &pair.a).expect_code(2);
}

#[test]
fn derive_is_accepted_where_the_column_is_there() {
    let pair = of_corrosion(Pair::with_clockless_column(DERIVE));
    pair.run();
    pair.b.run("UPDATE machines SET owner = 'theirs' WHERE id = 1", []);
    pair.assert_settles(&[(1, Some("theirs"))]);
}

#[test]
fn a_later_reload_keeps_our_triggers_and_stamps_no_derived_value() {
    let pair = of_corrosion(Pair::without_column(DERIVE));
    reload_with_column(&pair, "owner TEXT");
    pair.run();
    let (ours, records) = (triggers(&pair.a), Records::of(&pair.a));
    assert!(ours.len() > CRSQL_TRIGGERS.len(), "premise: ours are there");
    reload_with_column(&pair, "region TEXT");
    assert_eq!(triggers(&pair.a), ours);
    records.assert_none_created(&pair.a);
    pair.a.run("UPDATE machines SET app = 'moved' WHERE id = 2", []);
    pair.assert_settles(&[]);
}

#[test]
fn a_table_that_corrosion_does_not_replicate_is_a_plain_one() {
    let pair = of_corrosion(Pair::without_column(DERIVE));
    let local = "CREATE TABLE local(id INTEGER PRIMARY KEY, app TEXT);
                 INSERT INTO local SELECT id, app FROM machines";
    pair.a.execute_batch(local).unwrap();
    let toml = DERIVE.replace("\"machines\"", "\"local\"");
    let migration = crate::common::migration_file(pair.a.folder(), &toml);
    let records = Records::of(&pair.a);
    run(&migration, &pair.a);
    records.assert_none_created(&pair.a);
    assert_eq!(pair.a.count("SELECT count(*) FROM local WHERE owner = 'o-' || app"), 20);
}
