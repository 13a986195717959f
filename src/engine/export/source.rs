//! What of a migration can be exported, and how it is told whose a cell is.

use std::path::Path;

use rusqlite::Connection;

use crate::db::Doing;
use crate::delta::Shape;
use crate::engine::subject::Subject;
use crate::engine::{RunError, fed, shapes};
use crate::layout::or_set::SetTarget;
use crate::layout::{Delivery, ExportSql, Layout, Target};
use crate::migration::{Change, Migration};
use crate::plan::{PlanError, resolve, resolve_set_at, resolve_shipped, resolve_shipped_set};
use crate::scan::Ownership;
use crate::state::{self, ChangeRow, MigrationRow, Phase};

/// The phase, where there is something to export.
pub(super) fn check_phase(
    conn: &Connection,
    db: &Path,
    migration: &Migration,
) -> Result<Phase, RunError> {
    let id = migration.id.as_str();
    let row = if state::exists(conn)? { MigrationRow::read(conn, id)? } else { None };
    let Some(row) = row else {
        return Err(RunError::refused(
            id,
            format!("{} has never run it", db.display()),
            "`dotfill run` it first, or export from a replica that has",
        ));
    };
    if row.digest != migration.digest {
        return Err(RunError::refused(
            id,
            "this database has run another file under that id",
            "export with the file that was run, or by its id",
        ));
    }
    match row.phase {
        phase @ (Phase::Open | Phase::Closed | Phase::Applied) => Ok(phase),
        phase @ (Phase::Filling | Phase::Failed | Phase::RollingBack | Phase::RolledBack) => {
            Err(RunError::refused(
                id,
                format!("it is {phase}, and its values are not proven"),
                "`dotfill run` fills and proves it first",
            ))
        }
        phase @ Phase::Applying => Err(RunError::refused(
            id,
            format!("it is {phase}, and its values are not proven"),
            "`dotfill apply` again completes it first",
        )),
    }
}

/// What of one change is exported, and how.
pub(super) struct Source {
    pub subject: Subject,
    /// `None` where its cells do not have to travel.
    pub ownership: Option<Ownership>,
    pub rows_total: u64,
}

/// What is exported of each change.
pub(super) fn sources(
    conn: &mut Connection,
    migration: &Migration,
    phase: Phase,
) -> Result<Vec<Source>, RunError> {
    let mut sources = Vec::new();
    for (index, change) in ChangeRow::of(conn, migration.id.as_str())?.into_iter().enumerate() {
        sources.push(source(conn, migration, phase, index, &change)?);
    }
    if sources.iter().all(|source| source.ownership.is_none()) {
        let deliveries = sources.iter().map(|source| match &source.subject {
            Subject::Column(target) => target.delivery,
            Subject::OrSet(_) => Delivery::Derive,
        });
        return Err(nothing_to_ship(migration, deliveries));
    }
    Ok(sources)
}

/// The refusal of a migration with these deliveries, none of which needs values to be shipped.
pub(in crate::engine) fn nothing_to_ship(
    migration: &Migration,
    deliveries: impl Iterator<Item = Delivery>,
) -> RunError {
    let deliveries: Vec<&str> = deliveries.map(Delivery::as_str).collect();
    RunError::refused(
        migration.id.as_str(),
        format!("its delivery is {}, so no value has to be exported", deliveries.join(", ")),
        "virtual and elided values stand in the schema, native ones travel as change records: \
         `dotfill run` on the other replica, or let it replicate",
    )
}

fn source(
    conn: &mut Connection,
    migration: &Migration,
    phase: Phase,
    index: usize,
    change: &ChangeRow,
) -> Result<Source, RunError> {
    if let Some(Change::OrSet(_)) = migration.changes.get(index) {
        return source_of_set(conn, migration, phase, index, change);
    }
    let (mut target, derives) = match resolve(conn, migration, index) {
        Ok(resolved) => (resolved.target, true),
        Err(PlanError::Refused { .. }) if phase != Phase::Open => {
            (resolve_shipped(conn, migration, index)?.target, false)
        }
        Err(error) => return Err(error.into()),
    };
    target.n = change.n;
    target.delivery = Delivery::from_name(&change.delivery).unwrap_or(target.delivery);
    target.table.walk_by_key();
    let rows_total = change.rows_total;
    if target.delivery != Delivery::Derive {
        let subject = Subject::Column(Box::new(target));
        return Ok(Source { subject, ownership: None, rows_total });
    }
    let ownership = ownership(conn, &target, phase, derives)?;
    if ownership == Ownership::Value && !derives {
        // Says what of the expression does not fit.
        resolve(conn, migration, index)?;
    }
    check_keys(conn, migration, &target)?;
    let subject = Subject::Column(Box::new(target));
    Ok(Source { subject, ownership: Some(ownership), rows_total })
}

/// The objects of a set: whose an add is can be told from the add, in every mode and phase.
fn source_of_set(
    conn: &Connection,
    migration: &Migration,
    phase: Phase,
    index: usize,
    change: &ChangeRow,
) -> Result<Source, RunError> {
    let mut target = match resolve_set_at(conn, migration, index) {
        Err(PlanError::Refused { .. }) if phase != Phase::Open => {
            resolve_shipped_set(conn, migration, index)?.target
        }
        other => other?.target,
    };
    target.n = change.n;
    let ownership = set_ownership(conn, &target)?;
    let subject = Subject::OrSet(Box::new(target));
    Ok(Source { subject, ownership: Some(ownership), rows_total: change.rows_total })
}

/// Whether objects of a set are noted; [`RowsReader`](crate::engine::rows::RowsReader) asks for
/// nothing more.
pub(in crate::engine) fn set_ownership(
    conn: &Connection,
    target: &SetTarget,
) -> Result<Ownership, RunError> {
    let noted = fed::is_noted(conn, target.n)?;
    Ok(if noted { Ownership::Marks { nulls: false } } else { Ownership::Value })
}

/// How it is told whose a cell of `target` is, while its migration is in `phase`; `derives` where its
/// expression can be evaluated.
pub(in crate::engine) fn ownership(
    conn: &Connection,
    target: &Target,
    phase: Phase,
    derives: bool,
) -> Result<Ownership, RunError> {
    Ok(match (&target.layout, fed::is_noted(conn, target.n)?) {
        (_, true) => Ownership::Marks { nulls: phase == Phase::Open },
        (Layout::CrSqlite(_), false) => {
            Ownership::Clock { derived: derives && phase == Phase::Closed }
        }
        (Layout::Plain, false) => Ownership::Value,
    })
}

/// Refuses rows that cannot be named elsewhere.
pub(in crate::engine) fn check_keys(
    conn: &Connection,
    migration: &Migration,
    target: &Target,
) -> Result<(), RunError> {
    let Some(sql) = ExportSql::new(target).any_null_key() else { return Ok(()) };
    let found = conn.prepare(&sql).and_then(|mut s| s.exists([])).doing("look at the keys")?;
    if !found {
        return Ok(());
    }
    Err(RunError::refused(
        migration.id.as_str(),
        format!(
            "table {} has rows whose key holds a NULL, which names no row on another replica",
            target.table.sql()
        ),
        "give those rows a key, or run the migration on the other replica",
    ))
}

impl Source {
    /// What its rows belong to.
    pub(super) fn shape(&self) -> Shape {
        shapes::shape_of(&self.subject, self.ownership.is_some())
    }
}
