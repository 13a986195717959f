//! Random schemas and random interleavings of what users and dotfill do, against a model in memory;
//! on replicas, against each other.

use std::collections::{BTreeMap, BTreeSet};

use dotfill::engine::Outcome;
use proptest::prelude::*;
use rusqlite::Connection;

use crate::common::{Replica, merge, merge_both_ways, plain_db};
use crate::job::{Job, assert_sound, one_column};
use crate::watch::cancel_after;

/// Keys are numbered; each schema says how a number is written.
const KEYS: i64 = 12;

#[derive(Clone, Copy, Debug)]
struct Schema {
    key: usize,
    /// The target is there before the first run; with this DEFAULT.
    exists: Option<Option<&'static str>>,
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
        let target = match self.exists {
            None => String::new(),
            Some(None) => ", target TEXT".to_owned(),
            Some(Some(default)) => format!(", target TEXT DEFAULT '{default}'"),
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

#[derive(Clone, Debug)]
enum Op {
    Insert {
        key: i64,
        src: Option<u8>,
        target: Option<Option<u8>>,
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
    prop_oneof![
        4 => (key(), some(), proptest::option::of(some()), any::<bool>())
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
        self.followed || self.schema.exists.is_some()
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

    /// Does `op` to the model; its SQL, where it is a user's.
    fn apply(&mut self, op: &Op) -> Option<String> {
        let (schema, target) = (self.schema, self.has_target());
        let (_, columns, values) = KEY_KINDS[schema.key];
        let columns = columns.join(", ");
        let set =
            |key: i64, what: String| Some(format!("UPDATE t SET {what} WHERE {}", schema.is(key)));
        match op {
            Op::Insert { key, src, target: given, replace } => {
                let (src, given) = (src.map(source), given.map(|value| value.map(user)));
                let given = given.filter(|_| target);
                let values = values(*key).join(", ");
                let (verb, known) = (
                    if *replace { "REPLACE" } else { "INSERT OR IGNORE" },
                    self.rows.contains_key(key),
                );
                let sql = match &given {
                    Some(value) => format!(
                        "{verb} INTO t ({columns}, src, target) VALUES ({values}, {}, {})",
                        literal(src.as_ref()),
                        literal(value.as_ref())
                    ),
                    None => format!(
                        "{verb} INTO t ({columns}, src) VALUES ({values}, {})",
                        literal(src.as_ref())
                    ),
                };
                if *replace || !known {
                    let default = schema.exists.flatten().map(str::to_owned);
                    let cell = self.written(given.unwrap_or(default), None);
                    self.rows.insert(*key, Row { src, more: None, cell });
                }
                Some(sql)
            }
            Op::Upsert { key, src, target: and_target } => {
                let (src, mine) = (source(*src), user(9));
                let values = values(*key).join(", ");
                let more = if *and_target && target {
                    format!(", target = '{mine}'")
                } else {
                    String::new()
                };
                if let Some(row) = self.rows.get_mut(key) {
                    row.src = Some(src.clone());
                    if !more.is_empty() {
                        row.cell = Cell::User(Some(mine));
                    }
                } else {
                    let default = schema.exists.flatten().map(str::to_owned);
                    let cell = self.written(default, None);
                    self.rows.insert(*key, Row { src: Some(src.clone()), more: None, cell });
                }
                Some(format!(
                    "INSERT INTO t ({columns}, src) VALUES ({values}, '{src}')
                     ON CONFLICT ({columns}) DO UPDATE SET src = excluded.src{more}"
                ))
            }
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
                let pairs = KEY_KINDS[schema.key].1.iter().zip(values(*new));
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
    if schema.exists.is_none() && !ops.iter().any(|op| matches!(op, Op::Run(_))) {
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
    let exists = proptest::option::of(proptest::option::weighted(0.3, Just("u7")));
    (0..KEY_KINDS.len(), exists, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(key, exists, fill_null, filter, second_source)| Schema {
            key,
            exists,
            fill_null,
            filter,
            second_source,
        },
    )
}

/// What happens on replicas; the first member says on which.
#[derive(Clone, Debug)]
enum Event {
    Write(bool, Write),
    Merge(bool),
    Run(bool, Option<u64>),
}

#[derive(Clone, Debug)]
enum Write {
    Insert(i64),
    InsertOwned(i64),
    Source(i64),
    Owner(i64),
    Both(i64),
    Null(i64),
    Replace(i64),
    Delete(i64),
}

fn event() -> impl Strategy<Value = Event> {
    let key = || 1..KEYS;
    let write = prop_oneof![
        3 => key().prop_map(Write::Insert),
        1 => key().prop_map(Write::InsertOwned),
        3 => key().prop_map(Write::Source),
        2 => key().prop_map(Write::Owner),
        1 => key().prop_map(Write::Both),
        1 => key().prop_map(Write::Null),
        1 => key().prop_map(Write::Replace),
        1 => key().prop_map(Write::Delete),
    ];
    prop_oneof![
        6 => (any::<bool>(), write).prop_map(|(on, write)| Event::Write(on, write)),
        2 => any::<bool>().prop_map(Event::Merge),
        2 => (any::<bool>(), proptest::option::of(1..6_u64))
            .prop_map(|(on, cancel)| Event::Run(on, cancel)),
    ]
}

/// Does a write; `n` makes its text unlike any other.
fn write(replica: &Replica, write: &Write, n: usize) {
    let sql = match write {
        Write::Insert(id) => {
            format!("INSERT OR IGNORE INTO machines (id, app) VALUES ({id}, 'app{n}')")
        }
        Write::InsertOwned(id) => format!(
            "INSERT INTO machines (id, app, owner) VALUES ({id}, 'app{n}', 'user{n}')
             ON CONFLICT (id) DO UPDATE SET owner = excluded.owner"
        ),
        Write::Source(id) => format!("UPDATE machines SET app = 'app{n}' WHERE id = {id}"),
        Write::Owner(id) => format!("UPDATE machines SET owner = 'user{n}' WHERE id = {id}"),
        Write::Both(id) => {
            format!("UPDATE machines SET app = 'app{n}', owner = 'user{n}' WHERE id = {id}")
        }
        Write::Null(id) => format!("UPDATE machines SET owner = NULL WHERE id = {id}"),
        Write::Replace(id) => format!("REPLACE INTO machines (id, app) VALUES ({id}, 'app{n}')"),
        Write::Delete(id) => format!("DELETE FROM machines WHERE id = {id}"),
    };
    replica.run(&sql, []);
}

fn replicated_history(exists: bool, events: &[Event]) -> Result<(), TestCaseError> {
    let new = || if exists { Replica::machines_with_owner() } else { Replica::machines() };
    let replicas = [new(), new()];
    replicas[0].insert_machines(6);
    merge_both_ways(&replicas[0], &replicas[1]);
    let mut jobs = replicas.each_ref().map(|replica| {
        let rest = "delivery = 'derive'";
        let mut job =
            Job::new(replica.path(), one_column("machines", "owner", "TEXT", "'o-' || app", rest));
        job.options.tuning.batch_rows_max = 2;
        job
    });
    if !exists {
        jobs.iter().for_each(|job| drop(job.run()));
    }
    // Keys that users gave a value and never took it away again.
    let (mut owned, mut unclear) = (BTreeSet::new(), BTreeSet::new());
    for (n, event) in events.iter().enumerate() {
        match event {
            Event::Write(on, what) => {
                let replica = &replicas[usize::from(*on)];
                write(replica, what, n);
                match what {
                    Write::Owner(id) | Write::Both(id) | Write::InsertOwned(id) => {
                        let sql = format!("SELECT count(*) FROM machines WHERE id = {id}");
                        if replica.count(&sql) == 1 {
                            owned.insert(*id);
                        }
                    }
                    Write::Null(id) | Write::Replace(id) | Write::Delete(id) => {
                        unclear.insert(*id);
                    }
                    Write::Insert(_) | Write::Source(_) => {}
                }
            }
            Event::Merge(on) => {
                let (from, to) = (usize::from(*on), usize::from(!*on));
                merge(&replicas[from], &replicas[to]);
            }
            Event::Run(on, cancel) => {
                let job = &mut jobs[usize::from(*on)];
                job.options.cancel = std::sync::Arc::default();
                let monitor = cancel_after(cancel.unwrap_or(u64::MAX), &job.options.cancel);
                job.try_run(&monitor).unwrap();
                job.options.cancel = std::sync::Arc::default();
            }
        }
    }
    merge_both_ways(&replicas[0], &replicas[1]);
    jobs.iter().for_each(|job| drop(job.run()));
    prop_assert_eq!(merge_both_ways(&replicas[0], &replicas[1]), 0, "draining made records");
    let rows = replicas[0].machines_rows();
    prop_assert_eq!(&rows, &replicas[1].machines_rows());
    for row in rows {
        let [rusqlite::types::Value::Integer(id), app, _, owner] = row.as_slice() else {
            panic!("{row:?}");
        };
        let text = |value: &rusqlite::types::Value| match value {
            rusqlite::types::Value::Text(text) => text.clone(),
            other => format!("{other:?}"),
        };
        let (app, owner) = (text(app), text(owner));
        if unclear.contains(id) {
            continue;
        }
        if owned.contains(id) {
            prop_assert!(owner.starts_with("user"), "row {id}: a user's value became {owner}");
        } else {
            prop_assert_eq!(owner, format!("o-{}", app), "row {}", id);
        }
    }
    jobs.iter().for_each(|job| assert_eq!(job.run().rows_written, 0));
    replicas.iter().for_each(Replica::assert_sound);
    Ok(())
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

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn on_two_replicas(exists: bool, events in proptest::collection::vec(event(), 1..40)) {
        replicated_history(exists, &events)?;
    }
}
