//! One change of a migration: its column, its triggers and side tables, the keys that wait, and
//! whether its values have been stamped.

use std::fmt::Write;

use super::{Finding, Patient, index, leftover, set, shell, stamp};
use crate::db::quote::ident;
use crate::db::{DbError, Table};
use crate::layout::crsqlite::{self, CrTable};
use crate::layout::{Delivery, Target, note_schema};
use crate::migration::{Change, Migration};
use crate::plan::{PlanError, resolve, resolve_shipped};
use crate::state::{ChangeRow, IndexRow, Phase, SetRow};
use crate::write::dirty_rows;

pub(super) fn examine(
    patient: &mut Patient<'_>,
    migration: Option<&Migration>,
    change: &ChangeRow,
    at_work: bool,
) -> Result<Vec<Finding>, DbError> {
    if change.phase == Phase::RolledBack {
        return Ok(Vec::new());
    }
    if let Some(made) = SetRow::read(&patient.conn, change.n)? {
        return set::examine(patient, migration, change, &made, at_work);
    }
    if let Some(made) = IndexRow::read(&patient.conn, change.n)? {
        return index::examine(patient, migration, change, &made);
    }
    let (table, present) = match column(patient, migration, change) {
        Ok(found) => found,
        Err(lost) => return Ok(vec![lost]),
    };
    let mut findings = vec![present];
    let cr = CrTable::find(&patient.conn, &table)?;
    let delivery = Delivery::from_name(&change.delivery);
    if cr.is_some() && patient.knows_crsqlite() && delivery != Some(Delivery::Virtual) {
        findings.extend(recording(patient, &table, change));
    }
    if !delivery.is_some_and(Delivery::writes_cells) {
        return Ok(findings);
    }
    // Where triggers lost their table no write can be prepared, which has been said already.
    if change.phase != Phase::Closed && !leftover::has_lost(patient, change.n)? {
        let fed = matches!(change.phase, Phase::Applying | Phase::Applied);
        match fit(patient, migration, change, fed)? {
            Fit::No(refused) => findings.push(refused),
            // A replica that is fed may have no marks: the clock rows tell whose a cell is.
            Fit::Target(target) if !fed || has_marks(patient, change)? => {
                findings.extend(missing(patient, &target, change)?);
            }
            Fit::Target(_) | Fit::Unknown => {}
        }
        findings.extend(waiting(patient, change, at_work)?);
    }
    if let (Some(cr), Some(Delivery::Derive)) = (&cr, delivery) {
        findings.push(stamp::examine(patient, &table, cr, change)?);
    }
    Ok(findings)
}

fn cell_name(change: &ChangeRow) -> String {
    format!("{}.{}", change.table, change.column)
}

/// The table, and that the column is there as it should be; or the finding that it is not.
fn column(
    patient: &Patient<'_>,
    migration: Option<&Migration>,
    change: &ChangeRow,
) -> Result<(Table, Finding), Finding> {
    let what = format!("column {}", cell_name(change));
    let lost = |detail: String, next: String| match change.phase {
        Phase::Closed => Finding::owed(
            what.clone(),
            detail,
            shell::dotfill("forget", &change.migration, patient.db),
        ),
        _ => Finding::wrong(what.clone(), detail, next),
    };
    let table = Table::read(&patient.conn, &change.table).map_err(|error| {
        lost(error.to_string(), "restore the table from a backup or a replica".to_owned())
    })?;
    let wanted = migration.and_then(|m| m.changes.get(usize::try_from(change.position).ok()?));
    let wanted = wanted.and_then(|change| match change {
        Change::Column(wanted) => Some(wanted.type_name.as_str()),
        Change::OrSet(_) | Change::Index(_) => None,
    });
    let Some(column) = table.column(&change.column) else {
        let add = format!(
            "ALTER TABLE {} ADD COLUMN {} {}",
            table.sql(),
            ident(&change.column),
            wanted.unwrap_or_default()
        );
        let detail = format!("lost: table {} has no such column any more", table.sql());
        return Err(lost(detail, shell::sqlite(patient.db, add.trim_end())));
    };
    if let Some(wanted) = wanted.filter(|w| !column.type_name.eq_ignore_ascii_case(w)) {
        let detail = format!("has type {}, and the migration says {wanted}", column.type_name);
        return Err(lost(detail, shell::dotfill("plan", &change.migration, patient.db)));
    }
    let detail = format!(
        "present, {}, {}, {} rows, {} cells written",
        if column.type_name.is_empty() { "no type" } else { &column.type_name },
        change.delivery,
        change.rows_total,
        change.counters.rows_written
    );
    Ok((table, Finding::ok(what, detail)))
}

/// Whether cr-sqlite's own triggers know the column.
fn recording(patient: &Patient<'_>, table: &Table, change: &ChangeRow) -> Option<Finding> {
    let error = crsqlite::check_triggers(&patient.conn, table).err()?;
    let name = &change.table;
    Some(Finding::wrong(
        format!("cr-sqlite's triggers of {name}"),
        format!("writes of {} may go unrecorded: {error}", cell_name(change)),
        format!(
            "with the extension loaded: SELECT crsql_begin_alter('{name}'); \
             SELECT crsql_commit_alter('{name}')"
        ),
    ))
}

/// Whether the migration still fits the database.
enum Fit {
    Target(Box<Target>),
    No(Finding),
    Unknown,
}

fn fit(
    patient: &mut Patient<'_>,
    migration: Option<&Migration>,
    change: &ChangeRow,
    fed: bool,
) -> Result<Fit, DbError> {
    let Some(migration) = migration.filter(|_| patient.knows_crsqlite()) else {
        return Ok(Fit::Unknown);
    };
    let index = usize::try_from(change.position).unwrap_or(usize::MAX);
    if index >= migration.changes.len() {
        return Ok(Fit::Unknown);
    }
    let resolved = if fed {
        resolve_shipped(&mut patient.conn, migration, index)
    } else {
        resolve(&mut patient.conn, migration, index)
    };
    match resolved {
        Ok(resolved) => Ok(Fit::Target(Box::new(Target { n: change.n, ..resolved.target }))),
        Err(PlanError::Db(error)) if error.is_busy() => Err(error),
        Err(refused) => Ok(Fit::No(Finding::wrong(
            format!("migration {}", change.migration),
            format!("it no longer fits the database, and `run` will refuse it: {refused}"),
            shell::dotfill("plan", &change.migration, patient.db),
        ))),
    }
}

/// Triggers and side tables that a followed change must have. They are made again together with
/// the order to read anew whose cells are users': nothing noted them meanwhile.
fn missing(
    patient: &Patient<'_>,
    target: &Target,
    change: &ChangeRow,
) -> Result<Option<Finding>, DbError> {
    let schema = note_schema(target);
    let lost = missing_of(patient, &schema)?;
    if lost.is_empty() {
        return Ok(None);
    }
    let names: Vec<&str> = lost.iter().map(|(name, _)| *name).collect();
    let mut sql: String = lost.iter().map(|(_, sql)| format!("{sql};\n")).collect();
    let _ = write!(sql, "UPDATE _dotfill_changes SET seeded = 0 WHERE n = {};", change.n);
    Ok(Some(Finding::wrong(
        format!("triggers of {}", cell_name(change)),
        format!(
            "{} lost: what others write is not noted. Making them again has `run` read anew which \
             cells are users' (in a plain table: every cell that has a value by then)",
            names.join(", ")
        ),
        format!(
            "{}\nthen: {}",
            shell::sqlite(patient.db, &format!("BEGIN; {sql} COMMIT;")),
            shell::dotfill("run", &change.migration, patient.db)
        ),
    )))
}

/// The statements of a schema of ours whose object is not there, each with its name.
pub(super) fn missing_of<'s>(
    patient: &Patient<'_>,
    schema: &'s str,
) -> Result<Vec<(&'s str, &'s str)>, DbError> {
    let mut standing = Vec::new();
    for kind in ["table", "index", "trigger"] {
        standing.extend(patient.ours(kind)?);
    }
    let has = |name: &str| standing.iter().any(|other| other == name);
    Ok(statements(schema).filter(|(name, _)| !has(name)).collect())
}

/// The statements of [`note_schema`], each with the name of what it creates.
fn statements(schema: &str) -> impl Iterator<Item = (&str, &str)> {
    let ends = schema.match_indices(";\nCREATE ").map(|(at, _)| at);
    let end = schema.trim_end().trim_end_matches(';').len();
    let mut start = 0;
    ends.chain(std::iter::once(end)).filter_map(move |end| {
        let sql = schema.get(start..end)?;
        start = end + 2;
        let name = sql.split_whitespace().nth(2)?.trim_matches('"');
        Some((name, sql))
    })
}

/// True where others' writes of the change are noted.
fn has_marks(patient: &Patient<'_>, change: &ChangeRow) -> Result<bool, DbError> {
    Ok(patient.ours("table")?.contains(&format!("_dotfill_dirty_{}", change.n)))
}

/// Keys that were noted and not yet derived again.
pub(super) fn waiting(
    patient: &Patient<'_>,
    change: &ChangeRow,
    at_work: bool,
) -> Result<Option<Finding>, DbError> {
    let table = format!("_dotfill_dirty_{}", change.n);
    if !patient.ours("table")?.contains(&table) {
        return Ok(None);
    }
    let rows = dirty_rows(&patient.conn, change.n)?;
    let what = format!("dirty rows of {}", cell_name(change));
    if matches!(change.phase, Phase::Applying | Phase::Applied) {
        let detail =
            format!("{rows} were changed by others, which the next `apply` takes into account");
        return Ok((rows > 0).then(|| Finding::ok(what, detail)));
    }
    Ok(match (rows, at_work) {
        (0, _) => None,
        (_, true) => Some(Finding::ok(what, format!("{rows} wait for the runner"))),
        (_, false) => Some(Finding::owed(
            what,
            format!("{rows} were changed by others and wait to be derived again"),
            shell::dotfill("run", &change.migration, patient.db),
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::statements;

    #[test]
    fn a_trigger_is_one_statement() {
        let schema = "CREATE TABLE a (x);\nCREATE INDEX b ON a (x);\nCREATE TRIGGER \"c\" AFTER \
                      INSERT ON t BEGIN\n  INSERT INTO a VALUES (1);\nEND;\n";
        let found: Vec<_> = statements(schema).collect();
        assert_eq!(found[0], ("a", "CREATE TABLE a (x)"));
        assert_eq!(found[1], ("b", "CREATE INDEX b ON a (x)"));
        assert_eq!(found[2].0, "c");
        assert!(found[2].1.ends_with(";\nEND"), "{:?}", found[2]);
    }
}
