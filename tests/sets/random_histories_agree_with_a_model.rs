//! Random interleavings of what old clients, new clients and dotfill do to one plain database, against
//! a model in memory; the view is sound after every step.

use std::collections::{BTreeMap, BTreeSet};

use dotfill::engine::Outcome;
use proptest::prelude::*;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};

use dotfill::transform::dot::DotDeriver;

use crate::common::plain_db;
use crate::set::{SetJob, migration, rows};
use crate::watch::cancel_after;

/// Objects are numbered below this.
const KEYS: i64 = 8;

const ELEMENTS: [&str; 4] = ["a", "b", "c", "d e"];

#[derive(Clone, Debug)]
enum Op {
    /// An old client writes the whole of the old form; elements by bits, and a flaw.
    Write {
        key: i64,
        elements: u8,
        flawed: bool,
        replace: bool,
    },
    Clear(i64),
    Delete(i64),
    Move(i64, i64),
    /// A new client adds an element with a dot of its own.
    Add(i64, usize),
    /// A new client removes every add that it sees.
    Remove(i64, usize),
    /// A run that is cancelled after so many commits, or never.
    Run(Option<u64>),
    Vacuum,
}

fn op() -> impl Strategy<Value = Op> {
    let key = || 0..KEYS;
    prop_oneof![
        8 => (key(), 0..16_u8, prop::bool::weighted(0.1), any::<bool>())
            .prop_map(|(key, elements, flawed, replace)| Op::Write { key, elements, flawed, replace }),
        1 => key().prop_map(Op::Clear),
        2 => key().prop_map(Op::Delete),
        2 => (key(), key()).prop_map(|(from, to)| Op::Move(from, to)),
        3 => (key(), 0..ELEMENTS.len()).prop_map(|(key, element)| Op::Add(key, element)),
        3 => (key(), 0..ELEMENTS.len()).prop_map(|(key, element)| Op::Remove(key, element)),
        3 => prop::option::weighted(0.7, 1..9_u64).prop_map(Op::Run),
        1 => Just(Op::Vacuum),
    ]
}

/// The kinds of old form.
const FORMS: [&str; 4] = ["json", "csv", "lines", "rows"];

struct World {
    form: &'static str,
    objects: BTreeMap<i64, BTreeSet<String>>,
    /// Users' adds: key, element, dot.
    adds: BTreeSet<(i64, String, Vec<u8>)>,
    removes: BTreeSet<Vec<u8>>,
    deriver: DotDeriver,
}

impl World {
    fn new(form: &'static str) -> Self {
        let source = if form == "rows" { "member" } else { "old" };
        Self {
            form,
            objects: BTreeMap::new(),
            adds: BTreeSet::new(),
            removes: BTreeSet::new(),
            deriver: DotDeriver::new("tags-v2", "objects", source),
        }
    }

    fn schema() -> &'static str {
        "CREATE TABLE objects (id INTEGER PRIMARY KEY, old TEXT);
         CREATE TABLE member (n INTEGER PRIMARY KEY, object INT, tag, UNIQUE (object, tag));"
    }

    fn job(&self, db: &str) -> SetJob {
        let source = match self.form {
            "rows" => {
                "source_table = 'member'\nelement = 'tag'\nsource_key = ['object']".to_owned()
            }
            format => format!("source = 'old'\nformat = '{format}'"),
        };
        let mut job =
            SetJob::new(db, migration("objects", &format!("{source}\nmalformed = 'skip'")));
        job.options.tuning.batch_rows_max = 3;
        job
    }

    /// The old form of some elements, with something in it that is none.
    fn old(&self, elements: &BTreeSet<String>, flawed: bool) -> String {
        let mut parts: Vec<String> = elements.iter().cloned().collect();
        let double = parts.first().cloned().filter(|_| flawed);
        parts.extend(double);
        match self.form {
            "json" => serde_json::to_string(&parts)
                .unwrap()
                .replace(']', if flawed { ",null]" } else { "]" })
                .replace("[,", "["),
            "csv" => parts.join(" , "),
            _ => parts.join("\n"),
        }
    }

    fn write(&mut self, conn: &Connection, key: i64, elements: u8, flawed: bool, replace: bool) {
        let set: BTreeSet<String> = ELEMENTS
            .iter()
            .enumerate()
            .filter(|(i, _)| elements >> i & 1 == 1)
            .map(|(_, element)| (*element).to_owned())
            .collect();
        let old = (self.form != "rows").then(|| self.old(&set, flawed));
        let sql = if replace {
            "REPLACE INTO objects (id, old) VALUES (?1, ?2)"
        } else {
            "INSERT INTO objects (id, old) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET old = excluded.old"
        };
        conn.execute(sql, params![key, old]).unwrap();
        if self.form == "rows" {
            conn.execute("DELETE FROM member WHERE object = ?1", [key]).unwrap();
            for element in &set {
                conn.execute(
                    "INSERT INTO member (object, tag) VALUES (?1, ?2)",
                    params![key, element],
                )
                .unwrap();
            }
            if flawed {
                conn.execute("INSERT INTO member (object, tag) VALUES (?1, x'00')", [key]).unwrap();
            }
        }
        self.objects.insert(key, set);
    }

    fn apply(&mut self, conn: &Connection, op: &Op, n: usize) {
        match op {
            Op::Write { key, elements, flawed, replace } => {
                self.write(conn, *key, *elements, *flawed, *replace);
            }
            Op::Clear(key) => {
                conn.execute("UPDATE objects SET old = NULL WHERE id = ?1", [key]).unwrap();
                conn.execute("DELETE FROM member WHERE object = ?1", [key]).unwrap();
                self.objects.entry(*key).and_modify(BTreeSet::clear);
            }
            Op::Delete(key) => {
                conn.execute("DELETE FROM objects WHERE id = ?1", [key]).unwrap();
                conn.execute("DELETE FROM member WHERE object = ?1", [key]).unwrap();
                self.objects.remove(key);
            }
            Op::Move(from, to) => {
                if self.objects.contains_key(from) && !self.objects.contains_key(to) {
                    conn.execute("UPDATE objects SET id = ?2 WHERE id = ?1", [from, to]).unwrap();
                    conn.execute("DELETE FROM member WHERE object = ?1", [to]).unwrap();
                    conn.execute("UPDATE member SET object = ?2 WHERE object = ?1", [from, to])
                        .unwrap();
                    let set = self.objects.remove(from).unwrap();
                    self.objects.insert(*to, set);
                }
            }
            Op::Add(key, element) => {
                let add = (*key, ELEMENTS[*element].to_owned(), vec![n as u8; 16]);
                conn.execute(
                    "INSERT INTO tag_adds VALUES (?1, ?2, ?3)",
                    params![add.0, add.1, add.2],
                )
                .unwrap();
                self.adds.insert(add);
            }
            Op::Remove(key, element) => {
                let seen = "SELECT dot FROM tag_adds WHERE id = ?1 AND element = ?2";
                let mut statement = conn.prepare(seen).unwrap();
                let dots: Vec<Vec<u8>> = statement
                    .query_map(params![key, ELEMENTS[*element]], |row| row.get(0))
                    .unwrap()
                    .map(Result::unwrap)
                    .collect();
                for dot in dots {
                    conn.execute("INSERT OR IGNORE INTO tag_removes VALUES (?1)", [&dot]).unwrap();
                    self.removes.insert(dot);
                }
            }
            Op::Vacuum => conn.execute_batch("VACUUM").unwrap(),
            Op::Run(_) => unreachable!("runs are the caller's"),
        }
    }

    fn dot(&mut self, key: i64, element: &str) -> Vec<u8> {
        let element = ValueRef::Text(element.as_bytes());
        self.deriver.dot(&[ValueRef::Integer(key)], element).0.to_vec()
    }

    /// Every add that there must be once everything is drained.
    fn all_adds(&mut self) -> BTreeSet<(i64, String, Vec<u8>)> {
        let mut all = self.adds.clone();
        for (key, set) in self.objects.clone() {
            for element in set {
                let dot = self.dot(key, &element);
                all.insert((key, element, dot));
            }
        }
        all
    }

    /// What the view shows in the end.
    fn visible(&mut self) -> BTreeSet<(i64, String)> {
        let adds = self.all_adds().into_iter();
        adds.filter(|(key, _, dot)| self.objects.contains_key(key) && !self.removes.contains(dot))
            .map(|(key, element, _)| (key, element))
            .collect()
    }

    /// What is true of the view at any time: every element of the old form that nobody has removed
    /// is there, and so is every add of a user that stands, once.
    fn check_view(&mut self, conn: &Connection) -> Result<(), TestCaseError> {
        let shown = shown(conn);
        let unique: BTreeSet<_> = shown.iter().cloned().collect();
        prop_assert_eq!(unique.len(), shown.len(), "shown twice: {:?}", shown);
        for (key, element) in self.visible() {
            let removed = "SELECT count(*) FROM tag_adds JOIN tag_removes USING (dot) \
                           WHERE id = ?1 AND element = ?2";
            let removed: i64 =
                conn.query_row(removed, params![key, element], |row| row.get(0)).unwrap();
            prop_assert!(
                removed > 0 || unique.contains(&(key, element.clone())),
                "{element:?} of {key} is not shown in {unique:?}"
            );
        }
        Ok(())
    }
}

fn shown(conn: &Connection) -> Vec<(i64, String)> {
    let mut statement = conn.prepare("SELECT id, element FROM tags_visible").unwrap();
    statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

fn history(form: &'static str, ops: &[Op], end: bool) -> Result<(), TestCaseError> {
    let db = plain_db(World::schema());
    let mut world = World::new(form);
    for key in 0..KEYS / 2 {
        world.write(&db, key * 2, key as u8 + 3, false, false);
    }
    let mut job = world.job(db.db());
    let monitor = cancel_after(2, &job.options.cancel);
    job.try_run(&monitor).unwrap();
    for (n, op) in ops.iter().enumerate() {
        if let Op::Run(cancel) = op {
            job.options.cancel = Default::default();
            let monitor = cancel_after(cancel.unwrap_or(u64::MAX), &job.options.cancel);
            let report = job.try_run(&monitor).unwrap();
            prop_assert!(matches!(report.outcome, Outcome::Complete | Outcome::Interrupted));
        } else {
            world.apply(&db, op, n);
        }
        world.check_view(&db)?;
    }
    job.options.cancel = Default::default();
    job.run();
    check_end(&mut world, &db)?;
    job.assert_equal();
    if end {
        job.close();
    } else {
        world.apply(&db, &Op::Write { key: 1, elements: 9, flawed: false, replace: true }, 0);
        job.close();
    }
    check_end(&mut world, &db)?;
    job.assert_equal();
    let sound = rows(&db, "PRAGMA integrity_check");
    prop_assert_eq!(sound, ["Text(\"ok\")"]);
    Ok(())
}

fn check_end(world: &mut World, conn: &Connection) -> Result<(), TestCaseError> {
    let mut statement = conn.prepare("SELECT id, element, dot FROM tag_adds").unwrap();
    let adds: BTreeSet<(i64, String, Vec<u8>)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    prop_assert_eq!(adds, world.all_adds());
    let shown: BTreeSet<_> = shown(conn).into_iter().collect();
    prop_assert_eq!(shown, world.visible());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn of_one_plain_database(
        form in prop::sample::select(&FORMS[..]),
        ops in prop::collection::vec(op(), 0..30),
        end in any::<bool>(),
    ) {
        history(form, &ops, end)?;
    }
}
