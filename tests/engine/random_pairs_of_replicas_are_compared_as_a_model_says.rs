//! Two plain replicas with random writes, drained or not: each key that differs, and how, is what a
//! model of the cells says; and a digest alone comes to the same verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use dotfill::engine::{self, Against, CompareOptions, Verdict};
use dotfill::monitor::Quiet;
use dotfill::verify::DigestReport;
use proptest::prelude::*;
use rusqlite::config::DbConfig;
use serde_json::{Value, json};

use crate::common::{PlainDb, plain_db};
use crate::job::{Job, one_column, threads};

/// Something that happens to the row of a key, on one replica or on both.
#[derive(Clone, Copy, Debug)]
enum Event {
    Insert,
    Delete,
    /// The source is set to a number.
    Source(u8),
    /// A user writes the cell.
    User(u8),
    /// The cell is changed past the triggers.
    Corrupt(u8),
    /// `dotfill run`.
    Drain,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Insert),
        Just(Event::Delete),
        (0..3_u8).prop_map(Event::Source),
        (0..3_u8).prop_map(Event::User),
        (0..2_u8).prop_map(Event::Corrupt),
        Just(Event::Drain),
    ]
}

/// A row as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    source: String,
    cell: Option<String>,
    user: bool,
    noted: bool,
}

impl Row {
    fn derived(&self) -> Option<String> {
        Some(format!("v-{}", self.source))
    }

    /// What the other replica must have, or is still to get.
    fn shared(&self) -> (String, Option<Option<String>>) {
        let claimed = self.cell != self.derived() && (self.user || self.noted);
        (self.source.clone(), claimed.then(|| self.cell.clone()))
    }

    fn is_unproven(&self) -> bool {
        self.cell != self.derived() && !self.user && !self.noted
    }
}

/// One replica and its model.
struct Side {
    db: PlainDb,
    job: Job,
    rows: BTreeMap<i64, Row>,
}

const KEYS: i64 = 40;

impl Side {
    fn new(schema: &str, order: &str) -> Self {
        let db = plain_db(&format!(
            "{schema}; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {KEYS})
             INSERT INTO t (id, src) SELECT i, 's' || i FROM n ORDER BY i {order};"
        ));
        let job = Job::new(db.db(), one_column("t", "target", "TEXT", "'v-' || src", ""));
        job.run();
        let row = |i| {
            let source = format!("s{i}");
            let cell = Some(format!("v-{source}"));
            (i, Row { source, cell, user: false, noted: false })
        };
        Self { db, job, rows: (1..=KEYS).map(row).collect() }
    }

    fn execute(&self, sql: &str, key: i64, text: &str) {
        self.db.execute(sql, (key, text)).unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    fn apply(&mut self, key: i64, event: Event) {
        match event {
            Event::Insert => {
                self.execute("INSERT OR IGNORE INTO t (id, src) VALUES (?1, ?2)", key, "new");
                self.rows.entry(key).or_insert_with(|| Row {
                    source: "new".to_owned(),
                    cell: None,
                    user: false,
                    noted: true,
                });
            }
            Event::Delete => {
                self.execute("DELETE FROM t WHERE id = ?1 AND ?2 <> ''", key, "-");
                self.rows.remove(&key);
            }
            Event::Source(n) => {
                let source = format!("n{n}");
                self.execute("UPDATE t SET src = ?2 WHERE id = ?1", key, &source);
                if let Some(row) = self.rows.get_mut(&key) {
                    row.source = source;
                    row.noted = true;
                }
            }
            Event::User(n) => {
                let cell = format!("u{n}");
                self.execute("UPDATE t SET target = ?2 WHERE id = ?1", key, &cell);
                if let Some(row) = self.rows.get_mut(&key) {
                    *row = Row { cell: Some(cell), user: true, noted: true, ..row.clone() };
                }
            }
            Event::Corrupt(n) => {
                let cell = format!("c{n}");
                let off = |on| {
                    self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, on).unwrap();
                };
                off(false);
                self.execute("UPDATE t SET target = ?2 WHERE id = ?1", key, &cell);
                off(true);
                if let Some(row) = self.rows.get_mut(&key) {
                    row.cell = Some(cell);
                }
            }
            Event::Drain => {
                self.job.run();
                for row in self.rows.values_mut() {
                    row.noted = false;
                    if !row.user {
                        row.cell = row.derived();
                    }
                }
            }
        }
    }

    fn check(&self) {
        let mut statement = self.db.prepare("SELECT id + 0, src, target FROM t").unwrap();
        let rows = statement.query_map([], |row| {
            Ok((row.get::<_, i64>(0)?, (row.get::<_, String>(1)?, row.get(2)?)))
        });
        let found: BTreeMap<i64, (String, Option<String>)> =
            rows.unwrap().map(Result::unwrap).collect();
        let model = self.rows.iter().map(|(k, r)| (*k, (r.source.clone(), r.cell.clone())));
        assert_eq!(found, model.collect(), "premise: the model is of these rows");
    }

    fn digest(&self) -> DigestReport {
        let printed = engine::digest(&self.job.db, &self.job.migration, &threads(2), &Quiet)
            .unwrap()
            .to_json()
            .unwrap();
        DigestReport::parse(printed.as_bytes()).unwrap()
    }
}

fn differing(a: &Side, b: &Side) -> BTreeSet<(i64, &'static str)> {
    let keys: BTreeSet<i64> = a.rows.keys().chain(b.rows.keys()).copied().collect();
    let verdict = |key: i64| match (a.rows.get(&key), b.rows.get(&key)) {
        (Some(here), Some(there)) if here.shared() == there.shared() => {
            (here.cell != there.cell).then_some((key, "diverged"))
        }
        _ => Some((key, "in_flight")),
    };
    keys.into_iter().filter_map(verdict).collect()
}

fn check(schema: &str, events: &[(i64, Event, u8)]) {
    let (mut a, mut b) = (Side::new(schema, ""), Side::new(schema, "DESC"));
    for (key, event, where_to) in events {
        if where_to % 4 != 1 {
            a.apply(*key, *event);
        }
        if where_to % 4 != 2 {
            b.apply(*key, *event);
        }
    }
    a.check();
    b.check();
    let want = differing(&a, &b);
    let unproven = |side: &Side| side.rows.values().filter(|row| row.is_unproven()).count() as u64;
    let diverged = want.iter().filter(|(_, v)| *v == "diverged").count() as u64;
    let in_flight = want.len() as u64 - diverged;
    let verdict = match unproven(&a) + unproven(&b) + diverged {
        0 if in_flight == 0 => Verdict::Equal,
        0 => Verdict::Inconclusive,
        _ => Verdict::Diverged,
    };

    let out = a.db.folder().join("out.jsonl");
    // Some of them have room for no more than a row or two.
    let memory_bytes_max = if a.rows.len().is_multiple_of(2) { 300 } else { 64 << 20 };
    let options = CompareOptions {
        threads: 2,
        diff: Some(out.clone()),
        memory_bytes_max,
        ..CompareOptions::default()
    };
    let other = Against::Replica(b.job.db.clone());
    let report =
        engine::verify_against(&a.job.db, &a.job.migration, &other, &options, &Quiet).unwrap();
    assert_eq!(report.verdict, verdict, "{report:#?}");
    assert_eq!(report.rows_different, unproven(&a));
    let found = report.comparison.unwrap();
    assert_eq!((found.rows_diverged, found.rows_in_flight), (diverged, in_flight));
    assert_eq!((found.rows_different_there, found.in_flight_is_lower_bound), (unproven(&b), false));
    let lines: BTreeSet<(i64, String)> = fs::read_to_string(out)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| {
            assert_eq!((&line["table"], &line["column"]), (&json!("t"), &json!("target")));
            let key = match &line["key"][0] {
                Value::String(text) => text.parse().unwrap(),
                number => number.as_i64().unwrap(),
            };
            (key, line["verdict"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(lines, want.iter().map(|(k, v)| (*k, (*v).to_owned())).collect());

    let digest = Against::Digest { name: "b".to_owned(), digest: Box::new(b.digest()) };
    let options = CompareOptions::default();
    let report =
        engine::verify_against(&a.job.db, &a.job.migration, &digest, &options, &Quiet).unwrap();
    // Rows of one leaf hide a divergence between equal local proofs; there is none on one release.
    assert_eq!(report.verdict, verdict, "{report:#?}");
    let by_digest = report.comparison.unwrap();
    assert!(by_digest.rows_in_flight <= in_flight && by_digest.rows_diverged <= diverged);
    assert!(in_flight == 0 || by_digest.rows_in_flight + by_digest.rows_diverged > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn by_an_integer_key(
        events in proptest::collection::vec((1..=KEYS + 5, event(), any::<u8>()), 0..25),
    ) {
        check("CREATE TABLE t (id INTEGER PRIMARY KEY, src)", &events);
    }

    #[test]
    fn by_a_text_key(
        events in proptest::collection::vec((1..=KEYS + 5, event(), any::<u8>()), 0..25),
    ) {
        check("CREATE TABLE t (src, id TEXT PRIMARY KEY)", &events);
    }
}
