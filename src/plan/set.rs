//! The plan of a set: how many adds its old form derives, and what each way of making them costs,
//! measured on a sample of objects.
//!
//! # Definitions
//! The sample is eight stretches of objects, spread over the table in the order of its key; their adds
//! are derived as a run derives them, and written into temporary tables like those of the new form.
//! Bytes and times are those of the sample, times the objects. `naive` is an application that adds
//! each element with a dot of its own, on one replica: a change record for each. Done on every replica
//! it makes as many facts of each element as there are replicas. What replicas send one another is
//! measured as in `record.rs`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use rusqlite::{Connection, params_from_iter};

use super::bill::{ChangePlan, PlanOptions};
use super::cells::{Cells, Estimate, scaled};
use super::cost::{Cost, DIGEST_BYTES_MAX, TRIGGER_SLOWDOWN, Way};
use super::folder::Folder;
use super::record::{FIXED_BYTES, packed_bytes};
use super::resolve_set::ResolvedSet;
use super::sample::{create, used_bytes};
use super::{PlanError, number};
use crate::db::quote::{ident, list};
use crate::db::{Datum, DbError, Doing, beside};
use crate::layout::Delivery;
use crate::layout::or_set::{
    SetSql, SetTarget, ViewStage, adds_schema, removes_schema, set_note_schema, view_schema,
};
use crate::scan::or_set::{Bounds, SetError, SetObject, adds_of, each_object};
use crate::split::{Position, Splitter};
use crate::state;
use crate::throttle::Tuning;
use crate::transform::dot::Dot;
use crate::transform::or_set::{Elements, Flaw};

/// Stretches of objects that are sampled.
const STRETCHES: u64 = 8;
/// Objects of one range, which is one batch of a run that is alone.
const RANGE_OBJECTS: u64 = 1000;

/// What a plan says of a set besides what it says of every change.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct SetPlan {
    /// The table of adds.
    pub adds: String,
    /// The table of removes.
    pub removes: String,
    /// The view.
    pub view: String,
    /// Elements of the old form that are sound: as many migrated adds.
    pub elements: Estimate,
    /// Of these, adds that are not there yet.
    pub to_write: Estimate,
    /// `counted`, or `sampled`.
    pub how: &'static str,
    /// Flawed elements by what is wrong, in the objects that were looked at.
    pub flawed: BTreeMap<&'static str, u64>,
    /// `KEY: what is wrong` of the first such object.
    pub flawed_example: Option<String>,
}

/// What was found in the objects that were looked at.
#[derive(Default)]
struct Found {
    objects: u64,
    elements: u64,
    missing: u64,
    /// Bytes of the records of the missing ones.
    record_bytes: u64,
    flawed: BTreeMap<&'static str, u64>,
    example: Option<(String, Flaw)>,
    /// Objects with adds that are not there yet.
    kept: Vec<SetObject>,
}

/// What writing the sample's adds cost.
#[derive(Clone)]
struct Trial {
    grown: u64,
    wal: u64,
    seconds: f64,
}

/// Plans one set.
pub(super) fn plan_set(
    conn: &Connection,
    resolved: &ResolvedSet,
    options: &PlanOptions,
) -> Result<ChangePlan, PlanError> {
    let target = &resolved.target;
    let count = format!("SELECT count(*) FROM {}", target.table.sql());
    let rows = number::query(conn, &count, "count the objects of a set")?;
    let planner = Planner { conn, resolved, options, rows };
    let began = Instant::now();
    let sample = planner.look(options.sample_rows_max, true)?;
    let looked = began.elapsed().as_secs_f64();
    let folder = Folder::create()?;
    let derive = planner.trial(&folder, &sample, false)?;
    let naive =
        if resolved.replicated { planner.trial(&folder, &sample, true)? } else { derive.clone() };
    let state_bytes = planner.state_bytes(&folder)?;
    let counted = if options.exact { Some(planner.look(u64::MAX, false)?) } else { None };
    let known = counted.as_ref().unwrap_or(&sample);
    let to_write = planner.estimate(known, known.missing)?;
    let costs = planner.costs(&sample, to_write, (&derive, &naive), (looked, state_bytes))?;
    Ok(planner.report(known, to_write, sample.objects, costs)?)
}

struct Planner<'p> {
    conn: &'p Connection,
    resolved: &'p ResolvedSet,
    options: &'p PlanOptions,
    rows: u64,
}

impl Planner<'_> {
    fn target(&self) -> &SetTarget {
        &self.resolved.target
    }

    fn replicas(&self) -> u64 {
        self.options.replicas.max(1)
    }

    /// Derives the adds of at most `most` objects, and keeps those that are not there yet.
    fn look(&self, most: u64, keep: bool) -> Result<Found, PlanError> {
        let (target, sql) = (self.target(), SetSql::new(self.target()));
        let mut found = Found::default();
        let mut known = Known::new(self.conn, &sql, self.resolved.tables.adds);
        let mut dots = target.dots.clone();
        for bounds in self.stretches(most)? {
            let mut visit = |key: &[Datum], elements: &Elements<'_>, _: &dyn Fn(&mut Vec<u8>)| {
                let adds = adds_of(&mut dots, key, elements);
                found.object(key, elements, adds.len());
                let missing = known.missing(key, adds)?;
                found.missing += missing.len() as u64;
                for (element, _) in &missing {
                    found.record_bytes += record_bytes(target, key, element);
                }
                if keep && !missing.is_empty() {
                    found.kept.push(SetObject { key: key.to_vec(), adds: missing });
                }
                Ok(())
            };
            match each_object(self.conn, target, &sql, &bounds, &mut visit) {
                Err(SetError::Db(error)) => return Err(error.into()),
                // Flaws are counted here, and stop nothing.
                Ok(()) | Err(SetError::Malformed { .. }) => {}
            }
        }
        Ok(found)
    }

    /// Stretches of about `most` objects together, in order.
    fn stretches(&self, most: u64) -> Result<Vec<Bounds>, DbError> {
        if self.rows <= most {
            return Ok(vec![Bounds::default()]);
        }
        let table = &self.target().table;
        let mut splitter = Splitter::new(self.conn, table, self.rows.div_ceil(STRETCHES), None);
        let mut all = Vec::new();
        while let Some(range) = splitter.next_range()? {
            let (first, _) = range.cut(self.conn, table, (most / STRETCHES).max(1))?;
            all.push(Bounds::of(&first));
        }
        Ok(all)
    }

    /// A number of the whole table, for one of the objects that were looked at.
    fn estimate(&self, found: &Found, count: u64) -> Result<Estimate, DbError> {
        if found.objects >= self.rows {
            return Ok(Estimate::exactly(count));
        }
        // No element takes less than a byte of the file.
        let bytes = number::pragma(self.conn, "page_count")?
            .saturating_mul(number::pragma(self.conn, "page_size")?);
        let about = scaled(count, self.rows, found.objects);
        Ok(Estimate { about, min: count.min(about), max: bytes.max(about) })
    }

    /// Writes the sample's adds as a run writes them, or as an application would whose writes
    /// cr-sqlite records.
    fn trial(&self, folder: &Folder, found: &Found, records: bool) -> Result<Trial, PlanError> {
        let what = "write the plan's sample";
        let name = if records { "records.db" } else { "derive.db" };
        let path = folder.file(name);
        let conn = create(self.conn, &path)?;
        conn.execute_batch(&self.tables(records)).doing(what)?;
        conn.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -8192;",
        )
        .doing(what)?;
        let before = used_bytes(&conn)?;
        let began = Instant::now();
        self.write_sample(&conn, found, records).doing(what)?;
        let seconds = began.elapsed().as_secs_f64();
        Ok(Trial {
            grown: used_bytes(&conn)?.saturating_sub(before),
            wal: wal_bytes(&path)?,
            seconds,
        })
    }

    fn tables(&self, records: bool) -> String {
        let target = self.target();
        let mut sql = adds_schema(&target.table, &target.adds, self.resolved.replicated);
        if records {
            let keys = list(target.keys());
            let clock = format!(
                "CREATE TABLE pks (__crsql_key INTEGER PRIMARY KEY, {keys}, element, dot);
                 CREATE UNIQUE INDEX pks_pks ON pks ({keys}, element, dot);
                 CREATE TABLE clock (key INTEGER NOT NULL, col_name TEXT NOT NULL, \
                 col_version INTEGER NOT NULL, db_version INTEGER NOT NULL, \
                 site_id INTEGER NOT NULL DEFAULT 0, seq INTEGER NOT NULL, \
                 ts TEXT NOT NULL DEFAULT '0', PRIMARY KEY (key, col_name)) WITHOUT ROWID, STRICT;
                 CREATE INDEX clock_dbv_idx ON clock (site_id, db_version);"
            );
            sql += &clock;
        }
        sql
    }

    fn write_sample(
        &self,
        conn: &Connection,
        found: &Found,
        records: bool,
    ) -> rusqlite::Result<()> {
        let target = self.target();
        let columns = target.keys().len() + 2;
        let values = list((1..=columns).map(|i| format!("?{i}")));
        let adds = ident(&target.adds);
        let mut insert = conn.prepare(&format!("INSERT INTO {adds} VALUES ({values})"))?;
        let mut recorded = if records {
            let key = format!("INSERT INTO pks VALUES (NULL, {values})");
            let clock = "INSERT INTO clock VALUES (last_insert_rowid(), '-1', 1, 1000, 0, ?1, '0')";
            Some((conn.prepare(&key)?, conn.prepare(clock)?))
        } else {
            None
        };
        let mut seq = 0_i64;
        for batch in found.kept.chunks(usize::try_from(RANGE_OBJECTS).unwrap_or(1)) {
            conn.execute_batch("BEGIN")?;
            for object in batch {
                for (element, Dot(dot)) in &object.adds {
                    let dot = [Datum::Blob(dot.to_vec())];
                    let row = || object.key.iter().chain([element]).chain(&dot);
                    insert.execute(params_from_iter(row()))?;
                    if let Some((key, clock)) = &mut recorded {
                        key.execute(params_from_iter(row()))?;
                        clock.execute([seq])?;
                        seq += 1;
                    }
                }
            }
            conn.execute_batch("COMMIT")?;
        }
        Ok(())
    }

    /// What our own tables, triggers and view, and the empty tables of the new form, add to the file.
    fn state_bytes(&self, folder: &Folder) -> Result<u64, PlanError> {
        let (target, tables) = (self.target(), self.resolved.tables);
        let what = "make our tables beside the plan's sample";
        let conn = create(self.conn, &folder.file("state.db"))?;
        let page = number::pragma(&conn, "page_size")?;
        state::create(&conn)?;
        let mut ours = used_bytes(&conn)?;
        if state::exists(self.conn)? {
            ours = 0;
        }
        let before = used_bytes(&conn)?;
        let mut made = String::new();
        if !tables.adds {
            made += &adds_schema(&target.table, &target.adds, self.resolved.replicated);
        }
        if !tables.removes {
            made += &removes_schema(&target.removes, self.resolved.replicated);
        }
        conn.execute_batch(&made).doing(what)?;
        // Triggers and the view stand in the schema's pages; the side tables take a page or two each.
        let text = set_note_schema(target).len() + view_schema(target, ViewStage::Filling).len();
        let sides = 3 * page + (text as u64).next_multiple_of(page);
        // cr-sqlite keeps two tables and two indexes for each.
        let crdt = if self.resolved.replicated && !tables.adds { 8 * page } else { 0 };
        Ok(ours + used_bytes(&conn)?.saturating_sub(before) + sides + crdt)
    }

    fn costs(
        &self,
        sample: &Found,
        to_write: Estimate,
        (derive, naive): (&Trial, &Trial),
        (looked, state_bytes): (f64, u64),
    ) -> Result<Vec<Cost>, DbError> {
        let up = |count: u64| scaled(count, to_write.about, sample.missing);
        let free = number::pragma(self.conn, "freelist_count")?
            .saturating_mul(number::pragma(self.conn, "page_size")?);
        let times = fraction(to_write.about, sample.missing);
        let replicas = self.replicas();
        let mut costs = Vec::new();
        for way in [Way::Naive, Way::NaiveEverywhere, Way::Derive] {
            let is_derive = way == Way::Derive;
            let trial = if is_derive { derive } else { naive };
            let senders = if way == Way::NaiveEverywhere { replicas } else { 1 };
            let ours = if is_derive { state_bytes } else { 0 };
            // Every sender's adds end on every replica, each with a dot of its own.
            let file = up(trial.grown).saturating_mul(senders).saturating_add(ours);
            let file_bytes = file.saturating_sub(free);
            let wal_bytes = up(trial.wal).saturating_add(ours);
            let records = if self.resolved.replicated && !is_derive { senders } else { 0 };
            let mut seconds = trial.seconds * times;
            if is_derive {
                seconds += looked * times;
            } else if self.resolved.replicated {
                seconds *= TRIGGER_SLOWDOWN;
            }
            let wire_bytes = match way {
                Way::Derive if self.resolved.replicated => DIGEST_BYTES_MAX * (replicas - 1),
                Way::Derive => 0,
                _ => up(sample.record_bytes) * records * (replicas - 1),
            };
            costs.push(Cost {
                way,
                chosen: is_derive,
                possible: true,
                why_not: None,
                change_records: to_write.about * records,
                change_records_min: to_write.min * records,
                change_records_max: to_write.max.saturating_mul(records),
                disk_bytes: file_bytes.saturating_mul(replicas),
                file_bytes,
                wire_bytes,
                wal_bytes,
                wal_peak_bytes: if is_derive {
                    wal_bytes.min(Tuning::default().wal_bytes_max)
                } else {
                    wal_bytes
                },
                seconds,
            });
        }
        Ok(costs)
    }

    fn report(
        &self,
        known: &Found,
        to_write: Estimate,
        sample_rows: u64,
        costs: Vec<Cost>,
    ) -> Result<ChangePlan, DbError> {
        let target = self.target();
        let chosen = costs.iter().find(|cost| cost.chosen);
        let example = known.example.as_ref();
        let set = SetPlan {
            adds: target.adds.clone(),
            removes: target.removes.clone(),
            view: target.view.clone(),
            elements: self.estimate(known, known.elements)?,
            to_write,
            how: if known.objects >= self.rows { "counted" } else { "sampled" },
            flawed: known.flawed.clone(),
            flawed_example: example.map(|(key, flaw)| format!("{key}: {}", flaw.reason())),
        };
        Ok(ChangePlan {
            table: target.table.name.clone(),
            column: target.source().to_owned(),
            column_exists: true,
            replicated: self.resolved.replicated,
            rows: self.rows,
            sample_rows,
            row_bytes: self.row_bytes()?,
            key_kind: target.table.key_kind.to_string(),
            ranges: self.rows.div_ceil(RANGE_OBJECTS),
            delivery: Delivery::Derive,
            why: "each replica derives the adds from its own old form, with the same dots"
                .to_owned(),
            cells: Cells {
                to_fill: to_write,
                with_value: set.elements,
                users: Estimate::exactly(0),
            },
            wal_bytes: chosen.map_or(0, |cost| cost.wal_bytes),
            seconds: chosen.map_or(0.0, |cost| cost.seconds),
            costs,
            triggers: Vec::new(),
            owes: self.owes(),
            hints: self.hints(&set),
            set: Some(set),
        })
    }

    /// Bytes of an object as it is stored, on average, where its table is small enough to be asked.
    fn row_bytes(&self) -> Result<u64, DbError> {
        let sql = "SELECT coalesce(sum(payload), 0), coalesce(sum(ncell), 0) FROM (\
                   SELECT payload, ncell FROM dbstat WHERE name = ?1 AND pagetype = 'leaf' \
                   LIMIT 1000)";
        let found: (u64, u64) = self
            .conn
            .query_row(sql, [&self.target().table.name], |row| Ok((row.get(0)?, row.get(1)?)))
            .doing("measure the objects of a set")?;
        Ok(found.0 / found.1.max(1))
    }

    fn owes(&self) -> Vec<String> {
        if !self.resolved.replicated {
            return vec![
                "this is a plain table: whoever copies it to other databases runs dotfill on each"
                    .to_owned(),
            ];
        }
        vec![
            "every replica derives for itself: run dotfill on each, then compare what `dotfill \
             digest` prints on each"
                .to_owned(),
            "the adds have no clock rows, so cr-sqlite's own sync does not carry them: a replica \
             that joins later runs the migration itself, takes them by `dotfill export` and \
             `dotfill apply`, or begins as a copy of a filled file"
                .to_owned(),
        ]
    }

    fn hints(&self, set: &SetPlan) -> Vec<String> {
        let mut hints = Vec::new();
        if let Some(example) = &set.flawed_example {
            let then = if self.target().skip_malformed {
                "such elements will be left out, and counted"
            } else {
                "the run would stop at the first one: correct the row, or set malformed = \"skip\""
            };
            let count: u64 = set.flawed.values().sum();
            hints.push(format!("{count} malformed elements were seen ({example}); {then}"));
        }
        hints
    }
}

/// Looks which adds are there already.
struct Known<'k> {
    conn: &'k Connection,
    sql: Option<&'k SetSql>,
}

impl<'k> Known<'k> {
    fn new(conn: &'k Connection, sql: &'k SetSql, there: bool) -> Self {
        Self { conn, sql: there.then_some(sql) }
    }

    fn missing(
        &mut self,
        key: &[Datum],
        adds: Vec<(Datum, Dot)>,
    ) -> Result<Vec<(Datum, Dot)>, DbError> {
        let Some(sql) = self.sql else { return Ok(adds) };
        let there: Vec<Datum> = self
            .conn
            .prepare_cached(&sql.adds_of)
            .and_then(|mut s| s.query_map(params_from_iter(key), |row| row.get(1))?.collect())
            .doing("look for adds that are there")?;
        let is_there = |dot: &Dot| {
            there.iter().any(|known| matches!(known, Datum::Blob(known) if known[..] == dot.0[..]))
        };
        Ok(adds.into_iter().filter(|(_, dot)| !is_there(dot)).collect())
    }
}

impl Found {
    fn object(&mut self, key: &[Datum], elements: &Elements<'_>, adds: usize) {
        self.objects += 1;
        self.elements += adds as u64;
        for flaw in &elements.flaws {
            *self.flawed.entry(flaw.as_str()).or_default() += 1;
            self.example.get_or_insert_with(|| (Position(key.to_vec()).to_string(), *flaw));
        }
    }
}

/// Bytes of the record of one add: a row of the key alone.
fn record_bytes(target: &SetTarget, key: &[Datum], element: &Datum) -> u64 {
    let dot = Datum::Blob(vec![0; 16]);
    let packed: u64 = key.iter().chain([element, &dot]).map(packed_bytes).sum();
    // Its column is called '-1', its time '0', and the key begins with the count of its columns.
    (FIXED_BYTES + target.adds.len() + 2 + 1 + 1) as u64 + packed
}

fn wal_bytes(path: &Path) -> Result<u64, DbError> {
    let wal = beside(path, "-wal");
    match std::fs::metadata(&wal) {
        Ok(meta) => Ok(meta.len()),
        Err(source) => Err(DbError::Io { path: wal, doing: "measure it", source }),
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate needs no more than 52 bits")]
fn fraction(a: u64, b: u64) -> f64 {
    a as f64 / b.max(1) as f64
}
