//! The plan: what will be done to a database, and what each way of doing it costs.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use serde::Serialize;

use super::cells::Cells;
use super::cost::{Cost, Scale, Tried, Way, impossible};
use super::index::{IndexPlan, plan_index};
use super::resolve::{Resolved, resolve};
use super::resolve_set::resolve_set_at;
use super::sample::{Original, Sample};
use super::set::{SetPlan, plan_set};
use super::trial::{Measured, Trial};
use super::triggers::UserTrigger;
use super::{PlanError, advice, number};
use crate::db::{self, Access, DbError, Table, environment};
use crate::layout::crsqlite;
use crate::layout::{Delivery, Layout, Target};
use crate::migration::{Change, ColumnChange, Migration};

/// Rows of one range, which is one batch of a run that is alone.
const BATCH_ROWS: u64 = 10_000;

/// How a plan is made.
#[derive(Clone, Copy, Debug)]
pub struct PlanOptions {
    /// Replicas of the fleet, at least 1 (0 counts as 1). The default, 1, is the bill of this file
    /// alone: nothing travels.
    pub replicas: u64,
    /// Reads whole tables, so that counts are exact. Off by default: a plan takes seconds at most.
    pub exact: bool,
    /// Rows that are sampled per table, at most. 20,000 by default: enough that page splits
    /// average out, few enough for a fraction of a second.
    pub sample_rows_max: u64,
    /// Change records that a native delivery will write per transaction, as `run` is told. 200 by
    /// default.
    pub records_per_transaction: u64,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self { replicas: 1, exact: false, sample_rows_max: 20_000, records_per_transaction: 200 }
    }
}

/// What a migration will do to one database.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The migration's id.
    pub migration: String,
    /// The database, as the caller named it.
    pub database: String,
    /// Replicas that the bill is for.
    pub replicas: u64,
    /// The columns, in the order in which they are filled.
    pub changes: Vec<ChangePlan>,
    /// The indexes, in the order in which they are built.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<IndexPlan>,
}

/// What one change will do.
#[derive(Clone, Debug, Serialize)]
pub struct ChangePlan {
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
    /// True where the column is there already.
    pub column_exists: bool,
    /// True where cr-sqlite replicates the table.
    pub replicated: bool,
    /// Rows of the table, counted.
    pub rows: u64,
    /// Rows of the sample that the bill comes from.
    pub sample_rows: u64,
    /// Bytes of a stored row, on average.
    pub row_bytes: u64,
    /// What kind of key the table has.
    pub key_kind: String,
    /// Ranges of 10,000 rows that a run cuts it into.
    pub ranges: u64,
    /// The chosen delivery.
    pub delivery: Delivery,
    /// Why it was chosen.
    pub why: String,
    /// The cells.
    pub cells: Cells,
    /// Bytes that the chosen delivery writes to the WAL.
    pub wal_bytes: u64,
    /// Seconds that it takes, estimated from the sample.
    pub seconds: f64,
    /// What each way costs.
    pub costs: Vec<Cost>,
    /// The application's triggers that will fire.
    pub triggers: Vec<UserTrigger>,
    /// What the chosen delivery leaves to be done or known.
    pub owes: Vec<String>,
    /// What may be wrong or better otherwise.
    pub hints: Vec<String>,
    /// More about a set, whose rows are objects and whose cells are elements; absent for a column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<SetPlan>,
}

impl ChangePlan {
    /// The cost of the chosen delivery.
    #[must_use]
    pub fn chosen(&self) -> Option<&Cost> {
        self.costs.iter().find(|cost| cost.chosen)
    }
}

impl Plan {
    /// Bytes by which the database file will grow: the chosen deliveries of all changes.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        let chosen = self.changes.iter().filter_map(ChangePlan::chosen);
        let columns = chosen.fold(0_u64, |sum, cost| sum.saturating_add(cost.file_bytes));
        self.indexes.iter().fold(columns, |sum, index| sum.saturating_add(index.cost.file_bytes))
    }
}

/// Bytes by which the file at `path` will grow when `migration` runs; the WAL comes on top.
///
/// # Errors
/// As [`plan`].
pub fn predicted_growth(path: &Path, migration: &Migration) -> Result<u64, PlanError> {
    Ok(plan(path, migration, &PlanOptions::default())?.file_bytes())
}

/// Plans `migration` for the database at `path`, which is only read.
///
/// # Errors
/// [`PlanError::Refused`] where the migration does not fit the database; otherwise when the
/// database cannot be read, or the temporary folder cannot hold the sample.
pub fn plan(path: &Path, migration: &Migration, options: &PlanOptions) -> Result<Plan, PlanError> {
    let mut conn = db::open(path, Access::Read)?;
    if environment(&conn)?.crsqlite_version.is_some() {
        crsqlite::register(&conn)?;
    }
    let mut planner = Planner { migration: migration.id.as_str(), options, rows: BTreeMap::new() };
    let (mut changes, mut indexes) = (Vec::new(), Vec::new());
    for (index, change) in migration.changes.iter().enumerate() {
        let change = match change {
            Change::Column(change) => change,
            Change::OrSet(_) => {
                let set = resolve_set_at(&conn, migration, index)?;
                changes.push(plan_set(&conn, &set, options)?);
                continue;
            }
            Change::Index(change) => {
                indexes.push(plan_index(&conn, migration, index, change)?);
                continue;
            }
        };
        let resolved = resolve(&mut conn, migration, index)?;
        changes.push(planner.change(&conn, change, resolved)?);
    }
    Ok(Plan {
        migration: migration.id.as_str().to_owned(),
        database: path.display().to_string(),
        replicas: planner.replicas(),
        changes,
        indexes,
    })
}

struct Planner<'a> {
    migration: &'a str,
    options: &'a PlanOptions,
    /// Rows of the tables that were counted.
    rows: BTreeMap<String, u64>,
}

impl Planner<'_> {
    fn replicas(&self) -> u64 {
        self.options.replicas.max(1)
    }

    fn change(
        &mut self,
        conn: &Connection,
        change: &ColumnChange,
        resolved: Resolved,
    ) -> Result<ChangePlan, DbError> {
        let target = &resolved.target;
        let (rows, column_exists) = (self.count(conn, &target.table)?, resolved.column_exists);
        let original = Original { conn, migration: self.migration, target, column_exists, rows };
        let (sample, tried, cells) = self.measure(original, &resolved)?;
        let scale = Scale {
            sample: &sample,
            cells: &cells,
            column_exists,
            replicated: matches!(target.layout, Layout::CrSqlite(_)),
            replicas: self.replicas(),
            free_bytes: free_bytes(conn)?,
        };
        let costs = costs(change, &resolved, &scale, &tried);
        let chosen = costs.iter().find(|cost| cost.chosen);
        Ok(ChangePlan {
            table: target.table.name.clone(),
            column: target.column.clone(),
            column_exists,
            replicated: scale.replicated,
            rows,
            sample_rows: sample.rows,
            row_bytes: sample.row_bytes,
            key_kind: target.table.key_kind.to_string(),
            ranges: rows.div_ceil(BATCH_ROWS),
            delivery: target.delivery,
            why: resolved.why.clone(),
            cells,
            wal_bytes: chosen.map_or(0, |cost| cost.wal_bytes),
            seconds: chosen.map_or(0.0, |cost| cost.seconds),
            costs,
            owes: advice::owes(&resolved),
            hints: advice::hints(&resolved, &sample, tried.derive.as_ref()),
            set: None,
            triggers: resolved.triggers,
        })
    }

    fn count(&mut self, conn: &Connection, table: &Table) -> Result<u64, DbError> {
        if let Some(rows) = self.rows.get(&table.name) {
            return Ok(*rows);
        }
        let sql = format!("SELECT count(*) FROM {}", table.sql());
        let rows = number::query(conn, &sql, &format!("count the rows of {}", table.sql()))?;
        self.rows.insert(table.name.clone(), rows);
        Ok(rows)
    }

    fn measure(
        &self,
        original: Original<'_>,
        resolved: &Resolved,
    ) -> Result<(Sample, Tried, Cells), DbError> {
        let sample = Sample::take(original, self.options.sample_rows_max)?;
        let tried = self.try_all(&sample, resolved)?;
        let cells = self.cells(original.conn, resolved, &sample, &tried)?;
        Ok((sample, tried, cells))
    }

    /// Fills copies of the sample in every way that writes rows.
    fn try_all(&self, sample: &Sample, resolved: &Resolved) -> Result<Tried, DbError> {
        let target = &resolved.target;
        let mut tried = Tried { naive: None, derive: None, native: None };
        if target.table.column(&target.column).is_some_and(|column| column.generated) {
            return Ok(tried);
        }
        let fill = |delivery, rows| {
            let target = Target { delivery, ..target.clone() };
            let name = format!("{delivery}.db");
            Trial::new(sample, &target, self.migration, &name)?.fill(rows)
        };
        let naive = || Trial::new(sample, target, self.migration, "naive.db")?.naive();
        tried.naive = Some(faster(naive)?);
        tried.derive = Some(faster(|| fill(Delivery::Derive, BATCH_ROWS))?);
        if matches!(target.layout, Layout::CrSqlite(_)) {
            tried.native =
                Some(fill(Delivery::Native, self.options.records_per_transaction.max(1))?);
        }
        Ok(tried)
    }

    fn cells(
        &self,
        conn: &Connection,
        resolved: &Resolved,
        sample: &Sample,
        tried: &Tried,
    ) -> Result<Cells, DbError> {
        let (target, column_exists) = (&resolved.target, resolved.column_exists);
        if self.options.exact {
            return Cells::count(conn, self.migration, target, column_exists);
        }
        let none = Measured::default();
        // The native trial counts values also where a cell had one before.
        let done = tried.native.as_ref().or(tried.derive.as_ref()).unwrap_or(&none);
        Ok(Cells::from_trial(target, column_exists, sample, done))
    }
}

/// The faster of two trials: what somebody else does to the machine meanwhile is no part of a cost.
fn faster(trial: impl Fn() -> Result<Measured, DbError>) -> Result<Measured, DbError> {
    let (first, second) = (trial()?, trial()?);
    Ok(if second.elapsed < first.elapsed { second } else { first })
}

fn free_bytes(conn: &Connection) -> Result<u64, DbError> {
    Ok(number::pragma(conn, "freelist_count")? * number::pragma(conn, "page_size")?)
}

fn costs(
    change: &ColumnChange,
    resolved: &Resolved,
    scale: &Scale<'_>,
    tried: &Tried,
) -> Vec<Cost> {
    let failed = tried.naive.as_ref().and_then(|naive| naive.failure.as_ref());
    let mut costs = Vec::new();
    for way in Way::ALL {
        let closed = match (way, failed) {
            (Way::Naive | Way::NaiveEverywhere, Some(failure)) => Some(failure.clone()),
            _ => advice::why_not(way, change, resolved),
        };
        let mut cost = match closed {
            Some(why_not) => impossible(way, why_not),
            None => scale.cost(way, tried),
        };
        cost.chosen = way.delivery() == Some(resolved.target.delivery);
        costs.push(cost);
    }
    costs
}
