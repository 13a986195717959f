//! The lines of a snapshot.
//!
//! # Definitions
//! UTF-8; each line is one JSON object and ends in `\n`; no blank between its tokens. Values are those of
//! [`crate::db::to_json`]: texts, numbers, `{"blob": HEX}`. A dot is a string of hexadecimal digits, in
//! lower case; one that an application has made of something else than a BLOB is an object `{"value": V}`.
//! The lines are, in this order:
//!
//! 1. The header:
//!    - `format`: `"dotfill-snapshot"`, and `version`: 1;
//!    - `migration`: its id; `migration_digest`: that of its file's meaning, as `dotfill ack` writes it;
//!    - `epoch`, `minimum_client`: as in the migration file, or null;
//!    - `mode`, `cohort_percent`: where this replica stands;
//!    - `replica`: the site id of cr-sqlite, `versions`: an object, for each site by its id the last
//!      `db_version` that is in the snapshot: a client that takes `crsql_changes` goes on from there. Both
//!      are null in a plain database;
//!    - `sets`: for each set `table`, `key` (the names of its key columns), `source`, `adds`, `removes`,
//!      `view`;
//!    - `dotfill_version`, and `at`: the wall clock's time in UTC, for people.
//! 2. For each set, in the order of `sets`, for each object, in the order of its table's key:
//!    `{"table": T, "key": [V..], "elements": [{"element": V, "dots": [DOT..]}..]}`. `elements` are those
//!    that are visible, in `SQLite`'s order, each with the dots of its adds that are not removed; empty
//!    where nothing is visible.
//! 3. Behind the objects of a set, all its removes, in order, at most 500 a line:
//!    `{"removes": NAME, "dots": [DOT..]}`.
//! 4. The end: `{"end": ID, "objects": N, "elements": N, "dots": N, "removes": N, "digest": HEX}`:
//!    counts, and BLAKE3 of all bytes before this line. What has no such line is not whole.
//!
//! # Operations
//! A client that begins from it has, of each set, exactly these adds and removes; of its own ones it
//! keeps those that it has not sent yet. To remove an element it inserts the dots that are listed.
//!
//! # Invariants
//! Memory is that of one object. Replicas that hold the same write the same lines, but for the header.

use std::io::Write;

use rusqlite::{Connection, Row};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Failed;
use crate::db::{Datum, DbError, Doing, environment, to_json};
use crate::engine::modes::{EpochSet, hex, site};
use crate::engine::watch::Watch;
use crate::layout::or_set::{SetTarget, objects_sql, removes_sql};
use crate::migration::Migration;
use crate::state::ModeRow;

/// Dots of one line of removes.
const REMOVES_A_LINE: usize = 500;
/// Objects between two signs of life.
const SHOWN_EVERY: u64 = 1000;

/// What the lines hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Objects, those without elements too.
    pub objects: u64,
    /// Visible elements of them all.
    pub elements: u64,
    /// Dots of those elements.
    pub dots: u64,
    /// Removes.
    pub removes: u64,
}

/// What was written, once it is whole.
pub(super) struct Whole {
    pub counts: Counts,
    pub digest: String,
    pub bytes: u64,
}

/// Writes lines.
pub(super) struct Lines<W: Write> {
    out: W,
    hasher: blake3::Hasher,
    bytes: u64,
    counts: Counts,
}

/// One object, as its adds come.
struct Object {
    key: Vec<Datum>,
    /// Elements, each with its dots.
    elements: Vec<(Datum, Vec<Value>)>,
}

impl<W: Write> Lines<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, hasher: blake3::Hasher::new(), bytes: 0, counts: Counts::default() }
    }

    fn line(&mut self, value: &Value) -> Result<(), Failed> {
        let mut line = value.to_string();
        line.push('\n');
        self.hasher.update(line.as_bytes());
        self.bytes += line.len() as u64;
        self.out.write_all(line.as_bytes()).map_err(Failed::Io)
    }

    pub(super) fn header(
        &mut self,
        conn: &Connection,
        migration: &Migration,
        sets: &[EpochSet],
        row: ModeRow,
    ) -> Result<(), Failed> {
        let at: String = conn
            .query_row("SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')", [], |row| row.get(0))
            .doing("read the time")?;
        let (replica, _) = site(conn, migration.id.as_str())?;
        let shown = sets.iter().map(|set| {
            let target = &set.target;
            let key: Vec<&str> = target.table.key.iter().map(|key| key.name.as_str()).collect();
            json!({
                "table": target.table.name, "key": key, "source": target.source(),
                "adds": target.adds, "removes": target.removes, "view": target.view,
            })
        });
        self.line(&json!({
            "format": "dotfill-snapshot",
            "version": 1,
            "migration": migration.id,
            "migration_digest": hex(&migration.digest),
            "epoch": migration.epoch,
            "minimum_client": migration.minimum_client,
            "mode": row.mode,
            "cohort_percent": row.cohort_percent,
            "replica": replica,
            "versions": versions(conn)?,
            "sets": shown.collect::<Vec<_>>(),
            "dotfill_version": env!("CARGO_PKG_VERSION"),
            "at": at,
        }))
    }

    /// All objects of a set.
    pub(super) fn objects(
        &mut self,
        conn: &Connection,
        set: &EpochSet,
        watch: &Watch<'_>,
    ) -> Result<(), Failed> {
        let what = "read the new form";
        let target = &set.target;
        let keys = target.table.key.len();
        let mut statement = conn.prepare(&objects_sql(target)).doing(what)?;
        let mut rows = statement.query([]).doing(what)?;
        let mut object: Option<Object> = None;
        while let Some(row) = rows.next().doing(what)? {
            let key =
                (0..keys).map(|i| row.get(i)).collect::<Result<Vec<Datum>, _>>().doing(what)?;
            if object.as_ref().is_none_or(|object| object.key != key) {
                let next = Object { key, elements: Vec::new() };
                if let Some(done) = object.replace(next) {
                    self.object(target, done)?;
                    self.tell(watch);
                }
            }
            if let Some(object) = &mut object {
                object.add(row, keys).doing(what)?;
            }
        }
        if let Some(last) = object {
            self.object(target, last)?;
        }
        watch.passed(self.counts.objects % SHOWN_EVERY);
        Ok(())
    }

    fn tell(&self, watch: &Watch<'_>) {
        if self.counts.objects.is_multiple_of(SHOWN_EVERY) {
            watch.passed(SHOWN_EVERY);
        }
    }

    fn object(&mut self, target: &SetTarget, object: Object) -> Result<(), Failed> {
        self.counts.objects += 1;
        let key: Vec<Value> = object.key.iter().map(to_json).collect();
        let mut elements = Vec::with_capacity(object.elements.len());
        for (element, dots) in object.elements {
            self.counts.elements += 1;
            self.counts.dots += dots.len() as u64;
            elements.push(json!({ "element": to_json(&element), "dots": dots }));
        }
        self.line(&json!({ "table": target.table.name, "key": key, "elements": elements }))
    }

    /// All removes of a set.
    pub(super) fn removes(&mut self, conn: &Connection, set: &EpochSet) -> Result<(), Failed> {
        let what = "read the removes";
        let name = &set.target.removes;
        let mut statement = conn.prepare(&removes_sql(&set.target)).doing(what)?;
        let mut rows = statement.query([]).doing(what)?;
        let mut dots = Vec::new();
        while let Some(row) = rows.next().doing(what)? {
            dots.push(dot(&row.get(0).doing(what)?));
            if dots.len() == REMOVES_A_LINE {
                self.some_removes(name, &mut dots)?;
            }
        }
        self.some_removes(name, &mut dots)
    }

    fn some_removes(&mut self, name: &str, dots: &mut Vec<Value>) -> Result<(), Failed> {
        if dots.is_empty() {
            return Ok(());
        }
        self.counts.removes += dots.len() as u64;
        self.line(&json!({ "removes": name, "dots": std::mem::take(dots) }))
    }

    pub(super) fn finish(mut self, migration: &Migration) -> Result<Whole, Failed> {
        let digest = self.hasher.finalize().to_hex().to_string();
        let Counts { objects, elements, dots, removes } = self.counts;
        self.line(&json!({
            "end": migration.id, "objects": objects, "elements": elements, "dots": dots,
            "removes": removes, "digest": digest,
        }))?;
        self.out.flush().map_err(Failed::Io)?;
        Ok(Whole { counts: self.counts, digest, bytes: self.bytes })
    }
}

impl Object {
    /// Adds what a row says: an element and a dot, or that there is none.
    fn add(&mut self, row: &Row<'_>, keys: usize) -> rusqlite::Result<()> {
        let (element, add): (Datum, Datum) = (row.get(keys)?, row.get(keys + 1)?);
        if add == Datum::Null {
            return Ok(());
        }
        let dot = dot(&add);
        match self.elements.last_mut() {
            Some((same, dots)) if *same == element => dots.push(dot),
            _ => self.elements.push((element, vec![dot])),
        }
        Ok(())
    }
}

fn dot(datum: &Datum) -> Value {
    match datum {
        Datum::Blob(bytes) => json!(hex(bytes)),
        other => json!({ "value": to_json(other) }),
    }
}

/// The last version of every site, of a database of cr-sqlite.
fn versions(conn: &Connection) -> Result<Value, DbError> {
    if environment(conn)?.crsqlite_version.is_none() {
        return Ok(Value::Null);
    }
    let rows: Map<String, Value> = conn
        .prepare("SELECT site_id, db_version FROM crsql_db_versions ORDER BY site_id")
        .and_then(|mut s| {
            s.query_map([], |row| {
                let site: Vec<u8> = row.get(0)?;
                Ok((hex(&site), json!(row.get::<_, i64>(1)?)))
            })?
            .collect()
        })
        .doing("read the versions of the sites")?;
    Ok(Value::Object(rows))
}
