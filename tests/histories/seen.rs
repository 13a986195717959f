//! What a replica holds and shows, read from its database.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::form::{ELEMENTS, Form, Set, element, object};
use super::model::{Add, Dot, Old, Source};
use super::world::read_old;

/// One replica, at one moment.
#[derive(Debug)]
pub struct Seen {
    pub old: Old,
    pub shown: BTreeSet<(usize, usize)>,
    pub adds: BTreeSet<Add>,
    pub removes: BTreeSet<Dot>,
    /// The quarantine: object, source, and the elements that were new.
    pub held: Vec<(usize, Source, Set)>,
}

impl Seen {
    /// Reads a replica on which dotfill has run.
    pub fn of(form: Form, conn: &Connection) -> Self {
        Self {
            old: read_old(form, conn),
            shown: read_view(conn),
            adds: read_adds(conn),
            removes: read_removes(conn),
            held: read_held(form, conn),
        }
    }

    pub fn has(&self, object: usize) -> bool {
        self.old.texts.contains_key(&object)
    }

    /// True where an element stands in the new form of an object.
    pub fn stands(&self, object: usize, element: usize) -> bool {
        let is = |add: &&Add| (add.object, add.element) == (object, element);
        self.adds.iter().filter(is).any(|add| !self.removes.contains(&add.dot))
    }
}

/// What the view shows.
pub fn read_view(conn: &Connection) -> BTreeSet<(usize, usize)> {
    let sql = "SELECT id, element FROM project_tags_visible";
    let mut statement = conn.prepare_cached(sql).unwrap();
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    let rows: Vec<_> = statement.query_map([], row).unwrap().map(Result::unwrap).collect();
    let shown: BTreeSet<_> = rows.iter().map(|(key, name)| (object(key), element(name))).collect();
    assert_eq!(shown.len(), rows.len(), "shown twice: {rows:?}");
    shown
}

pub fn read_adds(conn: &Connection) -> BTreeSet<Add> {
    adds_by(conn, "SELECT id, element, dot FROM project_tag_adds")
}

/// The adds that have a clock row.
pub fn read_clocked(conn: &Connection) -> BTreeSet<Add> {
    adds_by(
        conn,
        "SELECT id, element, dot FROM project_tag_adds AS a WHERE EXISTS (
           SELECT 1 FROM project_tag_adds__crsql_pks AS p
             JOIN project_tag_adds__crsql_clock AS c ON c.key = p.__crsql_key
           WHERE p.id = a.id AND p.element = a.element AND p.dot = a.dot)",
    )
}

fn adds_by(conn: &Connection, sql: &str) -> BTreeSet<Add> {
    let mut statement = conn.prepare_cached(sql).unwrap();
    let row = |row: &rusqlite::Row<'_>| {
        let (key, name): (String, String) = (row.get(0)?, row.get(1)?);
        Ok(Add { object: object(&key), element: element(&name), dot: row.get(2)? })
    };
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
}

pub fn read_removes(conn: &Connection) -> BTreeSet<Dot> {
    let mut statement = conn.prepare_cached("SELECT dot FROM project_tag_removes").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn read_held(form: Form, conn: &Connection) -> Vec<(usize, Source, Set)> {
    let sql = "SELECT json_extract(object, '$.key[0]'), json_extract(detail, '$.source'),
                 json_extract(detail, '$.new') FROM _dotfill_quarantine";
    let mut statement = conn.prepare_cached(sql).unwrap();
    let row = |row: &rusqlite::Row<'_>| {
        let (key, source, new): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let names: Vec<String> = serde_json::from_str(&new).unwrap();
        let new = names.iter().fold(0, |set, name| set | 1 << element(name));
        Ok((object(&key), source_of(form, &source), new))
    };
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
}

/// What a row of the quarantine says that was written.
pub fn source_of(form: Form, source: &str) -> Source {
    match form {
        Form::Rows => Source::Element(element(source)),
        Form::Json | Form::Csv | Form::Lines => Source::Text(Some(form.number(source))),
    }
}

/// The text or the element of a source, as the quarantine has it.
pub fn source_text(form: Form, source: Source) -> String {
    match source {
        Source::Text(number) => form.text(number.unwrap_or(0)),
        Source::Element(element) => ELEMENTS[element].to_owned(),
    }
}
