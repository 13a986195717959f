//! A change of the file, resolved against one database: every refusal that can be known before
//! anything is written is found here.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::triggers::{UserTrigger, user_triggers};
use super::{
    PlanError, ResolvedIndex, ResolvedSet, choose, resolve_index, resolve_set, resolve_shipped_set,
};
use crate::db::{Datum, Environment, Table, environment, expr, quote::ident};
use crate::layout::crsqlite::{self, CrTable};
use crate::layout::{Delivery, Layout, Target};
use crate::migration::{Change, ColumnChange, Migration, OnError};

/// A change that fits its database, of either kind.
#[derive(Clone, Debug)]
pub enum ResolvedChange {
    /// A column to fill.
    Column(Box<Resolved>),
    /// A set to translate.
    OrSet(Box<ResolvedSet>),
    /// An index to build.
    Index(Box<ResolvedIndex>),
}

impl ResolvedChange {
    /// The column to fill, where it is one.
    #[must_use]
    pub fn column(&self) -> Option<&Resolved> {
        match self {
            Self::Column(column) => Some(column),
            Self::OrSet(_) | Self::Index(_) => None,
        }
    }
}

/// Resolves change number `index` of the migration, of whatever kind.
///
/// # Errors
/// [`PlanError::Refused`] with file, line, problem and remedy.
pub fn resolve_change(
    conn: &mut Connection,
    migration: &Migration,
    index: usize,
) -> Result<ResolvedChange, PlanError> {
    match &migration.changes[index] {
        Change::Column(_) => Ok(ResolvedChange::Column(Box::new(resolve(conn, migration, index)?))),
        Change::OrSet(change) => {
            let set = resolve_set(conn, migration, index, change)?;
            Ok(ResolvedChange::OrSet(Box::new(set)))
        }
        Change::Index(change) => {
            let index = resolve_index(conn, migration, index, change)?;
            Ok(ResolvedChange::Index(Box::new(index)))
        }
    }
}

/// A change that fits its database.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// What is filled, from what, and where. Its number is 0 until it is recorded.
    pub target: Target,
    /// True where the column is there already.
    pub column_exists: bool,
    /// Why this delivery was chosen, for people.
    pub why: String,
    /// The application's triggers that fire on the target column.
    pub triggers: Vec<UserTrigger>,
    /// What the database belongs to.
    pub environment: Environment,
}

/// Resolves change number `index` of the migration.
///
/// # Errors
/// [`PlanError::Refused`] with file, line, problem and remedy.
pub fn resolve(
    conn: &mut Connection,
    migration: &Migration,
    index: usize,
) -> Result<Resolved, PlanError> {
    let at = |key: &str| migration.at(index, key);
    let Site { change, environment, table, existing, layout } = site(conn, migration, index)?;
    let expressions = Expressions::judge(&table, change, &at)?;
    let delivery = choose::choose(&choose::Question {
        change,
        table: &table,
        layout: &layout,
        environment: &environment,
        constant: expressions.constant.as_ref(),
        at: &at,
    })?;
    let triggers = if delivery.delivery.writes_cells() {
        user_triggers(conn, &table, &change.column)?
    } else {
        Vec::new()
    };
    if let (Layout::CrSqlite(_), false) = (&layout, existing) {
        crsqlite::check_triggers(conn, &table)?;
    }
    let overwrite = existing && matches!(layout, Layout::CrSqlite(_));
    let column = table.column(&change.column).map_or(&change.column, |c| &c.name).clone();
    let target = Target {
        n: 0,
        column,
        type_name: change.type_name.clone(),
        value: change.value.clone().unwrap_or_else(|| "NULL".to_owned()),
        filter: change.filter.clone(),
        sources: expressions.sources,
        constant: expressions.constant,
        fill_null: change.fill_null,
        skip_errors: matches!(change.on_error, OnError::Skip),
        overwrite,
        delivery: delivery.delivery,
        layout,
        table,
    };
    Ok(Resolved { target, column_exists: existing, why: delivery.why, triggers, environment })
}

/// Resolves change number `index` of the migration, of whatever kind, for values that come from
/// elsewhere.
///
/// # Errors
/// As [`resolve_shipped`] and [`resolve_shipped_set`].
pub fn resolve_shipped_change(
    conn: &mut Connection,
    migration: &Migration,
    index: usize,
) -> Result<ResolvedChange, PlanError> {
    match &migration.changes[index] {
        Change::Column(_) => {
            Ok(ResolvedChange::Column(Box::new(resolve_shipped(conn, migration, index)?)))
        }
        Change::OrSet(_) => {
            Ok(ResolvedChange::OrSet(Box::new(resolve_shipped_set(conn, migration, index)?)))
        }
        Change::Index(_) => resolve_change(conn, migration, index),
    }
}

/// Resolves change number `index` for values that come from elsewhere: the expression is neither
/// judged nor evaluated, since this replica may lack what it reads.
///
/// # Errors
/// As [`resolve`], but for what is wrong with the expression.
pub fn resolve_shipped(
    conn: &mut Connection,
    migration: &Migration,
    index: usize,
) -> Result<Resolved, PlanError> {
    let Site { change, environment, table, existing, layout } = site(conn, migration, index)?;
    if let Some(column) = table.column(&change.column).filter(|column| column.generated) {
        return Err(PlanError::refused(
            migration.at(index, "column"),
            format!(
                "column {} is a generated column here, which nobody can write",
                ident(&column.name)
            ),
            "a replica that computes the column needs no deltas",
        ));
    }
    let triggers = user_triggers(conn, &table, &change.column)?;
    if let (Layout::CrSqlite(_), false) = (&layout, existing) {
        crsqlite::check_triggers(conn, &table)?;
    }
    let target = Target {
        n: 0,
        column: table.column(&change.column).map_or(&change.column, |c| &c.name).clone(),
        type_name: change.type_name.clone(),
        value: "NULL".to_owned(),
        filter: None,
        sources: Vec::new(),
        constant: None,
        fill_null: change.fill_null,
        skip_errors: matches!(change.on_error, OnError::Skip),
        overwrite: existing && matches!(layout, Layout::CrSqlite(_)),
        delivery: Delivery::Derive,
        layout,
        table,
    };
    let why = "the values are shipped from a replica that has derived them".to_owned();
    Ok(Resolved { target, column_exists: existing, why, triggers, environment })
}

/// Where a change is made.
struct Site<'m> {
    change: &'m ColumnChange,
    environment: Environment,
    table: Table,
    /// True where the column is there.
    existing: bool,
    layout: Layout,
}

fn site<'m>(
    conn: &Connection,
    migration: &'m Migration,
    index: usize,
) -> Result<Site<'m>, PlanError> {
    let change = match &migration.changes[index] {
        Change::Column(change) => change,
        Change::OrSet(_) | Change::Index(_) => return Err(no_values(migration, index)),
    };
    let at = |key: &str| migration.at(index, key);
    let environment = environment(conn)?;
    check_version(conn, &environment)?;
    let table = read_table(conn, change, &at("table"))?;
    let existing = check_target(&table, change, migration, index)?;
    let layout = match CrTable::find(conn, &table)? {
        Some(cr) => Layout::CrSqlite(cr),
        None => Layout::Plain,
    };
    if environment.corrosion && matches!(layout, Layout::CrSqlite(_)) {
        check_corrosion(conn, &table, change, existing, &at("column"))?;
    }
    Ok(Site { change, environment, table, existing, layout })
}

/// Refuses what is done with values only, of a change that has none: an index; or of another kind
/// than the caller takes.
#[must_use]
pub fn no_values(migration: &Migration, index: usize) -> PlanError {
    let kind = migration.changes.get(index).map_or("column", Change::kind);
    PlanError::refused(
        migration.at(index, "kind"),
        format!("kind = {kind:?} has no values of a column that could be exported or applied"),
        "each replica makes it for itself: `dotfill run` on every one; give it a migration of its \
         own where columns or sets are to be shipped",
    )
}

pub(super) fn check_version(conn: &Connection, environment: &Environment) -> Result<(), PlanError> {
    match environment.crsqlite_version {
        None | Some(crsqlite::VERSION) => Ok(()),
        Some(found) => Err(PlanError::refused(
            conn.path().unwrap_or_default(),
            format!("its tables were made by cr-sqlite version {found}"),
            format!("dotfill knows cr-sqlite 0.17 only ({})", crsqlite::VERSION),
        )),
    }
}

/// Refuses a column of a replicated table that the Corrosion agent does not know of: it gets
/// columns from its schema files only, and a change that names one which it lacks fails there until
/// it restarts. Tables that Corrosion does not replicate are nothing to it.
fn check_corrosion(
    conn: &Connection,
    table: &Table,
    change: &ColumnChange,
    existing: bool,
    at: &str,
) -> Result<(), PlanError> {
    let column = ident(&change.column);
    let reload = format!(
        "add `{}` to table {} in the schema files of every node and reload every agent \
         (`corrosion reload`), then run dotfill on each node",
        format!("{} {}", change.column, change.type_name).trim_end(),
        table.name
    );
    if !existing {
        let problem = format!(
            "column {column} of table {} is missing on this node, and the database belongs to a \
             Corrosion agent, which would not know a column that dotfill adds",
            table.sql()
        );
        return Err(PlanError::refused(at, problem, reload));
    }
    match crsqlite::check_triggers(conn, table) {
        Err(crate::db::DbError::Unusable { problem, .. }) => Err(PlanError::refused(
            at,
            format!(
                "the Corrosion agent would not send what users write to column {column}: {problem}"
            ),
            format!(
                "a column that was added behind the agent's back is dropped again while the agent \
                 is stopped (ALTER TABLE {} DROP COLUMN {column}); then {reload}",
                table.sql()
            ),
        )),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(()),
    }
}

fn read_table(conn: &Connection, change: &ColumnChange, at: &str) -> Result<Table, PlanError> {
    Table::read(conn, &change.table).map_err(|error| match error {
        crate::db::DbError::Unusable { problem, remedy, path } => {
            PlanError::refused(at, format!("{}: {problem}", path.display()), remedy)
        }
        other => other.into(),
    })
}

/// True where the target column exists and can be filled; false where it is absent.
fn check_target(
    table: &Table,
    change: &ColumnChange,
    migration: &Migration,
    index: usize,
) -> Result<bool, PlanError> {
    let Some(column) = table.column(&change.column) else {
        return Ok(false);
    };
    let name = ident(&column.name);
    let refused = |key: &str, problem: String, remedy: &str| {
        Err(PlanError::refused(migration.at(index, key), problem, remedy))
    };
    let in_key = column.key_position > 0 || table.key.iter().any(|key| key.name == column.name);
    if in_key {
        return refused(
            "column",
            format!("column {name} is part of the key of table {}", table.sql()),
            "a key cannot be backfilled: choose another column",
        );
    }
    if !column.type_name.eq_ignore_ascii_case(&change.type_name) {
        return refused(
            "type",
            format!(
                "column {name} exists with type {}, not {}",
                if column.type_name.is_empty() { "(none)" } else { &column.type_name },
                change.type_name
            ),
            "write the column's own type in the migration file, or choose another column",
        );
    }
    if column.generated && change.writable {
        return refused(
            "column",
            format!("column {name} is a generated column, which nobody can write"),
            "set writable = false and delivery = \"virtual\", or choose another column",
        );
    }
    Ok(true)
}

struct Expressions {
    sources: Vec<String>,
    constant: Option<Datum>,
}

impl Expressions {
    fn judge(
        table: &Table,
        change: &ColumnChange,
        at: &dyn Fn(&str) -> String,
    ) -> Result<Self, PlanError> {
        let judge = |key: &str, sql: &str| {
            expr::judge(table, &change.column, sql).map_err(|problem| {
                PlanError::refused(
                    at(key),
                    format!("{key} = {sql:?} is refused: {problem}"),
                    "an expression is deterministic SQL over the columns of its own row",
                )
            })
        };
        let value = change.value.as_deref().map(|sql| judge("value", sql)).transpose()?;
        let filter = change.filter.as_deref().map(|sql| judge("where", sql)).transpose()?;
        let mut sources = value.as_ref().map(|v| v.sources.clone()).unwrap_or_default();
        for name in filter.iter().flat_map(|f| &f.sources) {
            if !sources.contains(name) {
                sources.push(name.clone());
            }
        }
        let constant = match (&value, &filter) {
            (None, _) => Some(Datum::Null),
            (Some(value), None) => value.constant.as_ref().map(|v| Datum::from(ValueRef::from(v))),
            (Some(_), Some(_)) => None,
        };
        Ok(Self { sources, constant })
    }
}
