//! What applications write: old clients the old form, new ones both or the new one, and whoever makes,
//! deletes and renames objects. Whether a write has to be refused is decided here.

use dotfill::state::Mode;
use rusqlite::{Connection, params};

use super::form::{ELEMENTS, Form, REFUSAL, Set, is_empty, key};
use super::model::{Add, Dot};
use super::step::Way;
use super::story::{ENFORCEMENT, Failure, Story, Told, hold};
use super::world::{World, read_old};

impl<W: World> Story<'_, W> {
    pub fn old_write(&mut self, at: usize, object: usize, text: Option<usize>, way: Way) -> Told {
        let model = &self.models[at];
        let (closed, here) = (self.closed(at, object), model.old.texts.get(&object).copied());
        let form = self.rules.form;
        let refused = if form == Form::Rows {
            let set = text.map_or(0, |number| form.elements(number));
            if here.is_none() && way == Way::Update {
                return Ok(());
            }
            closed && set != model.rows_of(object)
        } else {
            closed
                && match (here, way) {
                    (None, Way::Update) => false,
                    (None, Way::Upsert | Way::Replace) => !is_empty(text),
                    // A NULL may be a column that the statement does not name.
                    (Some(here), Way::Replace) => text.is_some() && text != here,
                    (Some(here), Way::Update | Way::Upsert) => text != here,
                }
        };
        let result = write_old(self.world.app(at), form, object, text, way);
        let what = || format!("{way:?} of {} on {at} to {text:?}", key(object));
        match result {
            Ok(()) => hold(!refused, ENFORCEMENT, || format!("{} was let through", what()))?,
            Err(error) => {
                hold(refused, ENFORCEMENT, || format!("{}: {error}", what()))?;
                let worded = error.to_string().contains(REFUSAL);
                hold(worded, ENFORCEMENT, || format!("{}: is refused by {error}", what()))?;
            }
        }
        self.wrote(at);
        if !refused && self.models[at].has(object) {
            if closed && way == Way::Replace && form != Form::Rows && here == Some(text) {
                self.models[at].touched(object);
            }
            if form != Form::Rows {
                self.models[at].named(object);
            }
        }
        Ok(())
    }

    /// Takes note of what the application has made of the old form.
    pub fn wrote(&mut self, at: usize) {
        let after = read_old(self.rules.form, self.world.app(at));
        self.world.wrote(at, &self.models[at].old, &after);
        self.models[at].changed(&self.rules, after, false);
    }

    pub fn delete(&mut self, at: usize, object: usize) -> Told {
        let app = self.world.app(at);
        let result = transaction(app, || {
            run(app, "DELETE FROM projects WHERE id = ?1", params![key(object)])?;
            if self.rules.form == Form::Rows {
                run(app, "DELETE FROM tags WHERE project = ?1", params![key(object)])?;
            }
            Ok(())
        });
        must(result, || format!("deleting {} on {at}", key(object)))?;
        self.ledger.went.insert(object);
        self.wrote(at);
        Ok(())
    }

    pub fn make(&mut self, at: usize, object: usize) -> Told {
        let sql = "INSERT OR IGNORE INTO projects(id, name) VALUES (?1, 'made')";
        let result = run(self.world.app(at), sql, params![key(object)]);
        must(result, || format!("making {} on {at}", key(object)))?;
        self.wrote(at);
        Ok(())
    }

    pub fn rekey(&mut self, at: usize, object: usize, to: usize) -> Told {
        let model = &self.models[at];
        if self.rules.form == Form::Rows || !model.has(object) || model.has(to) {
            return Ok(());
        }
        let sql = "UPDATE projects SET id = ?2 WHERE id = ?1";
        let result = run(self.world.app(at), sql, params![key(object), key(to)]);
        must(result, || format!("the new key of {} on {at}", key(object)))?;
        let after = read_old(self.rules.form, self.world.app(at));
        self.world.wrote(at, &self.models[at].old, &after);
        self.models[at].rekeyed(object, to);
        self.ledger.went.insert(object);
        Ok(())
    }

    pub fn rename(&mut self, at: usize, object: usize) -> Told {
        let sql = "UPDATE projects SET name = name || 'x' WHERE id = ?1";
        let result = run(self.world.app(at), sql, params![key(object)]);
        must(result, || format!("renaming {} on {at}", key(object)))
    }

    /// A new client: writes what the mode of its replica asks for.
    pub fn new_write(
        &mut self,
        at: usize,
        object: usize,
        element: usize,
        careless: bool,
        add: bool,
    ) -> Told {
        let (form, model) = (self.rules.form, &self.models[at]);
        let both = model.mode == Mode::ReadNewWriteBoth && !model.is_closed(object);
        if !model.begun || !model.has(object) || !(both || model.is_closed(object)) {
            return Ok(());
        }
        let set = model.old_set(&self.rules, object).unwrap_or(0);
        let set: Set = if add { set | 1 << element } else { set & !(1 << element) };
        self.dots += 1;
        let dot: Dot = (u128::MAX - u128::from(self.dots)).to_be_bytes();
        let app = self.world.app(at);
        let result = transaction(app, || {
            if both && !careless {
                write_old(app, form, object, Some(usize::from(set)), Way::Update)?;
            }
            if add {
                let sql = "INSERT INTO project_tag_adds VALUES (?1, ?2, ?3)";
                return run(app, sql, params![key(object), ELEMENTS[element], dot]);
            }
            let sql = "INSERT OR IGNORE INTO project_tag_removes SELECT dot FROM project_tag_adds
                       WHERE id = ?1 AND element = ?2";
            run(app, sql, params![key(object), ELEMENTS[element]])
        });
        must(result, || format!("a new client's write to {} on {at}", key(object)))?;
        self.wrote(at);
        let model = &mut self.models[at];
        if both && !careless && form != Form::Rows {
            model.named(object);
        }
        if add {
            let add = Add { object, element, dot };
            model.adds.insert(add, true);
            self.ledger.user_adds.insert(add);
        } else {
            let seen: Vec<Dot> =
                model.adds_of(object).filter(|a| a.element == element).map(|a| a.dot).collect();
            model.removes.extend(&seen);
            self.ledger.user_removes.extend(seen);
        }
        Ok(())
    }
}

/// Fails where a write was refused that has nothing to do with the old form.
fn must(result: rusqlite::Result<()>, what: impl FnOnce() -> String) -> Told {
    result.map_err(|error| Failure {
        property: ENFORCEMENT,
        what: format!("{} was refused: {error}", what()),
    })
}

/// Writes the old form as an old client does.
pub fn write_old(
    app: &Connection,
    form: Form,
    object: usize,
    text: Option<usize>,
    way: Way,
) -> rusqlite::Result<()> {
    let key = key(object);
    if form != Form::Rows {
        let sql = match way {
            Way::Update => "UPDATE projects SET tags = ?2 WHERE id = ?1",
            Way::Upsert => {
                "INSERT INTO projects(id, name, tags) VALUES (?1, 'n', ?2)
                 ON CONFLICT (id) DO UPDATE SET tags = excluded.tags"
            }
            Way::Replace => "INSERT OR REPLACE INTO projects VALUES (?1, 'n', ?2)",
        };
        return run(app, sql, params![key, text.map(|number| form.text(number))]);
    }
    let set = text.map_or(0, |number| form.elements(number));
    transaction(app, || {
        if way != Way::Update {
            run(app, "INSERT OR IGNORE INTO projects VALUES (?1, 'n')", params![key])?;
        }
        for (element, name) in ELEMENTS.iter().enumerate() {
            let sql = match set >> element & 1 {
                1 => "INSERT OR IGNORE INTO tags VALUES (?1, ?2)",
                _ => "DELETE FROM tags WHERE project = ?1 AND tag = ?2",
            };
            run(app, sql, params![key, name])?;
        }
        Ok(())
    })
}

fn run(app: &Connection, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<()> {
    let mut statement = app.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    while rows.next()?.is_some() {}
    Ok(())
}

/// All of it or nothing; part of a transaction that is open already.
fn transaction(
    app: &Connection,
    body: impl FnOnce() -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    if !app.is_autocommit() {
        return body();
    }
    run(app, "BEGIN IMMEDIATE", [])?;
    let result = body();
    let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
    if !app.is_autocommit() {
        run(app, end, [])?;
    }
    result
}
