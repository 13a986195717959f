//! The sums of `tests/vectors/keys.json` add up from the ranges that `digest --keys` prints.

use dotfill::db::{Datum, from_json};
use rusqlite::params_from_iter;
use serde_json::Value;

use crate::common::plain_db;
use crate::deltas::key_digest;
use crate::job::one_column;

#[test]
fn the_ranges_of_a_table_add_up_to_its_sum() {
    let text = include_str!("../vectors/keys.json");
    let cases: Vec<Value> = serde_json::from_str(text).unwrap();
    assert!(cases.len() >= 6, "premise");
    for case in cases {
        let schema = case["schema"].as_str().unwrap();
        let db = plain_db(schema);
        let keys = case["keys"].as_array().unwrap();
        for key in keys {
            let key: Vec<Datum> =
                key.as_array().unwrap().iter().map(|value| from_json(value).unwrap()).collect();
            let marks = vec!["?"; key.len()].join(", ");
            db.execute(&format!("INSERT INTO t VALUES ({marks})"), params_from_iter(&key)).unwrap();
        }
        let migration = one_column("t", "target", "TEXT", "'v'", "");
        let report = key_digest(db.db().as_ref(), &migration).unwrap();
        let table = &report.tables[0];
        assert_eq!((&case["key"], &case["name"]), (&table.key.as_str().into(), &case["name"]));
        assert!(table.ranges.len() > 1, "premise: {schema}");
        let rows: u64 = table.ranges.iter().map(|range| range.keys.rows).sum();
        assert_eq!((rows, table.rows), (keys.len() as u64, keys.len() as u64), "{schema}");
        let sum = table.ranges.iter().fold(0_u64, |sum, r| sum.wrapping_add(r.keys.sum));
        assert_eq!(format!("{sum:016x}"), case["sum"].as_str().unwrap(), "{schema}");
    }
}
