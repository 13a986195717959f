//! Random schemas and random interleavings of what users and dotfill do, against a model in memory.

use std::collections::BTreeMap;

use dotfill::engine::Outcome;
use proptest::prelude::*;
use rusqlite::Connection;

use crate::common::plain_db;
use crate::job::{Job, assert_sound, one_column};
use crate::watch::cancel_after;

/// Keys are numbered; each schema says how a number is written.
const KEYS: i64 = 12;

/// The target before the first run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Absent,
    Present,
    /// With a DEFAULT.
    Defaulted,
}

/// The DEFAULT.
const DEFAULT: &str = "u7";

#[derive(Clone, Copy, Debug)]
struct Schema {
    key: usize,
    before: Before,
    fill_null: bool,
    filter: bool,
    second_source: bool,
}

/// How a table declares its key, and the columns and values of key `i`.
type Key = (&'static str, &'static [&'static str], fn(i64) -> Vec<String>);

const KEY_KINDS: [Key; 5] = [
    ("(id INTEGER PRIMARY KEY, {})", &["id"], |i| vec![(i * 7 - 30).to_string()]),
    ("({}, id TEXT PRIMARY KEY)", &["id"], |i| vec![format!("'k{i}'")]),
    ("(id TEXT PRIMARY KEY COLLATE NOCASE, {})", &["id"], |i| {
        vec![if i % 2 == 0 { format!("'Key{i}'") } else { format!("'KEY{i}'") }]
    }),
    ("(a INT, b TEXT, {}, PRIMARY KEY (a, b))", &["a", "b"], |i| {
        vec![(i % 3).to_string(), format!("'k{i}'")]
    }),
    ("(a INT, b BLOB, {}, PRIMARY KEY (a DESC, b)) WITHOUT ROWID", &["a", "b"], |i| {
        vec![(i % 3).to_string(), format!("x'{i:02x}'")]
    }),
];

impl Schema {
    fn create(self) -> String {
        let target = match self.before {
            Before::Absent => String::new(),
            Before::Present => ", target TEXT".to_owned(),
            Before::Defaulted => format!(", target TEXT DEFAULT '{DEFAULT}'"),
        };
        let columns = format!("src TEXT, more TEXT{target}");
        format!("CREATE TABLE t {}", KEY_KINDS[self.key].0.replace("{}", &columns))
    }

    fn value(self) -> &'static str {
        if self.second_source { "'v-' || src || coalesce(more, '')" } else { "'v-' || src" }
    }

    fn job(self, db: &str) -> Job {
        let filter = if self.filter { "where = \"src <> 's1'\"\n" } else { "" };
        let rest = format!("{filter}delivery = 'derive'\nfill_null = {}", self.fill_null);
        let mut job = Job::new(db, one_column("t", "target", "TEXT", self.value(), &rest));
        job.options.tuning.batch_rows_max = 3;
        job
    }

    fn is(self, key: i64) -> String {
        let (_, columns, values) = KEY_KINDS[self.key];
        let pairs = columns.iter().zip(values(key)).map(|(c, v)| format!("{c} = {v}"));
        pairs.collect::<Vec<_>>().join(" AND ")
    }
}

/// Whether an INSERT names the target, and with what.
#[derive(Clone, Copy, Debug)]
enum Given {
    Nothing,
    Null,
    Value(u8),
}

#[derive(Clone, Debug)]
enum Op {
    Insert {
        key: i64,
        src: Option<u8>,
        target: Given,
        replace: bool,
    },
    Upsert {
        key: i64,
        src: u8,
        target: bool,
    },
    Source(i64, Option<u8>),
    More(i64, u8),
    Target(i64, Option<u8>),
    Both(i64, u8, Option<u8>),
    Key(i64, i64),
    Delete(i64),
    EverySource(u8),
    /// A run that is cancelled after so many commits, or never.
    Run(Option<u64>),
    Vacuum,
}

fn op() -> impl Strategy<Value = Op> {
    let key = || 0..KEYS;
    let some = || proptest::option::weighted(0.8, 0..4_u8);
    let given = prop_oneof![5 => Just(Given::Nothing), 1 => Just(Given::Null), 4 => (0..4_u8).prop_map(Given::Value)];
    prop_oneof![
        4 => (key(), some(), given, any::<bool>())
            .prop_map(|(key, src, target, replace)| Op::Insert { key, src, target, replace }),
        2 => (key(), 0..4_u8, any::<bool>())
            .prop_map(|(key, src, target)| Op::Upsert { key, src, target }),
        3 => (key(), some()).prop_map(|(key, src)| Op::Source(key, src)),
        1 => (key(), 0..4_u8).prop_map(|(key, more)| Op::More(key, more)),
        3 => (key(), some()).prop_map(|(key, target)| Op::Target(key, target)),
        2 => (key(), 0..4_u8, some()).prop_map(|(key, src, target)| Op::Both(key, src, target)),
        3 => (key(), key()).prop_map(|(old, new)| Op::Key(old, new)),
        2 => key().prop_map(Op::Delete),
        1 => (0..4_u8).prop_map(Op::EverySource),
        3 => proptest::option::weighted(0.6, 1..9_u64).prop_map(Op::Run),
        1 => Just(Op::Vacuum),
    ]
}

#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Ours,
    User(Option<String>),
}

#[derive(Clone, Debug, PartialEq)]
struct Row {
    src: Option<String>,
    more: Option<String>,
    cell: Cell,
}

/// What DESIGN says that a plain table should hold.
struct Model {
    schema: Schema,
    /// True from the first run on: writes are noted.
    followed: bool,
    rows: BTreeMap<i64, Row>,
}

fn source(n: u8) -> String {
    format!("s{n}")
}

fn user(n: u8) -> String {
    format!("u{n}")
}

fn literal(value: Option<&String>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |text| format!("'{text}'"))
}

impl Model {
    fn has_target(&self) -> bool {
        self.followed || self.schema.before != Before::Absent
    }

    /// A NULL that is nobody's yet, or has a meaning.
    fn null(&self) -> Cell {
        if self.schema.fill_null { Cell::Ours } else { Cell::User(None) }
    }

    fn written(&self, value: Option<String>, before: Option<&Cell>) -> Cell {
        match (value, before) {
            (None, Some(Cell::User(_))) if self.followed => Cell::User(None),
            (None, _) => self.null(),
            (value, _) => Cell::User(value),
        }
    }

    /// The columns and values of a key.
    fn key(&self, key: i64) -> (String, String) {
        let (_, columns, values) = KEY_KINDS[self.schema.key];
        (columns.join(", "), values(key).join(", "))
    }

    /// The cell of a new row whose INSERT leaves the target out.
    fn left_out(&self) -> Cell {
        let default = (self.schema.before == Before::Defaulted).then(|| DEFAULT.to_owned());
        self.written(default, None)
    }

    fn insert(&mut self, key: i64, src: Option<String>, given: Given, replace: bool) -> String {
        let (columns, values) = self.key(key);
        let verb = if replace { "REPLACE" } else { "INSERT OR IGNORE" };
        let given = if self.has_target() { given } else { Given::Nothing };
        let (named, value, cell) = match given {
            Given::Nothing => ("", String::new(), self.left_out()),
            Given::Null => (", target", ", NULL".to_owned(), self.null()),
            Given::Value(n) => (", target", format!(", '{}'", user(n)), Cell::User(Some(user(n)))),
        };
        let source = literal(src.as_ref());
        if replace || !self.rows.contains_key(&key) {
            self.rows.insert(key, Row { src, more: None, cell });
        }
        format!("{verb} INTO t ({columns}, src{named}) VALUES ({values}, {source}{value})")
    }

    fn upsert(&mut self, key: i64, src: &str, target: bool) -> String {
        let (columns, values) = self.key(key);
        let target = target && self.has_target();
        let more = if target { format!(", target = '{}'", user(9)) } else { String::new() };
        let new = Row { src: None, more: None, cell: self.left_out() };
        let known = self.rows.contains_key(&key);
        let row = self.rows.entry(key).or_insert(new);
        row.src = Some(src.to_owned());
        if known && target {
            row.cell = Cell::User(Some(user(9)));
        }
        format!(
            "INSERT INTO t ({columns}, src) VALUES ({values}, '{src}')
             ON CONFLICT ({columns}) DO UPDATE SET src = excluded.src{more}"
        )
    }

    /// Does `op` to the model; its SQL, where it is a user's.
    fn apply(&mut self, op: &Op) -> Option<String> {
        let (schema, target) = (self.schema, self.has_target());
        let (_, columns, values) = KEY_KINDS[schema.key];
        let set =
            |key: i64, what: String| Some(format!("UPDATE t SET {what} WHERE {}", schema.is(key)));
        match op {
            Op::Insert { key, src, target, replace } => {
                Some(self.insert(*key, src.map(source), *target, *replace))
            }
            Op::Upsert { key, src, target } => Some(self.upsert(*key, &source(*src), *target)),
            Op::Source(key, src) => {
                let src = src.map(source);
                let sql = set(*key, format!("src = {}", literal(src.as_ref())));
                if let Some(row) = self.rows.get_mut(key) {
                    row.src = src;
                }
                sql
            }
            Op::More(key, more) => {
                if let Some(row) = self.rows.get_mut(key) {
                    row.more = Some(source(*more));
                }
                set(*key, format!("more = '{}'", source(*more)))
            }
            Op::Target(key, value) if target => {
                let value = value.map(user);
                let sql = set(*key, format!("target = {}", literal(value.as_ref())));
                let cell = self.rows.get(key).map(|row| self.written(value, Some(&row.cell)));
                if let (Some(row), Some(cell)) = (self.rows.get_mut(key), cell) {
                    row.cell = cell;
                }
                sql
            }
            Op::Both(key, src, value) if target => {
                let value = value.map(user);
                let sql = set(
                    *key,
                    format!("src = '{}', target = {}", source(*src), literal(value.as_ref())),
                );
                let cell = self.rows.get(key).map(|row| self.written(value, Some(&row.cell)));
                if let (Some(row), Some(cell)) = (self.rows.get_mut(key), cell) {
                    (row.src, row.cell) = (Some(source(*src)), cell);
                }
                sql
            }
            Op::Key(old, new) => {
                if let Some(row) = self.rows.remove(old) {
                    self.rows.insert(*new, row);
                }
                let pairs = columns.iter().zip(values(*new));
                let pairs: Vec<_> = pairs.map(|(c, v)| format!("{c} = {v}")).collect();
                Some(format!(
                    "UPDATE OR REPLACE t SET {} WHERE {}",
                    pairs.join(", "),
                    schema.is(*old)
                ))
            }
            Op::Delete(key) => {
                self.rows.remove(key);
                Some(format!("DELETE FROM t WHERE {}", schema.is(*key)))
            }
            Op::EverySource(src) => {
                for row in self.rows.values_mut() {
                    row.src = Some(source(*src));
                }
                Some(format!("UPDATE t SET src = '{}'", source(*src)))
            }
            Op::Vacuum => Some("VACUUM".to_owned()),
            Op::Target(..) | Op::Both(..) | Op::Run(_) => None,
        }
    }

    fn derived(&self, row: &Row) -> Option<String> {
        let src = row.src.as_ref()?;
        if self.schema.filter && src == "s1" {
            return None;
        }
        let more = row.more.as_ref().filter(|_| self.schema.second_source);
        Some(format!("v-{src}{}", more.map_or("", String::as_str)))
    }

    /// Compares users' cells, and where `all` is set every cell.
    fn compare(&self, conn: &Connection, all: bool) -> Result<(), TestCaseError> {
        let rows: i64 = conn.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        prop_assert_eq!(rows, i64::try_from(self.rows.len()).unwrap());
        for (key, row) in &self.rows {
            let want = match &row.cell {
                Cell::User(value) => value.clone(),
                Cell::Ours if all => self.derived(row),
                Cell::Ours => continue,
            };
            let sql = format!("SELECT target FROM t WHERE {}", self.schema.is(*key));
            let found: Option<String> = conn.query_row(&sql, [], |row| row.get(0)).unwrap();
            prop_assert_eq!(found, want, "row {}: {:?}", key, row);
        }
        Ok(())
    }
}

fn plain_history(schema: Schema, ops: &[Op]) -> Result<(), TestCaseError> {
    let db = plain_db(&schema.create());
    let mut job = schema.job(db.db());
    let mut model = Model { schema, followed: false, rows: BTreeMap::new() };
    for op in ops {
        let before = model.has_target();
        if let Some(sql) = model.apply(op) {
            db.execute_batch(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        } else if let Op::Run(cancel) = op {
            let outcome = match cancel {
                None => job.run().outcome,
                Some(commits) => {
                    job.options.cancel = std::sync::Arc::default();
                    let monitor = cancel_after(*commits, &job.options.cancel);
                    job.try_run(&monitor).unwrap().outcome
                }
            };
            job.options.cancel = std::sync::Arc::default();
            if !model.followed && !before {
                // The column is new: every row is ours.
                model.rows.values_mut().for_each(|row| row.cell = Cell::Ours);
            }
            model.followed = true;
            model.compare(&db, outcome == Outcome::Complete)?;
        }
    }
    model.followed |= model.has_target();
    job.run();
    if schema.before == Before::Absent && !ops.iter().any(|op| matches!(op, Op::Run(_))) {
        model.rows.values_mut().for_each(|row| row.cell = Cell::Ours);
    }
    model.compare(&db, true)?;
    prop_assert_eq!(job.run().rows_written, 0);
    job.close();
    model.compare(&db, true)?;
    assert_sound(&db);
    Ok(())
}

fn schema() -> impl Strategy<Value = Schema> {
    let before = prop_oneof![Just(Before::Absent), Just(Before::Present), Just(Before::Defaulted)];
    (0..KEY_KINDS.len(), before, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(key, before, fill_null, filter, second_source)| Schema {
            key,
            before,
            fill_null,
            filter,
            second_source,
        },
    )
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn on_a_plain_table(schema in schema(), ops in proptest::collection::vec(op(), 1..50)) {
        plain_history(schema, &ops)?;
    }
}
