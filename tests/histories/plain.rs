//! Plain databases, and an application that replicates them by sending its whole state: of an object
//! the last writer wins, rows of the new form are only ever added. It tells merges from local writes as
//! the README says: by a row in `_dotfill_merging`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::form::{BEGIN, ELEMENTS, Form, key, members};
use super::model::Old;
use super::step::{OLD_CLIENT, REPLICAS, Stage};
use super::world::{Slot, World, memory, read_old};

/// When something was written, and by whom.
type Stamp = (u64, usize);

/// What the application knows of an object or a row besides what it holds.
type Stamps<K, V> = BTreeMap<K, (Stamp, V)>;

/// An object, with the number of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Object {
    Gone,
    There(Option<usize>),
}

impl Object {
    fn of(old: &Old, object: usize) -> Self {
        old.texts.get(&object).map_or(Self::Gone, |text| Self::There(*text))
    }
}

/// Everything that a replica has to say.
#[derive(Clone, Default)]
pub struct State {
    objects: Stamps<usize, Object>,
    rows: Stamps<(usize, usize), bool>,
    adds: BTreeSet<(String, String, Vec<u8>)>,
    removes: BTreeSet<Vec<u8>>,
}

pub struct Plain {
    slots: Vec<Slot>,
    /// Databases at a stage, in memory.
    templates: BTreeMap<(Form, &'static str, Stage), Connection>,
    known: [State; REPLICAS],
    form: Form,
    clock: u64,
    folder: TempDir,
}

impl Plain {
    pub fn new() -> Self {
        let folder = memory();
        let slots =
            (0..REPLICAS).map(|at| Slot::new(folder.path().join(format!("{at}.db")))).collect();
        Self {
            slots,
            templates: BTreeMap::new(),
            known: Default::default(),
            form: Form::Json,
            clock: 0,
            folder,
        }
    }

    /// Begins a history: every replica is at its stage; `reach` takes a database there.
    pub fn begin(
        &mut self,
        form: Form,
        policy: &'static str,
        stages: [Stage; REPLICAS],
        reach: impl Fn(&Path, Stage),
    ) {
        (self.form, self.clock) = (form, 0);
        let mut state = State::default();
        for (object, set) in BEGIN {
            let text = (form != Form::Rows).then_some(usize::from(set));
            state.objects.insert(object, ((0, 0), Object::There(text)));
            if form == Form::Rows {
                let rows = members(set);
                state.rows.extend(rows.map(|element| ((object, element), ((0, 0), true))));
            }
        }
        for (at, stage) in stages.into_iter().enumerate() {
            let make = || template(form, stage, &reach);
            self.slots[at]
                .restore(self.templates.entry((form, policy, stage)).or_insert_with(make));
            self.known[at] = state.clone();
        }
    }

    fn stamp(&mut self, at: usize) -> Stamp {
        self.clock += 1;
        (self.clock, at)
    }

    /// True where the tables of the new form are there.
    fn has_new_form(&self, at: usize) -> bool {
        self.slots[at]
            .conn()
            .prepare_cached("SELECT 1 FROM sqlite_schema WHERE name = 'project_tag_adds'")
            .unwrap()
            .exists([])
            .unwrap()
    }
}

/// A database at a stage, copied into memory.
fn template(form: Form, stage: Stage, reach: &impl Fn(&Path, Stage)) -> Connection {
    let folder = memory();
    let slot = Slot::new(folder.path().join("template.db"));
    let conn = slot.conn();
    conn.execute_batch(form.old_tables()).unwrap();
    // As an application does that replicates before the epoch is closed.
    conn.execute_batch("CREATE TABLE _dotfill_merging(token INTEGER)").unwrap();
    begin(form, conn);
    reach(slot.path(), stage);
    let mut copy = Connection::open_in_memory().unwrap();
    let backup = rusqlite::backup::Backup::new(slot.conn(), &mut copy).unwrap();
    backup.run_to_completion(1 << 20, std::time::Duration::ZERO, None).unwrap();
    drop(backup);
    copy
}

/// Writes what every history begins with.
pub fn begin(form: Form, conn: &Connection) {
    for (object, set) in BEGIN {
        let key = key(object);
        if form == Form::Rows {
            conn.execute("INSERT INTO projects VALUES (?1, 'n')", [&key]).unwrap();
            for element in members(set) {
                conn.execute("INSERT INTO tags VALUES (?1, ?2)", [&key, ELEMENTS[element]])
                    .unwrap();
            }
        } else {
            let text = form.text(usize::from(set));
            conn.execute("INSERT INTO projects VALUES (?1, 'n', ?2)", [&key, &text]).unwrap();
        }
    }
}

impl World for Plain {
    type Message = State;

    const CLOCKS: bool = false;

    fn app(&self, at: usize) -> &Connection {
        self.slots[at].conn()
    }

    fn path(&self, at: usize) -> &Path {
        self.slots[at].path()
    }

    fn fleet(&self) -> Option<&Path> {
        None
    }

    fn compaction_fleet(&self) -> Option<PathBuf> {
        let folder = self.folder.path().join("fleet");
        fs::create_dir_all(&folder).unwrap();
        let list: String =
            (0..OLD_CLIENT).map(|at| format!("[[replica]]\nid = \"replica-{at}\"\n")).collect();
        fs::write(folder.join("fleet.toml"), list).unwrap();
        Some(folder)
    }

    fn name(&self, at: usize) -> Option<String> {
        Some(format!("replica-{at}"))
    }

    fn site(&self, _: usize) -> String {
        String::new()
    }

    fn wrote(&mut self, at: usize, before: &Old, after: &Old) {
        let objects: BTreeSet<usize> =
            before.texts.keys().chain(after.texts.keys()).copied().collect();
        for object in objects {
            let is = Object::of(after, object);
            if Object::of(before, object) != is {
                let stamp = self.stamp(at);
                self.known[at].objects.insert(object, (stamp, is));
            }
        }
        for row in before.rows.symmetric_difference(&after.rows) {
            let stamp = self.stamp(at);
            self.known[at].rows.insert(*row, (stamp, after.rows.contains(row)));
        }
    }

    fn message(&mut self, at: usize) -> State {
        let mut state = self.known[at].clone();
        if self.has_new_form(at) {
            let conn = self.slots[at].conn();
            let sql = "SELECT id, element, dot FROM project_tag_adds";
            let mut statement = conn.prepare_cached(sql).unwrap();
            let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
            state.adds = statement.query_map([], row).unwrap().map(Result::unwrap).collect();
            let mut statement = conn.prepare_cached("SELECT dot FROM project_tag_removes").unwrap();
            let dots = statement.query_map([], |row| row.get(0)).unwrap();
            state.removes = dots.map(Result::unwrap).collect();
        }
        state
    }

    fn deliver(&mut self, message: &State, to: usize) -> rusqlite::Result<()> {
        let has_new_form = self.has_new_form(to);
        let old = read_old(self.form, self.slots[to].conn());
        let (conn, known) = (self.slots[to].conn(), &mut self.known[to]);
        let execute = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
            conn.prepare_cached(sql).and_then(|mut statement| statement.execute(params))
        };
        execute("BEGIN IMMEDIATE", &[])?;
        execute("INSERT INTO _dotfill_merging VALUES (1)", &[])?;
        for (object, (stamp, value)) in &message.objects {
            if known.objects.get(object).is_some_and(|(mine, _)| mine >= stamp) {
                continue;
            }
            known.objects.insert(*object, (*stamp, *value));
            let key = key(*object);
            match (value, old.texts.get(object)) {
                (Object::Gone, None) => {}
                (Object::Gone, Some(_)) => {
                    execute("DELETE FROM projects WHERE id = ?1", &[&key])?;
                }
                (Object::There(number), here) => {
                    let text = number.map(|number| self.form.text(number));
                    match here {
                        _ if self.form == Form::Rows => {
                            let sql = "INSERT OR IGNORE INTO projects VALUES (?1, 'n')";
                            execute(sql, &[&key])?;
                        }
                        None => {
                            let sql = "INSERT INTO projects VALUES (?1, 'n', ?2)";
                            execute(sql, &[&key, &text])?;
                        }
                        Some(here) if here == number => {}
                        Some(_) => {
                            let sql = "UPDATE projects SET tags = ?2 WHERE id = ?1";
                            execute(sql, &[&key, &text])?;
                        }
                    }
                }
            }
        }
        for ((object, element), (stamp, there)) in &message.rows {
            let row = (*object, *element);
            if known.rows.get(&row).is_some_and(|(mine, _)| mine >= stamp) {
                continue;
            }
            known.rows.insert(row, (*stamp, *there));
            let sql = match there {
                true => "INSERT OR IGNORE INTO tags VALUES (?1, ?2)",
                false => "DELETE FROM tags WHERE project = ?1 AND tag = ?2",
            };
            execute(sql, &[&key(*object), &ELEMENTS[*element]])?;
        }
        if has_new_form {
            for (object, element, dot) in &message.adds {
                let sql = "INSERT OR IGNORE INTO project_tag_adds VALUES (?1, ?2, ?3)";
                execute(sql, params![object, element, dot])?;
            }
            for dot in &message.removes {
                execute("INSERT OR IGNORE INTO project_tag_removes VALUES (?1)", params![dot])?;
            }
        }
        execute("DELETE FROM _dotfill_merging", &[])?;
        execute("COMMIT", &[])?;
        Ok(())
    }
}
