//! Databases of a Corrosion agent, known by their `__corro_*` tables.

use crate::scenario::{CRSQL_TRIGGERS, DERIVE, NATIVE, Pair, assert_refused, triggers};

fn of_corrosion(pair: Pair) -> Pair {
    for replica in pair.both() {
        let schema = "CREATE TABLE __corro_bookkeeping(actor_id BLOB, start_version INTEGER)";
        replica.execute_batch(schema).unwrap();
    }
    pair
}

#[test]
fn native_is_refused() {
    let pair = of_corrosion(Pair::with_clockless_column(NATIVE));
    assert_refused("run", &pair.migration, &pair.a, &["native", "Corrosion"]);
}

#[test]
fn derive_is_refused_where_the_column_is_missing() {
    let pair = of_corrosion(Pair::without_column(DERIVE));
    assert_refused("run", &pair.migration, &pair.a, &["owner", "Corrosion", "schema"]);
    assert_eq!(triggers(&pair.a), CRSQL_TRIGGERS);
}

#[test]
fn derive_is_accepted_where_the_column_is_there() {
    let pair = of_corrosion(Pair::with_clockless_column(DERIVE));
    pair.run();
    pair.b.run("UPDATE machines SET owner = 'theirs' WHERE id = 1", []);
    pair.assert_settles(&[(1, Some("theirs"))]);
}
