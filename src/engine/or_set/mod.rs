//! The data path of a set: fill, drain, proof and rollback of one change of kind `or_set`. Threads
//! and the order of steps; the SQL is elsewhere.

mod clear;
mod drain;
mod fill;
mod pipeline;
mod proof;

pub(super) use clear::{Cleared, roll_back};
pub(super) use drain::{drain_all, drain_batch, finish_in};
pub(super) use fill::fill;
pub(super) use proof::{Look, SetFindings, mend, prove};

use rusqlite::Connection;

use super::RunError;
use super::job::Job;
use crate::db::quote::ident;
use crate::db::{DbError, Table};
use crate::layout::or_set::{OldForm, SetTarget, ViewStage, view_schema};
use crate::migration::Migration;
use crate::phase::triggers::standing;
use crate::plan::{PlanError, ResolvedChange, ResolvedSet};
use crate::state::{self, ChangeRow, Phase, SetRow};
use crate::write::{PreparedSet, WriteError, prepare_set};

/// How often preparing begins again because others change the schema.
const TRIES: u32 = 10;

/// Makes a set ready, looking again where the schema was changed meanwhile.
pub(super) fn prepare(
    job: &mut Job<'_>,
    resolved: &ResolvedSet,
    index: usize,
) -> Result<PreparedSet, RunError> {
    let id = job.id().to_owned();
    for _ in 0..TRIES {
        match prepare_set(&mut job.session, resolved, &id, index) {
            Err(WriteError::SchemaChanged) => job.session.accept_schema()?,
            other => return Ok(other?),
        }
    }
    Err(WriteError::SchemaChanged.into())
}

/// Refuses sets whose tables are gone or cannot be made by this process, and whose view somebody else
/// has made, before anything is written.
pub(super) fn check(
    conn: &Connection,
    migration: &Migration,
    resolved: &[ResolvedChange],
    extension: bool,
) -> Result<(), RunError> {
    let known = state::exists(conn)?;
    let known = if known { ChangeRow::of(conn, migration.id.as_str())? } else { Vec::new() };
    for (index, change) in resolved.iter().enumerate() {
        let ResolvedChange::OrSet(set) = change else { continue };
        let case = Case { migration, index, set };
        match known.get(index).map(|change| change.phase) {
            None => {
                case.check_not_over(conn)?;
                case.check_tables(extension)?;
                case.check_view()?;
            }
            Some(Phase::RolledBack) => {}
            Some(_) => case.check_lost()?,
        }
    }
    Ok(())
}

/// A set that is looked at before anything is written.
struct Case<'c> {
    migration: &'c Migration,
    index: usize,
    set: &'c ResolvedSet,
}

impl Case<'_> {
    fn refused(&self, key: &str, problem: String, remedy: String) -> PlanError {
        PlanError::refused(self.migration.at(self.index, key), problem, remedy)
    }

    /// The table that is not there: its key in the file, and its name.
    fn missing(&self) -> Option<(&'static str, String)> {
        let (there, target) = (self.set.tables, &self.set.target);
        [("adds", there.adds, &target.adds), ("removes", there.removes, &target.removes)]
            .into_iter()
            .find(|(_, there, _)| !there)
            .map(|(key, _, name)| (key, ident(name)))
    }

    /// Tables of cr-sqlite are made by its extension, or by a Corrosion agent.
    fn check_tables(&self, extension: bool) -> Result<(), PlanError> {
        let corrosion = self.set.environment.corrosion;
        let Some((key, name)) = self.missing() else { return Ok(()) };
        if !self.set.replicated || (extension && !corrosion) {
            return Ok(());
        }
        let file = self.migration.path.display();
        let schema = format!("`dotfill schema {file} --db FILE` prints the SQL");
        let remedy = if corrosion {
            format!("add it to the schema files of every node and reload every agent; {schema}")
        } else {
            format!("make it with --crsqlite PATH, or by hand on every replica; {schema}")
        };
        let table = self.set.target.table.sql();
        let problem =
            format!("table {name} is not there, and must be one of cr-sqlite, as table {table} is");
        Err(self.refused(key, problem, remedy))
    }

    /// Where its closed epoch has ended here, the old form is no truth any more: deriving the adds from
    /// it again would delete them.
    fn check_not_over(&self, conn: &Connection) -> Result<(), PlanError> {
        let stand = standing(conn, self.migration.id.as_str(), self.index)?;
        if stand.is_empty() {
            return Ok(());
        }
        Err(self.refused(
            "source",
            format!(
                "its epoch was closed and ended here ({} still refuse old writes): the old form was \
                 removed, and deriving from it would delete what the new form holds",
                stand.join(", ")
            ),
            "there is nothing left to do; a further migration needs an id of its own".to_owned(),
        ))
    }

    /// Only a view that an earlier run has left is replaced.
    fn check_view(&self) -> Result<(), PlanError> {
        let left = view_schema(&self.set.target, ViewStage::Alone);
        let ours = |sql: &String| sql.trim() == left.trim().trim_end_matches(';');
        if self.set.view.as_ref().is_none_or(ours) {
            return Ok(());
        }
        let view = ident(&self.set.target.view);
        Err(self.refused(
            "view",
            format!("view {view} is there already, and is not one that dotfill has left"),
            format!("DROP VIEW {view}, or give the new one a name of its own"),
        ))
    }

    /// A table that was there when the migration began here.
    fn check_lost(&self) -> Result<(), PlanError> {
        let Some((key, name)) = self.missing() else { return Ok(()) };
        Err(self.refused(
            key,
            format!("table {name} is gone, and with it what users wrote there"),
            "restore it from a backup or a replica; `dotfill doctor` says more".to_owned(),
        ))
    }
}

/// After a schema change by somebody else: checks that nothing that we rely on has changed.
pub(super) fn look_again(job: &mut Job<'_>, target: &SetTarget) -> Result<(), RunError> {
    job.session.accept_schema()?;
    match lost(job, target) {
        Ok(None) => Ok(()),
        Ok(Some(table)) => Err(RunError::refused(
            job.id(),
            format!("table {table} was altered while the job was running"),
            "look at the change, then repeat the command",
        )),
        Err(error) => Err(error.into()),
    }
}

/// The table that is no longer what it was.
fn lost(job: &Job<'_>, target: &SetTarget) -> Result<Option<String>, DbError> {
    let conn = job.session.conn();
    let mut now = Table::read(conn, &target.table.name)?;
    now.walk_by_key();
    let source = match &target.old {
        OldForm::Column { column, .. } => now.column(column).is_some(),
        OldForm::Rows { table, element, key } => {
            let rows = Table::read(conn, table)?;
            key.iter().chain([element]).all(|name| rows.column(name).is_some())
        }
    };
    if now.key != target.table.key || now.scan != target.table.scan || !source {
        return Ok(Some(target.table.sql()));
    }
    for (name, columns) in [(&target.adds, now.key.len() + 2), (&target.removes, 1)] {
        let table = Table::read(conn, name)?;
        if table.key.len() != columns || table.columns.len() != columns {
            return Ok(Some(table.sql()));
        }
    }
    Ok(None)
}

/// The name that a set shares with one of another migration here.
pub(super) fn shared_name<'t>(target: &'t SetTarget, other: &SetRow) -> Option<&'t str> {
    let names = [&target.adds, &target.removes, &target.view];
    let theirs = [&other.adds, &other.removes, &other.view];
    names
        .into_iter()
        .find(|name| theirs.iter().any(|their| their.eq_ignore_ascii_case(name)))
        .map(String::as_str)
}
