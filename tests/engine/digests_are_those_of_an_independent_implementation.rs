//! Every vector of `tests/vectors/digests.json`, which another implementation wrote, made out of a
//! real database.

use std::collections::BTreeMap;

use dotfill::db::{Datum, from_json};
use dotfill::engine;
use dotfill::monitor::Quiet;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::Value;

use crate::common::plain_db;
use crate::job::{Job, one_column, threads};

#[derive(Deserialize)]
struct Vector {
    name: String,
    schema: String,
    table: String,
    column: String,
    #[serde(rename = "type")]
    type_name: String,
    value: String,
    /// Name, affinity and collation.
    key: Vec<[String; 3]>,
    sources: Vec<String>,
    rows: Vec<Row>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Row {
    key: Vec<Value>,
    sources: Vec<Value>,
    cell: Value,
    claimed: bool,
}

#[derive(Deserialize)]
struct Expected {
    shape: String,
    /// Those of 256 that hold rows.
    leaves: BTreeMap<usize, String>,
    digest: String,
    sources_digest: String,
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn run(conn: &Connection, sql: &str, values: &[&Value]) {
    let values: Vec<Datum> = values.iter().map(|value| from_json(value).unwrap()).collect();
    let changed = conn.execute(sql, rusqlite::params_from_iter(values)).unwrap();
    assert_eq!(changed, 1, "{sql}");
}

fn insert(conn: &Connection, vector: &Vector) {
    let names: Vec<_> = vector.key.iter().map(|[name, ..]| name).chain(&vector.sources).collect();
    let columns: Vec<_> = names.iter().map(|name| quoted(name)).collect();
    let places: Vec<_> = (1..=names.len()).map(|i| format!("?{i}")).collect();
    let sql = format!(
        "INSERT INTO {} ({}) VALUES ({})",
        quoted(&vector.table),
        columns.join(", "),
        places.join(", ")
    );
    for row in &vector.rows {
        run(conn, &sql, &row.key.iter().chain(&row.sources).collect::<Vec<_>>());
    }
}

#[test]
fn every_vector() {
    let vectors: Vec<Vector> =
        serde_json::from_str(include_str!("../vectors/digests.json")).unwrap();
    assert!(vectors.len() >= 4, "premise: the file is whole");
    for vector in &vectors {
        let db = plain_db(&vector.schema);
        insert(&db, vector);
        let Vector { table, column, type_name, value, .. } = vector;
        let job = Job::new(db.db(), one_column(table, column, type_name, value, ""));
        job.run();
        for row in vector.rows.iter().filter(|row| row.claimed) {
            let key = quoted(&vector.key[0][0]);
            let sql = format!("UPDATE {} SET {} = ?1 WHERE {key} = ?2", quoted(table), column);
            run(&db, &sql, &[&row.cell, &row.key[0]]);
        }
        job.run();
        let found = engine::digest(&job.db, &job.migration, &threads(2), &Quiet).unwrap();
        let expected = &vector.expected;
        assert_eq!(found.changes[0].shape, expected.shape, "{}", vector.name);
        let leaves = found.changes[0].leaves.iter().enumerate().filter(|(_, leaf)| leaf.rows > 0);
        let leaves: BTreeMap<usize, String> = leaves
            .map(|(i, l)| (i, format!("{:x}.{:016x}.{:016x}", l.rows, l.sources, l.values)))
            .collect();
        assert_eq!(leaves, expected.leaves, "{}", vector.name);
        assert_eq!(found.digest, expected.digest, "{}", vector.name);
        assert_eq!(found.sources_digest, expected.sources_digest, "{}", vector.name);
        assert_eq!((found.rows_different, found.changes[0].leaves.len()), (0, 256));
    }
}
